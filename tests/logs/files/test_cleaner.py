"""Old logs are removed in time, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.logs.fakes import World, descriptors
from twisted_virtlog.errors import LogError
from twisted_virtlog.logs.files.cleaner import EVERY_SECONDS, FIRST_SECONDS, Cleaner
from twisted_virtlog.logs.files.cleaning import Rules
from twisted_virtlog.logs.files.directory import Directory
from twisted_virtlog.logs.files.places import Here, Place

T = TypeVar("T")

_DAY = 24 * 60 * 60
_NOW = 1_800_000_000


class Pool:
    """A thread pool whose threads are done at once.

    :ivar keeps_results: they are told only later.
    :ivar keeps_calls: threads are done only later.
    :ivar calls: how many there were.
    """

    def __init__(self) -> None:
        self.keeps_results = False
        self.keeps_calls = False
        self.calls = 0
        self.waiting: list[Callable[[], object]] = []

    def __call__(self, call: Callable[[], T]) -> Deferred[T]:
        """Run a call."""
        self.calls += 1
        later: Deferred[T] = Deferred()
        if self.keeps_calls:
            self.waiting.append(lambda: execute(call).chainDeferred(later))
            return later
        result = execute(call)
        if self.keeps_results:
            self.waiting.append(lambda: result.chainDeferred(later))
            return later
        return result

    def step(self) -> None:
        """Go on with what waits longest."""
        self.waiting.pop(0)()

    def finish(self) -> None:
        """Go on until nothing waits."""
        while self.waiting:
            self.step()


class Logs:
    """A directory of logs, with a log handler, and a cleaner that keeps them for 30 days."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.root = world.directory / "root"
        self.root.mkdir()
        self.rules = Rules(str(self.root), max_age_days=30, max_backups=3)
        self.seconds = _NOW
        self.pool = Pool()
        # Those that are elsewhere than in the reactor's thread.
        self.places: dict[str, Place] = {}
        # Since the machine was started.
        self.up_seconds = 1000 * _DAY
        self.cleaner = Cleaner(
            world.clock,
            self.where,
            lambda: self.seconds * 10**9,
            lambda: self.up_seconds * 10**9,
        )
        self.cleaner.set(self.rules)

    def where(self, path: str) -> Deferred[Place]:
        """Find the place of a directory, at once."""
        real = os.path.realpath(path)
        return succeed(self.places.get(real) or Here(real, self.pool, self.world.handler.has))

    def file(self, name: str, days: int = 31) -> Path:
        """Make a file that was last written to so many days ago."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
        os.utime(path, (_NOW - days * _DAY,) * 2)
        return path

    def names(self) -> list[str]:
        """Return the paths of files, below the root."""
        paths = (path for path in self.root.rglob("*") if not path.is_dir())
        return sorted(str(path.relative_to(self.root)) for path in paths)

    def run(self) -> list[str]:
        """Let the first run come; give what was told of it."""
        with capturedLogs() as logged:
            self.world.clock.advance(FIRST_SECONDS)
        return [self._line(event) for event in logged]

    def _line(self, event: dict[str, object]) -> str:
        level = event["log_level"]
        assert isinstance(level, type(LogLevel.info))
        return f"{level.name}: {formatEvent(event)}".replace(str(self.root), "ROOT")


@pytest.fixture
def logs(world: World) -> Logs:
    """Logs of which none is open."""
    return Logs(world)


def test_old_logs_go_from_the_root_and_its_subdirectories(logs: Logs) -> None:
    """Each file is told; new logs, other files and what is deeper stay."""
    for name in ("a.log", "qemu/b.log", "qemu/b.log.0", "qemu/b.log.9", "qemu/b.txt"):
        logs.file(name)
    logs.file("qemu/new.log", 1)
    logs.file("qemu/new.log.0")
    (logs.root / "qemu" / "deeper").mkdir()
    logs.file("qemu/deeper/c.log")
    assert logs.run() == [
        "info: removed ROOT/a.log: the log was not written to for 31 days",
        "info: removed ROOT/qemu/b.log.9: its number is greater than max_backups, 3",
        "info: removed ROOT/qemu/b.log.0: the log was not written to for 31 days",
        "info: removed ROOT/qemu/b.log: the log was not written to for 31 days",
    ]
    assert logs.names() == ["qemu/b.txt", "qemu/deeper/c.log", "qemu/new.log", "qemu/new.log.0"]


def test_links_are_not_followed(logs: Logs, tmp_path: Path) -> None:
    """Neither to a file nor to a directory; only the root itself may be a link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = logs.file("victim.log").rename(outside / "victim.log")
    (logs.root / "link.log").symlink_to(victim)
    (logs.root / "qemu").symlink_to(outside)
    os.mkfifo(logs.root / "fifo.log")
    os.utime(logs.root / "fifo.log", (0, 0))
    (logs.root / "directory.log").mkdir()
    os.utime(logs.root / "directory.log", (0, 0))
    assert logs.run() == []
    assert victim.exists()
    assert (logs.root / "fifo.log").exists()

    logs.file("a.log")
    by_link = tmp_path / "by_link"
    by_link.symlink_to(logs.root)
    logs.cleaner.set(Rules(str(by_link), 30, 3))
    logs.run()
    assert not (logs.root / "a.log").exists()


