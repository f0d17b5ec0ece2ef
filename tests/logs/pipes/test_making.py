"""The pipes that guests write to, and what the kernel allows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.logs.fakes import KIB
from twisted_virtlog.logs.pipes import making
from twisted_virtlog.logs.pipes.making import (
    NewPipe,
    PipeLimits,
    Pipes,
    kernel_limits,
    read_text,
)
from twisted_virtlog.syscalls import pipe_capacity

ANY = PipeLimits(1024 * KIB, None)
SOFT_LIMIT = "/proc/sys/fs/pipe-user-pages-soft"
MAX_SIZE = "/proc/sys/fs/pipe-max-size"
STATUS = "/proc/self/status"


def proc(capabilities: int = 0, soft: int = 16384, largest: int = 1 << 20) -> Callable[[str], str]:
    """Stand in for a kernel's /proc."""
    return {
        STATUS: f"Name:\tvirtlogd\nCapPrm:\tffff\nCapEff:\t{capabilities:016x}\n",
        SOFT_LIMIT: f"{soft}\n",
        MAX_SIZE: f"{largest}\n",
    }.__getitem__


@pytest.fixture
def made() -> Iterator[list[int]]:
    """Collect descriptors; they are closed at the end."""
    descriptors: list[int] = []
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def test_an_unprivileged_process_shares_a_part_of_its_users_limit() -> None:
    """Three quarters of the soft limit are the daemon's."""
    page = os.sysconf("SC_PAGESIZE")
    limits = kernel_limits(proc())
    assert limits == PipeLimits(1 << 20, 16384 * page * 3 // 4)


@pytest.mark.parametrize("capability", [21, 24])
def test_either_capability_lifts_the_limit(capability: int) -> None:
    """CAP_SYS_ADMIN and CAP_SYS_RESOURCE each do; any other does not."""
    assert kernel_limits(proc(1 << capability)).together is None
    assert kernel_limits(proc(1 << (capability + 1))).together is not None


def test_an_administrator_may_lift_the_limit() -> None:
    """A soft limit of 0 means none."""
    assert kernel_limits(proc(soft=0)).together is None


@pytest.mark.parametrize("text", ["", "CapEff:\tnonsense\n"])
def test_without_a_proc_that_can_be_read_pipes_stay_as_they_are(text: str) -> None:
    """A process that cannot learn its limits asks for no more than each process has."""

    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    assert kernel_limits(missing).largest == 64 * KIB
    odd = {STATUS: text, SOFT_LIMIT: "16384", MAX_SIZE: "1048576"}
    assert kernel_limits(odd.__getitem__).largest == 64 * KIB


def test_the_real_kernel_tells_its_limits() -> None:
    """What is read from the real /proc makes sense."""
    limits = kernel_limits(read_text)
    assert limits.largest >= 4096
    assert limits.together is None or limits.together > 0


def test_the_read_end_does_not_block_and_the_write_end_does(made: list[int]) -> None:
    """A guest waits when its pipe is full; the daemon never does. No child inherits either."""
    pipes = Pipes(64 * KIB, ANY)
    read_end, write_end, _ = pipes.make()
    made.append(write_end)
    assert not os.get_blocking(read_end)
    assert os.get_blocking(write_end)
    assert not os.get_inheritable(read_end)
    assert not os.get_inheritable(write_end)
    pipes.close(read_end)


@pytest.mark.parametrize(
    ("wished", "largest", "capacity"),
    [
        (256 * KIB, 1024 * KIB, 256 * KIB),
        (200 * KIB, 1024 * KIB, 256 * KIB),
        (512 * KIB, 128 * KIB, 128 * KIB),
        (4 * KIB, 1024 * KIB, 4 * KIB),
        (1, 1024 * KIB, os.sysconf("SC_PAGESIZE")),
    ],
)
def test_a_pipe_is_as_large_as_wished_and_allowed(
    wished: int, largest: int, capacity: int, made: list[int]
) -> None:
    """Sizes are rounded up to a power of two, and kept within the kernel's largest."""
    pipes = Pipes(wished, PipeLimits(largest, None))
    read_end, write_end, _ = pipes.make()
    made.append(write_end)
    assert pipe_capacity(read_end) == capacity
    pipes.close(read_end)


def test_a_pipe_that_was_given_away_keeps_its_size(
    made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its guest could let whoever changes the size, or asks for it, wait for ever."""
    pipes = Pipes(512 * KIB, PipeLimits(1024 * KIB, 8 * 1024 * KIB))
    ends = [pipes.make()]
    given = {ends[0].read_end}
    for name in ("set_pipe_capacity", "pipe_capacity"):
        call = getattr(making, name)

        def checked(pipe: int, *size: int, call: Callable[..., int] = call) -> int:
            assert pipe not in given
            return call(pipe, *size)

        monkeypatch.setattr(making, name, checked)
    for _ in range(100):
        ends.append(pipes.make())
        given.add(ends[-1].read_end)
    taken_over, write_end = os.pipe()
    given.add(taken_over)
    pipes.adopt(taken_over, 0)
    ends.append(NewPipe(taken_over, write_end, 64 * KIB))
    monkeypatch.undo()
    for pipe in ends:
        assert pipe_capacity(pipe.read_end) == pipe.capacity
        os.close(pipe.write_end)
        pipes.close(pipe.read_end)
    assert (ends[0].capacity, ends[-2].capacity) == (512 * KIB, 8 * KIB)


def test_a_pipe_that_could_not_grow_is_counted_as_it_is(
    made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the user's other pipes use up the limit, a pipe keeps its size and owes nothing."""

    def refused(pipe: int, size: int) -> int:
        raise PermissionError(pipe, size)

    pipes = Pipes(512 * KIB, PipeLimits(1024 * KIB, 9 * 1024 * KIB))
    monkeypatch.setattr(making, "set_pipe_capacity", refused)
    ends = [pipes.make()]
    monkeypatch.undo()
    ends.extend(pipes.make() for _ in range(2))
    made.extend(pipe.write_end for pipe in ends)
    assert [pipe_capacity(pipe.read_end) for pipe in ends] == [pipe.capacity for pipe in ends]
    for pipe in ends:
        pipes.close(pipe.read_end)
    assert [pipe.capacity for pipe in ends] == [64 * KIB, 512 * KIB, 256 * KIB]
    assert not pipes.finish(10)


@pytest.mark.parametrize(("capacity", "taken"), [(1 << 20, 1 << 20), (0, 64 * KIB)])
def test_a_pipe_that_is_taken_over_is_counted_as_its_state_says(capacity: int, taken: int) -> None:
    """And as a usual one, where nobody says."""
    pipes = Pipes(512 * KIB, PipeLimits(1024 * KIB, 9 * 1024 * KIB))
    read_end, write_end = os.pipe()
    assert pipes.adopt(read_end, capacity) == taken
    after = pipes.make()
    assert after.capacity == (512 * KIB if capacity == 0 else 256 * KIB)
    for descriptor in (write_end, after.write_end):
        os.close(descriptor)
    for pipe in (read_end, after.read_end):
        pipes.close(pipe)


def test_what_is_no_pipe_is_not_taken_over() -> None:
    """Whatever a state says of it."""
    pipes = Pipes(64 * KIB, ANY)
    with open(os.devnull, "rb") as file, pytest.raises(OSError, match="not a pipe"):
        pipes.adopt(file.fileno(), 0)
