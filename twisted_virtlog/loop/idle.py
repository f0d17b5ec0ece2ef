"""Ends a daemon that nobody needs: when it had neither clients nor open logs for long enough."""

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
    """Tell how long to wait before looking again; 0: it has been idle for long enough.

    Somebody who is busy cannot have been idle for the period before it has passed once more, so
    that nothing need be noted when clients come: it is enough to know when the last one left.

    :param period: seconds of being idle that are long enough.
    :param idle_since: None while busy.
    """
    if idle_since is None:
        return period
    return max(0.0, idle_since + period - now)


class IdleTimeout:
    """Calls something once when a daemon has been idle for as long as its timeout says.

    :ivar period: the timeout in seconds; 0 for none.
    """

    def __init__(
        self, clock: Clock, idle_since: Callable[[], float | None], end: Callable[[], None]
    ) -> None:
        """Wait for nothing before :meth:`set`.

        :param idle_since: tells since when it is idle, on the clock; None while it is busy.
        :param end: called then.
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
