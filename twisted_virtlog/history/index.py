"""The index beside the logs: when their bytes came, and what happened to them.

Any thread may note something, and waits for nobody. What is asked for comes from the index's own
thread, or, if that does not answer, without the index.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet, IReactorThreads
from twisted.logger import Logger

from twisted_virtlog.history import asking
from twisted_virtlog.history.boot_clock import BootClock, StepReader, boot_id
from twisted_virtlog.history.deeds import (
    Acknowledged,
    Closed,
    ConsumerGone,
    FileBegun,
    FileEnded,
    FilesGone,
    Happened,
    How,
    LogGone,
    Opened,
)
from twisted_virtlog.history.keeping import Keeping
from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.moments import moment, wall_ms
from twisted_virtlog.history.notes import Haste, Notes
from twisted_virtlog.history.records import (
    FileKey,
    FileTimes,
    KnownLog,
    LogHistory,
    Progress,
    key_of_kept,
)
from twisted_virtlog.history.waiting import Waiting
from twisted_virtlog.history.wall_times import WallTimes
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.thread_loop import ThreadLoop
from twisted_virtlog.loop.threads import DeafThread
from twisted_virtlog.values import Domain, IndexFigures, KeptFile, LogEvent, Position

if TYPE_CHECKING:
    from twisted_virtlog.history.database import Database

T = TypeVar("T")

#: The name of the index's file in ``state_dir``.
FILE_NAME = "history.sqlite"

#: After so long in one call the thread counts as hung.
_HUNG_SECONDS = 1.0

#: Whoever asks waits so long, also while a hand-over is tried; and so long at the end, for what was
#: noted to be written.
_ANSWER_SECONDS = 5.0
_CLOSE_SECONDS = 4.0

#: The number of the boot where nothing else is known.
_ONLY_BOOT = 1

#: Between two logs that are looked at to see what is left over.
_SWEEP_REST_SECONDS = 0.01

#: The name of the thread.
THREAD_NAME = "index of logs"

_logger = Logger()


class KeptOf(Protocol):
    """Finds the files of a log."""

    def __call__(self, path: str) -> Deferred[Sequence[KeptFile] | None]:
        """Return them, oldest first; None if that cannot be found out."""


class IndexReactor(IReactorFDSet, IReactorThreads):
    """What the index needs of a reactor."""


class Index:
    """When the bytes of logs came, and what happened to logs; used in the reactor's thread.

    Where it says so, in any thread.
    """

    def __init__(
        self,
        reactor: IndexReactor,
        clock: Clock,
        directory: str | None,
        mount_of: Callable[[str], str | None] = lambda path: None,
        rest_seconds: float = 0.0,
    ) -> None:
        """Do nothing yet but take notes.

        :param directory: where the index's file is, ``state_dir``; it is made if need be. None if
            all is to stay in memory.
        :param mount_of: returns where the file system is mounted that a path is on, without
            touching the path; None if that is not known. Any thread calls it.
        :param rest_seconds: how long the thread rests before it begins, so that those are served
            first who wait for the start: until it has the file open, it needs the interpreter.
        """
        self._reactor = reactor
        self._clock = clock
        self._file = None if directory is None else os.path.join(directory, FILE_NAME)
        self._directory = directory or ""
        self._mount_of = mount_of
        self._rest_seconds = rest_seconds
        self._loop: ThreadLoop | None = None
        self._steps: StepReader | None = None
        self._notes = Notes(self._wake)
        self._boot_clock = BootClock(lambda: self._wake(Haste.SOON))
        self._keeping: Keeping | None = None

    # Its life.

    def start(self) -> None:
        """Open the file, in the index's own thread, which begins."""
        loop = self._loop = ThreadLoop()
        keeping = Keeping(self._file, boot_id(), self._notes, self._boot_clock, loop)
        self._keeping = keeping
        self._steps = StepReader(self._reactor, self._boot_clock)
        loop.call(keeping.begin)
        loop.call(partial(keeping.wake, Haste.SOON))

        def run() -> None:
            time.sleep(self._rest_seconds)
            loop.run()

        DeafThread(target=run, name=THREAD_NAME, daemon=True).start()

    def close(self) -> Deferred[None]:
        """Write what was noted, close the file, and end the thread; ask and note nothing more.

        :returns: fires when that is done, or takes too long: see :meth:`hung`.
        """
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        done = self._told(_end, _CLOSE_SECONDS)
        self._keeping = None
        return done

    def pause(self) -> Deferred[None]:
        """Write what was noted, and have the file closed until :meth:`go_on`.

        What is noted meanwhile stays in memory, and who asks something waits.

        :returns: fires when it is closed.
        """
        return self._told(Keeping.pause)

    def go_on(self) -> None:
        """Open the file again after :meth:`pause`, or instead."""
        if self._keeping is not None and self._loop is not None:
            self._loop.call(self._keeping.go_on)

    def hung(self) -> Sequence[str]:
        """Return why the thread does not end, in words, if it does not; any thread may ask."""
        if not self._is_hung():
            return []
        return [f"the file system at {self.place}, which the times of logs are on, does not answer"]

    @property
    def figures(self) -> IndexFigures:
        """How the index fares."""
        keeping, loop = self._keeping, self._loop
        since = -1.0 if loop is None else loop.since
        return IndexFigures(
            keeping is not None and keeping.is_failing,
            0 if keeping is None else keeping.lost,
            self._notes.waiting,
            time.monotonic() - since if since >= 0 else 0.0,
        )

    def _is_hung(self) -> bool:
        loop = self._loop
        return loop is not None and 0 <= loop.since < time.monotonic() - _HUNG_SECONDS

    def _told(
        self, do: Callable[[Keeping], object], seconds: float | None = None
    ) -> Deferred[None]:
        """Have something done in the thread; the Deferred fires after that, or after some time."""
        keeping, loop = self._keeping, self._loop
        if keeping is None or loop is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        limit = None if seconds is None else self._clock.callLater(seconds, _tell, done, None)

        def fire() -> None:
            if limit is not None and limit.active():
                limit.cancel()
            _tell(done, None)

        def run() -> None:
            try:
                do(keeping)
            finally:
                self._reactor.callFromThread(fire)

        loop.call(run)
        return done

    def _wake(self, haste: Haste) -> None:
        keeping, loop = self._keeping, self._loop
        if keeping is not None and loop is not None:
            loop.call(partial(keeping.wake, haste))

    # What is noted; in any thread.

    def now_ms(self) -> int:
        """Return milliseconds of the boot clock, to note moments by; see by it if clocks stepped.

        To be read once for many notes, and again after whoever notes was at something else.
        """
        return self._boot_clock.ms()

    def begin_file(self, key: FileKey, path: str) -> int:
        """Give a file of a log a number, by which more is noted of it until :meth:`end_file`.

        :param path: of the log, without symbolic links.
        """
        number = self._notes.number()
        self._notes.add(FileBegun(number, key, path), Haste.NONE)
        return number

    def mark(self, file: int, offset: int, since_ms: int, until_ms: int) -> None:
        """Note that the end of a file was at an offset, from one moment to another.

        All that is below was in the file at the first moment, and nothing above came before the
        last. Of one file, notes are in their order; one that is left out makes times less exact.

        :param since_ms: milliseconds of the boot clock, as ``until_ms``.
        """
        self._notes.mark(file, offset, since_ms, until_ms)

    def found(self, file: int, offset: int, modified_at: datetime, now_ms: int) -> None:
        """Note where the end of a file is that may have grown while nobody noted it.

        :param modified_at: when it was written last, as its file system says.
        :param now_ms: milliseconds of the boot clock.
        """
        since = now_ms if not offset else -max(1, wall_ms(modified_at))
        self._notes.mark(file, offset, since, now_ms)

    def cut(self, file: int) -> None:
        """Note that another program has cut a file; what is noted next is what is left of it."""
        self._notes.cut(file)

    def end_file(self, file: int) -> None:
        """Take note that nothing more is noted of a file by its number."""
        self._notes.add(FileEnded(file), Haste.NONE)

    def opened(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        at: datetime,
    ) -> None:
        """Note that a log was opened.

        :param path: without symbolic links.
        :param position: the end of its file.
        :param file_system: of that file, as in KeptFile.
        :param at: an aware time.
        """
        deed = Opened(path, driver, domain, position, file_system, at)
        self._notes.add(deed, Haste.AFTER_ROW)

    def adopted(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        opened_at: datetime,
    ) -> None:
        """Note that a log is open, which may have been noted by a former process.

        :param opened_at: when it was opened; if its last opening was then, that goes on.
        """
        deed = Opened(path, driver, domain, position, file_system, opened_at, How.ADOPTED)
        self._notes.add(deed, Haste.AFTER_ROW)

    def appended(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        at: datetime,
    ) -> None:
        """Note that a message was appended to a log that is not open; as for :meth:`opened`."""
        deed = Opened(path, driver, domain, position, file_system, at, How.APPENDED)
        self._notes.add(deed, Haste.AFTER_ROW)

    def closed(self, path: str, position: Position | None, file_system: str, at: datetime) -> None:
        """Note that a log was closed.

        :param position: the end of its file; None if that is not known.
        """
        self._notes.add(Closed(path, position, file_system, at), Haste.AFTER_ROW)

    def happened(self, path: str, event: LogEvent, file_system: str) -> None:
        """Note that something else happened to a log.

        :param file_system: of the file in which the event's position lies.
        """
        self._notes.add(Happened(path, event, file_system), Haste.SOON)

    def forget_files(self, keys: Iterable[FileKey]) -> None:
        """Take note that files were removed."""
        self._notes.add(FilesGone(tuple(keys)), Haste.NONE)

    def forget_log(self, path: str) -> None:
        """Take note that nothing of a log is there any more."""
        self._notes.add(LogGone(path), Haste.NONE)

    def acknowledged(self, path: str, consumer: str, progress: Progress) -> None:
        """Note how far a consumer has come in a log; see :meth:`consumers`."""
        self._notes.add(Acknowledged(path, consumer, progress), Haste.SOON)

    def forget_consumer(self, consumer: str | None, path: str | None) -> None:
        """Take note that nothing that a consumer had of a log counts; None for all of them."""
        self._notes.add(ConsumerGone(consumer, path), Haste.SOON)

    # What is asked for. If the thread does not answer in time, it is what is known without it.

    def times_of(self, kept: Sequence[KeptFile]) -> Deferred[FileTimes]:
        """Return when the bytes of files came, for :class:`.ranges.Arrivals`."""
        keys = [key_of_kept(file) for file in kept]
        clock = self._boot_clock
        return self._ask(
            lambda database, waiting: asking.times_of(
                database.tables, keys, waiting, database.walls, database.boot, clock.present()
            ),
            lambda: self._unknown_times(len(keys)),
        )

    def history_of(self, path: str) -> Deferred[LogHistory | None]:
        """Return when a log was opened, and what happened to it; see :mod:`.kept`.

        :param path: without symbolic links.
        """
        found: Deferred[LogHistory | None] = self._ask(
            lambda database, _: asking.history_of(database.tables, path), lambda: None
        )
        return found

    @property
    def place(self) -> str:
        """Where the file system is mounted that the index is on."""
        return self._mount_of(self._directory) or self._directory

    def logs(self) -> Deferred[list[KnownLog]]:
        """Return the logs that are known, open ones too, sorted by path."""
        return self._ask(lambda database, _: asking.logs(database.tables), list[KnownLog])

    def consumers(self) -> Deferred[list[tuple[str, str, Progress]] | None]:
        """Return what consumers have of logs: paths, consumers, and how far they have come.

        None if nobody can tell now.
        """
        return self._ask(lambda database, _: asking.consumers(database.tables), lambda: None)

    def written(self) -> Deferred[None]:
        """Return what fires when all is written that was noted before, or cannot be now."""
        return self._ask(lambda *_: None, lambda: None)

    def sweep(self, kept_of: KeptOf) -> Deferred[None]:
        """Forget the files that are gone, log by log.

        :param kept_of: returns the files of a log, by its path; None if that cannot be found out,
            or is better not. Nothing is kept of a log that has none.
        """
        return Deferred.fromCoroutine(self._sweep(kept_of))

    async def _sweep(self, kept_of: KeptOf) -> None:
        for path in await self._ask(lambda database, _: asking.paths(database.tables), list[str]):
            await self._rest()
            known = await self._ask(partial(_files_of, path), set[FileKey])
            kept = await kept_of(path)
            if kept is None:
                continue
            if not kept:
                # (were it opened since, it would have a file that is not known)
                self._notes.add(LogGone(path, frozenset(known)), Haste.NONE)
                continue
            gone = known.difference(key_of_kept(file) for file in kept)
            if gone:
                self.forget_files(gone)
        await self._ask(lambda database, _: database.tidy(), lambda: None)

    async def _rest(self) -> None:
        rested: Deferred[None] = Deferred()
        self._clock.callLater(_SWEEP_REST_SECONDS, rested.callback, None)
        await rested

    def _unknown_times(self, count: int) -> FileTimes:
        walls, present = WallTimes(), self._boot_clock.present()
        walls.add(_ONLY_BOOT, present)
        marks = [FileMarks() for _ in range(count)]
        return FileTimes(marks, walls, moment(_ONLY_BOOT, present.until))

    def _ask(
        self, question: Callable[[Database, Waiting], T], otherwise: Callable[[], T]
    ) -> Deferred[T]:
        """Ask something in the thread; answer without it if it does not, or if that fails."""
        keeping, loop = self._keeping, self._loop
        if keeping is None or loop is None or self._is_hung():
            return succeed(otherwise())
        answer: Deferred[T] = Deferred()
        limit = self._clock.callLater(_ANSWER_SECONDS, lambda: _tell(answer, otherwise()))

        def told(result: T) -> None:
            if limit.active():
                limit.cancel()
            _tell(answer, result)

        def run() -> None:
            try:
                keeping.ask(question, lambda result: self._reactor.callFromThread(told, result))
            except Exception:  # noqa: BLE001 (who asks is not to wait for what will not come)
                _logger.failure("the index of logs cannot answer")
                self._reactor.callFromThread(lambda: told(otherwise()))

        loop.call(run)
        return answer


def _files_of(path: str, database: Database, _waiting: Waiting) -> set[FileKey]:
    return asking.files_of(database.tables, path)


def _end(keeping: Keeping) -> None:
    keeping.end()


def _tell(waiter: Deferred[T], result: T) -> None:
    """Tell whoever waits, unless somebody has."""
    if not waiter.called:
        waiter.callback(result)
