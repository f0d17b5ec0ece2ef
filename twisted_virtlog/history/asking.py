"""Reads the tables of the index."""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.moments import moment, wall_time
from twisted_virtlog.history.records import (
    FileKey,
    FileTimes,
    KnownLog,
    LogHistory,
    Opening,
    Progress,
)
from twisted_virtlog.history.rows import domain_of, of_text, position_of, time_of
from twisted_virtlog.history.tables import ROWS_AT_ONCE, Tables, let_others_in
from twisted_virtlog.history.waiting import Waiting, WaitingFile
from twisted_virtlog.history.wall_times import WallTimes, Watch
from twisted_virtlog.values import EventKind, LogEvent


def times_of(
    tables: Tables,
    keys: Sequence[FileKey | None],
    waiting: Waiting,
    walls: WallTimes,
    boot: int,
    now: Watch,
) -> FileTimes:
    """Return when the bytes of files came, as far as that is written or waits.

    :param walls: what is written of the wall clock.
    :param boot: the number of the machine's present boot.
    :param now: of the wall clock, until now.
    """
    births = {key.birth for key in keys if key is not None}
    # (one that has ended may have begun again)
    later: dict[FileKey, list[WaitingFile]] = {}
    for file in waiting.files.values():
        if file.key.birth in births:
            later.setdefault(file.key, []).append(file)
    walls = walls.copy()
    for watch in (*waiting.watches, now):
        walls.add(boot, watch)
    marks = [
        FileMarks() if key is None else _marks_of(tables, key, later.get(key, ()), boot)
        for key in keys
    ]
    return FileTimes(marks, walls, moment(boot, now.until))


def _marks_of(tables: Tables, key: FileKey, waiting: Sequence[WaitingFile], boot: int) -> FileMarks:
    file = tables.file(key)
    marks = FileMarks() if file is None else tables.marks(file)
    for one in waiting:
        new = one.marks.in_boot(boot)
        if one.is_cut or (len(new) and new.offset(0) < marks.end):
            marks.cut()
        marks.add_all(new)
    return marks


def history_of(tables: Tables, path: str) -> LogHistory:
    """Return what happened to a log."""
    log = tables.log(path)
    openings = [
        Opening(
            position_of(inode, start, birth),
            file_system,
            wall_time(opened_at),
            of_text(driver),
            domain_of(uuid, name),
            time_of(closed_at),
            None if end[0] is None else position_of(*end),
        )
        for inode, start, birth, file_system, opened_at, driver, uuid, name, closed_at, *end in (
            tables.do(
                "SELECT inode, start, birth, file_system, opened_at, driver, uuid, name, closed_at,"
                " end_inode, end, end_birth FROM openings WHERE log = ? ORDER BY id",
                (log,),
            )
        )
    ]
    events = [
        LogEvent(position_of(*place), wall_time(at), EventKind(kind), count)
        for *place, at, kind, count in tables.do(
            "SELECT inode, place, birth, at, kind, bytes FROM events WHERE log = ? ORDER BY id",
            (log,),
        )
    ]
    return LogHistory(openings, events)


def logs(tables: Tables) -> list[KnownLog]:
    """Return all logs that were opened or appended to, sorted by path."""
    found = []
    rows = tables.do(
        "SELECT path, driver, uuid, name, first_at, opened_at, closed_at, inode, end, birth"
        " FROM logs WHERE first_at > 0 ORDER BY path"
    )
    for number, (path, driver, uuid, name, first_at, opened_at, closed_at, *end) in enumerate(
        rows, 1
    ):
        found.append(
            KnownLog(
                os.fsdecode(path),
                of_text(driver),
                domain_of(uuid, name),
                wall_time(first_at),
                time_of(opened_at),
                time_of(closed_at),
                position_of(*end),
            )
        )
        let_others_in(number, ROWS_AT_ONCE)
    return found


def paths(tables: Tables) -> list[str]:
    """Return the paths of all logs of which anything is kept."""
    return [os.fsdecode(path) for (path,) in tables.do("SELECT path FROM logs")]


def files_of(tables: Tables, path: str) -> set[FileKey]:
    """Return the files of a log of which anything is kept."""
    log = tables.log(path)
    return set() if log is None else tables.files_of(log)


def consumers(tables: Tables) -> list[tuple[str, str, Progress]]:
    """Return what consumers have of logs: paths, consumers, and how far they have come."""
    found = []
    rows = tables.do(
        "SELECT path, consumer, inode, place, birth, unread, unread_before, at FROM consumers"
    )
    for number, (path, consumer, *place, unread, unread_before, at) in enumerate(rows, 1):
        position = None if place[0] is None else position_of(*place)
        progress = Progress(position, unread, unread_before, time_of(at))
        found.append((os.fsdecode(path), consumer, progress))
        let_others_in(number, ROWS_AT_ONCE)
    return found
