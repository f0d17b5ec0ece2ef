"""Wakes those who wait for their logs to go on: soon, and all together at most once a millisecond.

After a quiet time somebody is woken in the next turn of the reactor. Then all rest: what busy logs
get in small pieces is read, and sent, in larger ones, and what many of them have to one client goes
to him at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from twisted.logger import Logger

from twisted_virtlog.logs.following.reading import Reader
from twisted_virtlog.loop.shares import SHARE_SECONDS

#: How long all rest after some were woken.
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
        # (a dict, as it keeps the order, and nobody is in it twice)
        self._due: dict[Reader, None] = {}
        self._is_asked = False
        self._rested_at = -math.inf

    def add(self, readers: Iterable[Reader]) -> None:
        """Have somebody woken."""
        for reader in readers:
            self._due[reader] = None
        if self._is_asked or not self._due:
            return
        self._is_asked = True
        left = self._rested_at - self._seconds()
        if left > 0:
            self._rest(left, self._wake_due)
        else:
            self._later(self._wake_due)

    def remove(self, reader: Reader) -> None:
        """Wake somebody no more."""
        self._due.pop(reader, None)

    def _wake_due(self) -> None:
        self._is_asked = False
        due, now = self._due, self._seconds()
        ends = now + SHARE_SECONDS
        while due and now < ends:
            reader = next(iter(due))
            del due[reader]
            try:
                reader.wake()
            except Exception:  # noqa: BLE001 (the others are to be woken)
                self._logger.failure("waking one who follows a log failed")
            now = self._seconds()
        self._rested_at = now + REST_SECONDS
        if due and not self._is_asked:
            # (those who are left rest no longer than the others did)
            self._is_asked = True
            self._later(self._wake_due)
