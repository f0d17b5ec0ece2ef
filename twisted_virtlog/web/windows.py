"""Parts of a log to look at: from a position on, or before one, and from the start of a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from twisted_virtlog.client import MAX_READ_BYTES, LogFile, Position, RemoteError
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.extent import Extent, Part
from twisted_virtlog.web.files import Files

#: A window has no more, and by default half of it.
MOST_BYTES = 2 * 1024 * 1024
#: A line is looked for in so much.
LONGEST_LINE_BYTES = 64 * 1024

#: The code of an error: the daemon has nothing of the log.
NO_SUCH_LOG = 1002


@dataclass(frozen=True)
class Window:
    """A part of a log.

    :ivar data: its bytes, from the beginning of a line on if one is near.
    :ivar start: where they begin; None if the log has no file.
    :ivar end: where to go on.
    :ivar gap: bytes that were asked for are not kept any more.
    :ivar before: the number of bytes that are kept before it.
    :ivar size: the number of bytes that are kept in all.
    """

    data: bytes
    start: Position | None
    end: Position | None
    gap: bool
    before: int
    size: int

    @property
    def is_first(self) -> bool:
        """Whether nothing older is kept."""
        return self.before == 0


async def extent_of(client: Client, files: Files, path: str) -> Extent:
    """Return the files of a log.

    :raises ClientError: as the daemon refuses, but for a log without files, which has none.
    """
    parts: list[Part] = []
    start: Position | None = None
    while True:
        try:
            found = await files.of(client, path, start)
        except RemoteError as error:
            if error.code == NO_SUCH_LOG:
                return Extent(())
            raise
        for file in found.files:
            os.close(file.descriptor)
        if parts and found.files and _is_again(parts[-1], found.files[0]):
            # (it was the last of those before)
            parts.pop()
        parts += [Part(file.inode, file.birth, file.size) for file in found.files]
        if not found.more or not found.files:
            return Extent(parts)
        last = found.files[-1]
        start = Position(last.inode, last.size, last.birth)


async def window_from(
    client: Client, files: Files, path: str, position: Position | None, count: int
) -> Window:
    """Return what comes from the line on that a position is in.

    :param position: None for the oldest byte kept.
    """
    extent = await extent_of(client, files, path)
    distance = 0 if position is None else extent.distance(position)
    if distance is None:
        return await _window(client, path, extent, (0, count), gap=True, cut=_keep_all)
    # The line begins somewhere before.
    begin = max(0, distance - LONGEST_LINE_BYTES)
    back = distance - begin

    def cut(data: bytes) -> int:
        line = data.rfind(b"\n", 0, back) + 1
        return line if line or begin == 0 else back

    return await _window(client, path, extent, (begin, begin + back + count), gap=False, cut=cut)


async def window_before(
    client: Client, files: Files, path: str, position: Position | None, count: int
) -> Window:
    """Return the lines that end at a position.

    :param position: None for the end of the log.
    """
    extent = await extent_of(client, files, path)
    distance = extent.size if position is None else extent.distance(position)
    if distance is None:
        return await _window(client, path, extent, (0, 0), gap=True, cut=_keep_all)
    begin = max(0, distance - count)

    def cut(data: bytes) -> int:
        line = data.find(b"\n", 0, LONGEST_LINE_BYTES) + 1
        return 0 if begin == 0 else line

    return await _window(client, path, extent, (begin, distance), gap=False, cut=cut)


def _is_again(part: Part, file: LogFile) -> bool:
    return (part.inode, part.birth) == (file.inode, file.birth)


def _keep_all(_data: bytes) -> int:
    return 0


async def _window(
    client: Client,
    path: str,
    extent: Extent,
    wanted: tuple[int, int],
    gap: bool,
    cut: Callable[[bytes], int],
) -> Window:
    begin, end = wanted
    start = at = extent.position(begin)
    pieces: list[bytes] = []
    missing = end - begin
    while at is not None and missing > 0:
        chunk = await client.read(path, at, min(missing, MAX_READ_BYTES))
        if chunk.gap:
            # What comes after it is not the same text.
            if pieces:
                break
            gap, start = True, chunk.start
        if not chunk.data:
            break
        pieces.append(chunk.data)
        missing -= len(chunk.data)
        at = chunk.end
    data = b"".join(pieces)
    kept = cut(data)
    if kept and start is not None:
        distance = extent.distance(start)
        start = None if distance is None else extent.position(distance + kept)
    before = 0 if start is None else extent.distance(start) or 0
    return Window(data[kept:], start, at, gap, before, max(extent.size, before + len(data) - kept))
