"""When bytes had come that are shipped later: by what the daemon noted, not when they are shipped.

A shipper that is behind, as no server could be reached, would otherwise give what came long ago the
present time. Readers that look for a time would find it at another one, and put it behind what a
guest wrote elsewhere meanwhile.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from twisted_virtlog.ship.messages import Message
from twisted_virtlog.values import Position


class Mark(NamedTuple):
    """Bytes below a position had come by a time."""

    position: Position
    time: datetime


class Arrivals:
    """Dates the messages of one log, in their order."""

    __slots__ = ("_files", "_is_in_marked", "_left", "_marks", "_time")

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        """:param marks: oldest first; what comes behind the last one comes now."""
        self._marks = deque(marks)
        # How many marks are left in each file.
        self._left = Counter(mark.position.inode for mark in self._marks)
        self._files = frozenset(self._left)
        # Of the message before: whether it ended in one of these files, and when it had come.
        self._is_in_marked = False
        self._time: datetime | None = None

    @property
    def are_past(self) -> bool:
        """Whether all that comes from now on comes now."""
        return not self._marks

    def date(self, message: Message) -> Message:
        """Return the next message, with when it had come as far as that is known."""
        if not self._marks:
            return message
        self._drop_before(message.start, message.gap)
        since = self._time or (self._marks[0].time if self._marks else None)
        self._drop_before(message.end, False)
        if not self._marks:
            return message
        self._time = self._marks[0].time
        return replace(message, since=since, time=self._time)

    def _drop_before(self, position: Position, gap: bool) -> None:
        """Forget the marks below a position."""
        marks, file = self._marks, position.inode
        is_in_marked = file in self._files
        if self._left[file]:
            while marks[0].position.inode != file:
                self._drop()
        elif not is_in_marked and (self._is_in_marked or gap):
            # (all that was there when the daemon was asked has been left)
            marks.clear()
            self._left.clear()
        while marks and marks[0].position.inode == file and _is_below(marks[0], position):
            self._drop()
        self._is_in_marked = is_in_marked

    def _drop(self) -> None:
        self._left[self._marks.popleft().position.inode] -= 1


def _is_below(mark: Mark, position: Position) -> bool:
    return mark.position.offset < position.offset
