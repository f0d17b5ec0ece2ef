"""Writes what happens to logs into the index, and forgets what is gone."""

from __future__ import annotations

import os
from collections.abc import Iterable

from twisted_virtlog.history.deeds import (
    Acknowledged,
    Closed,
    ConsumerGone,
    Deed,
    FilesGone,
    Happened,
    How,
    LogGone,
    Opened,
)
from twisted_virtlog.history.moments import wall_ms
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.rows import names_of, pieces, place_of, text_of
from twisted_virtlog.history.tables import Tables
from twisted_virtlog.values import EventKind, Position

#: Of each log, so many openings are kept, and so many events; it is looked after now and then.
_MOST_OF_LOG = 4096
_LOOK_EVERY = 64

#: The columns of a log that say where it ends, as of place_of.
_ENDS_AT = "inode = ?, end = ?, birth = ?"


class DeedWriter:
    """Writes deeds one after the other.

    :ivar gone: the numbers of the files that were forgotten.
    """

    def __init__(self, tables: Tables) -> None:
        self.gone: set[int] = set()
        self._tables = tables

    def write(self, deed: Deed) -> Iterable[FileKey]:
        """Write one; return the files that are gone with it."""
        if isinstance(deed, Opened):
            self._opened(deed)
        elif isinstance(deed, Closed):
            self._closed(deed)
        elif isinstance(deed, Happened):
            event, log = deed.event, self._tables.known_log(deed.path)
            file = self._tables.file_at(event.position, deed.file_system, log)
            self._event(log, event.kind, event.position, file, wall_ms(event.time), event.bytes)
        elif isinstance(deed, FilesGone):
            self._forget_files(deed.keys)
            return deed.keys
        elif isinstance(deed, LogGone):
            return self._forget_log(deed)
        elif isinstance(deed, Acknowledged):
            self._acknowledged(deed)
        elif isinstance(deed, ConsumerGone):
            self._forget_consumer(deed)
        return ()

    def _acknowledged(self, deed: Acknowledged) -> None:
        progress = deed.progress
        position, at = progress.position, progress.at
        self._tables.do(
            "INSERT OR REPLACE INTO consumers (consumer, path, inode, place, birth, unread,"
            " unread_before, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                deed.consumer,
                os.fsencode(deed.path),
                *((None, None, None) if position is None else place_of(position)),
                progress.unread,
                progress.unread_before,
                None if at is None else wall_ms(at),
            ),
        )

    def _forget_consumer(self, deed: ConsumerGone) -> None:
        path = None if deed.path is None else os.fsencode(deed.path)
        self._tables.do(
            "DELETE FROM consumers WHERE consumer = coalesce(?, consumer)"
            " AND path = coalesce(?, path)",
            (deed.consumer, path),
        )

    def _opened(self, deed: Opened) -> None:
        tables, position, at = self._tables, deed.position, wall_ms(deed.at)
        who, place = (text_of(deed.driver), *names_of(deed.domain)), place_of(position)
        log = tables.log(deed.path)
        if deed.how is How.APPENDED:
            log = tables.known_log(deed.path) if log is None else log
            tables.do(
                "UPDATE logs SET driver = ?, uuid = ?, name = ?, first_at = ? WHERE id = ?"
                " AND first_at = 0",
                (*who, at, log),
            )
            tables.do(f"UPDATE logs SET {_ENDS_AT} WHERE id = ?", (*place, log))
            return
        if log is None:
            # (at once, as those are many that are opened for the first time)
            log = tables.new_log(deed.path, who, at, place)
        elif deed.how is How.ADOPTED and self._is_open_since(log, at):
            tables.do("UPDATE logs SET closed_at = NULL WHERE id = ?", (log,))
            return
        else:
            tables.do(
                "UPDATE logs SET driver = ?, uuid = ?, name = ?, opened_at = ?, closed_at = NULL,"
                f" first_at = CASE first_at WHEN 0 THEN ? ELSE first_at END, {_ENDS_AT}"
                " WHERE id = ?",
                (*who, at, at, *place, log),
            )
        file = tables.file_at(position, deed.file_system, log)
        opening = tables.do(
            "INSERT INTO openings (log, file, inode, start, birth, file_system, opened_at, driver,"
            " uuid, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (log, file, *place, deed.file_system, at, *who),
        ).lastrowid
        self._leave_newest("openings", log, opening)
        self._event(log, EventKind.OPENED, position, file, at)

    def _is_open_since(self, log: int, at: int) -> bool:
        """Return whether the last opening of a log was at that time."""
        return bool(
            self._tables.one(
                "SELECT opened_at = ? FROM openings WHERE log = ? ORDER BY id DESC LIMIT 1", at, log
            )
        )

    def _closed(self, deed: Closed) -> None:
        tables, position, at = self._tables, deed.position, wall_ms(deed.at)
        log = tables.known_log(deed.path)
        place = (None, None, None) if position is None else place_of(position)
        tables.do(
            "UPDATE openings SET closed_at = ?, end_inode = ?, end = ?, end_birth = ?"
            " WHERE id = (SELECT max(id) FROM openings WHERE log = ?) AND closed_at IS NULL",
            (at, *place, log),
        )
        if position is None:
            tables.do("UPDATE logs SET closed_at = ? WHERE id = ?", (at, log))
            return
        tables.do(f"UPDATE logs SET closed_at = ?, {_ENDS_AT} WHERE id = ?", (at, *place, log))
        file = tables.file_at(position, deed.file_system, log)
        self._event(log, EventKind.CLOSED, position, file, at)

    def _event(
        self,
        log: int,
        kind: EventKind,
        position: Position,
        file: int | None,
        at: int,
        count: int | None = None,
    ) -> None:
        """Note what happened to a log.

        :param file: the number of the file that the position lies in; None if it has none.
        """
        event = self._tables.do(
            "INSERT INTO events (log, file, inode, place, birth, at, kind, bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (log, file, *place_of(position), at, kind.value, count),
        ).lastrowid
        self._leave_newest("events", log, event)

    def _leave_newest(self, table: str, log: int, last: int | None) -> None:
        """Remove the oldest rows of a log if there are too many, now and then."""
        if last is not None and last % _LOOK_EVERY == 0:
            self._tables.do(
                f"DELETE FROM {table} WHERE log = ? AND id <= (SELECT id FROM {table}"
                " WHERE log = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (log, log, _MOST_OF_LOG),
            )

    def _forget_files(self, keys: Iterable[FileKey]) -> None:
        for key in keys:
            file = self._tables.file(key)
            if file is not None:
                self._forget_file(file)

    def _forget_file(self, file: int) -> None:
        self.gone.add(file)
        do = self._tables.do
        do("DELETE FROM marks WHERE id >= ? AND id < ?", pieces(file))
        do("DELETE FROM begun WHERE file = ?", (file,))
        do("DELETE FROM events WHERE file = ?", (file,))
        # Of those whose beginning is gone, the last one may have bytes in the next file.
        do("UPDATE openings SET file = NULL WHERE file = ?", (file,))
        do(
            "DELETE FROM openings WHERE file IS NULL AND log = (SELECT log FROM files WHERE id = ?)"
            " AND id < (SELECT max(id) FROM openings WHERE file IS NULL"
            " AND log = (SELECT log FROM files WHERE id = ?))",
            (file, file),
        )
        do("DELETE FROM files WHERE id = ?", (file,))

    def _forget_log(self, deed: LogGone) -> Iterable[FileKey]:
        tables = self._tables
        log = tables.log(deed.path)
        if log is None:
            return ()
        keys = tables.files_of(log)
        if deed.files is not None and not keys <= deed.files:
            # (it was opened since)
            return ()
        if deed.files is not None:
            # (of one that begins anew, consumers have something)
            self._forget_consumer(ConsumerGone(None, deed.path))
        self._forget_files(keys)
        for table in ("openings", "events"):
            tables.do(f"DELETE FROM {table} WHERE log = ?", (log,))
        tables.do("DELETE FROM logs WHERE id = ?", (log,))
        return keys