def test_a_directory_that_became_a_link_is_not_followed(logs: Logs, tmp_path: Path) -> None:
    """Neither before it is read nor after that."""
    victims = tmp_path / "victims"
    victims.mkdir()
    for name in ("one.log", "two.log"):
        logs.file(name).rename(victims / name)
    logs.file("a/one.log")
    logs.file("b/two.log")
    logs.pool.keeps_results = True
    logs.run()

    def swap(name: str) -> None:
        (logs.root / name).rename(tmp_path / name)
        (logs.root / name).symlink_to(victims)

    swap("a")
    with capturedLogs() as logged:
        logs.pool.step()
        swap("b")
        logs.pool.finish()
    reason = "the log was not written to for 31 days"
    assert [formatEvent(event) for event in logged] == [
        f"{logs.root}/a: cannot be searched for old logs: Not a directory",
        f"{logs.root}/b/two.log: cannot be removed, though {reason}: Not a directory",
    ]
    assert sorted(os.listdir(victims)) == ["one.log", "two.log"]
    assert os.listdir(tmp_path / "a") == ["one.log"]
    assert os.listdir(tmp_path / "b") == ["two.log"]


def test_an_open_log_is_kept_with_its_backups(logs: Logs, tmp_path: Path) -> None:
    """Though it is old; also one that was opened by another name."""
    one, two = logs.file("one.log"), logs.file("two.log")
    logs.file("one.log.0")
    link = tmp_path / "link"
    link.symlink_to(two)
    guests = [logs.world.open(str(one)), logs.world.open(str(link))]
    before = logs.names()
    assert logs.run() == []
    assert logs.names() == before
    for guest in guests:
        guest.end()
    logs.world.reactor.run()
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


def test_a_log_that_is_opened_after_the_reading_keeps_its_file(logs: Logs) -> None:
    """What its guest writes is in the file that has its name."""
    path = logs.file("guest.log")
    logs.file("other.log")
    logs.pool.keeps_results = True
    logs.run()
    guest = logs.world.open(str(path))
    logs.pool.finish()
    assert logs.names() == ["guest.log"]
    guest.write(b" and new")
    logs.world.position(str(path))
    assert path.read_bytes() == b"old and new"


@pytest.mark.parametrize("change", ["written", "replaced", "gone"])
def test_a_log_that_changed_after_the_reading_is_kept(logs: Logs, change: str) -> None:
    """Someone uses it, though it is not open here."""
    path, backup = logs.file("guest.log"), logs.file("guest.log.0")
    logs.pool.keeps_results = True
    logs.run()
    if change == "written":
        path.write_bytes(b"new")
    elif change == "replaced":
        os.utime(logs.file("fresh"), ns=(0, path.stat().st_mtime_ns))
        (logs.root / "fresh").rename(path)
    else:
        path.unlink()
    with capturedLogs() as logged:
        logs.pool.finish()
    assert logged == []
    assert backup.exists()
    assert path.exists() == (change != "gone")


def test_runs_come_a_minute_after_the_start_and_each_day(logs: Logs) -> None:
    """So that a daemon that is restarted daily cleans too."""
    clock = logs.world.clock
    clock.advance(FIRST_SECONDS - 1)
    logs.file("a.log")
    assert logs.names() == ["a.log"]
    clock.advance(1)
    assert logs.names() == []
    for _ in range(2):
        logs.file("a.log")
        clock.advance(EVERY_SECONDS - 1)
        assert logs.names() == ["a.log"]
        clock.advance(1)
        assert logs.names() == []


def test_age_is_told_by_the_clock_of_the_files_at_each_run(logs: Logs) -> None:
    """A log becomes old while the daemon runs."""
    logs.file("a.log", 29)
    logs.run()
    assert logs.names() == ["a.log"]
    logs.seconds += 2 * _DAY
    logs.up_seconds += 2 * _DAY
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


