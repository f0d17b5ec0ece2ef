"""What is written stays: over a restart, a reboot, a kill; and goes with its files."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from harness.daemon import CHECKOUT
from tests.history.world import (
    FILE_SYSTEM,
    GUEST,
    PATH,
    World,
    at,
    kept,
    key,
    later,
    past,
)
from twisted_virtlog.history import asking, deed_writing
from twisted_virtlog.history import database as module
from twisted_virtlog.history import index as index_module
from twisted_virtlog.history.database import Database
from twisted_virtlog.history.deeds import (
    CUT,
    MARK,
    FileBegun,
    FileEnded,
    FilesGone,
    LogGone,
    Opened,
    Taken,
)
from twisted_virtlog.history.marks import FileMarks, most_marks
from twisted_virtlog.history.moments import NO_BOOT, moment
from twisted_virtlog.history.records import FileKey, KnownLog, Opening, Progress
from twisted_virtlog.history.waiting import Waiting, WaitingFile
from twisted_virtlog.history.wall_times import watch
from twisted_virtlog.values import EventKind, KeptFile, LogEvent, Position

BASE = 1_800_000_000_000


class Boots:
    """A file that one process after another opens, in one boot after another.

    :ivar boot: the present one.
    """

    def __init__(self, directory: Path, process: str = "") -> None:
        self.path = str(directory / "state" / "history.sqlite")
        self.boot = 1
        self._processes = itertools.repeat(process) if process else map(str, itertools.count())
        self.database = self._open()

    def reopen(self) -> None:
        """Close it, and open it again."""
        self.database.close()
        self.database = self._open()

    def become(self, process: str) -> None:
        """Let another process open it from now on."""
        self._processes = itertools.repeat(process)

    def _open(self) -> Database:
        return Database(self.path, f"boot {self.boot}", next(self._processes))

    def reboot(self) -> None:
        """Open it in the next boot."""
        self.boot += 1
        self.reopen()

    def write(self, number: int, file: WaitingFile, until: int = 100_000) -> None:
        """Write what waits of a file."""
        waiting = Waiting()
        waiting.files[number] = file
        waiting.watches = [watch(0, until, BASE + self.boot)]
        self.database.write(waiting, whole=True)

    def marks(self, inode: int) -> FileMarks:
        """Return what is written of a file."""
        number = self.database.tables.file(key(inode))
        return FileMarks() if number is None else self.database.tables.marks(number)

    def offsets(self, inode: int) -> list[int]:
        """Return where the marks are that are written of a file."""
        return [offset for offset, *_ in self.marks(inode)]

    def pieces(self) -> int:
        found: int = self.database.tables.one("SELECT count(*) FROM marks")
        return found


def file(inode: int, *marks: tuple[int, int, int]) -> WaitingFile:
    """Make a file with marks that wait: offset, and since and until when in the present boot."""
    found = WaitingFile(key(inode), PATH)
    for mark in marks:
        found.mark(*mark)
    return found


@pytest.fixture
def boots(tmp_path: Path) -> Boots:
    return Boots(tmp_path)


def test_nobody_else_may_read_it(boots: Boots) -> None:
    assert stat.S_IMODE(os.stat(boots.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(boots.path)).st_mode) == 0o700
    boots.write(1, file(1, (0, 1, 1)))
    assert {stat.S_IMODE(one.stat().st_mode) for one in Path(boots.path).parent.iterdir()} == {
        0o600
    }
    # No memory is shared with other processes, which some file systems cannot do.
    assert not os.path.exists(boots.path + "-shm")


def test_no_memory_is_shared_through_a_file(boots: Boots) -> None:
    """Homes on NFS lack it."""
    directory = Path(boots.path).parent
    for _ in range(3):
        assert sorted(os.listdir(directory)) == ["history.sqlite", "history.sqlite-wal"]
        boots.reopen()


def test_marks_of_two_boots(boots: Boots) -> None:
    boots.write(1, file(1, (0, 1, 1), (10, 2000, 3000)))
    boots.reboot()
    boots.write(7, file(1, (10, -BASE, 500), (30, 600, 600)))
    boots.write(7, file(1, (30, 700, 800)))
    assert list(boots.marks(1)) == [
        (0, moment(1, 1), moment(1, 1)),
        (10, moment(1, 2000), moment(1, 3000)),
        (10, moment(NO_BOOT, BASE), moment(2, 500)),
        (30, moment(2, 600), moment(2, 600)),
        (30, moment(2, 700), moment(2, 800)),
    ]
    assert list(boots.database.walls) == [
        (1, watch(0, 100_000, BASE + 1)),
        (2, watch(0, 100_000, BASE + 2)),
    ]
    boots.reopen()
    assert boots.database.boot == 2
    assert [boot for boot, _ in boots.database.walls] == [1, 2]


def test_steps_of_the_clock_come_back(boots: Boots) -> None:
    waiting = Waiting()
    waiting.watches = [watch(0, 50, BASE), watch(60, 90, BASE + 5000)]
    boots.database.write(waiting, whole=True)
    waiting.watches = [watch(60, 200, BASE + 5000)]
    boots.database.write(waiting, whole=True)
    boots.reopen()
    assert boots.database.walls.of_boot(1) == [watch(0, 50, BASE), watch(60, 200, BASE + 5000)]
    # One that steps all the time is joined in the file, too.
    waiting.watches = [watch(1000 * n, 1000 * n + 500, BASE + n % 2 * 9000) for n in range(1, 600)]
    boots.database.write(waiting, whole=True)
    joined = boots.database.walls.of_boot(1)
    assert len(joined) < 400
    boots.reopen()
    assert boots.database.walls.of_boot(1) == joined


def test_boots_of_long_ago_are_forgotten(boots: Boots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BOOTS", 2)
    for _ in range(4):
        boots.write(1, file(1, (0, 1, 1)))
        boots.reboot()
    assert [boot for boot, _ in boots.database.walls] == [3, 4]


def test_a_file_has_no_more_marks_than_it_may(boots: Boots) -> None:
    size, ended = 0, []
    for number in range(300):
        marks = [(size + step, 100 * number + step, 100 * number + step) for step in range(10)]
        size += 1000
        boots.write(1, file(1, *marks), until=100 * number + 100)
        ended = marks
        found = boots.marks(1)
        assert len(found) <= most_marks(size)
    assert len(found) > most_marks(size) // 2 - 1
    assert found.offset(0) == 0
    assert found.last() is not None
    assert ended[-1][0] == found.last()[0]  # type: ignore[index]
    assert boots.pieces() <= 3
    # What remembers what is written agrees with what is.
    boots.reopen()
    boots.write(1, file(1, (size, 10**6, 10**6)))
    assert len(boots.marks(1)) <= most_marks(size)


def test_a_file_that_has_ended_is_in_one_piece(boots: Boots) -> None:
    marks = [(5120 * number, number, number) for number in range(200)]
    for begin in range(0, 200, 10):
        boots.write(1, file(1, *marks[begin : begin + 10]))
    assert boots.pieces() > 1
    last = file(1)
    last.is_ended = True
    boots.write(1, last)
    assert boots.pieces() == 1
    assert boots.offsets(1) == [offset for offset, *_ in marks]


def test_a_cut_forgets_what_is_written(boots: Boots) -> None:
    boots.write(1, file(1, (0, 1, 1), (10, 2, 2), (20, 3, 3)))
    cut = file(1)
    cut.cut()
    cut.mark(5, 9, 9)
    boots.write(1, cut)
    assert boots.offsets(1) == [0, 5]


@pytest.mark.parametrize("is_known", [False, True])
def test_a_cut_that_nobody_saw_forgets_it_too(boots: Boots, is_known: bool) -> None:
    boots.write(1, file(1, (0, 1, 1), (10, 2, 2), (20, 3, 3)))
    if not is_known:
        boots.reopen()
    boots.write(2, file(1, (15, -(BASE + 5000), 9)))
    assert boots.offsets(1) == [0, 15]


@pytest.mark.parametrize(
    ("modified", "left"),
    [
        # Written last when the marks were: its end was lost.
        (BASE + 3, [0, 10, 15]),
        # Somebody has written to it since.
        (BASE + 10_000_000, [0, 15]),
    ],
)
def test_a_file_whose_end_was_lost_with_the_machine_keeps_its_times(
    boots: Boots, modified: int, left: list[int]
) -> None:
    boots.write(1, file(1, (0, 1, 1), (10, 2, 2), (20, 3, 3)))
    boots.reboot()
    boots.write(1, file(1, (15, -modified, 9)))
    assert boots.offsets(1) == left


def test_what_fails_is_not_half_written(boots: Boots) -> None:
    waiting = Waiting()
    waiting.files[1] = file(1, (0, 1, 1), (10, 2, 2))
    waiting.files[2] = WaitingFile(FileKey(FILE_SYSTEM, "\ud800"), PATH)
    with pytest.raises(UnicodeEncodeError):
        boots.database.write(waiting, whole=True)
    assert not len(boots.marks(1))
    del waiting.files[2]
    boots.database.write(waiting, whole=True)
    assert boots.offsets(1) == [0, 10]


# The journal, in which marks are before they are in their files.


def journalled(boots: Boots, *marks: tuple[int, int, int, int]) -> Waiting:
    """Write marks to the journal: numbers of files, ends, and since and until when."""
    begun = [FileBegun(number, key(number), PATH) for number in {mark[0] for mark in marks}]
    waiting = Waiting()
    waiting.take(Taken(b"".join(MARK.pack(*mark) for mark in marks), [*begun], 0, 0))
    waiting.watches = [watch(0, 100, BASE)]
    waiting.written(boots.database.write(waiting, whole=False), whole=False)
    return waiting


def test_a_killed_process_leaves_its_marks_in_the_journal(boots: Boots) -> None:
    waiting = journalled(boots, (1, 0, 1, 1), (2, 5, 1, 1), (1, 10, 2, 3))
    assert boots.offsets(1) == []
    assert not waiting
    assert set(waiting.files) == {1, 2}
    boots.reboot()
    assert list(boots.marks(1)) == [
        (0, moment(1, 1), moment(1, 1)),
        (10, moment(1, 2), moment(1, 3)),
    ]
    assert boots.offsets(2) == [5]
    # They are in it no more.
    boots.reopen()
    assert boots.offsets(1) == [0, 10]
    assert boots.database.tables.one("SELECT count(*) FROM journal") == 0


def test_what_a_process_has_left_itself_still_waits(tmp_path: Path) -> None:
    """Its file was closed, as a disk failed; what is in memory is written later."""
    boots = Boots(tmp_path, "this one")
    waiting = journalled(boots, (1, 0, 1, 1), (1, 10, 2, 3))
    boots.reopen()
    assert boots.offsets(1) == []
    boots.database.write(waiting, whole=True)
    assert boots.offsets(1) == [0, 10]


def test_a_process_that_had_its_file_closed_leaves_all_its_marks(tmp_path: Path) -> None:
    """Closed for a hand-over that came to nothing, say, and then for one that did not."""
    boots = Boots(tmp_path, "this one")
    waiting = journalled(boots, (1, 0, 1, 1), (1, 10, 2, 3), (2, 5, 1, 1))
    boots.reopen()
    waiting.take(Taken(MARK.pack(1, 20, 4, 4), [FileEnded(2)], 0, 0))
    waiting.written(boots.database.write(waiting, whole=False), whole=False)
    boots.reopen()
    boots.become("the next one")
    boots.reopen()
    assert boots.offsets(1) == [0, 10, 20]
    assert boots.offsets(2) == [5]
    assert boots.database.tables.one("SELECT count(*) FROM journal") == 0
    assert boots.database.tables.one("SELECT count(*) FROM begun") == 0


def test_marks_of_a_file_that_has_ended_do_not_come_twice(boots: Boots) -> None:
    waiting = journalled(boots, (1, 0, 1, 1), (1, 10, 2, 3), (2, 7, 1, 1))
    waiting.take(Taken(MARK.pack(1, 20, 4, 4), [FileEnded(1)], 0, 0))
    assert waiting
    waiting.written(boots.database.write(waiting, whole=False), whole=False)
    assert set(waiting.files) == {2}
    assert boots.offsets(1) == [0, 10, 20]
    boots.reopen()
    assert boots.offsets(1) == [0, 10, 20]
    assert boots.offsets(2) == [7]


def test_a_file_that_has_ended_says_so_even_if_nothing_is_noted_of_it(boots: Boots) -> None:
    waiting = journalled(boots, (1, 0, 1, 1))
    waiting.take(Taken(b"", [FileEnded(1)], 0, 0))
    assert waiting
    waiting.written(boots.database.write(waiting, whole=False), whole=False)
    assert not waiting
    assert not waiting.files


def test_marks_of_a_file_that_is_gone_do_not_come_back(boots: Boots) -> None:
    waiting = journalled(boots, (1, 0, 1, 1), (2, 5, 1, 1))
    waiting.take(Taken(MARK.pack(1, 20, 4, 4), [FilesGone((key(1),))], 0, 0))
    waiting.written(boots.database.write(waiting, whole=False), whole=False)
    assert set(waiting.files) == {2}
    boots.reopen()
    assert boots.database.tables.file(key(1)) is None
    assert boots.offsets(2) == [5]


def test_what_is_not_in_the_journal_is_written_to_files(boots: Boots) -> None:
    """While nothing could be written, some of it was forgotten."""
    waiting = journalled(boots, (1, 0, 1, 1), (1, 10, 2, 3))
    assert not waiting.has_many
    assert waiting.bound() == 0
    assert waiting
    assert waiting.has_many


def test_a_journal_that_is_cut_off_is_read_so_far(boots: Boots) -> None:
    journalled(boots, (1, 0, 1, 1), (1, 10, 2, 3))
    boots.database.tables.do("UPDATE journal SET marks = substr(marks, 1, 40)")
    boots.reopen()
    assert boots.offsets(1) == [0]


# Openings and events, as an index that ends and starts again has them.


def test_openings_go_on_over_a_restart(world: World) -> None:
    index = world.start()
    index.opened(PATH, "qemu", GUEST, at(5, 0), FILE_SYSTEM, later(0))
    index = world.restart(index)
    # The log outlived the process, and this one knows since when it is open.
    index.adopted(PATH, "qemu", GUEST, at(5, 30), FILE_SYSTEM, later(0))
    (opening,) = past(world.wait_for(index.history_of(PATH))).openings
    assert (opening.start, opening.closed_at) == (at(5, 0), None)
    index.closed(PATH, at(5, 40), FILE_SYSTEM, later(9))
    index = world.restart(index)
    (opening,) = past(world.wait_for(index.history_of(PATH))).openings
    assert (opening.closed_at, opening.end) == (later(9), at(5, 40))


def test_an_opening_that_was_not_noted_is_noted_when_it_is_found(world: World) -> None:
    index = world.start()
    index.opened(PATH, "qemu", GUEST, at(5, 0), FILE_SYSTEM, later(0))
    index.adopted(PATH, "qemu", None, at(5, 30), FILE_SYSTEM, later(7))
    index.closed(PATH, None, FILE_SYSTEM, later(9))
    first, second = past(world.wait_for(index.history_of(PATH))).openings
    # (nobody knows when the first was closed)
    assert first.closed_at is None
    assert second == Opening(at(5, 30), FILE_SYSTEM, later(7), "qemu", None, later(9))


def test_known_logs(any_world: World) -> None:
    odd = os.fsdecode(b"/var/log/\xff.log")
    index = any_world.start()
    index.opened("/b.log", "qemu", GUEST, at(5, 0), FILE_SYSTEM, later(0))
    index.closed("/b.log", at(5, 9), FILE_SYSTEM, later(1))
    index.opened("/b.log", "qemu\ud800", None, at(6, 0), FILE_SYSTEM, later(2))
    index.opened(odd, "qemu", None, at(7, 0), FILE_SYSTEM, later(3))
    index.closed(odd, at(7, 5), FILE_SYSTEM, later(4))
    huge = Position((1 << 64) - 1, 1 << 50, "")
    index.appended("/a.log", "ctl", GUEST, huge, "", later(5))
    index.appended("/a.log", "other", None, huge, "", later(6))
    index.appended(odd, "ctl", GUEST, at(7, 8), FILE_SYSTEM, later(7))
    # (of this one only its files are known, which makes it no log that is known)
    index.begin_file(key(9), "/only.log")
    assert any_world.wait_for(index.logs()) == [
        KnownLog("/a.log", "ctl", GUEST, later(5), None, None, huge),
        KnownLog("/b.log", "qemu\ud800", None, later(0), later(2), None, at(6, 0)),
        KnownLog(odd, "qemu", None, later(3), later(3), later(4), at(7, 8)),
    ]


def test_a_log_has_not_more_openings_and_events_than_it_may(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deed_writing, "_MOST_OF_LOG", 10)
    monkeypatch.setattr(deed_writing, "_LOOK_EVERY", 4)
    index = world.start()
    index.opened("/other.log", "qemu", None, at(9, 0), FILE_SYSTEM, later(0))
    for number in range(100):
        index.opened(PATH, "qemu", None, at(5, number), FILE_SYSTEM, later(number))
    history = past(world.wait_for(index.history_of(PATH)))
    for found in (history.openings, history.events):
        assert 10 <= len(found) < 10 + 4
    assert history.openings[-1].start == at(5, 99)
    assert len(past(world.wait_for(index.history_of("/other.log"))).openings) == 1


# What is gone.


def test_what_is_known_of_a_file_goes_with_it(any_world: World) -> None:
    index = any_world.start()
    numbers = {}
    for inode in (1, 2, 3):
        numbers[inode] = index.begin_file(key(inode), PATH)
        index.mark(numbers[inode], 0, 1, 1)
        for offset in (0, 5):
            index.opened(PATH, "qemu", None, at(inode, offset), FILE_SYSTEM, later(inode))
        index.happened(PATH, LogEvent(at(inode, 7), later(8), EventKind.CUT, 1), FILE_SYSTEM)
    index.forget_files([key(1), key(2), key(99)])
    times = any_world.wait_for(index.times_of([kept(1, 1), kept(2, 1), kept(3, 1)]))
    assert [len(marks) for marks in times.marks] == [0, 0, 1]
    history = past(any_world.wait_for(index.history_of(PATH)))
    # Of what began in files that are gone the last one may go on in the next.
    assert [opening.start for opening in history.openings] == [at(2, 5), at(3, 0), at(3, 5)]
    assert [event.position for event in history.events] == [at(3, 0), at(3, 5), at(3, 7)]
    # What was noted too late harms nobody.
    index.mark(numbers[1], 10, 2, 2)
    index.forget_log(PATH)
    assert past(any_world.wait_for(index.history_of(PATH))).openings == []
    assert any_world.wait_for(index.logs()) == []
    times = any_world.wait_for(index.times_of([kept(3, 1)]))
    assert [len(marks) for marks in times.marks] == [0]


def test_what_is_left_over_is_swept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_SWEEP_REST_SECONDS", 0)
    index = world.start()
    for inode, path in ((1, "/a.log"), (2, "/a.log"), (3, "/b.log"), (4, "/c.log")):
        index.opened(path, "qemu", None, at(inode, 0), FILE_SYSTEM, later(inode))
        index.mark(index.begin_file(key(inode), path), 0, 1, 1)
    index = world.restart(index)
    there: dict[str, list[KeptFile] | None] = {
        # The first one is gone; all are; nobody knows.
        "/a.log": [kept(2, 0), KeptFile(8, "", 5, later(0), "")],
        "/b.log": [],
        "/c.log": None,
    }
    asked: list[str] = []

    def kept_of(path: str) -> Deferred[Sequence[KeptFile] | None]:
        asked.append(path)
        return succeed(there[path])

    swept = index.sweep(kept_of)
    while not swept.called:
        world.reactor.turn()
        world.clock.advance(0)
    assert sorted(asked) == sorted(there)
    times = world.wait_for(index.times_of([kept(inode, 1) for inode in (1, 2, 3, 4)]))
    assert [len(marks) for marks in times.marks] == [0, 1, 0, 1]
    assert [log.path for log in world.wait_for(index.logs())] == ["/a.log", "/c.log"]


def test_a_log_that_is_opened_while_it_is_swept_stays(boots: Boots) -> None:
    waiting = Waiting()
    waiting.deeds = [
        Opened(PATH, "qemu", None, at(1, 0), FILE_SYSTEM, later(0)),
        LogGone(PATH, frozenset()),
    ]
    boots.database.write(waiting, whole=True)
    assert [log.path for log in asking.logs(boots.database.tables)] == [PATH]
    waiting.deeds = [LogGone(PATH, frozenset({key(1)})), LogGone("/other.log", frozenset())]
    boots.database.write(waiting, whole=True)
    assert asking.logs(boots.database.tables) == []


# A process that is killed.

_NOTES = """
import sys
from pathlib import Path
from tests.history.world import FILE_SYSTEM, World, at, key, later, past
world = World(Path(sys.argv[1]))
index = world.start()
file = index.begin_file(key(1), "/marked.log")
number = 0
while True:
    number += 1
    path = f"/{number:06}.log"
    index.mark(file, number, number, number)
    index.opened(path, "qemu", None, at(number, 0), FILE_SYSTEM, later(number))
    # What was answered is written.
    past(world.wait_for(index.history_of(path)))
    print(number, flush=True)
