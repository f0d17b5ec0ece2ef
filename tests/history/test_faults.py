"""Whatever becomes of the index's file, nobody waits for it, and no more than times are lost."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.logger import LogEvent, capturedLogs, formatEvent

from harness.daemon import CHECKOUT
from harness.frozen_mount import frozen_mount
from tests.history.world import FILE_SYSTEM, PATH, World, at, kept, key, later
from twisted_virtlog.history import keeping as module
from twisted_virtlog.history.database import Database
from twisted_virtlog.history.index import FILE_NAME, Index
from twisted_virtlog.history.keeping import set_aside
from twisted_virtlog.history.moments import ms_of
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.history.schema import VERSION
from twisted_virtlog.history.waiting import Waiting


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon what failed."""
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.01)


def note(index: Index, number: int) -> None:
    """Note an opening, and a mark."""
    index.opened(f"/{number}.log", "qemu", None, at(number, 0), FILE_SYSTEM, later(number))
    file = index.begin_file(key(number), f"/{number}.log")
    index.mark(file, 5, 1, 1)
    index.end_file(file)


def noted(world: World, index: Index) -> list[int]:
    """Return what comes back of that."""
    numbers = [int(log.path[1:-4]) for log in world.wait_for(index.logs())]
    files = [kept(number, 5) for number in numbers]
    times = world.wait_for(index.times_of(files))
    assert [len(marks) for marks in times.marks] == [1] * len(numbers)
    return sorted(numbers)


def rows(file: Path) -> list[str]:
    """Return the paths of the logs that are in a file that nobody has open."""
    with sqlite3.connect(file, timeout=60) as connection:
        paths = [os.fsdecode(path) for (path,) in connection.execute("SELECT path FROM logs")]
    connection.close()
    return sorted(paths)


def said(events: list[LogEvent]) -> list[str]:
    """Return what was said, in words."""
    return [
        formatEvent(event)
        for event in events
        if str(event["log_namespace"]).startswith("twisted_virtlog.history")
    ]


def is_in_file(world: World, index: Index) -> bool:
    """Return whether what is asked comes from the file."""
    return bool(world.wait_for(index._ask(_file_of, str)))


def _file_of(database: Database, _waiting: Waiting) -> str:
    return str(database.tables.do("PRAGMA database_list").fetchone()[2])


def until_in_file(world: World, index: Index) -> None:
    """Wait until the file is open."""
    while not is_in_file(world, index):
        pass


