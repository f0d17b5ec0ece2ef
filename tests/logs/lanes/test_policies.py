"""Policies of logs that are in the thread of their file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.logs.fakes import DOMAIN, KIB
from tests.logs.lanes.test_all_logs import TIMEOUT, World, fill
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.logs.all_logs import LaneSettings
from twisted_virtlog.service import _log_settings

LINE = b"a line\n"

Configure = Callable[[str], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """All logs have lanes."""
    world = World(tmp_path, drops=False)
    yield world
    world.end()


@pytest.fixture
def configure(world: World) -> Configure:
    """Let words hold for the logs of the guest, as after SIGHUP; the keys say otherwise."""

    def configure(words: str) -> None:
        entries = (f"domain:{DOMAIN.name} {words}",)
        settings = Settings(max_size=0, on_write_error="block", policies=entries)
        lanes = LaneSettings("always", TIMEOUT)
        world.logs.reload(_log_settings(settings), 64 * KIB, lanes)

    return configure


def _sizes(world: World) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in world.directory.glob("guest.log*")}


def test_an_open_log_has_another_policy(world: World, configure: Configure) -> None:
    """Its thread is told, and a later opening has it too."""
    configure("max_size=1000")
    end = world.open()
    os.write(end, LINE * 3)
    world.position()
    configure("max_size=7 max_backups=5")
    os.write(end, LINE * 2)
    world.position()
    assert _sizes(world) == {"guest.log.1": 21, "guest.log.0": 7, "guest.log": 7}
    world.result(world.logs.close_log(world.path))
    os.write(world.open(), LINE * 2)
    world.position()
    assert _sizes(world) == {
        "guest.log.3": 21,
        **{f"guest.log{n}": 7 for n in ("", ".0", ".1", ".2")},
    }


def test_a_closed_log_is_kept_as_when_it_was_open(world: World, configure: Configure) -> None:
    """Whoever appends, and all its backups are read."""
    configure("max_size=7 max_backups=5")
    os.write(world.open(), LINE * 6)
    world.position()
    world.result(world.logs.close_log(world.path))
    world.result(world.logs.append(world.path, LINE, "none", None))
    assert len(_sizes(world)) == 6
    assert world.result(world.logs.read(world.path, None, 100)).data == LINE * 6


def test_a_guest_is_let_go_on_though_its_lane_does_not_hear_of_it(
    world: World, configure: Configure
) -> None:
    """Who drops may be configured while a file system hangs, as its guests do with it."""
    configure("on_write_error=block")
    end = world.open()
    world.settle()
    gate = world.hang()
    fill(end)
    world.fall_silent()
    for _ in range(100):
        world.reactor.turn()
        world.clock.advance(0.01)
    assert world.status().lost_bytes == 0
    configure("on_write_error=drop")
    world.tick(lambda: world.status().lost_bytes)
    lost = world.status().lost_bytes
    configure("on_write_error=block")
    fill(end)
    for _ in range(100):
        world.reactor.turn()
        world.clock.advance(0.01)
    assert world.status().lost_bytes == lost
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    world.result(world.logs.close_log(world.path))


def test_an_open_log_gets_a_thread_and_leaves_it(tmp_path: Path) -> None:
    """As file_threads says; nothing of it is lost or written twice."""
    world = World(tmp_path, "never")
    end = world.open()
    os.write(end, b"one\n")
    for threads, has_thread in (("always", True), ("never", False)):
        world.logs.reload(world.settings, 64 * KIB, LaneSettings(threads, TIMEOUT))
        world.tick(lambda has=has_thread: (world.status().thread is not None) == has)
        os.write(end, b"more\n")
        world.position()
    assert Path(world.path).read_bytes() == b"one\nmore\nmore\n"
    world.end()


def test_who_waits_is_told_by_the_new_timeout(world: World) -> None:
    """As file_timeout says; also of a call that waits already."""
    world.open()
    gate = world.hang()
    world.logs.reload(world.settings, 64 * KIB, LaneSettings("always", 3600))
    position = world.logs.position(world.path)
    world.fall_silent()
    assert not world.lane.lane.is_silent
    world.logs.reload(world.settings, 64 * KIB, LaneSettings("always", TIMEOUT))
    assert isinstance(world.error(position), NotWritten)
    gate.let_go()
