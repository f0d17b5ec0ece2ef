"""Read what is to be searched: by the descriptors of a log's files, or else by the daemon."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import msgspec

from twisted_virtlog.client import BlockingClient, Chunk, LogFiles, Position, RemoteError
from twisted_virtlog.ctl.grep.pieces import (
    LOOK_BACK_BYTES,
    Piece,
    file_pieces,
    is_in,
    until_line_end,
)
from twisted_virtlog.ctl.log_files import are_readable
from twisted_virtlog.ctl.ranges import Range
from twisted_virtlog.ctl.reading import read_to_end

#: What says that a daemon gives no files: it is older, it serves others only, or it does not now.
_NO_FILES = frozenset({-32601, 1012, 1004})


class LogSource:
    """Reads logs of a daemon.

    :ivar missing: called with a path and the oldest byte kept, where a part that is to be searched
        was rotated away.
    """

    def __init__(self, client: BlockingClient, missing: Callable[[str, Position], object]) -> None:
        self._client = client
        self._missing = missing

    def pieces(self, path: str, wanted: Range) -> Iterator[Piece]:
        """Yield a part of a log, from the line on in which it begins to the end of its last one."""
        if wanted.end is None:
            yield from self._from(path, wanted.start)
        elif wanted.start != wanted.end and not self._is_gone(path, wanted.end):
            yield from until_line_end(self._from(path, wanted.start), wanted.end)

    def _from(self, path: str, start: Position | None) -> Iterator[Piece]:
        files = self._files(path, start)
        if files is None:
            yield from self._read(path, self._line_start(path, start), parted=True)
        else:
            yield from self._of(path, files, start)

    def _is_gone(self, path: str, end: Position) -> bool:
        """Return whether all that is before a position was rotated away."""
        return self._client.read(path, end, 1).gap

    def _files(self, path: str, start: Position | None) -> LogFiles | None:
        """Return files of a log; None if they cannot be had, or not as they are."""
        try:
            files = self._client.files(path, start)
        except RemoteError as error:
            if error.code in _NO_FILES:
                return None
            raise
        if not are_readable(files.files):
            for file in files.files:
                os.close(file.descriptor)
            return None
        return files

    def _of(self, path: str, files: LogFiles, start: Position | None) -> Iterator[Piece]:
        parted = True
        if start is not None and files.files and not is_in(start, files.files[0]):
            self._missing(path, Position(files.files[0].inode, 0, files.files[0].birth))
        while files.files:
            yield from file_pieces(files.files, start, parted)
            if not files.more:
                return
            last = files.files[-1]
            end = Position(last.inode, last.size, last.birth)
            following = self._files(path, end)
            if following is None:
                yield from self._read(path, end, parted=False)
                return
            files, start, parted = following, None, True
            if files.files and is_in(end, files.files[0]):
                # It was read already.
                os.close(files.files[0].descriptor)
                files, parted = msgspec.structs.replace(files, files=files.files[1:]), False

    def _read(self, path: str, start: Position | None, parted: bool) -> Iterator[Piece]:
        """Read by the daemon, from a position on."""
        for chunk in read_to_end(self._client, path, start, None):
            parted |= chunk.gap
            if chunk.gap:
                self._missing(path, chunk.start)
            for part in self._of_one_file_each(path, chunk):
                yield Piece(part.data, part.start, parted | part.gap)
                parted = False

    def _line_start(self, path: str, position: Position | None) -> Position | None:
        """Return where the line begins that a position is in, as far as its file tells."""
        if position is None or position.offset == 0:
            return position
        offset = max(0, position.offset - LOOK_BACK_BYTES)
        begin = msgspec.structs.replace(position, offset=offset)
        before = self._client.read(path, begin, position.offset - offset)
        if before.gap or before.start.inode != position.inode:
            return position
        return msgspec.structs.replace(begin, offset=offset + before.data.rfind(b"\n") + 1)

    def _of_one_file_each(self, path: str, chunk: Chunk) -> Iterator[Chunk]:
        """Divide what was read where a file ends, so that all positions in it are known."""
        data, start, end = chunk.data, chunk.start, chunk.end
        if is_in(start, end):
            if data:
                yield chunk
            return
        first = max(0, len(data) - end.offset)
        boundary = msgspec.structs.replace(start, offset=start.offset + first)
        if self._is_end_of_file(path, boundary):
            parts = [Chunk(data[:first], start, boundary, chunk.gap)]
            parts += [Chunk(data[first:], msgspec.structs.replace(end, offset=0), end, False)]
            yield from (part for part in parts if part.data)
            return
        # More files than two. (Each is smaller than what is read at once.)
        half = self._client.read(path, start, len(data) // 2)
        yield from self._of_one_file_each(path, half)
        rest = self._client.read(path, half.end, len(data) - len(half.data))
        yield from self._of_one_file_each(path, rest)

    def _is_end_of_file(self, path: str, position: Position) -> bool:
        """Return whether a file ends at a position, which is not before its end."""
        after = self._client.read(path, position, 1)
        return not after.gap and is_in(position, after.start)
