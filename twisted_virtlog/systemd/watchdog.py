"""Pings the service manager's watchdog as long as the reactor turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.systemd.notify import Notifier

_MICROSECONDS = 1_000_000


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Read $WATCHDOG_USEC and $WATCHDOG_PID, as sd_watchdog_enabled(3) does.

    :param pid: this process's id.
    :returns: seconds after which the watchdog bites; None if this process has no watchdog.
    """
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or not int(text):
        return None
    return int(text) / _MICROSECONDS


class Watchdog:
    """Pings twice in each interval.

    The clock makes its calls from the reactor, so a reactor that is blocked misses them.

    :ivar look: called at each ping, for whatever else needs a look now and then.
    """

    def __init__(self, clock: Clock, notifier: Notifier, interval: float) -> None:
        """Ping from now on.

        :param interval: see :func:`watchdog_interval`.
        """
        self._clock = clock
        self._notifier = notifier
        self._interval = interval
        self._call: IDelayedCall | None = None
        self.look: Callable[[], None] = _nothing
        self._ping()

    def watch(self) -> None:
        """Have the manager watch again after :meth:`look_away`."""
        self._notifier.send(f"WATCHDOG_USEC={round(self._interval * _MICROSECONDS)}", urgent=True)
        if self._call is None:
            self._ping()

    def look_away(self) -> None:
        """Ask the manager to expect no pings, as the next image sends none."""
        self.stop()
        self._notifier.send("WATCHDOG_USEC=0", urgent=True)

    def stop(self) -> None:
        """Stop pinging."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _ping(self) -> None:
        self._notifier.send("WATCHDOG=1", urgent=True)
        self._call = self._clock.callLater(self._interval / 2, self._ping)
        self.look()


def _nothing() -> None:
    """Do nothing; there is nothing to look after."""