"""


@pytest.mark.lengthy
def test_what_was_committed_outlives_a_kill(tmp_path: Path) -> None:
    """Openings are committed at once; of the times a few seconds are lost."""
    world = World(tmp_path / "state")
    last = 0
    for _ in range(5):
        command = [sys.executable, "-c", _NOTES, str(world.directory)]
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(30):
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            last = max([last, *(int(line) for line in process.stdout)])
        index = world.start()
        paths = [log.path for log in world.wait_for(index.logs())]
        assert paths[:last] == [f"/{number:06}.log" for number in range(1, last + 1)]
        for path in paths:
            index.forget_log(path)
        world.wait_for(index.logs())
        world.end(index)
    assert not list(world.file.parent.glob("*broken*"))
    world.close()


# Everything together.


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.one_of(
                st.integers(0, 9000).map(lambda size: ("grow", size)),
                st.sampled_from(
                    [("cut", 0), ("forget", 0), ("end", 0), ("write", 0), ("write", 1), ("kill", 0)]
                ),
            ),
        ),
        max_size=40,
    )
)
def test_marks_are_those_of_memory(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, tuple[str, int]]]
) -> None:
    """What is written, read and joined with what waits is what it would be without a file."""
    boots = Boots(tmp_path_factory.mktemp("t"))
    waiting, expected = Waiting(), {inode: FileMarks() for inode in range(3)}
    numbers: dict[int, int] = {}
    sizes, now = dict.fromkeys(range(3), 0), 0

    def write(whole: bool) -> None:
        waiting.written(boots.database.write(waiting, whole), whole)

    for step, (inode, (what, size)) in enumerate(steps):
        now += 10
        waiting.watches = [watch(0, now, BASE)]
        number = numbers.setdefault(inode, step + 1)
        known = FileBegun(number, key(inode), PATH)
        if what == "grow":
            sizes[inode] += size
            mark = MARK.pack(number, sizes[inode], now, now)
            expected[inode].add(sizes[inode], moment(1, now), moment(1, now))
            waiting.take(Taken(mark, [known], 0, 0))
        elif what == "cut":
            sizes[inode] = 0
            mark = MARK.pack(number, CUT, 0, 0) + MARK.pack(number, 0, now, now)
            expected[inode].cut()
            expected[inode].add(0, moment(1, now), moment(1, now))
            waiting.take(Taken(mark, [known], 0, 0))
        elif what == "forget":
            waiting.take(Taken(b"", [FilesGone((key(inode),))], 0, 0))
            del numbers[inode]
            sizes[inode], expected[inode] = 0, FileMarks()
            write(whole=False)
        elif what == "end":
            waiting.take(Taken(b"", [known, FileEnded(number)], 0, 0))
            del numbers[inode]
        elif what == "write":
            write(whole=bool(size))
        else:
            write(whole=False)
            waiting = Waiting()
            numbers.clear()
            boots.reopen()
    found = asking.times_of(
        boots.database.tables,
        [key(inode) for inode in range(3)],
        waiting,
        boots.database.walls,
        boots.database.boot,
        watch(0, now, BASE),
    )
    for inode, marks in enumerate(found.marks):
        marks.thin(10_000)
        assert marks == expected[inode]
    boots.database.close()


@pytest.mark.lengthy
def test_the_room_of_what_was_forgotten_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_SWEEP_REST_SECONDS", 0)
    index = world.start()
    for number in range(2000):
        index.opened(f"/{number}.log", "qemu", GUEST, at(number, 0), FILE_SYSTEM, later(0))
    index = world.restart(index)
    before = world.file.stat().st_size
    swept = index.sweep(lambda path: succeed([]))
    while not swept.called:
        world.reactor.turn()
        world.clock.advance(0)
    world.end(index)
    assert world.file.stat().st_size < before / 4


def test_what_consumers_have_outlasts_a_process(world: World) -> None:
    """Each of each log, until it is forgotten, or the log has no file any more."""
    index = world.start()
    read = Progress(at(5, 7), 3, 1, later(2))
    for path, consumer, progress in (
        (PATH, "nats", Progress(at(5, 6))),
        (PATH, "nats", read),
        (PATH, "loki", Progress()),
        ("/b\udcff.log", "nats", read),
        ("/c.log", "nats", read),
    ):
        index.acknowledged(path, consumer, progress)
    index.forget_consumer("nats", "/c.log")
    index = world.restart(index)
    known = world.wait_for(index.consumers())
    assert sorted(known or []) == [
        ("/b\udcff.log", "nats", read),
        (PATH, "loki", Progress()),
        (PATH, "nats", read),
    ]
    index.forget_consumer(None, PATH)
    # (one that begins anew keeps it)
    index.forget_log("/b\udcff.log")
    assert world.wait_for(index.consumers()) == [("/b\udcff.log", "nats", read)]
    index.opened("/b\udcff.log", "qemu", GUEST, at(5, 0), FILE_SYSTEM, later(0))
    swept = index.sweep(lambda _: succeed([]))
    while not swept.called:
        world.clock.advance(1)
        world.wait_for(index.logs())
    assert world.wait_for(index.consumers()) == []


def test_a_file_of_the_first_version_gets_what_it_lacks(world: World) -> None:
    """And keeps what it has."""
    index = world.start()
    index.opened(PATH, "qemu", GUEST, at(5, 0), FILE_SYSTEM, later(0))
    world.end(index)
    with closing(sqlite3.connect(world.file)) as connection:
        connection.execute("DROP TABLE consumers")
        connection.execute("PRAGMA user_version = 1")
    index = world.start()
    assert [log.path for log in world.wait_for(index.logs())] == [PATH]
    index.acknowledged(PATH, "nats", Progress(at(5, 6)))
    assert world.wait_for(index.consumers()) == [(PATH, "nats", Progress(at(5, 6)))]
