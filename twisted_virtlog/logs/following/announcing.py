"""Wakes those who wait for their logs to go on: soon, and each at most once a millisecond.

When a log was quiet, they are woken in the next turn of the reactor. After that they rest, so that
what a busy log gets in small pieces is read, and sent, in larger ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from twisted.logger import Logger

from twisted_virtlog.logs.following.reading import Reader
from twisted_virtlog.loop.shares import SHARE_SECONDS

#: How long somebody rests after he was woken.
REST_SECONDS = 0.001

Work = Callable[[], object]


class Announcements:
    """All who are to be woken; used in the reactor's thread."""

    _logger = Logger()

    def __init__(
        self,
        later: Callable[[Work], object],
        rest: Callable[[float, Work], object],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wake nobody yet.

        :param later: calls something in its turn; see :class:`~twisted_virtlog.loop.shares.Shares`.
        :param rest: likewise, but not before some seconds have passed.
        :param seconds: a clock that never steps.
        """
        self._later = later
        self._rest = rest
        self._seconds = seconds
        # (dicts, as they keep the order, and nobody is in one twice)
        self._due: dict[Reader, None] = {}
        self._resting: dict[Reader, None] = {}
        self._is_asked = self._is_resting = False

    def add(self, readers: Iterable[Reader]) -> None:
        """Have somebody woken."""
        for reader in readers:
            self._due[reader] = None
        if not self._is_asked and self._due:
            self._is_asked = True
            self._later(self._wake_due)

    def remove(self, reader: Reader) -> None:
        """Wake somebody no more."""
        self._due.pop(reader, None)
        self._resting.pop(reader, None)

    def _wake_due(self) -> None:
        self._is_asked = False
        due, now = self._due, self._seconds()
        ends, rested = now + SHARE_SECONDS, now - REST_SECONDS
        while due and now < ends:
            reader = next(iter(due))
            del due[reader]
            if reader.woken_at > rested:
                self._resting[reader] = None
                continue
            reader.woken_at = now
            try:
                reader.wake()
            except Exception:  # noqa: BLE001 (the others are to be woken)
                self._logger.failure("waking one who follows a log failed")
            now = self._seconds()
        if due:
            self._is_asked = True
            self._later(self._wake_due)
        if self._resting and not self._is_resting:
            self._is_resting = True
            self._rest(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        resting, self._resting = self._resting, {}
        for reader in resting:
            reader.woken_at = -math.inf
        self.add(resting)
