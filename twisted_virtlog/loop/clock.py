"""Timers that do not depend on the wall clock, on any reactor.

Twisted's reactors take the time from ``time.time``: when the wall clock steps back, their delayed
calls are late by as much. The timers here depend on a timerfd of CLOCK_MONOTONIC, which the reactor
watches like any descriptor. So they also work in an application whose reactor cannot be changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.timerfd import TimerFD


class Clock(Protocol):
    """A clock that never steps."""

    def seconds(self) -> float:
        """Return the time in seconds."""

    def callLater(self, delay: float, what: Callable[..., Any], /, *args: object) -> IDelayedCall:
        """Call something once, after a delay in seconds."""


@implementer(IReadDescriptor)
class MonotonicClock:
    """Makes calls at times of CLOCK_MONOTONIC; as Twisted's, they can be cancelled and moved."""

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Make the timer; :meth:`close` closes it."""
        self._calls: list[DelayedCall] = []
        self._reactor = reactor
        self._timer = TimerFD()
        reactor.addReader(self)

    def seconds(self) -> float:
        """Return the time in seconds, which never steps."""
        return time.monotonic()

    def callLater(
        self, delay: float, what: Callable[..., Any], /, *args: object, **kw: object
    ) -> IDelayedCall:
        """Call something once, after a delay in seconds; a closed clock calls nothing."""
        call = DelayedCall(
            self.seconds() + delay,
            what,
            args,
            kw,
            self._calls.remove,
            lambda _: self._arm(),
            self.seconds,
        )
        self._calls.append(call)
        self._arm()
        return call

    def close(self) -> None:
        """Cancel all calls and close the timer."""
        for call in list(self._calls):
            call.cancel()
        if self._timer.fileno() != -1:
            self._reactor.removeReader(self)
            self._timer.close()

    def fileno(self) -> int:
        """Return the timer's descriptor; -1 once closed."""
        return self._timer.fileno()

    def logPrefix(self) -> str:
        return "clock"

    def doRead(self) -> None:
        """Make the calls that are due."""
        if self._timer.fileno() == -1:  # closed in this turn
            return
        now = self.seconds()
        # Calls that these ask for wait for the next turn, so that others get theirs.
        for call in sorted(self._calls, key=DelayedCall.getTime):
            # (one may cancel or move another)
            if call.active() and call.getTime() <= now:
                self._calls.remove(call)
                call.called = 1
                try:
                    call.func(*call.args, **call.kw)
                except Exception:  # noqa: BLE001 (one call that fails must not stop the others)
                    self._logger.failure("a timed call failed")
        self._arm()

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    def _arm(self) -> None:
        if self._timer.fileno() == -1:
            return
        if self._calls:
            first = min(call.getTime() for call in self._calls)
            self._timer.start(first - self.seconds())
        else:
            self._timer.stop()
