"""Removes old files of logs: when, and in which thread; cleaning.py decides which.

Directories are read in the thread pool. Whether a log is open is asked in the reactor's thread, in
the same turn in which its files lose their names, so that it cannot be opened in between. Their
data is freed in the thread pool again.

A run first looks at when all files were written, as the wall clock may be wrong; see cleaning.ages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.logs.files.cleaning import Moment, Removal, Rules, ages, removals
from twisted_virtlog.logs.files.directory import Directory
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.concern import Concern
from twisted_virtlog.loop.threads import InThread

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
    """Runs once a day while there is a limit to the age of logs."""

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        in_thread: InThread,
        is_in_use: Callable[[str], bool],
        now_ns: Callable[[], int] = time.time_ns,
        up_ns: Callable[[], int] = _up_ns,
    ) -> None:
        """Do nothing before :meth:`set`.

        :param is_in_use: whether the file of a path must stay; called in the reactor's thread.
        :param now_ns: as in :class:`Moment`; likewise ``up_ns``.
        """
        self._clock = clock
        self._in_thread = in_thread
        self._is_in_use = is_in_use
        self._wall = WallClock(now_ns, up_ns)
        self._age_ns: Callable[[int], int] = lambda _: 0
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
        run = Deferred.fromCoroutine(self._clean(rules, rules.log_root))
        run.addErrback(self._failed, rules).addBoth(self._ended)

    def _failed(self, failure: Failure, rules: Rules) -> None:
        self._logger.failure(
            "{root}: the search for old logs failed", failure=failure, root=rules.log_root
        )

    def _ended(self, _: object) -> None:
        self._at_work = False

    async def _clean(self, rules: Rules, path: str, below: Directory | None = None) -> None:
        """Remove the old files of a directory, and, if it is the first one, of those below it."""
        try:
            directory, times = await self._in_thread(partial(_read, path, below))
        except OSError as error:
            self._logger.error(
                "{path}: cannot be searched for old logs: {reason}",
                path=below.path_of(path) if below else path,
                reason=error.strerror,
            )
            return
        if below is None:
            self._age_ns = ages(times, self._wall.look())
        try:
            # (other rules may hold since, or none when the daemon stops)
            for removal in removals(directory.files, rules, self._age_ns):
                if self._rules == rules:
                    await self._remove(directory, removal)
            for name in directory.directories:
                if self._rules == rules and below is None:
                    await self._clean(rules, name, directory)
        finally:
            directory.close()

    async def _remove(self, directory: Directory, removal: Removal) -> None:
        # From here on nothing is awaited until the names are gone.
        if any(self._is_in_use(directory.path_of(name)) for name in removal.unless_open):
            return
        path = directory.path_of(removal.files[0].name)
        held: Sequence[int] = ()
        try:
            held = directory.hold(removal.files)
            # A file that has changed is left to the next run.
            for one in removal.files[: len(held)]:
                path = directory.path_of(one.name)
                directory.remove(one.name)
                self._logger.info("removed {path}: {reason}", path=path, reason=removal.reason)
        except OSError as error:
            self._logger.error(
                "{path}: cannot be removed, though {why}: {reason}",
                path=path,
                why=removal.reason,
                reason=error.strerror,
            )
        if held:
            await self._in_thread(partial(_close, held))


def _read(path: str, below: Directory | None) -> tuple[Directory, Sequence[int]]:
    """Open a directory; for the first one return also when all files were last written to."""
    directory = Directory(path, below)
    return directory, directory.times_below() if below is None else ()


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
