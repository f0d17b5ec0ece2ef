"""Old logs are removed in time, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.logs.fakes import DOMAIN, DRIVER, World, descriptors
from twisted_virtlog.errors import LogError, NoAnswer
from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.files.cleaner import EVERY_SECONDS, FIRST_SECONDS, Cleaner
from twisted_virtlog.logs.files.cleaning import Found, Rules
from twisted_virtlog.logs.files.directory import Directory
from twisted_virtlog.logs.files.places import Here, Place
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.known import Known
from twisted_virtlog.logs.observing import NoObserver
from twisted_virtlog.values import Domain, Position, Removed

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


class AllLogs:
    """All logs are those of one handler.

    :ivar backups: how many a log of a guest may have for itself, by the guest's name.
    """

    def __init__(self, handler: LogHandler) -> None:
        self._handler = handler
        self.backups: dict[str, int] = {}

    @property
    def known(self) -> Known:
        return self._handler.known

    def has(self, path: str) -> bool:
        return self._handler.has(path)

    def max_backups_of(self, path: str, driver: str | None, domain: Domain | None) -> int:
        return self.backups.get(domain.name, 0) if domain and driver == DRIVER else 0

    def remove_unused(
        self, path: str, may_go: Callable[[Sequence[Found]], bool]
    ) -> Answer[Removed | None]:
        return self._handler.remove_unused(path, may_go)


class Logs:
    """A directory of logs, with a log handler, and a cleaner that keeps them for 30 days.

    :ivar known: those that were used once.
    """

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
        self.all = AllLogs(world.handler)
        self.known: list[KnownLog] = []
        self.cleaner = Cleaner(
            world.clock,
            self.all,
            self.where,
            lambda: succeed(self.known),
            world.slices,
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

    def use(self, path: Path | str, days: float = 31, closed: float | None = None) -> None:
        """Let a log be known that was opened so many days ago, and perhaps closed."""
        opened_at, closed_at = (
            None if one is None else datetime.fromtimestamp(_NOW - one * _DAY, timezone.utc)
            for one in (days, closed)
        )
        assert opened_at is not None
        end = Position(1, 0)
        log = KnownLog(str(path), DRIVER, DOMAIN, opened_at, opened_at, closed_at, end)
        self.known.append(log)

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
        "info: old logs were removed, 4 files with 12 bytes in all",
    ]
    assert logs.cleaner.removed == Removed(4, 12)
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
        "info: old logs were removed, 2 files with 6 bytes in all",
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
    assert logs.run()[:-1] == [
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
        "info: old logs were removed, 2 files with 6 bytes in all",
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


def test_known_logs_go_wherever_they_are_and_whatever_they_are_called(
    logs: Logs, tmp_path: Path
) -> None:
    """With their backups; other files there stay, as nobody knows whose they are."""
    outside = tmp_path / "instances"
    outside.mkdir()
    names = (
        "console.log",
        "console.log.0",
        "console.log.9",
        "vm",
        "vm.0",
        "stranger.log",
        "vm.txt",
    )
    for name in names:
        logs.file("x").rename(outside / name)
    logs.file("qemu/virt-serial0-log")
    logs.file("qemu/virt-serial0-log.1")
    logs.file("qemu/virt-serial1-log")
    for path in ("console.log", "vm"):
        logs.use(outside / path)
    logs.use(logs.root / "qemu/virt-serial0-log", 40, 35)
    logs.world.handler.known.add(str(outside / "vm"))
    why = "the log was not in use for"
    assert logs.run() == [
        f"info: removed {outside}/console.log, 3 files with 9 bytes: {why} 31 days",
        f"info: removed {outside}/vm, 2 files with 6 bytes: {why} 31 days",
        f"info: removed ROOT/qemu/virt-serial0-log, 2 files with 6 bytes: {why} 35 days",
        "info: old logs were removed, 7 files with 21 bytes in all",
    ]
    assert sorted(os.listdir(outside)) == ["stranger.log", "vm.txt"]
    assert logs.names() == ["qemu/virt-serial1-log"]
    assert logs.cleaner.removed == Removed(7, 21)
    assert str(outside / "vm") not in logs.world.handler.known
    assert logs.world.clock.getDelayedCalls()
    logs.world.clock.advance(EVERY_SECONDS)
    assert logs.cleaner.removed == Removed(7, 21)


def test_a_known_log_that_was_used_or_written_lately_stays(logs: Logs, tmp_path: Path) -> None:
    """As does one that is open, and one whose path leads elsewhere by now."""
    for name in ("open", "closed", "written", "own", "moved"):
        logs.file(name)
        logs.use(logs.root / name)
    logs.use(logs.root / "closed", 40, 29)
    logs.known = [log for log in logs.known if not log.path.endswith("closed") or log.closed_at]
    logs.file("written.0", 29)
    logs.world.open(str(logs.root / "open"))
    (logs.root / "moved").rename(logs.root / "there")
    (logs.root / "moved").symlink_to("there")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(logs.root)
    logs.use(elsewhere / "there")
    logs.use(tmp_path / "nowhere" / "a")
    place = logs.places[str(logs.root)] = Elsewhere(logs.root)
    place.open.add(f"{logs.root}/own")
    assert logs.run() == []
    assert logs.names() == ["closed", "moved", "open", "own", "there", "written", "written.0"]


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("is_open", [True, False])
def test_a_known_log_that_is_opened_meanwhile_stays(logs: Logs, step: int, is_open: bool) -> None:
    """Even if it is closed again, and nothing was written."""
    for name in ("a.log", "serial"):
        logs.file(name)
        logs.use(logs.root / name)
    logs.pool.keeps_results = True
    logs.run()
    for _ in range(step):
        logs.pool.step()
    opened = [name for name in ("a.log", "serial") if (logs.root / name).exists()]
    for name in opened:
        guest = logs.world.open(str(logs.root / name))
        if not is_open:
            guest.end()
            logs.world.reactor.run()
    logs.pool.finish()
    assert logs.names() == opened
    # (in the last step all is done)
    assert len(opened) == (2, 1, 1, 1, 0)[step]


def test_backups_that_a_log_may_have_for_itself_stay(logs: Logs) -> None:
    """By what holds for its guest, which is known."""
    for number in (4, 5, 6):
        logs.file(f"a.log.{number}", 1)
        logs.file(f"b.log.{number}", 1)
    logs.use(logs.root / "a.log", 1)
    logs.all.backups["web"] = 5
    assert logs.run()[:1] == [
        "info: removed ROOT/a.log.6: its number is greater than max_backups, 5"
    ]
    assert logs.names() == ["a.log.4", "a.log.5"]


def test_a_clock_that_is_years_ahead_makes_no_known_log_old(logs: Logs) -> None:
    """Though there is no file in the root."""
    path = logs.file("serial", 2)
    logs.use(path, 2)
    logs.seconds += 1000 * _DAY
    logs.up_seconds = 5
    assert logs.run() == []
    assert path.exists()


def test_a_mount_that_does_not_answer_is_told_once(logs: Logs) -> None:
    """However many logs are on it; the others are cleaned."""
    for name in ("nfs/a", "nfs/b", "there/c"):
        logs.use(logs.file(name))
    nfs = logs.places[f"{logs.root}/nfs"] = Elsewhere(logs.root / "nfs")
    nfs.failure = NoAnswer("look", f"{logs.root}/nfs", "/nfs")
    told = logs.run()
    assert [line.split(":")[0] for line in told] == ["error", "info", "info"]
    assert told[0].startswith("error: ROOT/nfs: cannot be searched for old logs")
    assert logs.names() == ["nfs/a", "nfs/b"]


def test_a_known_log_that_cannot_be_removed_is_told(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As any other."""

    def refuse(directory: Directory, name: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    logs.use(logs.file("serial"))
    monkeypatch.setattr(Directory, "unlink", refuse)
    reason = "the log was not in use for 31 days: Operation not permitted"
    assert logs.run() == [f"error: ROOT/serial: cannot be removed, though {reason}"]


def test_a_known_log_of_the_root_is_forgotten_with_its_files(logs: Logs) -> None:
    """Also one that is known by the index alone; unless it was made anew meanwhile."""
    removed: list[str] = []
    logs.world.handler.observer = Observing(removed)
    for name in ("a.log", "b.log", "c.log"):
        logs.file(name)
    known = logs.world.handler.known
    known.add(str(logs.root / "a.log"))
    logs.use(logs.root / "b.log", 1)
    logs.run()
    assert removed == [f"{logs.root}/a.log", f"{logs.root}/b.log"]
    assert known.paths() == ()


class Observing(NoObserver):
    """Is told of logs that are removed."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def removed(self, real_path: str) -> None:
        self._paths.append(real_path)
