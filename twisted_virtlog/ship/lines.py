"""The lines of a message, for sinks that take lines, and where each stands in its log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twisted_virtlog.ship.messages import Message, cut
from twisted_virtlog.values import Position


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a part of one.

    :ivar data: without what ends it: a newline, or a carriage return and a newline.
    :ivar start: where it begins; ``end``, where what comes next begins.
    :ivar begins_line: whether it begins with a line, as far as that is known.
    :ivar ends_line: whether it ends with one.
    :ivar gap: whether bytes before it are gone, or may be; ``missed``, how many, where known.
    """

    data: bytes
    start: Position
    end: Position
    begins_line: bool
    ends_line: bool
    gap: bool = False
    missed: int | None = None

    @property
    def cut(self) -> str | None:
        """As for Message."""
        return cut(self.begins_line, self.ends_line)


def lines_of(message: Message, most: int | None = None) -> Iterator[Line]:
    """Give the lines of a message.

    :param most: the most bytes of a part; longer lines come in several.
    """
    data, at, size = message.data, 0, len(message.data)
    begins, start, gap, missed = message.begins_line, message.start, message.gap, message.missed
    while at < size:
        newline = data.find(b"\n", at)
        stop = size if newline < 0 else newline + 1
        ends = newline >= 0
        text = data[at : stop - ends]
        if ends and text.endswith(b"\r"):
            text = text[:-1]
        if most is not None and len(text) > most:
            stop, ends = at + _whole(text, most), False
            text = data[at:stop]
        end = message.position(stop)
        yield Line(text, start, end, begins, ends, gap, missed)
        at, begins, start, gap, missed = stop, ends, end, False, None


def _whole(text: bytes, most: int) -> int:
    """Return how many bytes to take so that no character of UTF-8 is cut, if there are any."""
    count = most
    while count > most - 3 and text[count] & 0xC0 == 0x80:
        count -= 1
    return most if text[count] & 0xC0 == 0x80 else count
