"""Why bytes of a guest are lost."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World, of_the_direct_way
from tests.logs.test_failing import fail, files_end_at, fill, pass_time
from twisted_virtlog.logs.observing import NoObserver
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.values import DropReason


class Losses(NoObserver):
    """Counts what is lost, by why."""

    def __init__(self) -> None:
        self.counts: Counter[DropReason] = Counter()

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        self.counts[reason] += count


@pytest.fixture
def losses() -> Losses:
    """Make what counts what is lost."""
    return Losses()


@pytest.fixture
def world(make_world: MakeWorld, losses: Losses) -> World:
    """Make a world whose losses are counted."""
    world = make_world(drops=True)
    world.handler.observer = losses
    return world


@of_the_direct_way
def test_what_is_dropped_while_the_file_fails_is_for_a_write_error(
    world: World, losses: Losses
) -> None:
    """Whether the guest is there or gone."""
    with files_end_at(1000):
        guest = fail(world)
        lost = 2000 + fill(guest)
        pass_time(world, 1.05)
        assert losses.counts == {DropReason.WRITE_ERROR: lost}
        guest.write(b"last\n")
        guest.end()
        pass_time(world, 1.05)
    assert not world.is_open()
    assert losses.counts == {DropReason.WRITE_ERROR: lost + 5}


@of_the_direct_way
def test_what_is_left_when_the_daemon_ends_is_stopped(world: World, losses: Losses) -> None:
    """The file does not take it, and nobody keeps the pipe."""
    with files_end_at(1000):
        fail(world)
        world.close()
    assert losses.counts == {DropReason.STOPPED: 2000}


@of_the_direct_way
def test_what_is_left_when_a_client_closes_the_log_is_stopped(world: World, losses: Losses) -> None:
    """Before a retry failed, nothing is dropped for the write error."""
    with files_end_at(1000):
        fail(world)
        world.handler.close_log(world.path)
    assert losses.counts == {DropReason.STOPPED: 2000}
