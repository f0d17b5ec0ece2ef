"""A bucket of tokens, and where the output of a guest that is beyond its rate is cut."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.handover.state import RateState
from twisted_virtlog.logs.excess import LINE_BYTES, LINE_SECONDS, Excess
from twisted_virtlog.logs.rate import Bucket, Rate, seconds_until
from twisted_virtlog.values import OnRate

DROP, BLOCK = OnRate.DROP, OnRate.BLOCK

rates = st.builds(
    Rate.of,
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from(OnRate),
).filter(bool)

#: How much time passes, in quarters of a second (exact as a float), and what is asked for then.
steps = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10**9)), max_size=30)


@pytest.mark.parametrize(
    ("keys", "rate"),
    [
        ((0, 5, 7, DROP), None),
        ((100, 0, 0, DROP), Rate(100, 100, 0, DROP)),
        ((100, 0, 0, BLOCK), Rate(100, 100, 0, BLOCK)),
        ((100, 500, 900, DROP), Rate(100, 500, 900, DROP)),
        ((100, 20, 0, BLOCK), Rate(100, 20, 0, BLOCK)),
        # It goes on with a second's bytes.
        ((100, 20, 0, DROP), Rate(100, 100, 0, DROP)),
    ],
)
def test_what_the_keys_come_to(keys: tuple[int, int, int, OnRate], rate: Rate | None) -> None:
    """No rate is no limit, whatever the others say."""
    assert Rate.of(*keys) == rate


@pytest.mark.parametrize(
    ("rate", "at_first", "enough"),
    [
        (Rate(100, 100, 0, DROP), 100, 100),
        (Rate(100, 500, 900, DROP), 900, 100),
        (Rate(100, 100, 0, BLOCK), 100, 10),
        (Rate(100, 4, 0, BLOCK), 4, 2),
        (Rate(1, 1, 0, BLOCK), 1, 1),
    ],
)
def test_how_much_at_first_and_how_much_to_go_on(rate: Rate, at_first: int, enough: int) -> None:
    """Who waits goes on in small steps, before the bucket is full; who drops, once a second."""
    assert (rate.at_first, rate.enough) == (at_first, enough)


@given(rate=rates, asked=steps)
def test_never_more_than_the_burst_and_what_came_since(
    rate: Rate, asked: Sequence[tuple[int, int]]
) -> None:
    """From any moment on, and from the opening on with the bytes for that."""
    bucket, now, written = Bucket(rate.at_first, 0.0), 0.0, 0
    moments = [(now, written)]
    for quarters, count in asked:
        now += quarters / 4
        left = bucket.left(rate, now, written)
        assert left <= rate.at_first
        moments.append((now, written))
        written += min(count, max(0, left))
        for number, (since, before) in enumerate(moments):
            at_once = rate.burst if number and written > rate.at_first else rate.at_first
            at_once = rate.at_first if before < rate.at_first else at_once
            assert written - before <= at_once + (now - since) * rate.rate + 1


@given(rate=rates, debt=st.integers(1, 10**9), quarters=st.integers(0, 400))
def test_what_was_taken_beyond_is_paid_back_first(rate: Rate, debt: int, quarters: int) -> None:
    """To the byte."""
    bucket = Bucket(rate.burst, 0.0)
    written = rate.burst + debt
    expected = min(rate.burst, rate.rate * quarters / 4 - debt)
    assert bucket.left(rate, 0.0, written) == -debt
    assert abs(bucket.left(rate, quarters / 4, written) - expected) <= 1


@given(rate=rates, quarters=st.lists(st.integers(1, 4), min_size=1, max_size=50))
def test_who_always_has_more_gets_all_that_comes(rate: Rate, quarters: Sequence[int]) -> None:
    """However often the bucket is looked at; the burst is not lost, as it is never full."""
    bucket, now, written = Bucket(rate.burst, 0.0), 0.0, 0
    for passed in quarters:
        now += passed / 4
        written += max(0, bucket.left(rate, now, written, more=rate.rate))
    assert abs(written - rate.burst - rate.rate * now) <= 1


def test_what_comes_at_an_opening_comes_once() -> None:
    """What was taken of it does not come back; no token comes before it is used up."""
    rate = Rate(100, 200, 1000, DROP)
    bucket = Bucket(rate.at_first, 0.0)
    assert bucket.left(rate, 50.0, 0) == 1000
    assert bucket.left(rate, 51.0, 700) == 300
    assert bucket.left(rate, 60.0, 700) == 300
    assert bucket.left(rate, 61.0, 900) == 200
    assert bucket.left(rate, 62.0, 1000) == 200


def test_bytes_that_are_not_the_guests() -> None:
    """They take no tokens."""
    rate = Rate(100, 200, 0, DROP)
    bucket = Bucket(200, 0.0)
    bucket.give(70)
    assert bucket.left(rate, 0.0, 70) == 200


def test_another_rate_bounds_what_is_left() -> None:
    """To what it gives at once; a debt stays."""
    bucket = Bucket(1000, 0.0)
    bucket.bound(Rate(10, 20, 50, DROP), 100)
    assert bucket.until == 150
    bucket.bound(Rate(10, 20, 50, DROP), 500)
    assert bucket.until == 150


def test_a_clock_that_seems_to_step_gives_nothing() -> None:
    """As of a state that another process noted."""
    bucket = Bucket(0, 100.0)
    assert bucket.left(Rate(10, 20, 0, DROP), 50.0, 0) == 0
    assert bucket.left(Rate(10, 20, 0, DROP), 101.0, 0) == 10


def test_how_long_it_takes() -> None:
    """Nothing, if there are as many."""
    rate = Rate(100, 200, 0, DROP)
    assert seconds_until(rate, -50, 100) == 1.5
    assert seconds_until(rate, 120, 100) == 0


def test_ten_thousand_buckets_take_a_mebibyte() -> None:
    """As ten thousand logs may have a rate."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buckets = [Bucket(1e9 + number, 1e6 + number) for number in range(10_000)]
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(buckets) == 10_000
    # (the list is not theirs)
    assert used - 10_000 * 8 <= 1024 * 1024


