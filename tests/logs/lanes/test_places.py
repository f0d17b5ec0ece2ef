"""Where directories of old logs are served, and that they are cleaned there."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from twisted.internet.defer import succeed
from twisted.logger import capturedLogs, formatEvent

from tests.logs.fakes import DOMAIN, DRIVER
from tests.logs.lanes.test_all_logs import World
from twisted_virtlog.errors import HeldByOther, NoAnswer
from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.logs.files.cleaner import FIRST_SECONDS, Cleaner
from twisted_virtlog.logs.files.cleaning import Rules
from twisted_virtlog.logs.files.places import Here, Place
from twisted_virtlog.logs.lanes.lock import Held
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.values import Position


def find(world: World, path: Path | str) -> Place:
    """Find the place of a directory, of which the files named own.log must stay."""
    where = world.logs.places(lambda path: path.endswith("/own.log"))
    place: Place = world.result(where(str(path)))
    return place


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """All logs have lanes."""
    world = World(Path(os.path.realpath(tmp_path)))
    yield world
    world.end()


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[World]:
    """No log has a lane."""
    world = World(Path(os.path.realpath(tmp_path)), "never")
    yield world
    world.end()


def test_a_directory_in_a_lane_is_served_by_its_thread(world: World) -> None:
    """Whatever links lead to it; and it is known what is open there."""
    link = world.directory / "link"
    link.symlink_to(world.directory)
    place = find(world, link)
    assert (place.path, place.keeps_reactor) == (str(world.directory), False)
    name = world.lane.lane._thread.name
    for run in (place.look, place.change):
        assert world.result(run(lambda: threading.current_thread().name)) == name
    world.open(f"{link}/guest.log")
    paths = [f"{world.directory}/{name}" for name in ("guest.log", "own.log", "other.log")]
    found = world.result(place.change(lambda: [place.is_in_use(path) for path in paths]))
    assert found == [True, True, False]


def test_a_directory_that_has_no_lane_is_served_here(inline: World) -> None:
    """As all are that do not need one."""
    place = find(inline, inline.directory)
    assert isinstance(place, Here)
    assert place.path == str(inline.directory)
    inline.open()
    paths = [f"{inline.directory}/{name}" for name in ("guest.log", "own.log", "other.log")]
    assert [place.is_in_use(path) for path in paths] == [True, True, False]
    thread = inline.result(place.change(threading.current_thread))
    assert thread is threading.current_thread()


def test_a_path_from_lane_to_lane_is_followed_in_each(world: World) -> None:
    """The last one serves the directory."""
    link = world.directory / "link"
    link.symlink_to(f"/proc/self/root/..{world.directory}")
    place = find(world, link)
    assert not place.keeps_reactor
    assert place.path == str(world.directory)
    assert {"/proc"} < {lane.mount.point for lane in world.logs._lanes.values()}


def test_a_lane_that_does_not_answer_is_told(world: World) -> None:
    """To who looks for a place, and to who has one."""
    place = find(world, world.directory)
    mount = world.lane.mount.point
    world.hang()
    called: list[int] = []
    later = [
        world.logs.places(lambda path: False)(f"{world.directory}/x"),
        place.look(lambda: called.append(1)),
    ]
    world.fall_silent()
    for one in later:
        error = world.error(one)
        assert isinstance(error, NoAnswer)
        assert error.mount == mount
    world.gates[-1].let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    world.settle()
    assert called == []


def test_the_lane_of_another_daemon_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be writing there."""
    place = find(world, world.directory)

    def held() -> None:
        raise Held(77)

    monkeypatch.setattr(world.lane, "_logs", held)
    error = world.error(place.look(os.getpid))
    assert isinstance(error, HeldByOther)
    monkeypatch.undo()


@pytest.mark.parametrize("threads", ["always", "never"])
def test_links_that_lead_nowhere_are_told(threads: str, tmp_path: Path) -> None:
    """As by open(2)."""
    (tmp_path / "loop").symlink_to("loop")
    world = World(Path(os.path.realpath(tmp_path)), threads)
    error = world.error(world.logs.places(lambda path: False)(f"{world.directory}/loop"))
    assert isinstance(error, OSError)
    assert error.errno == errno.ELOOP
    world.end()


@pytest.mark.parametrize("threads", ["always", "never"])
def test_old_logs_are_removed(threads: str, tmp_path: Path) -> None:
    """But not those that are open, in a lane or not."""
    root = Path(os.path.realpath(tmp_path))
    world = World(root, threads)
    names = ("a.log", "qemu/b.log", "qemu/open.log", "qemu/virt-serial0-log", "qemu/open")
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    world.open(f"{root}/qemu/open.log")
    world.open(f"{root}/qemu/open")
    for name in names:
        world.result(world.logs.append(f"{root}/{name}", b"x", DRIVER, DOMAIN))
        os.utime(root / name, (0, 0))
    long_ago, end = datetime(1970, 1, 1, tzinfo=timezone.utc), Position(1, 0)
    known = [
        KnownLog(f"{root}/{name}", DRIVER, DOMAIN, long_ago, long_ago, None, end) for name in names
    ]
    now_ns = 1000 * 24 * 3600 * 10**9
    where = world.logs.places(lambda path: False)
    cleaner = Cleaner(
        world.clock,
        world.logs,
        where,
        lambda: succeed(known),
        at_once,
        lambda: now_ns,
        lambda: now_ns,
    )
    with capturedLogs() as logged:
        cleaner.set(Rules(str(root), 30, 3))
        world.clock.advance(FIRST_SECONDS)
        world.turn_until(lambda: not cleaner._at_work)
    assert [formatEvent(event).partition(":")[0] for event in logged] == [
        f"removed {root}/a.log",
        f"removed {root}/qemu/b.log",
        f"removed {root}/qemu/virt-serial0-log, 1 files with 1 bytes",
        "old logs were removed, 3 files with 3 bytes in all",
    ]
    assert sorted(os.listdir(root / "qemu")) == ["open", "open.log"]
    assert sorted(world.logs.known.paths()) == [f"{root}/qemu/open", f"{root}/qemu/open.log"]
    cleaner.stop()
    world.end()
