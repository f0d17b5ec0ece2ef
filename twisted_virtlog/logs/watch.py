"""Watches all guests' pipes as one descriptor on the reactor, and rests when they had little.

How often the daemon wakes decides what it costs, not the bytes. Nothing hurries: a position, a
read and an append drain on demand, and a pipe holds much. So after a turn that found little in
every pipe the watch looks away for some milliseconds, and then finds more at once. A pipe that
fills fast shortens the rest, down to none, so that its writer does not wait.

The pipes are in an epoll set of their own. It is in a second one, the gate, which the reactor
watches: masking a set in its gate costs the same for ten pipes and for ten thousand, while adding
it to the reactor's set and removing it again would make the kernel walk through all of them.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.timerfd import TimerFD

#: The longest rest in seconds.
REST_SECONDS = 0.004

#: A shorter rest than this is not worth a timer.
_SHORTEST_REST_SECONDS = 0.0003

#: A rest ends before a pipe is fuller than this, at the rate at which it filled before.
_FILL_BEFORE_WAKING = 0.25

#: One turn of the reactor moves about so many bytes from all pipes together.
_TURN_BYTES = 512 * 1024

#: After so many bytes of one pipe, it is time to see to others.
_MUCH_BYTES = 32 * 1024

_EVENTS = 256


class Watched(Protocol):
    """A pipe's reader."""

    def pipe_ready(self) -> tuple[int, float]:
        """Move bytes, or end if there are none and all write ends are closed.

        Readiness may be stale, or that of another pipe that had this number before.

        :returns: bytes that were moved, and how full the pipe was, from 0 to 1; 1 if more wait.
        """


@implementer(IReadDescriptor)
class PipeWatch:
    """See the module."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        rest_seconds: float = REST_SECONDS,
        between: Callable[[], object] = lambda: None,
    ) -> None:
        """Register with the reactor; :meth:`close` unregisters.

        :param rest_seconds: the longest rest; 0 never rests.
        :param between: called in a long turn after each pipe that had much, to see to clients.
        """
        self._between = between
        self._reactor = reactor
        self._rest_seconds = rest_seconds
        self._readers: dict[int, Watched] = {}
        self._ready: deque[int] = deque()
        self._looked_at = time.monotonic()
        self._resting = False
        self._pipes = select.epoll()
        self._timer = TimerFD()
        self._gate = select.epoll()
        self._gate.register(self._pipes.fileno(), select.EPOLLIN)
        self._gate.register(self._timer.fileno(), select.EPOLLIN)
        reactor.addReader(self)

    def add(self, pipe: int, reader: Watched) -> None:
        """Watch a pipe's read end."""
        self._pipes.register(pipe, select.EPOLLIN)
        self._readers[pipe] = reader

    def remove(self, pipe: int) -> None:
        """Watch a pipe no more; to be called before it is closed, and as often as you like."""
        if self._readers.pop(pipe, None) is not None:
            self._pipes.unregister(pipe)

    def __len__(self) -> int:
        return len(self._readers)

    def close(self) -> None:
        """Watch nothing any more."""
        self._reactor.removeReader(self)
        self._gate.close()
        self._timer.close()
        self._pipes.close()

    def fileno(self) -> int:
        """See IReadDescriptor; -1 once closed."""
        return -1 if self._gate.closed else self._gate.fileno()

    def logPrefix(self) -> str:
        """See IReadDescriptor."""
        return "pipes"

    def connectionLost(self, reason: Failure) -> None:
        """See IReadDescriptor; the reactor has ended."""

    def doRead(self) -> None:
        """See to the pipes that are ready, and rest if that was little."""
        if not self._ready:
            self._ready.extend(pipe for pipe, _ in self._pipes.poll(0, _EVENTS))
            if not self._ready:
                self._watch_again()
                return
        now = time.monotonic()
        elapsed = now - self._looked_at
        self._looked_at = now
        left = _TURN_BYTES
        fullest = 0.0
        # Those with more than they gave come again after the others, as far as this turn goes.
        full: deque[int] = deque()
        ready = self._ready
        while left > 0 and (ready or full):
            pipe = ready.popleft() if ready else full.popleft()
            reader = self._readers.get(pipe)
            if reader is None:
                continue
            moved, fill = reader.pipe_ready()
            left -= moved
            fullest = max(fullest, fill)
            if fill >= 1.0:
                full.append(pipe)
            if moved >= _MUCH_BYTES:
                self._between()
        rest = self._rest_seconds
        if fullest:
            rest = min(rest, elapsed * _FILL_BEFORE_WAKING / fullest)
        if ready or full or rest < _SHORTEST_REST_SECONDS:
            self._watch_again()
        else:
            self._rest(rest)

    def _rest(self, seconds: float) -> None:
        if not self._resting:
            self._resting = True
            self._gate.modify(self._pipes.fileno(), 0)
        self._timer.start(seconds)

    def _watch_again(self) -> None:
        if self._resting:
            self._resting = False
            self._timer.stop()
            self._gate.modify(self._pipes.fileno(), select.EPOLLIN)
