"""Show the progress of a long read on a terminal, so that it is not taken for a hang."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TextIO, TypeVar

from twisted_virtlog.ctl.naming import program_name

_FIRST_SECONDS = 1.0
_NEXT_SECONDS = 0.25
_ERASE = "\r\x1b[K"


class Read(Protocol):
    """A part of what is read."""

    @property
    def data(self) -> bytes:
        """Its bytes."""


R = TypeVar("R", bound=Read)


class Progress:
    """A line that says how many bytes were read so far, once that takes long."""

    def __init__(self, terminal: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """:param terminal: where to write, if it is a terminal."""
        self._terminal = terminal
        self._clock = clock
        self._is_terminal = terminal.isatty()
        self._read = 0
        self._next_time = clock() + _FIRST_SECONDS
        self._is_written = False

    def add(self, count: int) -> None:
        """Take note that so many bytes were read."""
        self._read += count
        if self._is_terminal and self._clock() >= self._next_time:
            name = program_name()
            self._terminal.write(f"{_ERASE}{name}: {self._read / 1e6:.0f} MB read")
            self._terminal.flush()
            self._next_time, self._is_written = self._clock() + _NEXT_SECONDS, True

    def erase(self) -> None:
        """Leave an empty line, for other output or at the end."""
        if self._is_written:
            self._terminal.write(_ERASE)
            self._terminal.flush()
            self._is_written = False


def shown(
    chunks: Iterable[R], terminal: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[R]:
    """Yield chunks, and if that takes long, write how many bytes they have had so far.

    :param terminal: where to write, if it is a terminal. Its line is empty at the end.
    """
    progress = Progress(terminal, clock)
    try:
        for chunk in chunks:
            progress.add(len(chunk.data))
            yield chunk
    finally:
        progress.erase()
