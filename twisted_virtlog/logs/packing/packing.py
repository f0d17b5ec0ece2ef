"""Has backups packed some time after their roll-over, one after another: in the reactor's thread.

Of each log that is to be looked at it is known when; the files themselves say what is to be done.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import LogError
from twisted_virtlog.interfaces import Answer, InSlices
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.known import Known
from twisted_virtlog.logs.observing import LogThread, NoObserver
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.logs.packing.process import PackerGone
from twisted_virtlog.logs.packing.steps import (
    FilesOfLog,
    Found,
    Job,
    Mark,
    begin,
    finish,
    name_packed,
)
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.values import Domain, PackingFigures

T = TypeVar("T")

#: From one log to the next: those that wait are many where a daemon was started just now.
_BETWEEN_SECONDS = 0.005

#: When a log is tried again whose backup has got another name, or while there is no process.
_SOON_SECONDS = 1.0

#: When a log is tried again of which something could not be done.
AGAIN_SECONDS = 60.0

#: So many logs are looked at before others are served.
_LOGS_AT_ONCE = 64

#: The most files, of all logs, that are known not to become smaller.
_MOST_SKIPPED = 4096


class Process(Protocol):
    """What packs files; see PackingProcess."""

    def begin(self) -> None:
        """Start it."""

    def close(self) -> None:
        """Let it end."""

    @property
    def is_ready(self) -> bool:
        """Whether something can be asked of it now."""

    def pack(self, source: int, target: int, origin: Origin) -> Deferred[int]:
        """Have a file packed."""

    def sync(self, target: int) -> Deferred[int]:
        """Have a packed file's name written to the disk."""


class Logs(Protocol):
    """All logs; see AllLogs."""

    def with_files(
        self,
        path: str,
        do: Callable[[FilesOfLog], T],
        undo: Callable[[T], object] | None = None,
    ) -> Answer[T]:
        """Do something with the files of a log in its thread."""

    def is_slow(self, path: str) -> bool:
        """Return whether the file system of a log does not answer now, or was slow lately."""

    def close_files(self, path: str, close: Callable[[], None]) -> None:
        """Close files of a log where nobody waits for that."""

    def packs(self, path: str) -> bool:
        """Return whether the backups of a log are to be packed."""

    @property
    def known(self) -> Known:
        """Those that are known, closed ones too."""


