"""A guest that keeps its empty pipe locked holds up nobody: not even those who ask for its log."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.locked_pipe import locked
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import STRANGER, Guest, World, of_the_direct_way
from tests.logs.test_failing import fail, files_end_at, fill, not_written, pass_time
from tests.logs.test_former import next_image
from twisted_virtlog.errors import LogBusy
from twisted_virtlog.values import LogState


def ask_everything(world: World) -> None:
    """Ask for all that can be asked of the log without ending it."""
    world.position()
    world.read()
    world.append(b"said ")
    world.status()
    world.handler.counts()
    world.handler.suspended()
    world.reactor.run()
    with pytest.raises(LogBusy):
        world.open(domain=STRANGER)


def test_it_is_asked_for_all_the_same(world: World) -> None:
    """And what was written before is in the file."""
    guest = world.open()
    guest.write(b"before ")
    world.position()
    with locked(guest.write_end):
        ask_everything(world)
        assert world.text() == b"before said "
    guest.write(b"after")
    world.position()
    assert world.text() == b"before said after"


def test_others_are_written_and_opened(make_world: MakeWorld) -> None:
    """Nothing is asked of a pipe that has nothing, though it was busy and is ready no more."""
    world = make_world()
    guest = world.open()
    guest.write(b"x" * 20_000)
    world.reactor.turn()
    assert not world.watch.is_calm
    other = world.open(str(world.directory / "other.log"))
    with locked(guest.write_end):
        other.write(b"from another")
        world.reactor.run()
        assert world.text(str(world.directory / "other.log")) == b"from another"
        for number in range(20):
            world.open(str(world.directory / f"{number}.log")).end()
        world.reactor.run()
        assert len(world.handler.logs()) == 2


def test_it_is_followed_by_the_same_guest(world: World) -> None:
    """What holds the pipe may be a helper process that outlives its guest."""
    former = world.open()
    with locked(former.write_end):
        guest = world.open()
        guest.write(b"the next")
        world.position()
        assert world.text() == b"the next"
        assert world.handler.pipes.unclosed()
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        former.write(b"too late")


def test_it_is_truncated_under_the_same_guest(world: World) -> None:
    """Likewise."""
    former = world.open()
    former.write(b"old")
    world.position()
    with locked(former.write_end):
        world.open(truncate=True)
        assert world.text() == b""
    world.close_pipes()


def test_it_is_closed_by_force(world: World) -> None:
    """The path is free at once, and its holder's writes are refused when it lets go."""
    guest = world.open()
    number = world.status().pipe
    with locked(guest.write_end):
        assert world.handler.close_log(world.path).dropped == 0
        assert world.handler.pipes.unclosed() == (number,)
        world.open(domain=STRANGER)
        world.position()
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        guest.write(b"too late")


def empty_and_failing(world: World) -> Guest:
    """Let a log fail whose full pipe was emptied."""
    guest = fail(world)
    fill(guest)
    pass_time(world, 1.5)
    assert world.status().lost_bytes
    return guest


@of_the_direct_way
def test_it_is_looked_after_while_its_file_fails(make_world: MakeWorld) -> None:
    """And when it can be written again."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = empty_and_failing(world)
        with locked(guest.write_end):
            pass_time(world, 3)
            assert not_written(world.position).pending_bytes == 0
            assert (world.status().state, world.status().pending) == (LogState.FAILING, 0)
    with locked(guest.write_end):
        pass_time(world, 1.1)
        assert world.status().state is LogState.OPEN
        ask_everything(world)


def test_it_ends_while_its_file_fails(make_world: MakeWorld) -> None:
    """By force; others go on."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = empty_and_failing(world)
        with locked(guest.write_end):
            world.handler.close_log(world.path)
            world.open(domain=STRANGER)
    world.close_pipes()


def test_the_next_image_goes_on_with_it(world: World) -> None:
    """It asks for no size, and changes none; what it takes the pipe to hold is in the state."""
    guest = world.open()
    with locked(guest.write_end), next_image(world) as image:
        ask_everything(image)
        assert [
            state.details and state.details.capacity for state in image.handler.suspended()
        ] == [64 * 1024]
        image.handler.close_log(image.path)


@of_the_direct_way
def test_a_former_guest_that_keeps_its_pipe_locked(make_world: MakeWorld) -> None:
    """Somebody took the bytes out of its pipe that were to be written before those that follow."""
    world = make_world(drops=False)
    with files_end_at(1000):
        former = fail(world)
        guest = world.open()
        guest.write(b"the next")
        taken = os.open(f"/proc/self/fd/{former.write_end}", os.O_RDONLY)
        os.read(taken, 3000)
        os.close(taken)
    with locked(former.write_end):
        pass_time(world, 1.1)
        assert world.text() == b"x" * 1000 + b"the next"
    world.close_pipes()


def test_the_daemon_ends(make_world: MakeWorld, logged: Callable[[], str]) -> None:
    """As far as it can: the process lasts until the pipe is let go of, and it says of which."""
    world = make_world()
    guest = world.open()
    number = world.status().pipe
    with locked(guest.write_end):
        world.close()
        assert f"pipe:[{number}] cannot be closed" in logged()
    world.close_pipes()