# What is dropped.


def excess() -> Excess:
    return Excess(100, 1000)


def test_a_line_is_written_to_its_end() -> None:
    """And what follows is not."""
    one = excess()
    assert one.line_rest(b"rest of it\nanother", 1000) == len("rest of it\n")
    assert (one.to_line_end, one.until) == (0, 1000 + len("rest of it\n"))


def test_a_line_that_does_not_end_is_cut() -> None:
    """After so many bytes, however many are seen at once."""
    one = excess()
    assert one.line_rest(b"x" * 100, 1000) == 100
    assert one.to_line_end == LINE_BYTES - 100
    assert one.line_rest(b"x" * (LINE_BYTES - 100), 1100) == LINE_BYTES - 100
    assert (one.to_line_end, one.until) == (0, 1000 + LINE_BYTES)


def test_the_rest_of_a_line_is_skipped_before_the_log_goes_on() -> None:
    """If it comes soon, and is short."""
    one = excess()
    one.in_line = True
    assert one.rest_to_skip(b"abc") == 3
    assert one.must_wait(10.0)
    assert one.rest_to_skip(b"def\nghi") == 4
    assert not one.must_wait(10.0)
    one.in_line = True
    assert one.must_wait(10.5)
    assert not one.must_wait(10.0 + LINE_SECONDS)


def test_a_long_line_is_not_skipped_to_its_end() -> None:
    """The log goes on in its middle."""
    one = excess()
    one.in_line = True
    assert one.rest_to_skip(b"x" * LINE_BYTES) == LINE_BYTES
    assert not one.must_wait(0.0)


def test_it_is_recorded_often_enough_and_no_oftener() -> None:
    """At the first drop, and then ten times a second."""
    one = excess()
    times = [number / 100 for number in range(100)]
    assert sum(one.is_to_note(now) for now in times) == 10


def test_the_line_in_the_log() -> None:
    """It says how much, from when to when, and why."""
    one = excess()
    one.dropped(3)
    one.dropped(4)
    assert one.since is not None
    assert datetime.now(timezone.utc) - one.since < timedelta(minutes=1)
    one.since = datetime(2026, 11, 23, 9, 34, 9, 908_000, timezone.utc)
    assert one.notice(one.since + timedelta(seconds=1)) == (
        b"[virtlogd: 7 bytes lost from 2026-11-23 09:34:09.908+00:00"
        b" to 2026-11-23 09:34:10.908+00:00: over its rate of 100 bytes a second]\n"
    )


def test_it_goes_on_elsewhere() -> None:
    """If there is anything to say; it drops no line's rest twice."""
    now = datetime.now(timezone.utc)
    assert Excess.resumed(RateState(5, 1.0), 1000) is None
    one = Excess.resumed(RateState(5, 1.0, 7, now, 100, True), 1000)
    assert one is not None
    assert (one.lost, one.since, one.rate, one.in_line) == (7, now, 100, True)
    assert (one.until, one.to_line_end) == (1000, 0)
