"""Notes when the bytes of logs come, and what happens to them: the observer of one thread's logs.

A log that rests costs nothing: its writer is asleep. The first bytes that are written wake it up,
and end the time for which its file had rested. From then on it is busy, and is looked at once a
second, without a system call, until it has rested again. So a log has at most one mark a second,
and between two of a busy one there are some kilobytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Protocol, TypeAlias

from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.observing import LogThread, NoObserver
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.values import Domain, EventKind, LogEvent, Position, birth_without_cut

#: So many bytes of a busy log come before there is another mark, at least.
MARKED_BYTES = 4096

#: Tells a file apart from all others: the id of its file system, and its birth without a cut.
FileKey: TypeAlias = "tuple[str, str]"


class Notes(Protocol):
    """What is noted; any thread may call, and nothing here blocks or raises."""

    def now(self) -> int:
        """Return the present moment, see history.moments."""

    def mark(self, file: FileKey, offset: int, since: int, until: int) -> None:
        """Note that the end of a file was at an offset from one moment to another."""

    def was_cut(self, file: FileKey) -> None:
        """Note that a file was cut, and it is not known how far."""

    def goes_on_in(self, log: str, file: FileKey, most: int) -> None:
        """Note that a log goes on in a file, and so many of its files are kept at most.

        :param log: its real path; likewise in the others.
        """

    def emptied(self, log: str) -> None:
        """Note that all files of a log were removed."""

    def opened(
        self,
        log: str,
        path: str,
        position: Position,
        opened_at: datetime,
        driver: str,
        domain: Domain | None,
    ) -> None:
        """Note that a log was opened, and where its first byte will be.

        :param path: as its opener spelled it.
        """

    def closed(self, log: str, closed_at: datetime, position: Position) -> None:
        """Note that a log was closed, and where its last byte was."""

    def appended(self, log: str, path: str) -> None:
        """Note that a message was appended to a log that is not open."""

    def happened(self, log: str, event: LogEvent) -> None:
        """Note that something happened to a log."""


class _Recorded:
    """What is remembered of an open log.

    :ivar key: of its current file; None before it is asked for, or if nothing tells it apart.
    :ivar is_new: it is not known yet which the current file is; from ``since`` on its end was at
        ``seen``.
    :ivar marked: the offset of the last mark, and ``since`` its first moment.
    :ivar seen: the end of the file when it was looked at last.
    :ivar dropped: bytes that are lost, and not noted yet.
    """

    __slots__ = ("dropped", "is_busy", "is_new", "key", "marked", "seen", "since")

    def __init__(self) -> None:
        self.key: FileKey | None = None
        self.is_new = True
        self.is_busy = False
        self.marked = 0
        self.since = 0
        self.seen = 0
        self.dropped = 0


class Recorder(NoObserver):
    """Notes what it is told of the logs of a thread."""

    def __init__(
        self,
        notes: Notes,
        thread: LogThread,
        file_system_of: Callable[[int], str],
        busy: Callable[[Recorder], object],
    ) -> None:
        """Note nothing yet.

        :param file_system_of: returns the id of an open file's file system, "" if it has none.
        :param busy: called in the reactor's thread when :meth:`look` is to be called in a second.
        """
        self.thread = thread
        self._notes = notes
        self._file_system_of = file_system_of
        self._busy_call = busy
        self._logs: dict[OpenLog, _Recorded] = {}
        self._busy: dict[OpenLog, _Recorded] = {}
        self._looked_at = 0
        # By st_dev, which lasts as long as a mount does; an id costs system calls.
        self._file_systems: dict[int, str] = {}

    # LogObserver.

    def opened(self, log: OpenLog, truncated: bool) -> None:
        if truncated:
            self._notes.emptied(log.real_path)
        self._begin(log)
        self._note_opening(log)

    def adopted(self, log: OpenLog) -> None:
        self._begin(log)

    def closed(self, log: OpenLog) -> None:
        recorded = self._end(log)
        if recorded is None:
            return
        end = log.writer.known_end
        now = datetime.now(timezone.utc)
        self._notes.closed(log.real_path, now, end)
        self._happened(log, EventKind.CLOSED)

    def followed(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        self._mark_now(log, recorded)
        self._notes.closed(log.real_path, log.opened_at, log.writer.known_end)
        self._happened(log, EventKind.CLOSED)
        self._note_opening(log)

    def left(self, log: OpenLog) -> None:
        self._end(log)

    def woken(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None or recorded.is_busy:
            # (somebody else has put it to sleep)
            return
        if recorded.is_new:
            self._know_file(log, recorded)
        if recorded.key is not None:
            self._notes.mark(recorded.key, recorded.marked, recorded.since, self._notes.now())
        self._is_busy(log, recorded)

    def file_ends(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        self._mark_now(log, recorded)
        recorded.key, recorded.is_new = None, True
        recorded.since = self._notes.now()
        recorded.seen = recorded.marked = 0
        self._is_busy(log, recorded)

    def was_cut(self, log: OpenLog, size: int) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        end = log.writer.known_end
        if recorded.key is not None:
            self._notes.was_cut(recorded.key)
            self._mark(recorded, end.offset, self._notes.now())
        recorded.seen = end.offset
        self._happened(log, EventKind.CUT, size - end.offset)

    def state_changed(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        failing = log.outage is not None
        if not failing:
            self._note_dropped(log, recorded)
        self._happened(log, EventKind.OUTAGE if failing else EventKind.RECOVERED)

    def dropped(self, log: OpenLog, count: int) -> None:
        recorded = self._logs.get(log)
        if recorded is not None:
            recorded.dropped += count
            self._is_busy(log, recorded)

    def appended(self, path: str, real_path: str, writer: Writer) -> None:
        self._notes.appended(real_path, path)
        key = self._key_of(writer)
        if key is not None:
            now = self._notes.now()
            self._notes.goes_on_in(real_path, key, writer.limits.max_backups + 1)
            self._notes.mark(key, writer.known_end.offset, now, now)

    # Once a second.

    def look(self) -> None:
        """Look at the logs that were busy, in their thread."""
        notes = self._notes
        now = notes.now()
        before, self._looked_at = self._looked_at, now
        for log, recorded in list(self._busy.items()):
            if recorded.dropped:
                self._note_dropped(log, recorded)
            end = log.writer.known_end.offset
            if recorded.is_new and end != recorded.seen:
                self._know_file(log, recorded)
            if end == recorded.seen:
                # It has rested since the last look.
                if end != recorded.marked:
                    self._mark(recorded, end, before, now)
                recorded.is_busy = False
                del self._busy[log]
                log.writer.asleep = True
            elif end - recorded.marked >= MARKED_BYTES:
                self._mark(recorded, end, now)
            recorded.seen = end
        if self._busy:
            self._look_again()

    def flush(self) -> None:
        """Mark the ends of all busy logs now: the process ends, or another one goes on."""
        for log, recorded in self._busy.items():
            self._mark_now(log, recorded)

    # Its parts.

    def _begin(self, log: OpenLog) -> None:
        recorded = self._logs[log] = _Recorded()
        recorded.since = self._notes.now()
        recorded.seen = log.writer.known_end.offset
        # (which file it is costs system calls, and there may be thousands that stay silent)
        log.writer.asleep = True

    def _end(self, log: OpenLog) -> _Recorded | None:
        recorded = self._logs.pop(log, None)
        if recorded is not None:
            self._busy.pop(log, None)
            self._mark_now(log, recorded)
            self._note_dropped(log, recorded)
        return recorded

    def _note_opening(self, log: OpenLog) -> None:
        self._notes.opened(
            log.real_path,
            log.path,
            log.writer.known_end,
            log.opened_at,
            log.driver,
            log.domain,
        )
        self._happened(log, EventKind.OPENED)

    def _is_busy(self, log: OpenLog, recorded: _Recorded) -> None:
        if recorded.is_busy:
            return
        recorded.is_busy = True
        if not self._busy:
            self._looked_at = self._notes.now()
            self._look_again()
        self._busy[log] = recorded

    def _look_again(self) -> None:
        self.thread.in_reactor(lambda: self._busy_call(self))

    def _know_file(self, log: OpenLog, recorded: _Recorded) -> None:
        """Find out which file a log goes on in, and mark where it began to."""
        key = self._key_of(log.writer)
        if log.writer.is_open:
            recorded.key, recorded.is_new = key, False
        if key is not None:
            self._notes.goes_on_in(log.real_path, key, log.policy.limits.max_backups + 1)
            recorded.marked = recorded.seen
            self._notes.mark(key, recorded.marked, recorded.since, recorded.since)

    def _key_of(self, writer: Writer) -> FileKey | None:
        """Return what tells a current file apart; None if nothing does."""
        file = writer.file
        if file < 0:
            return None
        birth = birth_without_cut(writer.birth)
        file_system = self._file_system(file)
        return (file_system, birth) if birth and file_system else None

    def _file_system(self, file: int) -> str:
        try:
            device = os.fstat(file).st_dev
            found = self._file_systems.get(device)
            if found is None:
                found = self._file_systems[device] = self._file_system_of(file)
        except OSError:
            return ""
        return found

    def _mark_now(self, log: OpenLog, recorded: _Recorded) -> None:
        """Mark the end of a log's file, as it is now."""
        end = log.writer.known_end.offset
        if recorded.is_new:
            if end == recorded.seen:
                return
            self._know_file(log, recorded)
        self._mark(recorded, end, self._notes.now())

    def _mark(self, recorded: _Recorded, end: int, since: int, until: int | None = None) -> None:
        if recorded.key is None:
            return
        if end == recorded.marked:
            since = recorded.since
        recorded.marked, recorded.since = end, since
        self._notes.mark(recorded.key, end, since, until if until is not None else since)

    def _note_dropped(self, log: OpenLog, recorded: _Recorded) -> None:
        dropped, recorded.dropped = recorded.dropped, 0
        if dropped:
            self._happened(log, EventKind.DROPPED, dropped)

    def _happened(self, log: OpenLog, kind: EventKind, count: int | None = None) -> None:
        now = datetime.now(timezone.utc)
        self._notes.happened(log.real_path, LogEvent(log.writer.known_end, now, kind, count))
