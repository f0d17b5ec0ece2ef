"""Show the progress of a long read on a terminal, so that it is not taken for a hang."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from twisted_virtlog.client import Chunk

_FIRST_SECONDS = 1.0
_NEXT_SECONDS = 0.25
_ERASE = "\r\x1b[K"


def shown(
    chunks: Iterable[Chunk], terminal: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Chunk]:
    """Yield chunks, and if that takes long, write how many bytes they have had so far.

    :param terminal: where to write, if it is a terminal. Its line is empty at the end.
    """
    if not terminal.isatty():
        yield from chunks
        return
    read, next_time, written = 0, clock() + _FIRST_SECONDS, False
    try:
        for chunk in chunks:
            read += len(chunk.data)
            if clock() >= next_time:
                terminal.write(f"{_ERASE}virtlogctl: {read / 1e6:.0f} MB read")
                terminal.flush()
                next_time, written = clock() + _NEXT_SECONDS, True
            yield chunk
    finally:
        if written:
            terminal.write(_ERASE)
            terminal.flush()
