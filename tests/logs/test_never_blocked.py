"""Under on_write_error = "drop" no guest waits for long, and nothing is dropped without need."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, Guest, World
from tests.logs.test_failing import NOTICE, files_end_at, pass_time
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs import open_log
from twisted_virtlog.logs.failing import FailingLogs
from twisted_virtlog.logs.outage import CHECK_SECONDS, FULL_CHECK_SECONDS, RETRY_SECONDS
from twisted_virtlog.logs.pipes.sources import PipeSource
from twisted_virtlog.syscalls import is_pipe_full, set_pipe_capacity
from twisted_virtlog.values import Opened

#: No write may take longer.
MOST_SECONDS = 1.5

PIPE_SIZES = [4 * KIB << power for power in range(9)]


def has_room(write_end: int) -> bool:
    """Return what a guest is told that asks before it writes."""
    poll = select.poll()
    poll.register(write_end, select.POLLOUT)
    return bool(poll.poll(0))


def open_pipe(world: World, size: int, flags: int) -> Guest:
    """Open a log with a pipe of another size and kind, as a former daemon may have made it."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | flags)
    world.handler.adopt(OpenLogState(read_end, world.path, "qemu"))
    set_pipe_capacity(read_end, size)
    return Guest(Opened(world.position(), write_end))


def write(world: World, guest: Guest, count: int) -> float:
    """Write as write(2) does, with time passing while it waits.

    :returns: how long it took, in seconds.
    """
    begun = world.clock.seconds()
    data = memoryview(b"x" * count)
    os.set_blocking(guest.write_end, False)
    while data:
        try:
            data = data[os.write(guest.write_end, data) :]
        except BlockingIOError:
            world.reactor.turn()
            world.clock.advance(FULL_CHECK_SECONDS)
            if world.clock.seconds() - begun > 2 * MOST_SECONDS:
                break
    return world.clock.seconds() - begun


@pytest.mark.lengthy
@settings(max_examples=examples(80))
@given(
    sizes=st.lists(
        st.integers(1, 65536) | st.sampled_from([1, 2049, 4095, 4096, 4097]), min_size=1, max_size=5
    ),
    pipe_size=st.sampled_from(PIPE_SIZES),
    packets=st.booleans(),
)
def test_no_write_waits_and_nothing_is_dropped_while_there_is_room(
    sizes: Sequence[int], pipe_size: int, packets: bool, tmp_path: Path
) -> None:
    """Whatever a guest writes, into whatever pipe; and every byte is accounted for."""
    world = World(tmp_path, drops=True)
    guest = open_pipe(world, pipe_size, os.O_DIRECT if packets else 0)
    discard = PipeSource.discard

    def checked(source: PipeSource, count: int) -> int:
        assert not has_room(guest.write_end), "dropped without need"
        return discard(source, count)

    written = 0
    with pytest.MonkeyPatch.context() as patch, files_end_at(0):
        patch.setattr(PipeSource, "discard", checked)
        for size, _ in zip(cycle(sizes), range(1000), strict=False):
            assert write(world, guest, size) <= MOST_SECONDS
            written += size
            world.reactor.turn()
            # A round of drops is one of full pipes.
            if world.status().lost_bytes > 2 * pipe_size:
                break
        pass_time(world, 2)
        lost = world.status().lost_bytes
    pass_time(world, 1.1)
    # (before the notice of what is lost at the beginning stands no line end)
    assert len(NOTICE.sub(b"", world.text())) + lost == written
    guest.end()
    world.close()
    os.unlink(world.path)


