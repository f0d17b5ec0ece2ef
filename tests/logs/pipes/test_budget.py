"""How large each pipe may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.logs.pipes.budget import SMALLEST_SHARE_BYTES, PipeBudget

MIB = 1 << 20


class Kernel:
    """Does what the budget asks, and keeps what each pipe then holds."""

    def __init__(self, budget: PipeBudget[int]) -> None:
        self.budget = budget
        self.sizes: dict[int, int] = {}
        self._next = 0

    def open(self) -> int:
        """Make one more pipe."""
        pipe, self._next = self._next, self._next + 1
        grant = self.budget.add(pipe)
        for other, size in grant.shrink:
            assert size < self.sizes[other], "a pipe is made smaller, never larger"
            self.sizes[other] = size
            self.budget.resize(other, size)
        self.sizes[pipe] = grant.size
        self.budget.resize(pipe, grant.size)
        return pipe

    def close(self, pipe: int) -> None:
        """Close a pipe."""
        del self.sizes[pipe]
        self.budget.remove(pipe)


def test_without_a_limit_every_pipe_is_as_large_as_wished() -> None:
    """A privileged daemon gives each guest what the configuration says."""
    kernel = Kernel(PipeBudget(MIB))
    for _ in range(2000):
        kernel.open()
    assert set(kernel.sizes.values()) == {MIB}


def test_large_pipes_give_back_for_later_ones() -> None:
    """Within 4 MiB four pipes have 1 MiB each; with eight open each has half of that."""
    kernel = Kernel(PipeBudget(MIB, 4 * MIB))
    for _ in range(4):
        kernel.open()
    assert list(kernel.sizes.values()) == [MIB] * 4
    for _ in range(4):
        kernel.open()
    assert list(kernel.sizes.values()) == [MIB // 2] * 8


def test_closed_pipes_make_room() -> None:
    """What a closed pipe had is there for the next."""
    kernel = Kernel(PipeBudget(MIB, 2 * MIB))
    first, second = kernel.open(), kernel.open()
    kernel.close(first)
    kernel.close(second)
    assert kernel.sizes[kernel.open()] == MIB


def test_small_pipes_are_left_alone_when_large_ones_can_give() -> None:
    """What a pipe does not have above its share it cannot give back."""
    kernel = Kernel(PipeBudget(MIB, 4 * MIB))
    pipes = [kernel.open() for _ in range(8)]
    for pipe in pipes[2:]:
        kernel.close(pipe)
    for _ in range(5):
        kernel.open()
    sizes = list(kernel.sizes.values())
    assert sizes == [MIB // 2, MIB // 2, MIB // 2, MIB, MIB // 2, MIB // 2, MIB // 2]


def test_a_pipe_that_cannot_shrink_is_counted_as_it_is() -> None:
    """When the kernel refuses to shrink a full pipe, the others give back in its place."""
    budget: PipeBudget[str] = PipeBudget(MIB, 2 * MIB)
    for pipe in ("full", "idle"):
        budget.resize(pipe, budget.add(pipe).size)
    grant = budget.add("third")
    assert dict(grant.shrink) == {"full": MIB // 2}
    budget.resize("full", MIB)
    budget.resize("third", grant.size)
    assert dict(budget.add("fourth").shrink) == {"full": MIB // 2, "idle": MIB // 2}


@pytest.mark.parametrize("pipe_size", [4096, 8192])
def test_a_small_wish_is_granted_however_many_there_are(pipe_size: int) -> None:
    """Pipes no larger than the kernel's smallest are never made smaller."""
    kernel = Kernel(PipeBudget(pipe_size, MIB))
    for _ in range(500):
        kernel.open()
    assert set(kernel.sizes.values()) == {pipe_size}


@given(
    pipe_size=st.integers(12, 22).map(lambda bits: 1 << bits),
    total=st.integers(0, 64 * MIB),
    changes=st.lists(st.none() | st.integers(0, 300), max_size=300),
)
def test_the_total_is_kept_and_nobody_starves(
    pipe_size: int, total: int, changes: list[int | None]
) -> None:
    """All pipes together stay within the total unless none is larger than 8 KiB.

    And each, the latest too, has at least the smaller of 8 KiB and the size wished for.
    """
    kernel = Kernel(PipeBudget(pipe_size, total))
    for change in changes:
        if change is None or not kernel.sizes:
            newest = kernel.open()
            assert kernel.sizes[newest] == kernel.budget.fair_share(len(kernel.sizes))
        else:
            kernel.close(list(kernel.sizes)[change % len(kernel.sizes)])
        sizes = kernel.sizes.values()
        assert all(min(SMALLEST_SHARE_BYTES, pipe_size) <= size <= pipe_size for size in sizes)
        assert sum(sizes) <= total or all(size <= SMALLEST_SHARE_BYTES for size in sizes)
