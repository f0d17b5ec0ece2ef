"""A guest that is started anew and wants an empty log, where the former one is to be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import Policy, one_for_all


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Keep three backups, of any size."""
    world = make_world(0, 3)
    policy = Policy(Limits(0, 3), keep_on_truncate=True)
    world.handler.reload(LogSettings(one_for_all(policy)), 64 * 1024)
    return world


def test_the_former_log_becomes_a_backup(world: World) -> None:
    """Each boot has a file; a position in an earlier one is still good."""
    start = None
    for number in range(3):
        guest = world.open(truncate=True)
        assert guest.position.offset == 0
        start = start or guest.position
        guest.write(b"boot %d\n" % number)
        assert world.position().offset == 7
        guest.end()
        world.reactor.run()
    assert world.files() == {".1": b"boot 0\n", ".0": b"boot 1\n", "": b"boot 2\n"}
    excerpt = world.read(start)
    assert (excerpt.data, excerpt.gap) == (b"boot 0\nboot 1\nboot 2\n", False)


def test_an_empty_one_is_not_kept(world: World) -> None:
    """It would push out a backup for nothing."""
    for _ in range(2):
        world.open(truncate=True).end()
        world.reactor.run()
    assert world.files() == {"": b""}


def test_what_the_pipe_of_a_holder_has_is_lost_as_without(world: World) -> None:
    """The guest's former pipe was given up; what it had printed before is kept."""
    first = world.open()
    first.write(b"before\n")
    world.position()
    second = world.open(truncate=True)
    second.write(b"after\n")
    world.position()
    assert world.files() == {".0": b"before\n", "": b"after\n"}
    assert world.status().rollovers == 0


def test_a_link_is_removed(world: World, tmp_path: Path) -> None:
    """What it leads to is not this log's to be moved."""
    other = tmp_path / "other.log"
    other.write_bytes(b"another's\n")
    Path(world.path).symlink_to(other)
    world.open(truncate=True).write(b"mine\n")
    world.position()
    assert world.files() == {"": b"mine\n"}
    assert other.read_bytes() == b"another's\n"