def open_files(directory: Path) -> list[str]:
    """Return the files in a directory that this process has open."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return [link for link in links if link.startswith(str(directory))]


# Somebody else has it.

_HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("soon")
def test_who_does_not_get_the_lock_adds_later_what_it_noted(world: World) -> None:
    """It says so once, and answers from memory meanwhile."""
    world.end(world.start())
    command = [sys.executable, "-c", _HOLDS, str(world.file)]
    with (
        capturedLogs() as events,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"holds\n"
        index = world.start()
        for number in range(20):
            note(index, number)
            assert noted(world, index) == list(range(number + 1))
        assert not is_in_file(world, index)
        holder.stdin.close()
        until_in_file(world, index)
    note(index, 20)
    assert noted(world, index) == list(range(21))
    first, second = said(events)
    assert first.startswith(f"{world.file}: another process has it; until that is over, ")
    assert second == f"{world.file}: times and events of logs are kept there again"
    world.end(index)
    assert len(rows(world.file)) == 21


@pytest.mark.usefixtures("soon")
def test_two_in_one_process_are_two(world: World) -> None:
    first = world.start()
    note(first, 1)
    assert noted(world, first) == [1]
    second = world.start()
    note(second, 2)
    assert noted(world, second) == [2]
    note(first, 3)
    assert noted(world, first) == [1, 3]
    world.end(first)
    until_in_file(world, second)
    assert noted(world, second) == [1, 2, 3]


# It is of no use.


def test_a_broken_file_is_set_aside(world: World) -> None:
    """And a few of them are kept."""
    assert world.directory is not None
    world.directory.mkdir()
    for number in range(5):
        world.file.write_bytes(b"no database, number %d" % number * 1000)
        with capturedLogs() as events:
            index = world.start()
            note(index, number)
            assert noted(world, index) == [number]
            assert is_in_file(world, index)
            world.end(index)
        (text,) = said(events)
        assert text.endswith(
            f"it is called {world.file}.broken-{number + 1} now, and another one is begun"
        )
        assert rows(world.file) == [f"/{number}.log"]
    aside = sorted(path.name for path in world.directory.glob("*.broken-*"))
    assert aside == [f"{FILE_NAME}.broken-{number}" for number in (3, 4, 5)]
    assert (world.directory / aside[-1]).read_bytes().startswith(b"no database, number 4")


def test_one_that_turns_out_broken_is_set_aside_with_nothing_noted_lost(world: World) -> None:
    index = world.start()
    for number in range(100):
        note(index, number)
    world.end(index)
    size = world.file.stat().st_size
    with world.file.open("r+b") as file:
        # (its first page says what it is, and is as it should be)
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with capturedLogs() as events:
        index = world.start()
        note(index, 1000)
        assert noted(world, index) == [1000]
    assert is_in_file(world, index)
    assert "another one is begun" in said(events)[0]


def test_one_of_a_newer_release_is_set_aside(world: World) -> None:
    world.end(world.start())
    with sqlite3.connect(world.file) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with capturedLogs() as events:
        index = world.start()
        note(index, 1)
        assert noted(world, index) == [1]
        world.end(index)
    assert f"a newer release has written it (version {VERSION + 1})" in said(events)[0]
    with sqlite3.connect(f"{world.file}.broken-1") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    connection.close()


def test_what_is_beside_a_file_goes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "index"
    for end in ("", "-wal", ".broken-7", ".broken-8", ".broken-8-wal", ".broken-9", ".broken-x"):
        (tmp_path / f"index{end}").write_text(end)
    assert set_aside(str(file)) == f"{file}.broken-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"index.broken-{end}" for end in ("10", "10-wal", "8", "8-wal", "9", "x")
    ]


@pytest.mark.usefixtures("soon")
def test_one_that_cannot_be_set_aside_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: str) -> str:
        raise OSError(errno.EACCES, "not now")

    assert world.directory is not None
    world.directory.mkdir()
    world.file.write_bytes(b"no database" * 1000)
    monkeypatch.setattr(module, "set_aside", refuse)
    index = world.start()
    note(index, 1)
    assert noted(world, index) == [1]
    assert not is_in_file(world, index)
    monkeypatch.undo()
    until_in_file(world, index)
    assert noted(world, index) == [1]


def test_what_is_no_fault_of_the_file_costs_what_was_noted(
    world: World, expected_failures: list[str]
) -> None:
    expected_failures.append("UnicodeEncodeError")
    index = world.start()
    note(index, 1)
    assert noted(world, index) == [1]
    index.mark(index.begin_file(FileKey(FILE_SYSTEM, "\ud800"), PATH), 5, 1, 1)
    note(index, 2)
    assert noted(world, index) == [1]
    note(index, 3)
    assert noted(world, index) == [1, 3]


def test_a_question_that_fails_is_answered_without_the_index(
    world: World, expected_failures: list[str]
) -> None:
    expected_failures.append("ZeroDivisionError")
    index = world.start()
    assert world.wait_for(index._ask(lambda database, _: 1 / 0, lambda: 7.0)) == 7.0


# It is not there.


@pytest.mark.usefixtures("soon")
def test_a_directory_that_cannot_be_made_is_made_later(tmp_path: Path) -> None:
    parent, other = tmp_path / "parent", tmp_path / "other"
    (tmp_path / "in the way").touch()
    (tmp_path / "room").mkdir()
    parent.symlink_to("in the way")
    other.symlink_to("room")
    with World(parent / "state") as world:
        with capturedLogs() as events:
            index = world.start()
            note(index, 1)
            assert noted(world, index) == [1]
            # (in one step: a third thing that the thread may find between two is another fault)
            other.rename(parent)
            until_in_file(world, index)
            assert noted(world, index) == [1]
        assert "Not a directory" in said(events)[0]
        assert len(said(events)) == 2, said(events)
    assert rows(world.file) == ["/1.log"]


# While it is closed.


def test_for_a_hand_over_the_file_is_closed(world: World) -> None:
    """What was noted is in it then; what is noted meanwhile, and who asks, waits."""
    assert world.directory is not None
    index = world.start()
    note(index, 1)
    assert noted(world, index) == [1]
    assert open_files(world.directory)
    note(index, 2)
    world.wait_for(index.pause())
    assert open_files(world.directory) == []
    assert rows(world.file) == ["/1.log", "/2.log"]
    note(index, 3)
    asked = index.logs()
    world.wait_for(index.pause())
    assert not asked.called
    assert rows(world.file) == ["/1.log", "/2.log"]
    index.go_on()
    index.go_on()
    assert [log.path for log in world.wait_for(asked)] == ["/1.log", "/2.log", "/3.log"]
    assert is_in_file(world, index)


def test_the_end_while_it_is_closed_opens_it_once_more(world: World) -> None:
    index = world.start()
    world.wait_for(index.pause())
    note(index, 1)
    world.end(index)
    assert rows(world.file) == ["/1.log"]


def test_after_the_end_nothing_is_kept_and_nobody_waits(world: World) -> None:
    index = world.start()
    world.end(index)
    note(index, 1)
    assert world.wait_for(index.logs()) == []
    assert world.wait_for(index.history_of(PATH)) is None
    times = world.wait_for(index.times_of([kept(1, 5)]))
    assert [len(marks) for marks in times.marks] == [0]
    assert abs(ms_of(times.now) - index.now_ms()) < 60_000
    world.wait_for(index.pause())
    index.go_on()
    world.wait_for(index.close())
    assert rows(world.file) == []


def test_nothing_is_imported_or_made_before_it_starts(tmp_path: Path) -> None:
    code = """
