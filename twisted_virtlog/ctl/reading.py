"""Reading a log to its live end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from twisted_virtlog.client import Chunk, Position, RemoteError
from twisted_virtlog.values import is_outdated

#: The bytes that one request asks for: the daemon's default.
CHUNK_BYTES = 1024 * 1024

NO_SUCH_LOG = 1002
NOT_WRITTEN = 1006


class LogReader(Protocol):
    """The calls of a client that reading needs."""

    def position(self, path: str) -> Position:
        """Return the end of an open log."""

    def read(self, path: str, position: Position | None, max_bytes: int) -> Chunk:
        """Read bytes from a position on."""


def read_to_end(
    client: LogReader, path: str, start: Position | None, max_bytes: int | None
) -> Iterator[Chunk]:
    """Read everything written before this was called, but at most ``max_bytes``.

    It may read more than that, but does not follow a guest that never stops writing.

    :param start: None for the oldest byte kept.
    :returns: at least one chunk; the last may be empty.
    """
    live_end = _live_end(client, path)
    position, left = start, max_bytes
    while True:
        wanted = CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)
        before = _bytes_before(live_end, position)
        # Even at or after the live end the daemon is asked, as it knows what is wrong with the
        # position.
        chunk = client.read(path, position, min(wanted, before) if before > 0 else wanted)
        yield chunk
        position = chunk.end
        if left is not None:
            left -= len(chunk.data)
        if not chunk.data or left == 0 or _bytes_before(live_end, position) == 0:
            return


def _live_end(client: LogReader, path: str) -> Position | None:
    try:
        return client.position(path)
    except RemoteError as error:
        # It is not open, or cannot be written now: its files do not grow, and so have an end.
        if error.code in (NO_SUCH_LOG, NOT_WRITTEN):
            return None
        raise


def _bytes_before(live_end: Position | None, position: Position | None) -> int:
    """Return how many bytes of the live end's file are left; 2**64 in another file."""
    if live_end is None or position is None or position.inode != live_end.inode:
        return 1 << 64
    if is_outdated(position.birth, live_end.birth):
        return 1 << 64
    return max(0, live_end.offset - position.offset)
