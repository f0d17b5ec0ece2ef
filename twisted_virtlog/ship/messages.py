"""Cuts what comes of a log into messages: whole lines, as many as fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from twisted_virtlog.values import Position

#: The most bytes of a log in one message.
MOST_BYTES = 64 * 1024

#: Fewer than these wait behind a full message for what comes next: the daemon tells a flood in
#: pieces as long as a message, and a few lines of each would be a message of their own.
_FEW_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """What came of a log.

    :ivar gap: whether bytes before it are gone, or may be, and how many where that is known.
    """

    data: bytes
    start: Position
    end: Position
    gap: bool = False
    missed: int | None = None

    def position(self, count: int) -> Position:
        """Return the position after its first bytes; the rest may be in a newer file."""
        return _between(self.start, self.end, len(self.data), count)


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes of a log that are shipped together.

    :ivar begins_line: whether it begins with a line, as far as that is known.
    :ivar ends_line: whether it ends with one.
    :ivar time: when all of it had come, if that was before now; aware. ``since`` is when the first
        of it came at the earliest.
    """

    data: bytes
    start: Position
    end: Position
    begins_line: bool = True
    ends_line: bool = True
    gap: bool = False
    missed: int | None = None
    since: datetime | None = None
    time: datetime | None = None

    @property
    def cut(self) -> str | None:
        """Which ends are in the middle of a line: ``begin``, ``end`` or ``both``; None for none."""
        return cut(self.begins_line, self.ends_line)

    def position(self, count: int) -> Position:
        """Return the position after its first bytes."""
        return _between(self.start, self.end, len(self.data), count)

    def halves(self) -> tuple[Message, Message] | None:
        """Return two messages of whole lines that have its bytes; None if it has but one line."""
        data = self.data
        middle = len(data) // 2
        count = data.rfind(b"\n", 0, middle) + 1 or data.find(b"\n", middle) + 1
        if count in {0, len(data)}:
            return None
        at = self.position(count)
        first = replace(self, data=data[:count], end=at, ends_line=True)
        second = Message(data[count:], at, self.end, True, self.ends_line)
        return first, replace(second, since=self.since, time=self.time)


def cut(begins_line: bool, ends_line: bool) -> str | None:
    """Return which ends of some bytes are in the middle of a line, as ``Message.cut``."""
    if begins_line and ends_line:
        return None
    return "end" if begins_line else "begin" if ends_line else "both"


def _between(start: Position, end: Position, size: int, count: int) -> Position:
    """Return the position after the first of some bytes; the rest may be in a newer file."""
    left = size - count
    if left <= end.offset:
        return msgspec.structs.replace(end, offset=end.offset - left)
    return msgspec.structs.replace(start, offset=start.offset + count)


class Cutter:
    """What came of one log and is not shipped yet.

    :ivar size: how many bytes that are.
    """

    __slots__ = ("_at_line", "_gap", "_goes_on", "_pieces", "size")

    def __init__(self) -> None:
        """Begin with nothing, at the beginning of a line."""
        # (an empty deque takes ten times the memory, for each of many quiet logs)
        self._pieces: list[Piece] = []
        self._at_line = True
        # Whether this is a flood.
        self._goes_on = False
        # Of an empty piece: how many bytes are missing before the next one.
        self._gap: tuple[int | None] | None = None
        self.size = 0

    def feed(self, piece: Piece) -> None:
        """Take what came next; an empty piece says at most that bytes are missing."""
        if self._gap is not None:
            missed = self._gap[0] if piece.missed is None else piece.missed
            piece = replace(piece, gap=True, missed=missed)
            self._gap = None
        if piece.data:
            self._pieces.append(piece)
            self._goes_on = self._goes_on and len(piece.data) >= _FEW_BYTES
            self.size += len(piece.data)
        elif piece.gap:
            self._gap = (piece.missed,)

    def take(self, rest: bool = False) -> Message | None:
        """Return what is to be shipped next, and forget it.

        :param rest: also a line that has not ended yet, which otherwise waits for its end unless it
            fills a message; and the few bytes behind a flood.
        :returns: None if nothing is.
        """
        if not self._pieces:
            return None
        first = self._pieces[0]
        data, is_all = self._together()
        if is_all and self._goes_on and not rest and len(data) < _FEW_BYTES:
            return None
        self._goes_on = len(data) == MOST_BYTES and not is_all
        count = data.rfind(b"\n") + 1
        if not count:
            # (what comes next does not go on with it, or it does not fit)
            if is_all and not rest:
                return None
            count = len(data)
        elif count < len(data) and is_all and rest:
            count = len(data)
        end = self._drop(count)
        begins_line, self._at_line = self._at_line and not first.gap, data[count - 1] == 0x0A
        return Message(
            data[:count], first.start, end, begins_line, self._at_line, first.gap, first.missed
        )

    def _together(self) -> tuple[bytes, bool]:
        """Return what one message may have, and whether that is all that is there."""
        parts: list[bytes] = []
        left = MOST_BYTES
        for number, piece in enumerate(self._pieces):
            if number and piece.gap:
                return b"".join(parts), False
            parts.append(piece.data[:left])
            left -= len(parts[-1])
            if not left:
                return b"".join(parts), False
        return b"".join(parts), True

    def _drop(self, count: int) -> Position:
        """Forget the first bytes; return the position after them."""
        self.size -= count
        pieces = self._pieces
        done = 0
        while count > len(pieces[done].data):
            count -= len(pieces[done].data)
            done += 1
        piece = pieces[done]
        if count == len(piece.data):
            end = piece.end
            done += 1
        else:
            end = piece.position(count)
            pieces[done] = Piece(piece.data[count:], end, piece.end)
        # (all at once: what is left of a list moves)
        del pieces[:done]
        return end
