"""How far a file may grow before it is asked again whether there is room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from twisted_virtlog.logs.bounds.leases import BLOCK_BYTES, LEASE_BYTES, is_scarce, lease

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("left", "logs", "granted"),
    [
        (0, 1, 0),
        (4095, 1, 0),
        (4096, 1, 4096),
        (10_000, 1, 8192),
        (100 * MIB, 1, MIB),
        (100 * MIB, 10, MIB),
        (10 * MIB, 10, 256 * 1024),
        (5000, 10_000, 4096),
        (100 * MIB, 10_000, 4096),
    ],
)
def test_what_is_granted(left: int, logs: int, granted: int) -> None:
    """All that one log may have, and a part of it where there are others."""
    assert lease(left, logs) == granted


@settings(max_examples=examples(200), deadline=None)
@given(left=st.integers(0, 2**40), logs=st.integers(1, 20_000))
def test_a_grant_is_whole_blocks_that_are_left(left: int, logs: int) -> None:
    """There is one wherever a block is left, so that nobody is refused for want of a grant."""
    granted = lease(left, logs)
    assert 0 <= granted <= min(left, LEASE_BYTES)
    assert granted % BLOCK_BYTES == 0
    assert bool(granted) == (left >= BLOCK_BYTES)


@settings(max_examples=examples(100), deadline=None)
@given(left=st.integers(0, 2**40), logs=st.integers(2, 10_000))
def test_where_room_is_scarce_all_may_have_a_lease(left: int, logs: int) -> None:
    """As long as there is a block for each, what all have together is less than half of it."""
    if is_scarce(left, logs) and left >= 4 * logs * BLOCK_BYTES:
        assert logs * lease(left, logs) <= left // 2
