"""The text of a log in blocks of whole lines, whatever files and pieces it comes in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.grep.pieces import Piece

#: A line that is longer is searched in parts of about this length, each as a line of its own.
LONGEST_LINE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines; only the last line of the text may lack its newline.

    :ivar places: where bytes of the log's files begin in ``data``, and their positions.
    :ivar parted: the block does not follow the one before.
    """

    data: bytes
    places: Sequence[tuple[int, Position | None]]
    parted: bool

    def position(self, offset: int) -> Position | None:
        """Return the position of a byte in the log; None if it is not known."""
        begin, position = next(
            (begin, position) for begin, position in reversed(self.places) if begin <= offset
        )
        if position is None:
            return None
        return Position(position.inode, position.offset + offset - begin, position.birth)


def blocks(pieces: Iterable[Piece]) -> Iterator[Block]:
    """Yield the lines of pieces; one may go on in the next piece, which may be of another file."""
    # The beginning of a line.
    waiting: list[Piece] = []
    for piece in pieces:
        if waiting and piece.parted:
            yield _joined(waiting)
            waiting = []
        end = piece.data.rfind(b"\n") + 1
        if end:
            yield _joined([*waiting, piece], len(piece.data) - end)
            waiting = [_from(piece, end)] if end < len(piece.data) else []
            continue
        waiting.append(piece)
        if sum(len(part.data) for part in waiting) >= LONGEST_LINE_BYTES:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _from(piece: Piece, begin: int) -> Piece:
    """Return a piece without its beginning."""
    position = piece.position
    if position is not None:
        position = Position(position.inode, position.offset + begin, position.birth)
    return Piece(piece.data[begin:], position)


def _joined(pieces: Sequence[Piece], left_out: int = 0) -> Block:
    """Return a block of pieces, of the last one without so many bytes at its end."""
    places: list[tuple[int, Position | None]] = []
    size = 0
    for piece in pieces:
        places.append((size, piece.position))
        size += len(piece.data)
    # (copied once at most, as this is done with all that is searched)
    parts: list[bytes | memoryview] = [piece.data for piece in pieces]
    if left_out:
        parts[-1] = memoryview(parts[-1])[:-left_out]
    data = pieces[0].data if len(parts) == 1 and not left_out else b"".join(parts)
    return Block(data, places, pieces[0].parted)
