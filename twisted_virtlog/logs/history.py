"""What is known of logs' past: from their files, and from the index beside them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.errors import NoAnswer, NoSuchLog
from twisted_virtlog.history import kept
from twisted_virtlog.history.index import Index
from twisted_virtlog.history.ranges import Arrivals
from twisted_virtlog.history.records import FileTimes, KnownLog, LogHistory
from twisted_virtlog.interfaces import Answer, IHistory, InSlices
from twisted_virtlog.logs.known import Known, Opener
from twisted_virtlog.logs.observing import LogObserver, LogThread
from twisted_virtlog.logs.recording import Recorder
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.values import (
    Boot,
    IndexFigures,
    KeptFile,
    LogEvent,
    LogState,
    LogStatus,
    Position,
    TimeMark,
    TimeRange,
)

T = TypeVar("T")

#: How often busy logs are looked at.
_LOOK_SECONDS = 1.0

#: How long after the start it is looked what is left over of files that are gone.
_SWEEP_SECONDS = 60.0

_AT_ONCE = 64


class Logs(Protocol):
    """All logs; see AllLogs."""

    @property
    def known(self) -> Known:
        """Those that are known."""

    def kept_files(self, path: str) -> Answer[Sequence[KeptFile]]:
        """Return the files of a log, oldest first."""

    def find_files(self, path: str) -> Deferred[Sequence[KeptFile] | None]:
        """Return the files of a log that may not be open, looked for in a thread."""

    def real_path(self, path: str) -> Answer[str]:
        """Return the path of a log without symbolic links."""

    def has(self, path: str) -> bool:
        """Return whether a log is open, by its path or its real path."""


@implementer(IHistory)
class History:
    """The past of all logs."""

    _logger = Logger()

    def __init__(self, index: Index, clock: Clock, in_slices: InSlices, records: bool) -> None:
        """Know nothing of logs before :meth:`begin`.

        :param index: is started and closed by this object.
        :param records: whether it is noted when bytes come.
        """
        self._index = index
        self._clock = clock
        self._in_slices = in_slices
        self._records = records
        self._logs: Logs | None = None
        self._recorders: list[Recorder] = []
        # Those with busy logs.
        self._busy: dict[Recorder, None] = {}
        self._look: IDelayedCall | None = None
        self._sweep: IDelayedCall | None = None

    def observer_of(self, thread: LogThread) -> LogObserver:
        """Make what is told of the logs of a thread; see ObserverOf."""
        recorder = Recorder(self._index, thread, self._is_busy, self._records)
        self._recorders.append(recorder)
        return recorder

    def begin(self, logs: Logs) -> None:
        """Begin to answer, for these logs, of which the observers are told."""
        self._logs = logs
        self._index.start()
        self._index.logs().addCallback(self._remember).addErrback(self._failed)
        self._sweep = self._clock.callLater(_SWEEP_SECONDS, self._sweep_up)

    @property
    def index_figures(self) -> IndexFigures:
        """How the index fares."""
        return self._index.figures

    def reload(self, records: bool) -> None:
        """Apply another setting.

        :param records: see the class.
        """
        self._records = records
        for recorder in self._recorders:
            recorder.thread.tell(_recording(recorder, records))

    def known_logs(self) -> Deferred[Sequence[KnownLog]]:
        """Return the logs that are known, open ones too, for who removes old ones."""
        known: Deferred[Any] = self._index.logs()
        return known

    def _remember(self, logs: Sequence[KnownLog]) -> None:
        """Let the logs be known that were there before the daemon was started."""
        if self._logs is not None:
            used = sorted(logs, key=lambda log: log.closed_at or log.opened_at or log.first_at)
            self._logs.known.add_opened((log.path, Opener(log.driver, log.domain)) for log in used)

    def _sweep_up(self) -> None:
        self._sweep = None
        logs = self._logs
        if logs is not None:
            self._index.sweep(logs.find_files).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self._logger.failure("looking into the index of logs failed", failure)

    # IHistory.

    def locate(
        self, path: str, since: datetime | None, until: datetime | None
    ) -> Answer[Sequence[TimeRange]]:
        def locate(arrivals: Arrivals) -> Sequence[TimeRange]:
            return arrivals.locate(since, until)

        return self._arrivals(path).addCallback(locate)

    def times(
        self, path: str, start: Position | None, end: Position | None
    ) -> Answer[Sequence[TimeMark]]:
        def times(arrivals: Arrivals) -> Answer[Sequence[TimeMark]]:
            return self._in_slices(arrivals.times(start, end))

        return self._arrivals(path).addCallback(times)

    def boots(self, path: str) -> Answer[Sequence[Boot]]:
        def boots(history: LogHistory, files: Sequence[KeptFile]) -> Sequence[Boot]:
            return kept.boots(history.openings, files)

        return self._past(path, boots)

    def events(self, path: str, since: datetime | None) -> Answer[Sequence[LogEvent]]:
        def events(history: LogHistory, files: Sequence[KeptFile]) -> Sequence[LogEvent]:
            return kept.events(history.events, files, since)

        return self._past(path, events)

    def closed_logs(self) -> Answer[Sequence[LogStatus]]:
        def closed(logs: Sequence[KnownLog]) -> Answer[Sequence[LogStatus]]:
            return self._in_slices(self._closed(logs))

        return self._index.logs().addCallback(closed)

    def _closed(self, logs: Sequence[KnownLog]) -> Generator[None, None, Sequence[LogStatus]]:
        """Return what is told of the logs that are not open."""
        found: list[LogStatus] = []
        assert self._logs is not None
        for number, log in enumerate(logs, 1):
            if not self._logs.has(log.path):
                found.append(_closed_status(log))
            if not number % _AT_ONCE:
                yield
        return found

    def _arrivals(self, path: str) -> Deferred[Arrivals]:
        """Return what is known of when a log's bytes came."""
        assert self._logs is not None
        logs = self._logs

        def ask(files: Sequence[KeptFile]) -> Deferred[Arrivals]:
            def told(times: FileTimes) -> Arrivals:
                return Arrivals(files, times.marks, times.walls, times.now, logs.has(path))

            return self._index.times_of(files).addCallback(told)

        return _later(lambda: logs.kept_files(path)).addCallback(ask)

    def _past(
        self,
        path: str,
        choose: Callable[[LogHistory, Sequence[KeptFile]], Sequence[T]],
    ) -> Deferred[Sequence[T]]:
        """Return of what happened to a log what belongs to bytes that are kept."""
        return Deferred.fromCoroutine(self._find_past(path, choose))

    async def _find_past(
        self,
        path: str,
        choose: Callable[[LogHistory, Sequence[KeptFile]], Sequence[T]],
    ) -> Sequence[T]:
        assert self._logs is not None
        logs = self._logs
        real_path = await _later(lambda: logs.real_path(path))
        try:
            files = await _later(lambda: logs.kept_files(path))
        except NoSuchLog:
            if real_path not in logs.known:
                raise
            files = ()
        history = await self._index.history_of(real_path)
        if history is None:
            # (none is not the same as not known)
            raise NoAnswer(f"Unable to ask what happened to {path}", path, self._index.place)
        return choose(history, files)

    # Once a second.

    def _is_busy(self, recorder: Recorder) -> None:
        self._busy[recorder] = None
        if self._look is None:
            self._look = self._clock.callLater(_LOOK_SECONDS, self._look_all)

    def _look_all(self) -> None:
        self._look = None
        busy, self._busy = self._busy, {}
        for recorder in busy:
            recorder.thread.tell(recorder.look)

    # A hand-over, and the end.

    def flush(self) -> None:
        """Have the ends of busy logs noted, each in its thread."""
        for recorder in self._recorders:
            recorder.thread.tell(recorder.flush)

    def pause(self) -> Deferred[None]:
        """Have the index closed until :meth:`go_on`; fires when it is."""
        return self._index.pause()

    def go_on(self) -> None:
        """Open the index again after :meth:`pause`, or instead."""
        self._index.go_on()

    def hung(self) -> Sequence[str]:
        """Return why the index's thread does not end, in words."""
        return self._index.hung()

    def close(self) -> Deferred[None]:
        """Write what was noted and close the index; fires when that is done, or takes too long."""
        for call in (self._look, self._sweep):
            if call is not None and call.active():
                call.cancel()
        self._look = self._sweep = None
        return self._index.close()


def _later(ask: Callable[[], Answer[T]]) -> Deferred[T]:
    """Return an answer that may be there already."""
    answer: Deferred[Any] = maybeDeferred(ask)
    return answer


def _recording(recorder: Recorder, records: bool) -> Callable[[], None]:
    return lambda: recorder.record(records)


def _closed_status(log: KnownLog) -> LogStatus:
    return LogStatus(
        path=log.path,
        driver=log.driver,
        domain=log.domain,
        position=None,
        opened_at=log.opened_at or log.first_at,
        bytes_written=0,
        rollovers=0,
        state=LogState.CLOSED,
        error=None,
        lost_bytes=0,
        pipe=None,
        pending=None,
        kept=log.position.offset,
        closed_at=log.closed_at,
    )
