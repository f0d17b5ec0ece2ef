"""Pipes that had much lately: they are in no epoll set, and it is known how fast each fills.

Of many guests that print as fast as they can, few have a processor at a time: at a look, the pipe
of one has filled at full speed, and the others' have nothing. So how soon a pipe will be full is
told by an average over some tenths of a second, and who has nothing for a moment stays busy while
others have some. Then the daemon looks less often, guests wait for it and not for each other's
shares of a processor, and no write of theirs runs through an epoll set.
"""

from __future__ import annotations

import math
import select
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

#: An average is taken over the last so many seconds, and at most twice as many.
WINDOW_SECONDS = 0.1

#: A pipe is busy no more when it fills more slowly than this, in bytes a second.
LITTLE_A_SECOND = 256 * 1024

#: So many busy pipes take turns at a processor, or so it is assumed: the next one may be no faster
#: than they are.
_MANY = 4

#: poll(2) of one pipe: called with milliseconds, it returns something if bytes are in the pipe, or
#: no write end is open.
Poll: TypeAlias = Callable[[int], list[tuple[int, int]]]


class _Busy(Struct):
    """A busy pipe.

    :ivar poll: asks it alone.
    :ivar since: when the average begins, and ``moved``, how many bytes it had since then.
    """

    poll: Poll
    since: float
    moved: float


class BusyPipes:
    """The busy pipes of a watch; times are those of a clock that never steps."""

    def __init__(self) -> None:
        self._pipes: dict[int, _Busy] = {}
        # Asks all of them at once.
        self._all = select.poll()
        self._looked_at = -math.inf

    def __len__(self) -> int:
        return len(self._pipes)

    def __contains__(self, pipe: int) -> bool:
        return pipe in self._pipes

    def add(self, pipe: int, now: float, elapsed: float = 0.0) -> None:
        """Add a pipe; what it had is still to be told.

        :param elapsed: since when that came, in seconds.
        """
        if elapsed > WINDOW_SECONDS or len(self._pipes) >= _MANY:
            elapsed = WINDOW_SECONDS
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        self._pipes[pipe] = _Busy(poll.poll, now - elapsed, 0.0)
        self._all.register(pipe, select.POLLIN)

    def remove(self, pipe: int) -> None:
        """Remove a pipe, before it is closed."""
        del self._pipes[pipe]
        self._all.unregister(pipe)

    def ready(self) -> Sequence[int]:
        """Return those that have bytes, or no write end any more."""
        return [pipe for pipe, _ in self._all.poll(0)] if self._pipes else ()

    def asked(self, pipe: int) -> bool | None:
        """Return whether one has bytes, or no write end any more; None if it is not busy."""
        # (to make a poll object costs more than to ask)
        busy = self._pipes.get(pipe)
        return None if busy is None else bool(busy.poll(0))

    def had(self, pipe: int, count: int, now: float) -> float:
        """Take note of bytes that a pipe had.

        :returns: how many bytes a second it has, on the average.
        """
        busy = self._pipes[pipe]
        _age(busy, now)
        busy.moved += count
        # (a clock may be coarse)
        return busy.moved / max(now - busy.since, 1e-6)

    def quiet(self, now: float) -> Sequence[int]:
        """Return those that have little by now; they are looked through now and then."""
        if now - self._looked_at < WINDOW_SECONDS / 4:
            return ()
        self._looked_at = now
        found = []
        for pipe, busy in self._pipes.items():
            _age(busy, now)
            if busy.moved < LITTLE_A_SECOND * (now - busy.since):
                found.append(pipe)
        return found

    def all(self) -> Sequence[int]:
        """Return all of them."""
        return list(self._pipes)


def _age(busy: _Busy, now: float) -> None:
    """Let what was long ago count for less."""
    windows = int((now - busy.since) / WINDOW_SECONDS) - 1
    if windows > 0:
        busy.moved *= 0.5**windows
        busy.since += windows * WINDOW_SECONDS