def test_a_wall_clock_that_steps_makes_no_log_old(logs: Logs) -> None:
    """Years ahead and back again; what was written meanwhile is as old as it is."""
    logs.file("a.log", 2)
    logs.run()
    logs.seconds += 9000 * _DAY
    logs.up_seconds += _DAY
    logs.world.clock.advance(EVERY_SECONDS)
    logs.file("b.log", -9000)
    logs.seconds -= 8999 * _DAY
    for days in range(25):
        logs.seconds += _DAY
        logs.up_seconds += _DAY
        logs.world.clock.advance(EVERY_SECONDS)
        assert logs.names() == ["a.log", "b.log"], days
    for _ in range(9):
        logs.seconds += _DAY
        logs.up_seconds += _DAY
        logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


@pytest.mark.parametrize("years", [1, 20, 200])
def test_a_machine_that_starts_with_its_clock_years_ahead_keeps_its_logs(
    years: int, logs: Logs
) -> None:
    """It has no battery, and NTP has not run yet, or never will."""
    logs.file("a.log", 2)
    logs.file("b.log", 20)
    logs.seconds += years * 365 * _DAY
    logs.up_seconds = 5
    logs.cleaner.set(Rules(str(logs.root), max_age_days=25, max_backups=3))
    logs.run()
    assert logs.names() == ["a.log", "b.log"]


def test_another_limit_holds_without_a_restart(logs: Logs) -> None:
    """A minute later, and not a day; one that is the same changes nothing."""
    logs.file("a.log", 10)
    logs.run()
    assert logs.names() == ["a.log"]
    logs.cleaner.set(Rules(str(logs.root), max_age_days=9, max_backups=3))
    logs.cleaner.set(Rules(str(logs.root), max_age_days=9, max_backups=3))
    logs.world.clock.advance(FIRST_SECONDS)
    assert logs.names() == []
    logs.file("a.log")
    logs.cleaner.set(Rules(str(logs.root), max_age_days=9, max_backups=3))
    logs.world.clock.advance(FIRST_SECONDS)
    assert logs.names() == ["a.log"]


def test_no_limit_means_no_runs(logs: Logs) -> None:
    """Nothing is timed, and what was timed before does not come."""
    logs.file("a.log")
    logs.cleaner.set(Rules(str(logs.root), max_age_days=0, max_backups=3))
    assert logs.world.clock.getDelayedCalls() == []
    logs.cleaner.set(logs.rules)
    logs.cleaner.stop()
    assert logs.world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_run_ends_where_it_is_when_the_daemon_stops(logs: Logs, steps: int) -> None:
    """Whatever it waits for; nothing is removed after that, and no descriptor is left."""
    logs.file("a.log")
    logs.file("b.log")
    logs.file("qemu/c.log")
    logs.pool.keeps_results = True
    logs.run()
    for _ in range(steps):
        logs.pool.step()
    before = logs.names()
    logs.cleaner.stop()
    logs.pool.finish()
    assert logs.names() == before
    # (both directories are read first)
    assert len(before) == 3 - max(0, steps - 1)
    assert logs.pool.calls == 1 + steps


def test_what_cannot_be_searched_is_told_and_tried_again(logs: Logs) -> None:
    """The directory need not be there when the daemon starts."""
    logs.root.rmdir()
    reason = "cannot be searched for old logs: No such file or directory"
    assert logs.run() == [f"error: ROOT: {reason}"]
    logs.root.mkdir()
    logs.file("a.log")
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


