"""Does what is long by itself as a test tells it to: at once, or a slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from twisted.internet.defer import Deferred

from twisted_virtlog.loop.slices import at_once

T = TypeVar("T")


class Slices:
    """See ``interfaces.InSlices``.

    :ivar later: all but the first slice is done by :meth:`take`.
    :ivar waiting: does the next slice of each piece of work that is under way.
    """

    def __init__(self) -> None:
        self.later = False
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, slices: Generator[None, None, T]) -> T | Deferred[T]:
        """Begin."""
        if not self.later:
            return at_once(slices)
        later: Deferred[T] = Deferred()

        def go_on() -> None:
            try:
                next(slices)
            except StopIteration as end:
                later.callback(end.value)
            except Exception:  # noqa: BLE001 (as Shares)
                later.errback()
            else:
                self.waiting.append(go_on)

        go_on()
        return later

    def take(self) -> bool:
        """Do the next slice of what began first; return whether there was one."""
        if not self.waiting:
            return False
        self.waiting.pop(0)()
        return True

    def take_all(self) -> int:
        """Do all slices; return how many there were."""
        taken = 0
        while self.take():
            taken += 1
        return taken
