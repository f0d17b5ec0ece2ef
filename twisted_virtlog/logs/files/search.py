"""One search for old logs: finds them, has them decided upon by cleaning.py, and removes them.

First the directories of ``log_root`` are searched, as virtlogd does: there all files count that are
called as those of logs. Then the logs that the daemon knows, wherever they are and whatever they
are called.

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
from collections.abc import Callable, Container, Generator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from twisted_virtlog.errors import HeldByOther, LogError, NoAnswer, NotAllowed, SystemFailure
from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.interfaces import Answer, InSlices
from twisted_virtlog.logs.files.cleaning import (
    AgeOf,
    Found,
    Moment,
    Removal,
    Rules,
    ages,
    reason_of,
    removals,
    telling,
    used_ns,
)
from twisted_virtlog.logs.files.directory import Contents, Directory
from twisted_virtlog.logs.files.places import Place, Where
from twisted_virtlog.logs.known import Known
from twisted_virtlog.values import Domain, Removed

T = TypeVar("T")

#: So many logs are looked at before others are served.
_LOGS_AT_ONCE = 64

#: Returns the logs that were opened or appended to once, sorted by path.
KnownLogs = Callable[[], Deferred[Sequence[KnownLog]]]


class Logs(Protocol):
    """All logs; see AllLogs."""

    @property
    def known(self) -> Known:
        """Those that are known, closed ones too."""

    def has(self, path: str) -> bool:
        """Return whether a log is open by this name, or has this real path; asks no file."""

    def max_backups_of(self, path: str, driver: str | None, domain: Domain | None) -> int:
        """Return how many backups a log may have."""

    def remove_unused(
        self, path: str, may_go: Callable[[Sequence[Found]], bool]
    ) -> Answer[Removed | None]:
        """Remove all files of a log that nobody uses; None if it is open, or may not go."""


class _Read(Struct, frozen=True):
    """A directory that was read.

    :ivar shown: its path as people know it.
    """

    shown: str
    place: Place
    contents: Contents


class Search:
    """One search."""

    _logger = Logger()

    def __init__(
        self,
        rules: Rules,
        logs: Logs,
        where: Where,
        known_logs: KnownLogs,
        in_slices: InSlices,
        moment: Callable[[], Moment],
        goes_on: Callable[[], bool],
    ) -> None:
        """Do nothing before :meth:`run`.

        :param logs: all of them.
        :param where: finds the place of a directory.
        :param known_logs: returns the logs that were used once.
        :param moment: returns the present.
        :param goes_on: whether the rules still hold: when the daemon stops, none do.
        """
        self._rules = rules
        self._logs = logs
        self._where = where
        self._known_logs = known_logs
        self._in_slices = in_slices
        self._moment = moment
        self._goes_on = goes_on
        self._used: Container[str] = ()
        self._known: dict[str, KnownLog] = {}
        # The mounts that do not answer, as far as that was told.
        self._silent: set[str] = set()
        # (threads of file systems add to it, too)
        self._removed: list[Removed] = []

    @property
    def removed(self) -> Removed:
        """What was removed."""
        return sum(self._removed, Removed())

    async def run(self) -> None:
        """Remove what is old."""
        with self._logs.known.uses() as self._used:
            directories = await self._read_directories()
            if not self._goes_on():
                return
            known = await self._known_logs()
            age_ns = await self._later(self._ages(directories, known))
            for directory in directories:
                await self._clean(directory, age_ns)
            for log in await self._later(self._unused(known, age_ns)):
                if self._goes_on():
                    await self._remove_known(log, age_ns)

    def _later(self, slices: Generator[None, None, T]) -> Deferred[T]:
        """Do what is long by itself."""
        in_slices: Any = self._in_slices
        answer: Deferred[T] = maybeDeferred(in_slices, slices)
        return answer

    async def _read_directories(self) -> Sequence[_Read]:
        """Read the first directory, and those in it."""
        log_root = self._rules.log_root
        root = await self._read(log_root, log_root)
        if root is None:
            return ()
        found = [root]
        for name in root.contents.directories:
            path, shown = (os.path.join(one, name) for one in (root.place.path, root.shown))
            below = await self._read(path, shown, only_itself=True)
            found += [] if below is None else [below]
        return found

    async def _read(self, path: str, shown: str, only_itself: bool = False) -> _Read | None:
        """Read a directory, as long as the rules hold.

        :param only_itself: if it became a symbolic link it is refused.
        """
        if not self._goes_on():
            return None
        try:
            place = await self._where(path)
            if not self._goes_on():
                return None
            if only_itself and place.path != path:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            contents = await place.look(partial(_contents, place.path))
        except (OSError, LogError) as error:
            self._cannot_search(shown, error)
            return None
        return _Read(shown, place, contents)

    def _cannot_search(self, path: str, error: OSError | LogError) -> None:
        self._tell("{path}: cannot be searched for old logs: {reason}", error, path=path)

    def _tell(self, message: str, error: OSError | LogError, **what: str) -> None:
        """Report an error; of a mount that does not answer, once."""
        if isinstance(error, (NoAnswer, HeldByOther)):
            if error.mount in self._silent:
                return
            self._silent.add(error.mount)
        self._logger.error(message, reason=_reason(error), **what)

    def _ages(
        self, directories: Sequence[_Read], known: Sequence[KnownLog]
    ) -> Generator[None, None, AgeOf]:
        """Return the ages of files and logs, from all that was found."""
        moment = self._moment()
        told: list[int] = []
        for directory in directories:
            files = directory.contents.files
            for start in range(0, len(files), _LOGS_AT_ONCE):
                times = (one.modified_ns for one in files[start : start + _LOGS_AT_ONCE])
                told = telling([*told, *times], moment)
                yield
        for start in range(0, len(known), _LOGS_AT_ONCE):
            logs = known[start : start + _LOGS_AT_ONCE]
            self._known.update((log.path, log) for log in logs)
            told = telling([*told, *map(used_ns, logs)], moment)
            yield
        return ages(told, moment)

    # The directories below the root.

    async def _clean(self, directory: _Read, age_ns: AgeOf) -> None:
        """Remove the old files of a directory."""
        path = directory.place.path
        backups_of = partial(self._backups_of, path)
        files = directory.contents.files
        for removal in await self._later(removals(files, self._rules, age_ns, backups_of)):
            if self._goes_on():
                await self._remove(directory, removal)

    def _backups_of(self, directory: str, name: str) -> int:
        """Return how many backups a log may have by what holds for it."""
        path = os.path.join(directory, name)
        known = self._known.get(path)
        driver, domain = (None, None) if known is None else (known.driver, known.domain)
        return self._logs.max_backups_of(path, driver, domain)

    async def _remove(self, directory: _Read, removal: Removal) -> None:
        place = directory.place
        path = os.path.join(directory.shown, removal.files[0].name)
        try:
            held = await place.change(partial(self._remove_now, directory, removal))
            if held:
                await place.look(partial(_close, held))
            if removal.log is not None:
                await self._forget(os.path.join(place.path, removal.log))
        except (OSError, LogError) as error:
            self._cannot_remove(path, removal.reason, error)

    def _remove_now(self, read: _Read, removal: Removal) -> Sequence[int]:
        """Remove a log's files, in the thread that opens logs there.

        :returns: descriptors to close, which takes long.
        """
        place = read.place
        names = [os.path.join(place.path, name) for name in removal.unless_open]
        if any(place.is_in_use(name) or name in self._used for name in names):
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
                    self._removed.append(Removed(1, one.size))
                    self._logger.info("removed {path}: {reason}", path=path, reason=removal.reason)
        except OSError as error:
            self._cannot_remove(path, removal.reason, error)
        if place.keeps_reactor:
            return held
        _close(held)
        return ()

    async def _forget(self, path: str) -> None:
        """Forget a log of which nothing is there any more, if it is known."""
        if path in self._logs.known or path in self._known:
            await self._remove_unused(path, _nothing_is_there)

    def _remove_unused(
        self, path: str, may_go: Callable[[Sequence[Found]], bool]
    ) -> Deferred[Removed | None]:
        """See Logs."""
        remove: Any = self._logs.remove_unused
        answer: Deferred[Removed | None] = maybeDeferred(remove, path, may_go)
        return answer

    def _cannot_remove(self, path: str, why: str, error: OSError | LogError) -> None:
        message = "{path}: cannot be removed, though {why}: {reason}"
        self._tell(message, error, path=path, why=why)

    # The logs that are known.

    def _unused(
        self, known: Sequence[KnownLog], age_ns: AgeOf
    ) -> Generator[None, None, Sequence[KnownLog]]:
        """Return the logs that were not used for too long."""
        found: list[KnownLog] = []
        for count, log in enumerate(known, 1):
            if self._rules.is_old(age_ns(used_ns(log))) and not self._logs.has(log.path):
                found.append(log)
            if not count % _LOGS_AT_ONCE:
                yield
        return found

    async def _remove_known(self, log: KnownLog, age_ns: AgeOf) -> None:
        """Remove a log that was not used for too long, unless somebody writes to its files."""
        path = log.path
        directory, name = os.path.split(path)
        reason = reason_of(age_ns(used_ns(log)))

        def may_go(files: Sequence[Found]) -> bool:
            # (in the log's thread, when it is known that it is not open)
            if path in self._used or not files:
                return False
            return all(self._rules.is_old(age_ns(one.modified_ns)) for one in files)

        try:
            place = await self._where(directory)
            if place.path != directory or not self._goes_on():
                return
            # (what is not in memory is read where nobody waits for it)
            if not may_go(await place.look(partial(_files_of, directory, name))):
                return
            # (it may be the daemon's own, too)
            if await place.change(partial(place.is_in_use, path)) or not self._goes_on():
                return
            removed = await self._remove_unused(path, may_go)
        except (FileNotFoundError, NotADirectoryError, NotAllowed):
            # (there is nothing of it, or it is not below a root)
            return
        except (OSError, LogError) as error:
            self._cannot_remove(path, reason, error)
            return
        if removed is not None:
            self._removed.append(removed)
            self._logger.info(
                "removed {path}, {files} files with {bytes} bytes: {reason}",
                path=path,
                files=removed.files,
                bytes=removed.bytes,
                reason=reason,
            )


def _contents(path: str) -> Contents:
    with closing(Directory(path)) as directory:
        return directory.contents()


def _files_of(path: str, name: str) -> Sequence[Found]:
    with closing(Directory(path)) as directory:
        return directory.files_of(name, lambda _: False)


def _nothing_is_there(files: Sequence[Found]) -> bool:
    return not files


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _reason(error: OSError | LogError) -> str:
    if isinstance(error, SystemFailure):
        return error.reason
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
