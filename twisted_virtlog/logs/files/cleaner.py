"""Removes old files of logs: when; search.py does what is to be done, cleaning.py decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.interfaces import InSlices
from twisted_virtlog.logs.files.cleaning import Moment, Rules
from twisted_virtlog.logs.files.places import Where
from twisted_virtlog.logs.files.search import KnownLogs, Logs, Search
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.concern import Concern
from twisted_virtlog.values import Removed

#: From the start to the first run. virtlogd waits for a day; a daemon that is upgraded or restarted
#: each day would never get there.
FIRST_SECONDS = 60.0

#: From one run to the next, as in virtlogd.
EVERY_SECONDS = 24 * 60 * 60.0

#: Clocks that are merely corrected do not move as far, from one look to the next.
_STEP_NS = 10 * 60 * 10**9

#: How many steps of the wall clock are remembered.
_MOST_STEPS = 16


def _up_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class WallClock:
    """Notices that the wall clock stepped."""

    def __init__(self, now_ns: Callable[[], int], up_ns: Callable[[], int]) -> None:
        """:param now_ns: as in :class:`Moment`; likewise ``up_ns``."""
        self._now_ns = now_ns
        self._up_ns = up_ns
        self._boots: list[int] = []
        self._since = 0
        self.look()

    def look(self) -> Moment:
        """Return what both clocks say."""
        now, up = self._now_ns(), self._up_ns()
        boot = now - up
        if not self._boots or abs(boot - self._boots[-1]) > _STEP_NS:
            self._boots = [*self._boots[-_MOST_STEPS:], boot]
            self._since = up
        return Moment(now, up, up - self._since, tuple(self._boots))


class Cleaner:
    """Runs once a day while there is a limit to the age of logs.

    :ivar removed: what all runs have removed.
    """

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        logs: Logs,
        where: Where,
        known_logs: KnownLogs,
        in_slices: InSlices,
        now_ns: Callable[[], int] = time.time_ns,
        up_ns: Callable[[], int] = _up_ns,
    ) -> None:
        """Do nothing before :meth:`set`.

        :param logs: all of them.
        :param where: finds the place of a directory.
        :param known_logs: returns the logs that were used once.
        :param now_ns: as in :class:`Moment`; likewise ``up_ns``.
        """
        self.removed = Removed()
        self._clock = clock
        self._logs = logs
        self._where = where
        self._known_logs = known_logs
        self._in_slices = in_slices
        self._wall = WallClock(now_ns, up_ns)
        self._rules: Rules | None = None
        self._call: IDelayedCall | None = None
        self._at_work = False

    def set(self, rules: Rules) -> None:
        """Apply these rules; if they differ from those before, the next run is soon."""
        if rules == self._rules:
            return
        self.stop()
        self._rules = rules
        self._wall.look()
        if rules.max_age_days:
            self._call = self._clock.callLater(FIRST_SECONDS, self._begin, rules)

    def concern(self, names: Mapping[str, object]) -> Concern:
        """See loop.concern.Concerned."""
        path = names.get("path")
        return Concern(path if isinstance(path, str) else None)

    def stop(self) -> None:
        """Remove nothing more; a run that waits for a thread ends when the thread is done."""
        self._rules = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _begin(self, rules: Rules) -> None:
        # First, so that it comes whatever becomes of this run.
        self._call = self._clock.callLater(EVERY_SECONDS, self._begin, rules)
        if self._at_work:
            self._logger.error(
                "{root}: the last search for old logs has not ended yet", root=rules.log_root
            )
            return
        self._at_work = True
        search = Search(
            rules,
            self._logs,
            self._where,
            self._known_logs,
            self._in_slices,
            self._wall.look,
            lambda: self._rules == rules,
        )
        run = Deferred.fromCoroutine(search.run())
        run.addErrback(self._failed, rules).addBoth(self._ended, search)

    def _failed(self, failure: Failure, rules: Rules) -> None:
        self._logger.failure(
            "{root}: the search for old logs failed", failure=failure, root=rules.log_root
        )

    def _ended(self, _: object, search: Search) -> None:
        self._at_work = False
        removed = search.removed
        self.removed += removed
        if removed.files:
            self._logger.info(
                "old logs were removed, {files} files with {bytes} bytes in all",
                files=removed.files,
                bytes=removed.bytes,
            )
