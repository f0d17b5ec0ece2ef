"""How large each new pipe may be."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.logs.pipes.budget import SMALLEST_SHARE_BYTES, USUAL_PIPE_BYTES, PipeBudget

MIB = 1 << 20


class Kernel:
    """Does what the budget says, and keeps what each pipe then holds."""

    def __init__(self, budget: PipeBudget[int]) -> None:
        self.budget = budget
        self.sizes: dict[int, int] = {}
        self._next = 0

    def open(self, count: int = 1) -> int:
        """Make more pipes; return the last one."""
        for _ in range(count):
            pipe, self._next = self._next, self._next + 1
            self.sizes[pipe] = self.budget.share()
            self.budget.add(pipe, self.sizes[pipe])
        return pipe

    def close(self, pipe: int) -> None:
        """Close a pipe."""
        del self.sizes[pipe]
        self.budget.remove(pipe)


def test_without_a_limit_every_pipe_is_as_large_as_wished() -> None:
    """A privileged daemon gives each guest what the configuration says."""
    kernel = Kernel(PipeBudget(MIB))
    kernel.open(2000)
    assert set(kernel.sizes.values()) == {MIB}


def test_early_pipes_are_large_and_late_ones_do_not_starve() -> None:
    """Within the share of an ordinary user's daemon, 48 MiB, as the documentation says it."""
    kernel = Kernel(PipeBudget(MIB, 48 * MIB))
    kernel.open(1000)
    sizes = list(kernel.sizes.values())
    assert sizes == sorted(sizes, reverse=True)
    counted = Counter(sizes)
    assert counted[MIB] == 17
    assert sum(size >= USUAL_PIPE_BYTES for size in sizes) == 429
    assert set(sizes[461:]) == {SMALLEST_SHARE_BYTES}
    assert sum(sizes[:440]) <= 48 * MIB


def test_closed_pipes_make_room() -> None:
    """What a closed pipe had is there for the next; those that are open keep theirs."""
    kernel = Kernel(PipeBudget(MIB, 48 * MIB))
    first = kernel.open()
    kernel.open(460)
    before = dict(kernel.sizes)
    assert kernel.sizes[kernel.open()] == SMALLEST_SHARE_BYTES
    kernel.close(first)
    assert kernel.sizes[kernel.open()] == USUAL_PIPE_BYTES
    del before[first]
    assert before.items() <= kernel.sizes.items()


def test_a_pipe_is_counted_as_it_is() -> None:
    """The kernel may refuse to make one larger, and one that was taken over has any size."""
    budget: PipeBudget[str] = PipeBudget(MIB, 48 * MIB)
    budget.add("refused", USUAL_PIPE_BYTES)
    assert budget.share() == MIB
    budget.add("another's", 47 * MIB)
    assert budget.share() == USUAL_PIPE_BYTES
    budget.remove("another's")
    assert budget.share() == MIB


@pytest.mark.parametrize("pipe_size", [4096, 8192])
def test_a_small_wish_is_granted_however_many_there_are(pipe_size: int) -> None:
    """Pipes no larger than the kernel's smallest are never made smaller."""
    kernel = Kernel(PipeBudget(pipe_size, MIB))
    kernel.open(500)
    assert set(kernel.sizes.values()) == {pipe_size}


@given(
    pipe_size=st.integers(12, 22).map(lambda bits: 1 << bits),
    total=st.integers(0, 64 * MIB),
    changes=st.lists(st.none() | st.integers(0, 300), max_size=300),
)
def test_the_total_is_kept_and_nobody_starves(
    pipe_size: int, total: int, changes: list[int | None]
) -> None:
    """No pipe goes beyond the total unless it is no larger than 8 KiB.

    And each, the latest too, has at least the smaller of 8 KiB and the size wished for.
    """
    kernel = Kernel(PipeBudget(pipe_size, total))
    for change in changes:
        if change is None or not kernel.sizes:
            size = kernel.sizes[kernel.open()]
            assert min(SMALLEST_SHARE_BYTES, pipe_size) <= size <= pipe_size
            assert size <= SMALLEST_SHARE_BYTES or sum(kernel.sizes.values()) <= total
        else:
            kernel.close(list(kernel.sizes)[change % len(kernel.sizes)])
