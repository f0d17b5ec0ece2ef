"""Parts of a log to look at: from a position on, or before one, and from the start of a line."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from twisted_virtlog.client import MAX_READ_BYTES, Position, RemoteError
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
        new = [Part(file.inode, file.birth, file.size, file.gap) for file in found.files]
        if parts and new and (parts[-1].inode, parts[-1].birth) == (new[0].inode, new[0].birth):
            # (it was the last of those before, which say what is before it)
            new[0] = replace(new[0], gap=parts.pop().gap)
        parts += new
        if not found.more or not found.files:
            return Extent(parts)
        last = found.files[-1]
        start = Position(last.inode, last.size, last.birth)


async def window_from(
    client: Client, files: Files, path: str, position: Position | None, count: int
) -> Window:
    """Return what comes from the line on that a position is in.

    It ends where bytes are missing. From there on it is what comes after those.

    :param position: None for the oldest byte kept.
    """
    extent = await extent_of(client, files, path)
    found = 0 if position is None else extent.distance(position)
    distance = found or 0
    # The line begins somewhere before.
    text = _Text(extent, max(0, distance - LONGEST_LINE_BYTES), distance, distance + count)
    await text.read(client, path)
    back = distance - text.begin
    line = text.data.rfind(b"\n", 0, back) + 1
    kept = line if line or text.is_whole else back
    return text.window(kept, gap=found is None or (text.is_torn and not kept))


async def window_before(
    client: Client,
    files: Files,
    path: str,
    position: Position | None,
    count: int,
    ahead: int = 0,
) -> Window:
    """Return the lines that end at a position.

    It begins where bytes are missing, if any are before the position.

    :param position: None for the end of the log.
    :param ahead: or so many bytes after it, which may be in a newer file.
    """
    extent = await extent_of(client, files, path)
    found = extent.size if position is None else extent.distance(position)
    distance = 0 if found is None else min(found + ahead, extent.size)
    text = _Text(extent, max(0, distance - count), distance, distance)
    await text.read(client, path)
    line = text.data.find(b"\n", 0, LONGEST_LINE_BYTES) + 1
    # (of a last line that is longer than the window its end is shown)
    kept = 0 if text.is_whole or line == len(text.data) else line
    return text.window(kept, gap=found is None or text.is_torn)


class _Text:
    """Bytes of a log between which none is missing.

    :ivar begin: how many bytes of the log are before it, as its extent has them.
    :ivar data: its bytes.
    :ivar is_torn: bytes are missing just before it.
    """

    def __init__(self, extent: Extent, begin: int, needed: int, end: int) -> None:
        """Have none yet.

        :param begin: where it may begin.
        :param needed: where it begins at the latest: if bytes are missing before that, it begins
            after them. If they are missing behind, it ends before them.
        :param end: where it ends at the latest.
        """
        self._extent = extent
        self._needed = needed
        self._end = end
        self._start = self._at = extent.position(begin)
        self.begin = begin
        self.data = b""
        self.is_torn = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing that is kept comes directly before it."""
        return self.is_torn or self.begin == 0

    async def read(self, client: Client, path: str) -> None:
        """Read it."""
        pieces: list[bytes] = []
        reached = self.begin
        while self._at is not None and reached < self._end:
            count = min(self._end - reached, MAX_READ_BYTES)
            chunk = await client.read(path, self._at, count)
            if chunk.gap and chunk.start != self._at:
                if reached > self._needed:
                    break
                pieces.clear()
                self._start = self._at = chunk.start
                found = self._extent.distance(chunk.start)
                # (what was needed may be gone meanwhile, and all that was known)
                reached = self._needed if found is None else min(found, self._needed)
                self.begin, self.is_torn = reached, True
                continue
            self._at = chunk.end
            if not chunk.data:
                break
            pieces.append(chunk.data)
            reached += len(chunk.data)
        self.data = b"".join(pieces)

    def window(self, kept: int, gap: bool) -> Window:
        """Return a window of it.

        :param kept: how many bytes of it are left out at the beginning.
        """
        start, extent = self._start, self._extent
        if kept and start is not None:
            distance = extent.distance(start)
            start = None if distance is None else extent.position(distance + kept)
        before = 0 if start is None else extent.distance(start) or 0
        gap = gap or (start is not None and extent.is_after_gap(start))
        data = self.data[kept:]
        return Window(data, start, self._at, gap, before, max(extent.size, before + len(data)))