class Packing:
    """Which logs have backups to be packed, and when."""

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        process: Process,
        in_slices: InSlices,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Do nothing before :meth:`begin` and :meth:`set`.

        :param now_ns: the wall clock, in nanoseconds since 1970.
        """
        self._clock = clock
        self._process = process
        self._in_slices = in_slices
        self._now_ns = now_ns
        self._delay = 0
        self._is_wanted = False
        # When the logs are to be looked at, by their paths. (Other threads only look whether one is
        # among them.)
        self._due: dict[str, float] = {}
        self._skip: set[Mark] = set()
        self._told: set[tuple[str, int]] = set()
        self._call: IDelayedCall | None = None
        self._sweep: IDelayedCall | None = None
        self._at_work = False
        self._files = self._bytes = self._packed_bytes = 0

    def begin(self, logs: Logs) -> None:
        """Take note of all logs."""
        self._logs = logs

    def set(self, delay: int, wanted: bool) -> None:
        """Apply these settings, to backups that are there already, too.

        :param delay: seconds from a roll-over on.
        :param wanted: whether the backups of any log are to be packed.
        """
        self.stop()
        self._delay, self._is_wanted = delay, wanted
        if wanted:
            self._process.begin()
            self._sweep = self._clock.callLater(float(delay), self._look_at_all)

    def stop(self) -> None:
        """Begin nothing more; what is under way is given up."""
        self._is_wanted = False
        self._due.clear()
        for call in (self._call, self._sweep):
            if call is not None and call.active():
                call.cancel()
        self._call = self._sweep = None
        self._process.close()

    @property
    def figures(self) -> PackingFigures:
        """What was done, and is to be done."""
        return PackingFigures(self._files, self._bytes, self._packed_bytes, len(self._due))

    def note(self, path: str) -> None:
        """Have a log looked at when a file that ends now may be packed.

        :param path: without symbolic links.
        """
        self._note(path, float(self._delay))

    def is_noted(self, path: str) -> bool:
        """Return whether a log will be looked at; any thread may ask."""
        return path in self._due

    def observer_of(self, thread: LogThread) -> PackingObserver:
        """Make what is told of the logs of a thread."""
        return PackingObserver(self, thread)

    def _note(self, path: str, wait: float) -> None:
        if self._is_wanted and path not in self._due:
            self._due[path] = self._clock.seconds() + wait
            self._arm()

    def _look_at_all(self) -> None:
        """Look at the logs that are known, open or not."""
        self._sweep = None
        rest = self._in_slices(self._note_all())
        if isinstance(rest, Deferred):
            rest.addErrback(self._failed)

    def _note_all(self) -> Generator[None, None, None]:
        for number, path in enumerate(list(self._logs.known.paths()), 1):
            if self._logs.packs(path):
                self._note(path, 0.0)
            if not number % _LOGS_AT_ONCE:
                yield

    def _arm(self) -> None:
        if self._call is not None or self._at_work or not self._due:
            return
        wait = min(self._due.values()) - self._clock.seconds()
        self._call = self._clock.callLater(max(wait, _BETWEEN_SECONDS), self._work)

    def _work(self) -> None:
        self._call = None
        if not self._is_wanted:
            return
        path, due = min(self._due.items(), key=lambda item: item[1])
        if due > self._clock.seconds():
            self._arm()
            return
        del self._due[path]
        self._at_work = True
        run = Deferred.fromCoroutine(self._pack(path))
        run.addErrback(self._failed).addBoth(self._worked)

    def _worked(self, _: object) -> None:
        self._at_work = False
        self._arm()

    def _failed(self, failure: Failure) -> None:
        self._logger.failure("compressing backups failed", failure)

    # One log.

    async def _pack(self, path: str) -> None:
        """Pack the next backup of a log, and note when to look at it again."""
        if not self._process.is_ready or self._logs.is_slow(path):
            self._note(path, AGAIN_SECONDS if self._process.is_ready else _SOON_SECONDS)
            return
        try:
            found = await self._begin(path)
        except (OSError, LogError) as error:
            self._tell(path, error)
            return
        job = found.job
        if job is None:
            if found.wait is not None:
                self._note(path, found.wait)
            return
        try:
            is_done = await self._pack_job(path, job)
        except PackerGone:
            # (it is not this file's fault, or may not be)
            self._note(path, _SOON_SECONDS)
        except (OSError, LogError) as error:
            self._leave(job)
            self._tell(path, error)
            self._note(path, AGAIN_SECONDS)
        else:
            # (there may be more of them, or this one has another name by now)
            self._note(path, 0.0 if is_done else _SOON_SECONDS)
        finally:
            self._logs.close_files(path, job.close)

    def _begin(self, path: str) -> Coroutine[Any, Any, Found]:
        delay, now_ns, skip = self._delay, self._now_ns(), frozenset(self._skip)

        def close(found: Found) -> None:
            if found.job is not None:
                found.job.close()

        return self._with_files(path, lambda files: begin(files, delay, now_ns, skip), undo=close)

    async def _pack_job(self, path: str, job: Job) -> bool:
        size = await self._process.pack(job.source, job.target, job.origin)
        before = job.status.st_blocks
        if os.fstat(job.target).st_blocks >= before:
            self._leave(job)
            return True
        if self._logs.is_slow(path):
            return False
        if not await self._with_files(path, partial(_named, job)):
            return False
        await self._process.sync(job.target)
        is_done = await self._with_files(path, partial(_finished, job))
        if is_done:
            self._files += 1
            self._bytes += job.status.st_size
            self._packed_bytes += size
        return is_done

    async def _with_files(
        self,
        path: str,
        do: Callable[[FilesOfLog], T],
        undo: Callable[[T], object] | None = None,
    ) -> T:
        asked: Any = self._logs.with_files
        found: T = await maybeDeferred(asked, path, do, undo)
        return found

    def _leave(self, job: Job) -> None:
        """Leave a backup as it is."""
        if len(self._skip) >= _MOST_SKIPPED:
            self._skip.clear()
        self._skip.add(job.mark)

    def _tell(self, path: str, error: OSError | LogError) -> None:
        """Report an error, once for each log."""
        number = getattr(error, "errno", None) or errno.EIO
        if (path, number) in self._told or len(self._told) >= _MOST_SKIPPED:
            return
        self._told.add((path, number))
        reason = error.strerror if isinstance(error, OSError) else None
        if number == errno.EOPNOTSUPP:
            reason = "its file system makes no files without a name (O_TMPFILE)"
        self._logger.warn(
            "{path}: its backups cannot be compressed: {reason}; this is reported only once",
            path=path,
            reason=reason or str(error),
        )


def _named(job: Job, files: FilesOfLog) -> bool:
    return name_packed(files, job)


def _finished(job: Job, files: FilesOfLog) -> bool:
    return finish(files, job)


class PackingObserver(NoObserver):
    """Notes the logs of a thread of which a file ends."""

    def __init__(self, packing: Packing, thread: LogThread) -> None:
        """:param thread: whose logs these are."""
        self._packing = packing
        self._thread = thread

    def opened(self, log: OpenLog, truncated: bool) -> None:
        """Look at what was there before."""
        self._note(log)

    def file_ends(self, log: OpenLog) -> None:
        """Look at it later."""
        self._note(log)

    def _note(self, log: OpenLog) -> None:
        packing, path = self._packing, log.real_path
        if log.policy.pack_from is not None and not packing.is_noted(path):
            self._thread.in_reactor(lambda: packing.note(path))

    def appended(self, real_path: str, writer: Writer, driver: str, domain: Domain | None) -> None:
        """Look at it later, if a file has ended."""
        packing = self._packing
        if writer.rollovers and not packing.is_noted(real_path):
            self._thread.in_reactor(lambda: packing.note(real_path))