def test_a_file_that_is_full_again_at_once_does_not_block_a_guest_each_time(
    make_world: MakeWorld,
) -> None:
    """Where a retry a second has a little room, a long write waits for one second, not for each."""
    world = make_world(drops=True)
    guest = world.open()
    set_pipe_capacity(guest.write_end, 4 * KIB)
    os.set_blocking(guest.write_end, False)
    left = memoryview(b"x" * 64 * KIB)
    room, seconds = 1000, 0.0
    while left and seconds < 30:
        with files_end_at(room):
            world.reactor.turn()
            try:
                left = left[os.write(guest.write_end, left) :]
            except BlockingIOError:
                world.clock.advance(FULL_CHECK_SECONDS)
                seconds += FULL_CHECK_SECONDS
            if world.clock.seconds() % 1 < FULL_CHECK_SECONDS:
                room += 4 * KIB
    assert seconds <= MOST_SECONDS


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EMFILE])
def test_where_nobody_can_tell_whether_a_pipe_is_full(
    number: int, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without /proc, or a descriptor, a guest whose pipe may be full and stands still is freed."""

    def refuse(_: int) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(open_log, "is_pipe_full", refuse)
    world = make_world(drops=True)
    guest = world.open()
    with files_end_at(0):
        guest.write(b"x" * 15)
        world.reactor.turn()
        pass_time(world, 5)
        assert world.status().lost_bytes == 0, "it has more pages than bytes"
        for _ in range(10):
            assert write(world, guest, 2100 * 16) <= MOST_SECONDS
    assert world.status().lost_bytes


def test_a_question_for_room_leaves_the_pipe_as_it_was() -> None:
    """The end of its last writer is still seen, before and after."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    assert not is_pipe_full(read_end)
    os.write(write_end, b"x")
    assert not is_pipe_full(read_end)
    set_pipe_capacity(read_end, 4 * KIB)
    assert is_pipe_full(read_end)
    os.close(write_end)
    poll = select.poll()
    poll.register(read_end)
    for _ in range(2):
        assert poll.poll(0) == [(read_end, select.POLLIN | select.POLLHUP)]
        assert is_pipe_full(read_end)
    os.close(read_end)


# When logs are looked at.


class Checked:
    """A failing log that notes when it is looked at."""

    def __init__(self, world: World, full: bool = False) -> None:
        self.path = "/a.log"
        self.full = full
        self.looks: list[float] = []
        self._clock = world.clock

    def check(self) -> bool:
        self.looks.append(round(self._clock.seconds(), 3))
        return self.full


def test_full_pipes_are_looked_at_more_often(world: World) -> None:
    """Others are not: there may be thousands."""
    failing = FailingLogs(world.clock)
    quiet, flood = Checked(world), Checked(world, full=True)
    failing.add(quiet)
    failing.add(flood)
    world.clock.pump([0.001] * 101)
    assert quiet.looks == [0.05, 0.1]
    assert flood.looks == [0.05, 0.055, 0.06, 0.065, 0.07, 0.075, 0.08, 0.085, 0.09, 0.095, 0.1]
    flood.full = False
    world.clock.pump([0.001] * 50)
    assert quiet.looks == [0.05, 0.1, 0.15]
    assert flood.looks[10:] == [0.1, 0.105, 0.15]
    failing.discard(quiet)
    failing.discard(flood)
    world.clock.pump([0.001] * 100)
    assert not len(failing)
    assert not world.clock.getDelayedCalls()
    failing.add(quiet)
    failing.close()
    assert not world.clock.getDelayedCalls()


def test_floods_have_half_of_the_time_at_most(world: World) -> None:
    """While all output is dropped, the daemon still serves its clients."""
    failing = FailingLogs(world.clock)
    flood = Checked(world, full=True)
    check = flood.check

    def slow() -> bool:
        world.clock.rightNow += 0.02
        return check()

    flood.check = slow  # type: ignore[method-assign]
    failing.add(flood)
    world.clock.pump([0.001] * 200)
    gaps = [after - before for before, after in zip(flood.looks, flood.looks[1:], strict=False)]
    assert gaps
    assert min(gaps) >= 0.039


def test_a_log_that_cannot_be_looked_at_is_left_alone_for_a_second(
    world: World, expected_failures: list[str]
) -> None:
    """The daemon's own log is not flooded with one mistake."""
    expected_failures.append("ZeroDivisionError")
    failing = FailingLogs(world.clock)
    broken, other = Checked(world), Checked(world)

    def check() -> bool:
        Checked.check(broken)
        raise ZeroDivisionError

    broken.check = check  # type: ignore[method-assign]
    failing.add(broken)
    failing.add(other)
    pass_time(world, 3)
    assert 2 <= len(broken.looks) <= 3
    assert broken.looks[1] - broken.looks[0] >= RETRY_SECONDS
    assert len(other.looks) >= 3 / CHECK_SECONDS - 2
    failing.close()
