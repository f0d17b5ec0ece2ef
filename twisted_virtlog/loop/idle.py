"""Ends a daemon that nobody needs: one without clients and open logs for long enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.loop.clock import Clock


def idle_since(times: Iterable[float | None]) -> float | None:
    """Return since when all of several are idle; None while one of them is busy.

    :param times: since when each of them is idle; None while it is busy.
    """
    latest = 0.0
    for since in times:
        if since is None:
            return None
        latest = max(latest, since)
    return latest


def seconds_left(period: float, idle_since: float | None, now: float) -> float:
    """Return how long to wait before looking again; 0 if it has been idle for long enough.

    While the daemon is busy, it cannot have been idle for the whole period before another period
    has passed. So clients need not be noted when they come: it is enough to know when the last one
    left.

    :param period: how many idle seconds are enough.
    :param idle_since: since when it is idle; None while it is busy.
    """
    if idle_since is None:
        return period
    return max(0.0, idle_since + period - now)


class IdleTimeout:
    """Calls something once when a daemon has been idle for as long as its timeout.

    :ivar period: the timeout in seconds; 0 for none.
    """

    def __init__(
        self, clock: Clock, idle_since: Callable[[], float | None], end: Callable[[], None]
    ) -> None:
        """Do nothing before :meth:`set`.

        :param idle_since: returns since when it is idle, on the clock; None while it is busy.
        :param end: what to call.
        """
        self._clock = clock
        self._idle_since = idle_since
        self._end = end
        self.period = 0
        self._call: IDelayedCall | None = None

    def set(self, seconds: int) -> None:
        """Set the timeout, which counts from now; 0 for none."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.period = seconds
        if seconds:
            self._call = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._call = None
        left = seconds_left(self.period, self._idle_since(), self._clock.seconds())
        if left:
            self._call = self._clock.callLater(left, self._look)
        else:
            self._end()
