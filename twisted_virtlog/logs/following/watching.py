"""Who watches which logs there are, and what is told to each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from zope.interface import implementer

from twisted_virtlog.interfaces import IWatch
from twisted_virtlog.values import Watched

#: To one who leaves so many events unread, only the last of each log is told from then on.
MOST_EVENTS = 4096


@implementer(IWatch)
class Watch:
    """See IWatch."""

    def __init__(
        self,
        ready: Callable[[], None],
        left: Callable[[Watch], object],
        before: Iterable[Watched] = (),
        most: int = MOST_EVENTS,
    ) -> None:
        """:param left: is told when nobody watches any more."""
        self._ready = ready
        self._left = left
        self._most = self._room = most
        self._events: deque[Watched] = deque(before)

    def add(self, event: Watched) -> None:
        """Take note of what happened."""
        events = self._events
        events.append(event)
        if len(events) == 1:
            self._ready()
        elif len(events) > self._room:
            self._events = deque(self.suspended())
            self._room = max(self._most, 2 * len(self._events))

    def take(self) -> Watched | None:
        return self._events.popleft() if self._events else None

    def suspended(self) -> tuple[Watched, ...]:
        # (in the order in which they happened last)
        last: dict[str, Watched] = {}
        for one in self._events:
            last.pop(one.status.path, None)
            last[one.status.path] = one
        return tuple(last.values())

    def stop(self) -> None:
        self._events.clear()
        self._left(self)
