"""The bytes of a log as a search reads them, from the descriptors of its files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from twisted_virtlog.client import LogFile, Position
from twisted_virtlog.ctl.log_files import read_at
from twisted_virtlog.values import is_in_other_file

#: What is read at once: it stays in the processor's cache until it is searched.
PIECE_BYTES = 256 * 1024

#: The beginning of a line is looked for no further back than this.
LOOK_BACK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a log, which follow those of the piece before.

    :ivar position: of the first one; None if it is not known.
    :ivar parted: they do not follow: what comes before is missing, or is not to be searched.
    """

    data: bytes
    position: Position | None
    parted: bool = False


def file_pieces(files: Sequence[LogFile], start: Position | None, parted: bool) -> Iterator[Piece]:
    """Yield the bytes of files, as many as they had when they were opened, and close the files.

    :param files: those of one log that follow one another, the oldest first.
    :param start: where to begin, or rather with the line that this is in; None, or a position in
        another file than the first, for the first byte.
    :param parted: whether they do not follow what was yielded before.
    """
    left = deque(files)
    offset = 0
    try:
        if left and start is not None and is_in(start, left[0]):
            offset = _line_start(left[0], start.offset)
        while left:
            file = left[0]
            parted |= file.gap
            while count := min(PIECE_BYTES, file.size - offset):
                data = read_at(file, offset, count) if count > 0 else b""
                if not data:
                    # Another program has cut it.
                    break
                yield Piece(data, Position(file.inode, offset, file.birth), parted)
                parted = False
                offset += len(data)
            os.close(left.popleft().descriptor)
            offset = 0
    finally:
        for file in left:
            os.close(file.descriptor)


def until_line_end(pieces: Iterable[Piece], end: Position) -> Iterator[Piece]:
    """Yield pieces as far as a position, and the rest of the line that this is in.

    :param end: if it is in none of the pieces, all are yielded.
    """
    is_whole = True
    ended = False
    for piece in pieces:
        data, begin = piece.data, 0
        if not ended and (wanted := _bytes_before(end, piece)) is not None:
            ended, begin = True, wanted
        if ended:
            if begin == 0 and (is_whole or piece.parted):
                return
            newline = data.find(b"\n", max(begin - 1, 0))
            if newline >= 0:
                yield Piece(data[: newline + 1], piece.position, piece.parted)
                return
        yield piece
        is_whole = data.endswith(b"\n")


def is_in(position: Position, file: LogFile | Position) -> bool:
    """Return whether a position lies in a file, as far as is known."""
    return position.inode == file.inode and not (
        position.birth and is_in_other_file(position.birth, file.birth)
    )


def _bytes_before(end: Position, piece: Piece) -> int | None:
    """Return how many bytes of a piece come before a position; None if it is further on."""
    begin = piece.position
    if begin is None or not is_in(end, begin) or end.offset > begin.offset + len(piece.data):
        return None
    return max(end.offset - begin.offset, 0)


def _line_start(file: LogFile, offset: int) -> int:
    """Return where the line begins that an offset is in."""
    begin = max(0, offset - LOOK_BACK_BYTES)
    before = read_at(file, begin, offset - begin)
    newline = before.rfind(b"\n")
    return begin + newline + 1 if newline >= 0 else begin
