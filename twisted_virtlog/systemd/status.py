"""Words the daemon's status for the service manager, and sends it when it changed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.clock import Clock
from twisted_virtlog.systemd.notify import Notifier

#: One status in so many seconds at most.
_PERIOD_SECONDS = 1.0


def status(logs: int) -> str:
    """Say how many logs are open."""
    return f"STATUS={logs} {'log' if logs == 1 else 'logs'} open"


class StatusLine:
    """What ``systemctl status`` shows."""

    def __init__(self, clock: Clock, notifier: Notifier, count: Callable[[], int]) -> None:
        """:param count: tells how many logs are open."""
        self._clock = clock
        self._notifier = notifier
        self._count = count
        self._call: IDelayedCall | None = None
        self._said: str | None = None

    def changed(self) -> None:
        """Send it at the end of the period, if it is another by then."""
        if self._call is None:
            self._call = self._clock.callLater(_PERIOD_SECONDS, self._due)

    def text(self) -> str:
        """Give the assignment for a message that says more, and takes the place of the next."""
        self._said = status(self._count())
        return self._said

    def stop(self) -> None:
        """Send none any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _due(self) -> None:
        self._call = None
        if status(self._count()) != self._said:
            self._notifier.send(self.text())
