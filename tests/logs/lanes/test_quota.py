"""The quota of a guest whose logs are in other threads, or not open."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs.fakes import KIB
from tests.logs.lanes.test_all_logs import World
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.logs.all_logs import LaneSettings
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import HostBounds, Policy, one_for_all
from twisted_virtlog.values import LogState


def bound(world: World, quota: int, threads: str | tuple[str, ...]) -> None:
    """Let a quota hold."""
    policy = Policy(Limits(16 * KIB, 3), quota=quota)
    settings = LogSettings(one_for_all(policy), bounds=HostBounds(quotas=quota > 0))
    world.logs.reload(settings, 64 * KIB, LaneSettings(threads, 5))
    if world.lanes:
        # (what is written before a lane hears of it goes by the former ones)
        world.settle()


@pytest.fixture(params=["never", "always"])
def threads(request: pytest.FixtureRequest) -> str:
    """Return which logs are in lanes."""
    found: str = request.param
    return found


@pytest.fixture
def world(tmp_path: Path, threads: str) -> Iterator[World]:
    """All logs of a host."""
    world = World(tmp_path, threads)
    bound(world, 64 * KIB, threads)
    yield world
    world.end()


def write(world: World, end: int, count: int, path: str | None = None) -> None:
    """Have a guest write, and all of it taken."""
    while count:
        count -= os.write(end, b"x" * min(count, 8 * KIB))
        world.position(path)


def closed_log(world: World, count: int) -> str:
    """Return the path of a log of the guest that was closed, and has so many bytes."""
    path = str(world.directory / "closed.log")
    write(world, world.open(path), count, path)
    world.result(world.logs.close_log(path))
    return path


def names(world: World) -> set[str]:
    """Return the names of all files."""
    return {path.name for path in world.directory.iterdir()}


@pytest.mark.parametrize("threads", ["never"], indirect=True)
def test_backups_of_closed_logs_go(world: World) -> None:
    """As they are the oldest; what the log ends with stays."""
    closed_log(world, 60 * KIB)
    end = world.open()
    write(world, end, 15 * KIB)
    assert names(world) == {"guest.log", "closed.log", "closed.log.0", "closed.log.1"}
    write(world, end, 32 * KIB)
    assert names(world) == {"guest.log", "guest.log.0", "guest.log.1", "closed.log"}
    assert world.status().state is LogState.OPEN


@pytest.mark.parametrize("threads", ["always"], indirect=True)
def test_those_that_are_to_go_in_another_turn(world: World) -> None:
    """Whoever wanted the room waits, and nothing is lost."""
    closed_log(world, 60 * KIB)
    end = world.open()
    refused = False
    for _ in range(4):
        os.write(end, b"x" * 4 * KIB)
        try:
            world.position()
        except NotWritten as error:
            refused = True
            assert error.errno == errno.EDQUOT  # noqa: PT017 (it is not always raised)
            world.turn_until(lambda: world.status().state is LogState.OPEN)
    assert refused
    assert world.position().offset == 16 * KIB
    assert names(world) == {"guest.log", "closed.log", "closed.log.0", "closed.log.1"}


def test_a_log_that_is_removed_counts_no_more(world: World) -> None:
    """At once."""
    path = closed_log(world, 40 * KIB)
    world.result(world.logs.remove(path))
    assert world.logs.usage.used == 0
    write(world, world.open(), 60 * KIB)
    assert len(names(world)) == 4


def test_a_quota_of_other_settings(world: World, threads: str) -> None:
    """It holds for open logs, whatever thread they are in, and may end."""
    end = world.open()
    write(world, end, 60 * KIB)
    bound(world, 24 * KIB, threads)
    write(world, end, KIB)
    assert names(world) == {"guest.log"}
    bound(world, 0, threads)
    write(world, end, 48 * KIB)
    assert len(names(world)) == 4
    assert world.logs.usage.used == 0


def test_usage_is_looked_at_in_the_threads_of_logs(world: World, threads: str) -> None:
    """As others may have removed files."""
    end = world.open()
    write(world, end, 40 * KIB)
    assert world.logs.usage.used >= 32 * KIB
    for number in range(2):
        os.unlink(f"{world.path}.{number}")
    world.logs.look_at_files()
    if threads == "always":
        world.settle()
    assert world.logs.usage.used <= 12 * KIB


@pytest.mark.parametrize("threads", ["never"], indirect=True)
def test_a_link_in_the_place_of_a_closed_log_s_directory(world: World) -> None:
    """What it leads to is not that log's; what the guest has elsewhere goes."""
    directory, others = world.directory / "guests", world.directory / "others"
    directory.mkdir()
    path = str(directory / "closed.log")
    write(world, world.open(path), 40 * KIB, path)
    world.result(world.logs.close_log(path))
    directory.rename(others)
    directory.symlink_to(others)
    end = world.open()
    write(world, end, 40 * KIB)
    assert names(world) == {"guests", "others", "guest.log", "guest.log.0"}
    assert len(list(others.iterdir())) == 3
