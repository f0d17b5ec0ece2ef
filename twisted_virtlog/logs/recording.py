"""Notes when the bytes of logs come, and what happens to them: the observer of one thread's logs.

A log that rests costs nothing: its writer is asleep. The first bytes that are written wake it up,
and end the time for which its file had rested. From then on it is busy, and is looked at once a
second, without a system call, until it has rested again. So a log has at most one mark a second,
and between two of a busy one there are some kilobytes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Protocol

from twisted_virtlog.history.file_system import file_system_id
from twisted_virtlog.history.records import FileKey, key_of
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.observing import LogThread, NoObserver
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.values import Domain, DropReason, EventKind, LogEvent, Position

#: So many bytes of a busy log come before there is another mark, at least.
MARKED_BYTES = 4096

#: No file has this number.
_NO_FILE = 0


class Notes(Protocol):
    """What is noted, in any thread; see Index."""

    def now_ms(self) -> int:
        """Return milliseconds of the boot clock."""

    def begin_file(self, key: FileKey, path: str) -> int:
        """Give a file of a log a number."""

    def mark(self, file: int, offset: int, since_ms: int, until_ms: int) -> None:
        """Note that the end of a file was at an offset, from one moment to another."""

    def found(self, file: int, offset: int, modified_at: datetime, now_ms: int) -> None:
        """Note where the end of a file is that may have grown while nobody noted it."""

    def cut(self, file: int) -> None:
        """Note that another program has cut a file."""

    def end_file(self, file: int) -> None:
        """Take note that nothing more is noted of a file."""

    def forget_files(self, keys: tuple[FileKey, ...]) -> None:
        """Take note that files were removed."""

    def forget_log(self, path: str) -> None:
        """Take note that nothing of a log is there any more."""

    def opened(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        at: datetime,
    ) -> None:
        """Note that a log was opened."""

    def adopted(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        opened_at: datetime,
    ) -> None:
        """Note that a log is open."""

    def appended(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        at: datetime,
    ) -> None:
        """Note that a message was appended to a log that is not open."""

    def closed(self, path: str, position: Position | None, file_system: str, at: datetime) -> None:
        """Note that a log was closed."""

    def happened(self, path: str, event: LogEvent, file_system: str) -> None:
        """Note that something else happened to a log."""


class _Recorded:
    """What is remembered of an open log.

    :ivar file: the number of its current file; 0 before it is asked for, or if nothing tells that
        file apart.
    :ivar is_known: whether it was asked which file it is.
    :ivar modified_ns: when that file was written last, as its file system said when it was found;
        0 if it was empty.
    :ivar marked: the offset of the last mark, and ``since`` its first moment; while the file is not
        known, that of the mark to come.
    :ivar seen: the end of the file when it was looked at last.
    :ivar dropped: bytes that are lost, and not noted yet.
    :ivar keys: of its files, the oldest first, as far as they were seen.
    """

    __slots__ = (
        "dropped",
        "file",
        "is_busy",
        "is_known",
        "keys",
        "marked",
        "modified_ns",
        "seen",
        "since",
    )

    def __init__(self, end: int, now: int) -> None:
        """:param end: of the current file."""
        self.file = _NO_FILE
        self.is_known = self.is_busy = False
        self.modified_ns = 0
        self.marked = self.seen = end
        self.since = now
        self.dropped = 0
        # (one that is never rotated needs none)
        self.keys: deque[FileKey] | None = None


class Recorder(NoObserver):
    """Notes what it is told of the logs of a thread."""

    def __init__(
        self,
        notes: Notes,
        thread: LogThread,
        busy: Callable[[Recorder], object],
        records: bool = True,
        file_system_of: Callable[[int], str] = file_system_id,
    ) -> None:
        """Note nothing yet.

        :param busy: called in the reactor's thread when :meth:`look` is to be called in a second.
        :param records: whether it is noted when bytes come.
        :param file_system_of: returns the id of an open file's file system, "" if it has none.
        """
        self.thread = thread
        self._notes = notes
        self._file_system_of = file_system_of
        self._wants_look = busy
        self._records = records
        self._logs: dict[OpenLog, _Recorded] = {}
        self._busy: dict[OpenLog, _Recorded] = {}
        self._looked_at = 0
        # By st_dev, which lasts as long as a mount does; an id costs system calls.
        self._file_systems: dict[int, str] = {}

    def record(self, records: bool) -> None:
        """Note when bytes come from now on, or do not."""
        if records == self._records:
            return
        self._records = records
        if not records:
            for recorded in self._logs.values():
                if recorded.file:
                    self._notes.end_file(recorded.file)
                recorded.file, recorded.is_known = _NO_FILE, False
            return
        now = self._notes.now_ms()
        for log, recorded in self._logs.items():
            recorded.marked = recorded.seen = log.writer.known_end.offset
            recorded.since = now
            self._found(log.writer.file, recorded)
            log.writer.asleep = True

    # LogObserver.

    def opened(self, log: OpenLog, truncated: bool) -> None:
        if truncated:
            self._notes.forget_log(log.real_path)
        file_system = self._begin(log)
        self._note_opening(log, file_system)

    def adopted(self, log: OpenLog) -> None:
        file_system = self._begin(log)
        if log.writer.file >= 0:
            self._notes.adopted(
                log.real_path,
                log.driver,
                log.domain,
                log.writer.seen_end,
                file_system,
                log.opened_at,
            )

    def closed(self, log: OpenLog) -> None:
        if self._end(log):
            self._note_close(log, datetime.now(timezone.utc))

    def followed(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is not None:
            self._mark_now(log, recorded)
            self._note_close(log, log.opened_at)
            self._note_opening(log, self._file_system(log.writer))

    def left(self, log: OpenLog) -> None:
        self._end(log)

    def woken(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None or recorded.is_busy or not self._records:
            # (somebody else has put it to sleep)
            return
        now = self._notes.now_ms()
        if not recorded.is_known:
            self._know_file(log, recorded)
        if recorded.file:
            self._notes.mark(recorded.file, recorded.marked, recorded.since, now)
        self._is_busy(log, recorded, now)

    def file_ends(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        self._mark_now(log, recorded)
        if recorded.file:
            self._notes.end_file(recorded.file)
        recorded.file, recorded.is_known = _NO_FILE, False
        recorded.since = self._notes.now_ms()
        recorded.seen = recorded.marked = recorded.modified_ns = 0
        self._is_busy(log, recorded, recorded.since)

    def was_cut(self, log: OpenLog, size: int) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        end = log.writer.known_end.offset
        if recorded.file:
            self._notes.cut(recorded.file)
            self._mark(recorded, end, self._notes.now_ms())
        else:
            recorded.marked, recorded.since = end, self._notes.now_ms()
        recorded.seen = end
        self._happened(log, EventKind.CUT, size - end)

    def state_changed(self, log: OpenLog) -> None:
        recorded = self._logs.get(log)
        if recorded is None:
            return
        if log.outage is not None:
            self._happened(log, EventKind.OUTAGE)
        else:
            self._note_dropped(log, recorded)
            self._happened(log, EventKind.RECOVERED)

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        recorded = self._logs.get(log)
        if recorded is not None:
            recorded.dropped += count
            self._is_busy(log, recorded, self._notes.now_ms())

    def appended(self, real_path: str, writer: Writer, driver: str, domain: Domain | None) -> None:
        file_system, place = self._file_system(writer), writer.seen_end
        now = datetime.now(timezone.utc)
        self._notes.appended(real_path, driver, domain, place, file_system, now)
        key = key_of(place.birth, file_system)
        if key is not None and file_system:
            ms = self._notes.now_ms()
            file = self._notes.begin_file(key, real_path)
            self._notes.mark(file, place.offset, ms, ms)
            self._notes.end_file(file)

    def removed(self, real_path: str) -> None:
        self._notes.forget_log(real_path)

    # Once a second.

    def look(self) -> None:
        """Look at the logs that were busy, in their thread."""
        now = self._notes.now_ms()
        before, self._looked_at = self._looked_at, now
        for log, recorded in list(self._busy.items()):
            if recorded.dropped:
                self._note_dropped(log, recorded)
            end = log.writer.known_end.offset
            if end == recorded.seen:
                # It has rested since the last look.
                if end != recorded.marked:
                    self._mark(recorded, end, before, now)
                recorded.is_busy = False
                del self._busy[log]
                if self._records:
                    log.writer.asleep = True
                continue
            if not recorded.is_known:
                self._know_file(log, recorded)
            if end - recorded.marked >= MARKED_BYTES:
                self._mark(recorded, end, now)
            recorded.seen = end
        if self._busy:
            self._look_again()

    def flush(self) -> None:
        """Mark the ends of all busy logs now: the process ends, or another one goes on."""
        for log, recorded in self._busy.items():
            self._mark_now(log, recorded)

    # Its parts.

    def _begin(self, log: OpenLog) -> str:
        """Begin to note of a log; return the id of its file's file system."""
        writer = log.writer
        recorded = self._logs[log] = _Recorded(writer.known_end.offset, self._notes.now_ms())
        # (which file it is costs more, and there may be thousands that stay silent)
        if self._records:
            writer.asleep = True
        # (when an empty file was written last says nothing)
        return self._found(writer.file, recorded) if recorded.marked else self._file_system(writer)

    def _end(self, log: OpenLog) -> bool:
        """Note no more of a log; return whether anything was."""
        recorded = self._logs.pop(log, None)
        if recorded is None:
            return False
        self._busy.pop(log, None)
        self._mark_now(log, recorded)
        if recorded.file:
            self._notes.end_file(recorded.file)
        self._note_dropped(log, recorded)
        return True

    def _note_opening(self, log: OpenLog, file_system: str) -> None:
        place = log.writer.seen_end
        self._notes.opened(log.real_path, log.driver, log.domain, place, file_system, log.opened_at)

    def _note_close(self, log: OpenLog, at: datetime) -> None:
        writer = log.writer
        file_system = self._file_system(writer)
        place = writer.seen_end if writer.file >= 0 else None
        self._notes.closed(log.real_path, place, file_system, at)

    def _is_busy(self, log: OpenLog, recorded: _Recorded, now: int) -> None:
        if recorded.is_busy:
            return
        recorded.is_busy = True
        if not self._busy:
            self._looked_at = now
            self._look_again()
        self._busy[log] = recorded

    def _look_again(self) -> None:
        self.thread.in_reactor(lambda: self._wants_look(self))

    def _know_file(self, log: OpenLog, recorded: _Recorded) -> None:
        """Find out which file a log goes on in, and mark where it began to."""
        writer = log.writer
        if writer.file < 0 or not self._records:
            return
        recorded.is_known = True
        if recorded.marked and not recorded.modified_ns:
            self._found(writer.file, recorded)
        key = key_of(writer.birth, self._file_system(writer))
        if key is None or not key.file_system:
            return
        notes = self._notes
        recorded.file = notes.begin_file(key, log.real_path)
        if recorded.marked:
            modified = datetime.fromtimestamp(recorded.modified_ns / 1e9, timezone.utc)
            notes.found(recorded.file, recorded.marked, modified, recorded.since)
        else:
            notes.mark(recorded.file, 0, recorded.since, recorded.since)
        self._note_key(log, recorded, key)

    def _note_key(self, log: OpenLog, recorded: _Recorded, key: FileKey) -> None:
        """Take note of another file of a log, and of those that rotation has removed."""
        if recorded.keys is None:
            recorded.keys = deque()
        recorded.keys.append(key)
        gone: list[FileKey] = []
        held = len(log.writer.holding.names(log.writer))
        while len(recorded.keys) > log.policy.limits.max_backups + 1 + held:
            gone.append(recorded.keys.popleft())
        if gone:
            self._notes.forget_files(tuple(gone))

    def _found(self, file: int, recorded: _Recorded) -> str:
        """Ask a file when it was written last; return the id of its file system."""
        if file < 0:
            return ""
        try:
            status = os.fstat(file)
            if recorded.marked:
                recorded.modified_ns = status.st_mtime_ns
            return self._id_of(status.st_dev, file)
        except OSError:
            return ""

    def _file_system(self, writer: Writer) -> str:
        """Return the id of the current file's file system; "" if it has none, or no file."""
        file = writer.file
        if file < 0:
            return ""
        device = writer.device
        return self._file_systems.get(device) or self._id_of(device, file)

    def _id_of(self, device: int, file: int) -> str:
        found = self._file_systems.get(device)
        if found is None:
            found = self._file_systems[device] = self._file_system_of(file)
        return found

    def _mark_now(self, log: OpenLog, recorded: _Recorded) -> None:
        """Mark the end of a log's file, as it is now."""
        end = log.writer.known_end.offset
        if not recorded.is_known:
            if end == recorded.seen:
                return
            self._know_file(log, recorded)
        self._mark(recorded, end, self._notes.now_ms())

    def _mark(self, recorded: _Recorded, end: int, since: int, until: int | None = None) -> None:
        if end == recorded.marked:
            since = min(since, recorded.since)
        recorded.marked, recorded.since = end, since
        if recorded.file:
            self._notes.mark(recorded.file, end, since, max(since, until or since))

    def _note_dropped(self, log: OpenLog, recorded: _Recorded) -> None:
        dropped, recorded.dropped = recorded.dropped, 0
        if dropped:
            self._happened(log, EventKind.DROPPED, dropped)

    def _happened(self, log: OpenLog, kind: EventKind, count: int | None = None) -> None:
        writer = log.writer
        event = LogEvent(writer.seen_end, datetime.now(timezone.utc), kind, count)
        self._notes.happened(log.real_path, event, self._file_system(writer))
