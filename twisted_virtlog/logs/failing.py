"""The logs whose files cannot be written, and when each of them is looked at."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_virtlog.logs.outage import CHECK_SECONDS, FULL_CHECK_SECONDS, RETRY_SECONDS
from twisted_virtlog.loop.clock import Clock


class FailingLog(Protocol):
    """A log that needs to be looked at from time to time.

    :ivar path: names it in the daemon's own log.
    """

    path: str

    def check(self) -> bool:
        """Try the file again if it is time, or keep the guest from being blocked.

        :returns: whether the pipe was full, so that its guest may be in the middle of a long
            write, and the pipe full again at once.
        """


class FailingLogs:
    """Looks at all of its logs every :data:`CHECK_SECONDS`, and at full pipes more often."""

    _logger = Logger()

    def __init__(self, clock: Clock) -> None:
        """:meth:`close` cancels what is still to be called."""
        self._clock = clock
        # Each with the time before which it is left alone.
        self._logs: dict[FailingLog, float] = {}
        self._full: list[FailingLog] = []
        self._all_at = 0.0
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._logs)

    def add(self, log: FailingLog) -> None:
        """Look at a log from now on."""
        self._logs[log] = 0.0
        if self._call is None:
            self._all_at = self._clock.seconds() + CHECK_SECONDS
            self._schedule(CHECK_SECONDS)

    def discard(self, log: FailingLog) -> None:
        """Stop looking at a log, if it is one of these."""
        self._logs.pop(log, None)

    def close(self) -> None:
        """Stop looking at logs."""
        self._logs.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self, delay: float) -> None:
        self._call = self._clock.callLater(delay, self._check)

    def _check(self) -> None:
        self._call = None
        begun = self._clock.seconds()
        logs = self._full
        if begun >= self._all_at:
            self._all_at = begun + CHECK_SECONDS
            logs = list(self._logs)
        # (one may end another)
        self._full = [log for log in logs if log in self._logs and self._is_full(log, begun)]
        if self._logs:
            now = self._clock.seconds()
            delay = self._all_at - now
            if self._full:
                delay = min(delay, FULL_CHECK_SECONDS)
            # No more than half of the daemon's time is for these.
            self._schedule(max(delay, now - begun))

    def _is_full(self, log: FailingLog, now: float) -> bool:
        if now < self._logs[log]:
            return False
        try:
            return log.check()
        except Exception:  # noqa: BLE001 (no other log may suffer)
            self._logger.failure("{path}: a look at the failing log failed", path=log.path)
            if log in self._logs:
                self._logs[log] = now + RETRY_SECONDS
            return False