import sys
from twisted_virtlog.history import kept, ranges
from twisted_virtlog.history.index import Index
Index(None, None, sys.argv[1])
assert "sqlite3" not in sys.modules
"""
    state = tmp_path / "state"
    subprocess.run([sys.executable, "-c", code, str(state)], cwd=CHECKOUT, check=True)
    assert not state.exists()


def test_its_thread_lets_others_be_served_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rests for as long as it is told before it begins, and who asks meanwhile waits."""
    rested: list[float] = []
    monkeypatch.setattr("twisted_virtlog.history.index.time.sleep", rested.append)
    index = Index(world.reactor, world.clock, None, rest_seconds=2.5)
    index.start()
    known = world.wait_for(index.logs())
    world.wait_for(index.close())
    assert (known, rested) == ([], [2.5])


# On a file system that does not answer.


@pytest.mark.lengthy
@pytest.mark.root
@pytest.mark.usefixtures("soon")
def test_nobody_waits_for_a_disk_that_hangs(tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.mkdir()
    with frozen_mount(point, tmp_path / "image") as mounted:
        world = World(point / "state")
        index = world.start()
        note(index, 1)
        assert noted(world, index) == [1]
        with mounted.frozen():
            note(index, 2)
            while not index.hung():
                os.sched_yield()
            assert index.hung() == [
                "the file system at /state, which the times of logs are on, does not answer"
            ]
            # Who asks while it is known gets an answer at once, and a hand-over is refused.
            assert world.wait_for(index.logs()) == []
            assert not index.pause().called
            index.go_on()
            note(index, 3)
        while index.hung():
            os.sched_yield()
        assert noted(world, index) == [1, 2, 3]
        with mounted.frozen():
            note(index, 4)
            # (who asked before has waited for long enough)
            asked = index.logs()
            while not asked.called:
                world.clock.advance(0.1)
            assert world.wait_for(asked) == []
            # So has who ends the process.
            closed = index.close()
            while not closed.called:
                world.clock.advance(0.1)
            while not index.hung():
                os.sched_yield()
        world.close()
