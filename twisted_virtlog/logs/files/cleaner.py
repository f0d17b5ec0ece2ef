"""Removes old files of logs: when, and in which thread; cleaning.py decides which.

Each directory has a place, which may be in the thread of a file system that does not answer; then
the others are cleaned, and it is told that this one is not. Directories are read where that keeps
nobody else waiting. Whether a log is open is asked in the thread that opens the logs of the place,
and files lose their names before that does anything else, so that the log cannot be opened in
between. Where that is the reactor's thread, their data is freed in another.

A run first looks at when all files were written, as the wall clock may be wrong; see cleaning.ages.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import LogError, SystemFailure
from twisted_virtlog.logs.files.cleaning import Moment, Removal, Rules, ages, removals
from twisted_virtlog.logs.files.directory import Contents, Directory
from twisted_virtlog.logs.files.places import Place, Where
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.concern import Concern

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


@dataclass(frozen=True, slots=True)
class _Read:
    """A directory that was read.

    :ivar shown: its path as people know it.
    """

    shown: str
    place: Place
    contents: Contents


class Cleaner:
    """Runs once a day while there is a limit to the age of logs."""

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        where: Where,
        now_ns: Callable[[], int] = time.time_ns,
        up_ns: Callable[[], int] = _up_ns,
    ) -> None:
        """Do nothing before :meth:`set`.

        :param where: finds the place of a directory.
        :param now_ns: as in :class:`Moment`; likewise ``up_ns``.
        """
        self._clock = clock
        self._where = where
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
        run = Deferred.fromCoroutine(self._clean(rules))
        run.addErrback(self._failed, rules).addBoth(self._ended)

    def _failed(self, failure: Failure, rules: Rules) -> None:
        self._logger.failure(
            "{root}: the search for old logs failed", failure=failure, root=rules.log_root
        )

    def _ended(self, _: object) -> None:
        self._at_work = False

    async def _clean(self, rules: Rules) -> None:
        """Remove the old files of the first directory, and of those in it."""
        root = await self._read(rules, rules.log_root, rules.log_root)
        if root is None:
            return
        found = [root]
        for name in root.contents.directories:
            path, shown = (os.path.join(one, name) for one in (root.place.path, root.shown))
            below = await self._read(rules, path, shown, only_itself=True)
            found += [] if below is None else [below]
        times = [one.modified_ns for directory in found for one in directory.contents.files]
        age_ns = ages(times, self._wall.look())
        for directory in found:
            for removal in removals(directory.contents.files, rules, age_ns):
                if self._rules == rules:
                    await self._remove(directory, removal)

    async def _read(
        self, rules: Rules, path: str, shown: str, only_itself: bool = False
    ) -> _Read | None:
        """Read a directory, as long as these rules hold: when the daemon stops, none do.

        :param only_itself: if it became a symbolic link it is refused.
        """
        if self._rules != rules:
            return None
        try:
            place = await self._where(path)
            if self._rules != rules:
                return None
            if only_itself and place.path != path:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            contents = await place.look(partial(_contents, place.path))
        except (OSError, LogError) as error:
            self._logger.error(
                "{path}: cannot be searched for old logs: {reason}",
                path=shown,
                reason=_reason(error),
            )
            return None
        return _Read(shown, place, contents)

    async def _remove(self, directory: _Read, removal: Removal) -> None:
        place = directory.place
        path = os.path.join(directory.shown, removal.files[0].name)
        try:
            held = await place.change(partial(self._remove_now, directory, removal))
            if held:
                await place.look(partial(_close, held))
        except (OSError, LogError) as error:
            self._cannot_remove(path, removal, error)

    def _remove_now(self, read: _Read, removal: Removal) -> Sequence[int]:
        """Remove a log's files, in the thread that opens logs there.

        :returns: descriptors to close, which takes long.
        """
        place = read.place
        if any(place.is_in_use(os.path.join(place.path, name)) for name in removal.unless_open):
            return ()
        path = os.path.join(read.shown, removal.files[0].name)
        held: Sequence[int] = ()
        try:
            with closing(Directory(place.path)) as directory:
                held = directory.hold(removal.files)
                # A file that has changed is left to the next run.
                for one in removal.files[: len(held)]:
                    path = os.path.join(read.shown, one.name)
                    directory.unlink(one.name)
                    self._logger.info("removed {path}: {reason}", path=path, reason=removal.reason)
        except OSError as error:
            self._cannot_remove(path, removal, error)
        if place.keeps_reactor:
            return held
        _close(held)
        return ()

    def _cannot_remove(self, path: str, removal: Removal, error: OSError | LogError) -> None:
        self._logger.error(
            "{path}: cannot be removed, though {why}: {reason}",
            path=path,
            why=removal.reason,
            reason=_reason(error),
        )


def _contents(path: str) -> Contents:
    with closing(Directory(path)) as directory:
        return directory.contents()


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _reason(error: OSError | LogError) -> str:
    if isinstance(error, SystemFailure):
        return error.reason
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
