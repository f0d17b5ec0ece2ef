"""The lines that a search shows: those that match, and some before and after each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.grep.blocks import Block


@dataclass(frozen=True, slots=True)
class Line:
    """A line to show.

    :ivar data: with its newline, if it has one.
    :ivar position: of its first byte; None if it is not known.
    :ivar matched: it is not there for the sake of another one.
    :ivar apart: what stands between the line shown before and this one is not shown.
    """

    data: bytes
    position: Position | None
    matched: bool
    apart: bool = False


class Context:
    """Chooses the lines of one log that are shown."""

    def __init__(self, count: int) -> None:
        """Begin with the first block.

        :param count: how many lines to show before each that matches, and how many after.
        """
        self._count = count
        self._left_after = 0
        # The last lines, as far as they may be shown before the next match and were not shown.
        self._before: deque[Line] = deque(maxlen=count)
        self._has_shown = False
        self._has_skipped = False

    def lines(self, block: Block, matching: Sequence[tuple[int, int]]) -> Iterator[Line]:
        """Yield what is shown of the next block.

        :param matching: where the lines that match begin and end.
        """
        if block.parted:
            self._left_after = 0
            self._skip_all()
        begin = 0
        for start, end in matching:
            yield from self._between(block, begin, start)
            while self._before:
                yield self._shown(self._before.popleft())
            yield self._shown(Line(block.data[start:end], block.position(start), matched=True))
            self._left_after = self._count
            begin = end
        yield from self._between(block, begin, len(block.data))

    def _between(self, block: Block, begin: int, stop: int) -> Iterator[Line]:
        """Yield lines after the last match, and keep those that may come before the next one."""
        data = block.data
        while self._left_after and begin < stop:
            end = data.find(b"\n", begin, stop) + 1 or stop
            yield self._shown(Line(data[begin:end], block.position(begin), matched=False))
            self._left_after -= 1
            begin = end
        ends: list[int] = []
        first = stop
        while len(ends) < self._count and first > begin:
            ends.append(first)
            first = data.rfind(b"\n", begin, first - 1) + 1 or begin
        if first > begin:
            self._skip_all()
        for end in reversed(ends):
            if len(self._before) == self._count:
                self._has_skipped = True
            self._before.append(Line(data[first:end], block.position(first), matched=False))
            first = end

    def _skip_all(self) -> None:
        """Forget lines that were kept: others come after them that are not shown."""
        self._has_skipped = True
        self._before.clear()

    def _shown(self, line: Line) -> Line:
        apart = self._has_skipped and self._has_shown
        self._has_shown, self._has_skipped = True, False
        return replace(line, apart=True) if apart else line