def test_a_file_that_cannot_be_removed_does_not_keep_others(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told; what is newer of its log stays."""
    remove = Directory.unlink

    def refuse(directory: Directory, name: str) -> None:
        if name == "a.log.0":
            raise PermissionError(1, "Operation not permitted")
        remove(directory, name)

    monkeypatch.setattr(Directory, "unlink", refuse)
    for name in ("a.log", "a.log.0", "a.log.1", "b.log"):
        logs.file(name)
    reason = "the log was not written to for 31 days"
    assert logs.run() == [
        f"info: removed ROOT/a.log.1: {reason}",
        f"error: ROOT/a.log.0: cannot be removed, though {reason}: Operation not permitted",
        f"info: removed ROOT/b.log: {reason}",
    ]
    assert logs.names() == ["a.log", "a.log.0"]


def test_a_run_that_fails_unforeseen_is_told_and_the_next_one_comes(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """No mistake of ours ends the cleaning for good."""
    expected_failures.append("a mistake")
    logs.file("a.log")

    def mistaken(_: Callable[[], T]) -> Deferred[T]:
        return fail(RuntimeError("a mistake"))

    with monkeypatch.context() as patched:
        patched.setattr(logs, "pool", mistaken)
        assert logs.run() == ["critical: ROOT: the search for old logs failed"]
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


def test_a_run_that_does_not_end_is_told_and_not_doubled(logs: Logs) -> None:
    """A file system that does not answer takes one thread, not one more each day."""
    logs.pool.keeps_results = True
    logs.run()
    with capturedLogs() as logged:
        logs.world.clock.advance(EVERY_SECONDS)
    assert len(logs.pool.waiting) == 1
    assert [formatEvent(event) for event in logged] == [
        f"{logs.root}: the last search for old logs has not ended yet"
    ]
    logs.pool.finish()
    logs.pool.keeps_results = False
    logs.file("a.log")
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


def test_the_data_of_a_removed_file_is_given_back_in_a_thread(logs: Logs) -> None:
    """A large file takes its time; the name is gone before."""
    path = logs.file("a.log")
    logs.pool.keeps_calls = True
    logs.run()
    logs.pool.step()
    assert logs.names() == []
    assert f"{path} (deleted)" in descriptors().values()
    logs.pool.finish()
    assert f"{path} (deleted)" not in descriptors().values()


class Elsewhere:
    """A place whose logs are opened in a thread of their own.

    :ivar open: paths of logs that are open there.
    :ivar failure: what is said in place of doing anything.
    """

    keeps_reactor = False

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.open: set[str] = set()
        self.failure: LogError | None = None
        self._within = False

    def look(self, call: Callable[[], T]) -> Deferred[T]:
        if self.failure is not None:
            return fail(self.failure)
        before = descriptors()
        result = execute(call)
        assert descriptors() == before
        return result

    def change(self, call: Callable[[], T]) -> Deferred[T]:
        self._within = True
        try:
            return self.look(call)
        finally:
            self._within = False

    def is_in_use(self, path: str) -> bool:
        assert self._within
        return path in self.open


def test_a_directory_in_another_thread_is_cleaned_there(logs: Logs) -> None:
    """What is open is known there, and nothing is left open between two calls."""
    for name in ("a.log", "nfs/b.log", "nfs/c.log", "nfs/c.log.0"):
        logs.file(name)
    nfs = logs.places[f"{logs.root}/nfs"] = Elsewhere(logs.root / "nfs")
    nfs.open.add(f"{logs.root}/nfs/b.log")
    reason = "the log was not written to for 31 days"
    assert logs.run() == [
        f"info: removed ROOT/{name}: {reason}" for name in ("a.log", "nfs/c.log.0", "nfs/c.log")
    ]
    assert logs.names() == ["nfs/b.log"]
    # (the pool: the root was read, and the data of its log was freed)
    assert logs.pool.calls == 2


def test_a_directory_that_does_not_answer_keeps_no_other(logs: Logs) -> None:
    """It is told, and cleaned another day."""
    for name in ("a.log", "fuse/b.log", "nfs/c.log", "z/d.log"):
        logs.file(name)
    fuse = logs.places[f"{logs.root}/fuse"] = Elsewhere(logs.root / "fuse")
    nfs = logs.places[f"{logs.root}/nfs"] = Elsewhere(logs.root / "nfs")
    fuse.failure = LogError("/fuse does not answer")
    change, nfs_failure = nfs.change, LogError("/nfs does not answer")
    nfs.change = lambda call: fail(nfs_failure)  # type: ignore[method-assign]
    reason = "the log was not written to for 31 days"
    assert logs.run() == [
        "error: ROOT/fuse: cannot be searched for old logs: /fuse does not answer",
        f"info: removed ROOT/a.log: {reason}",
        f"error: ROOT/nfs/c.log: cannot be removed, though {reason}: /nfs does not answer",
        f"info: removed ROOT/z/d.log: {reason}",
    ]
    fuse.failure = None
    nfs.change = change  # type: ignore[method-assign]
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []


def test_a_root_of_which_nothing_can_be_told_is_told(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run comes."""
    logs.file("a.log")
    with monkeypatch.context() as patched:
        error = LogError("/srv does not answer")
        patched.setattr(logs.cleaner, "_where", lambda path: fail(error))
        assert logs.run() == ["error: ROOT: cannot be searched for old logs: /srv does not answer"]
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.names() == []
