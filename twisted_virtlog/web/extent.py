"""All files of a log as one text, whose bytes are counted from the oldest one kept."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from twisted_virtlog.client import LogEvent
from twisted_virtlog.values import Position, is_in_other_file


@dataclass(frozen=True)
class Part:
    """A file of a log.

    :ivar size: its bytes.
    :ivar gap: bytes are, or may be, missing between the file before it and this one.
    """

    inode: int
    birth: str
    size: int
    gap: bool = False


@dataclass(frozen=True)
class Extent:
    """The files of a log, the oldest first."""

    parts: Sequence[Part]

    @property
    def size(self) -> int:
        """The number of bytes in all files."""
        return sum(part.size for part in self.parts)

    def distance(self, position: Position) -> int | None:
        """Return how many bytes are before a position; None if its file is none of these.

        A position beyond the end of its file is at that end.
        """
        before = 0
        for part in self.parts:
            if position.inode == part.inode and not is_in_other_file(position.birth, part.birth):
                return before + min(position.offset, part.size)
            before += part.size
        return None

    def is_after_gap(self, position: Position) -> bool:
        """Return whether bytes are missing just before a position."""
        return position.offset == 0 and any(
            part.gap
            and position.inode == part.inode
            and not is_in_other_file(position.birth, part.birth)
            for part in self.parts
        )

    def position(self, distance: int) -> Position | None:
        """Return the position with so many bytes before it, in the file that goes on there.

        :param distance: one that is negative, or too large, means the beginning, or the end.
        :returns: None if there is no file.
        """
        if not self.parts:
            return None
        ends = list(itertools.accumulate(part.size for part in self.parts))
        distance = max(0, min(distance, ends[-1]))
        index = min(bisect.bisect_right(ends, distance), len(self.parts) - 1)
        part = self.parts[index]
        return Position(part.inode, distance - (ends[index] - part.size), part.birth)


def later(extent: Extent, happened: Sequence[LogEvent], position: Position) -> list[LogEvent]:
    """Return what happened after a position: not at it, where one is already.

    :param position: in a file that is not kept any more it is before all that is.
    """
    begin = extent.distance(position)
    if begin is None:
        return list(happened)
    distances = [extent.distance(one.position) for one in happened]
    return [
        one
        for one, distance in zip(happened, distances, strict=True)
        if distance is not None and distance > begin
    ]
