"""Composes the daemon's status for the service manager, and sends it when it has changed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.escaping import visible
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.systemd.notify import Notifier

#: The status is sent at most once in this time.
_PERIOD_SECONDS = 1.0

#: The most characters of a note; the manager takes datagrams of 4096 bytes.
_LONGEST_NOTE = 900


def status(logs: int, left: int = 0, note: str = "") -> str:
    """Return one line that says how many logs are open, and whatever else there is to say.

    :param left: how many pipes are left for a newer release.
    """
    said = f"STATUS={logs} {'log' if logs == 1 else 'logs'} open"
    if left:
        said += f"; {left} {'pipe' if left == 1 else 'pipes'} left for a newer release"
    return f"{said}; {visible(note)[:_LONGEST_NOTE]}" if note else said


class StatusLine:
    """What ``systemctl status`` shows.

    :ivar note: shown after the number of logs; to be set before :meth:`changed`.
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
        """Send the status at the end of the period, if it differs by then."""
        if self._call is None:
            self._call = self._clock.callLater(_PERIOD_SECONDS, self._due)

    def text(self) -> str:
        """Return the status for a message that says more; it need not be sent by itself then."""
        self._said = status(self._count(), self._left(), self.note)
        return self._said

    def stop(self) -> None:
        """Send nothing from now on."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _due(self) -> None:
        self._call = None
        if status(self._count(), self._left(), self.note) != self._said:
            self._notifier.send(self.text())
