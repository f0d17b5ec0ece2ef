"""What the files of logs take up that are not open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from tests.logs.fakes import DOMAIN, KIB, Threads
from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.logs.bounds.survey import EVERY_SECONDS, REFUSED_SECONDS, Survey
from twisted_virtlog.logs.bounds.usage import FilesOfLog, Usage
from twisted_virtlog.logs.files.places import Here, Place
from twisted_virtlog.logs.files.roots import ANYWHERE
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.policy import HostBounds, Policy, one_for_all
from twisted_virtlog.values import Domain, Position

T = TypeVar("T")

LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)
POLICY_OF = one_for_all(Policy(Limits(1000, 3), quota=100 * KIB))


class Holder:
    """Writes a log."""

    def take_back(self) -> int:
        """See Holder."""
        return 0


class World:
    """A directory of logs, of which the daemon knows some.

    :ivar known: those that it knows.
    :ivar silent: the directories whose file systems do not answer.
    :ivar looks: how many times open logs were looked at.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.threads = Threads()
        self.known: list[KnownLog] = []
        self.silent: set[str] = set()
        self.looks = 0
        self.usage = Usage()
        self.usage.set(HostBounds(quotas=True))
        self.survey = Survey(
            self.clock,
            self._where,
            self.usage,
            lambda: succeed(self.known),
            self._look_at_open,
            ANYWHERE.directory_of,
            lambda _: False,
        )

    def _where(self, path: str) -> Deferred[Place]:
        if path in self.silent:
            return fail(NoAnswer("Unable to look", path, path))
        return succeed(Here(path, self.threads, lambda _: False))

    def _look_at_open(self) -> None:
        self.looks += 1

    def log(self, name: str, *sizes: int, domain: Domain | None = DOMAIN) -> str:
        """Let there be a log that is known, of as many files as there are sizes."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        for number, size in enumerate(sizes, -1):
            file = path if number < 0 else path.with_name(f"{path.name}.{number}")
            file.write_bytes(b"x" * size)
        start = Position(1, 0)
        self.known.append(KnownLog(str(path), "qemu", domain, LONG_AGO, None, None, start))
        return str(path)

    def used(self, path: str) -> int | None:
        """Return what is known of a log's files."""
        found = self.usage.of(path)
        return None if found is None else found.files.size


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make an empty directory."""
    return World(tmp_path)


def test_all_files_of_known_logs_are_found(world: World) -> None:
    """Each counts to its guest, with the quota of its policy."""
    one = world.log("a/one.log", 4096, 8192, 4096)
    two = world.log("b/two.log", 4096)
    other = world.log("b/other.log", 8192, domain=None)
    gone = world.log("gone.log")
    world.survey.set(POLICY_OF)
    assert [world.used(path) for path in (one, two, other, gone)] == [16384, 4096, 8192, None]
    found = world.usage.of(one)
    assert found is not None
    assert (found.guest.name, found.guest.used, found.guest.quota) == (
        DOMAIN.uuid,
        20480,
        100 * KIB,
    )
    assert world.usage.used == 28672
    world.survey.stop()


def test_nothing_is_looked_at_where_nothing_is_bounded(world: World) -> None:
    """Nor after the daemon stops."""
    world.log("one.log", 4096)
    world.survey.set(None)
    world.survey.refused()
    world.clock.advance(EVERY_SECONDS)
    assert (world.threads.used, world.looks, world.clock.getDelayedCalls()) == (0, 0, [])
    world.survey.set(POLICY_OF)
    world.survey.stop()
    assert world.threads.used == 1
    assert not world.clock.getDelayedCalls()


def test_open_logs_are_asked_in_their_threads(world: World) -> None:
    """What others have seen of them is not believed; those opened meanwhile neither."""
    path, later = world.log("one.log", 4096), world.log("two.log", 4096)
    holder = Holder()
    world.usage.open(path, "web", 0, FilesOfLog(1), holder)
    world.threads.held = True
    world.survey.set(POLICY_OF)
    assert world.looks == 1
    world.usage.open(later, "web", 0, FilesOfLog(2), holder)
    world.threads.run()
    assert (world.used(path), world.used(later)) == (1, 2)
    world.survey.stop()


def test_files_that_go_are_missed(world: World) -> None:
    """Now and then, and soon when somebody is refused for them, but not all the time."""
    path = world.log("one.log", 4096, 4096)
    world.survey.set(POLICY_OF)
    backup = Path(f"{path}.0")
    backup.unlink()
    world.clock.advance(EVERY_SECONDS)
    assert world.used(path) == 4096
    world.known.clear()
    Path(path).unlink()
    for _ in range(3):
        world.survey.refused()
    world.clock.advance(REFUSED_SECONDS / 2)
    assert world.used(path) == 4096
    world.clock.advance(REFUSED_SECONDS / 2)
    assert world.used(path) is None
    assert world.looks == 3
    world.clock.advance(REFUSED_SECONDS)
    world.survey.refused()
    world.clock.advance(0)
    assert world.looks == 4
    world.survey.stop()


def test_a_file_system_that_does_not_answer(world: World) -> None:
    """What was known of its logs holds, and the others are looked at."""
    silent, other = world.log("a/one.log", 4096), world.log("b/two.log", 4096)
    world.survey.set(POLICY_OF)
    world.silent.add(str(world.directory / "a"))
    for path in (silent, other):
        Path(path).write_bytes(b"x" * 8192)
    world.clock.advance(EVERY_SECONDS)
    assert (world.used(silent), world.used(other)) == (4096, 8192)
    world.survey.stop()


def test_a_look_that_takes_long_is_not_begun_again(world: World) -> None:
    """Others that are refused meanwhile wait for the next one."""
    world.log("one.log", 4096)
    world.threads.held = True
    world.survey.set(POLICY_OF)
    world.clock.advance(EVERY_SECONDS)
    world.survey.refused()
    world.clock.advance(REFUSED_SECONDS)
    assert (world.threads.used, world.looks) == (1, 1)
    world.threads.run()
    world.survey.refused()
    world.clock.advance(REFUSED_SECONDS)
    assert (world.threads.used, world.looks) == (2, 2)
    world.survey.stop()


def test_a_directory_is_looked_at_in_parts(world: World) -> None:
    """Whoever else needs its thread is not kept waiting."""
    paths = [world.log(f"{number:03}.log", 4096) for number in range(200)]
    world.survey.set(POLICY_OF)
    assert world.threads.used == 4
    assert {world.used(path) for path in paths} == {4096}
    world.survey.stop()


def test_a_log_whose_name_is_that_of_a_backup(world: World) -> None:
    """Its file counts once, and to its own guest."""
    path = world.log("one.log", 4096, 8192)
    odd = world.log("one.log.0", domain=None)
    world.survey.set(POLICY_OF)
    assert (world.used(path), world.used(odd)) == (4096, 8192)
    world.survey.stop()


def test_a_failure_is_reported_and_not_the_last_word(
    world: World, logged: Callable[[], str], expected_failures: list[str]
) -> None:
    """The next look comes all the same."""
    path = world.log("one.log", 4096)
    expected_failures.append("NoneType")
    known, world.known = world.known, None  # type: ignore[assignment]  # (a mistake of ours)
    world.survey.set(POLICY_OF)
    assert "looking what the files of logs take up failed" in logged()
    world.known = known
    world.clock.advance(EVERY_SECONDS)
    assert world.used(path) == 4096
    world.survey.stop()
