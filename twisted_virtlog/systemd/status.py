"""Words the daemon's status for the service manager, and sends it when it changed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.escaping import visible
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.systemd.notify import Notifier

#: One status in so many seconds at most.
_PERIOD_SECONDS = 1.0

#: Characters of a note; the manager takes datagrams of 4096 bytes.
_LONGEST_NOTE = 900


def status(logs: int, left: int = 0, note: str = "") -> str:
    """Say in one line how many logs are open, and what else there is to say.

    :param left: how many pipes are left for a newer release.
    """
    said = f"STATUS={logs} {'log' if logs == 1 else 'logs'} open"
    if left:
        said += f"; {left} {'pipe' if left == 1 else 'pipes'} left for a newer release"
    return f"{said}; {visible(note)[:_LONGEST_NOTE]}" if note else said


class StatusLine:
    """What ``systemctl status`` shows.

    :ivar note: shown besides the number of logs; may be set, before :meth:`changed`.
    """

    note = ""

    def __init__(
        self,
        clock: Clock,
        notifier: Notifier,
        count: Callable[[], int],
        left: Callable[[], int] = lambda: 0,
    ) -> None:
        """:param count: returns how many logs are open.

        :param left: returns how many pipes are left for a newer release.
        """
        self._left = left
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
        self._said = status(self._count(), self._left(), self.note)
        return self._said

    def stop(self) -> None:
        """Send none any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _due(self) -> None:
        self._call = None
        if status(self._count(), self._left(), self.note) != self._said:
            self._notifier.send(self.text())
