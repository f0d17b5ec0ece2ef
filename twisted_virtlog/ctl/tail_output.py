"""Prints what comes of several logs, so that one can see of which."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import BinaryIO

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.encoding import json_bytes
from twisted_virtlog.ctl.outcomes import json_of
from twisted_virtlog.ctl.terminal import TerminalFilter
from twisted_virtlog.escaping import visible

#: Of names before lines, on a terminal: those that are seen well on light and dark.
_COLOURS = (36, 33, 32, 35, 34, 31)

#: A name before lines is padded up to so many characters, so that lines align.
_WIDEST_NAME = 32


@dataclass
class Piece:
    """What came of a log.

    :ivar times: returns when the byte at an offset in the data had come; None where it came now.
    """

    data: bytes
    start: Position | None
    end: Position
    gap: bool = False
    missed: int | None = None
    times: Callable[[int], datetime | None] | None = None


@dataclass
class Source:
    """A log that is printed.

    :ivar name: what stands before its lines.
    :ivar host: on which host it is; None for this one.
    :ivar rest: a line that has no end yet, and is not printed.
    :ivar is_open: a part of the present line was printed.
    """

    path: str
    name: str = ""
    host: str | None = None
    rest: bytearray = field(default_factory=bytearray)
    is_open: bool = False
    rest_time: datetime | None = None
    filter: TerminalFilter | None = None

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return self.path if self.host is None else f"{self.host}:{self.path}"


class Output:
    """Prints pieces of logs.

    :ivar is_exact: what is printed are the bytes, and nothing else.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        names: bool,
        timestamps: bool,
        as_json: bool,
        raw: bool,
        warn: Callable[[str], object],
    ) -> None:
        """:param names: before each line stands the name of its log.

        :param raw: a terminal gets what guests print as it is.
        :param warn: tells people that bytes are missing.
        """
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._names = names
        self._timestamps = timestamps
        self._as_json = as_json
        self._raw = raw or not self._is_terminal
        self._warn = warn
        self._colours: dict[str, int] = {}
        self._width = 0
        # Whose line has no end yet on the terminal.
        self._current: Source | None = None

    @property
    def is_exact(self) -> bool:
        """Whether bytes are printed as they come, in any pieces."""
        return not (self._names or self._timestamps or self._as_json)

    def source(self, path: str, name: str, host: str | None = None) -> Source:
        """Return a log to print.

        :param name: what stands before its lines, if that is wanted.
        :param host: on which host it is; None for this one.
        """
        self._width = max(self._width, min(len(name), _WIDEST_NAME))
        source = Source(path, name, host)
        if not self._raw:
            source.filter = TerminalFilter()
        return source

    def print(self, source: Source, piece: Piece) -> None:
        """Print what came of a log."""
        if piece.gap:
            self._tell_gap(source, piece)
        if self._as_json:
            self._print_json(source, piece)
        elif self.is_exact:
            self._stream.write(_shown(source, piece.data))
        else:
            self._print_lines(source, piece)

    def rest(self, source: Source) -> None:
        """Print a line that has no end yet, as its log is quiet."""
        if source.rest:
            self._print_line(source, bytes(source.rest), source.rest_time, ended=False)
            source.rest.clear()

    def flush(self) -> None:
        """Let everybody see what was printed."""
        self._stream.flush()

    def end(self, source: Source) -> None:
        """Print what is left of a log of which nothing more comes."""
        self.rest(source)
        if source.filter is not None:
            self._stream.write(source.filter.end())

    def _tell_gap(self, source: Source, piece: Piece) -> None:
        self.flush()
        missed = (
            "bytes are missing" if piece.missed is None else f"{piece.missed} bytes are missing"
        )
        self._warn(f"{source.title}: {missed}: they were rotated away before they could be read")

    def _print_json(self, source: Source, piece: Piece) -> None:
        answer: dict[str, object] = {} if source.host is None else {"host": source.host}
        answer |= {"path": source.path, "start": piece.start, "end": piece.end}
        answer |= {**json_bytes(piece.data), "gap": piece.gap, "missed": piece.missed}
        if self._timestamps:
            answer["time"] = _time_of(piece, 0).isoformat()
        self._stream.write(json_of(answer).encode() + b"\n")

    def _print_lines(self, source: Source, piece: Piece) -> None:
        data = piece.data
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            line = bytes(source.rest) + data[begin:end]
            time = source.rest_time if source.rest else _time_of(piece, begin)
            source.rest.clear()
            self._print_line(source, line, time, ended=True)
            begin = end + 1
        if begin < len(data):
            if not source.rest:
                source.rest_time = _time_of(piece, begin)
            source.rest += data[begin:]

    def _print_line(
        self, source: Source, line: bytes, time: datetime | None, *, ended: bool
    ) -> None:
        write = self._stream.write
        if self._current is not None and self._current is not source:
            write(b"\n")
            self._current.is_open = False
            self._current = None
        if not source.is_open:
            write(self._before(source, time))
        write(_shown(source, line + b"\n" if ended else line))
        source.is_open = not ended
        self._current = None if ended else source

    def _before(self, source: Source, time: datetime | None) -> bytes:
        before = ""
        if self._names:
            name = visible(source.name)
            before = f"{name.ljust(self._width)} | "
            if self._is_terminal:
                colour = self._colours.setdefault(
                    source.name, _COLOURS[len(self._colours) % len(_COLOURS)]
                )
                before = f"\x1b[{colour}m{before}\x1b[0m"
        if self._timestamps and time is not None:
            before += f"{time.astimezone().isoformat(timespec='milliseconds')} "
        return before.encode("utf-8", "surrogateescape")


def _shown(source: Source, data: bytes) -> bytes:
    return data if source.filter is None else source.filter.feed(data)


def _time_of(piece: Piece, offset: int) -> datetime:
    """Return when the byte at an offset in a piece came, as far as that is known."""
    found = None if piece.times is None else piece.times(offset)
    return found or datetime.now(timezone.utc)


def standard_output() -> BinaryIO:
    """Return where to print."""
    return sys.stdout.buffer
