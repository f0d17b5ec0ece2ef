"""How many bytes came when."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import Position, TimeMark
from twisted_virtlog.web.extent import Extent, Part
from twisted_virtlog.web.timeline import MOST_COLUMNS, timeline

T = datetime(2026, 3, 1, tzinfo=timezone.utc)


def marks(*pairs: tuple[int, float]) -> list[TimeMark]:
    """Make marks in one file, at seconds."""
    return [TimeMark(Position(1, at, "h.a"), T + timedelta(seconds=when)) for at, when in pairs]


def one(size: int) -> Extent:
    """Make a log of one file."""
    return Extent([Part(1, "h.a", size)])


def test_bytes_are_where_they_came() -> None:
    made = timeline([(one(50), marks((10, 0), (30, 5), (50, 10)))], 2, None, None)
    assert made is not None
    assert (made.since, made.until) == (T, T + timedelta(seconds=10))
    # (ten came at the very beginning, and the others over five seconds each)
    assert made.columns == [30, 20]


def test_what_happened_just_before_or_after_is_in_it() -> None:
    """A boot is known more exactly than when its first byte came."""
    seconds = (-100, -0.5, 10.5, 100)
    happened = [T + timedelta(seconds=second) for second in seconds]
    made = timeline([(one(50), marks((10, 0), (50, 10)))], 11, None, None, happened)
    assert made is not None
    assert (made.since, made.until) == (happened[1], happened[2])
    assert sum(made.columns) == 50
    made = timeline([(one(50), marks((10, 0), (50, 10)))], 11, T, T + timedelta(10), happened)
    assert made is not None
    assert (made.since, made.until) == (T, T + timedelta(10))


def test_logs_of_a_guest_are_added() -> None:
    logs = [(one(10), marks((0, 0), (10, 10)))] * 2
    made = timeline(logs, 1, None, None)
    assert made is not None
    assert made.columns == [20]


def test_of_another_time_nothing_is_counted() -> None:
    made = timeline(
        [(one(10), marks((0, 0), (10, 10)))],
        3,
        T + timedelta(seconds=100),
        T + timedelta(seconds=200),
    )
    assert made is not None
    assert made.columns == [0, 0, 0]


def test_what_is_gone_is_left_out() -> None:
    gone = TimeMark(Position(9, 5, "h.z"), T)
    assert timeline([(one(10), [gone])], 5, None, None) is None


@pytest.mark.parametrize("columns", [0, 1, 7, MOST_COLUMNS, 10**9])
def test_there_are_so_many_columns(columns: int) -> None:
    made = timeline([(one(10), marks((0, 0), (10, 10)))], columns, None, None)
    assert made is not None
    assert len(made.columns) == max(1, min(columns, MOST_COLUMNS))
    assert sum(made.columns) == 10


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1000)), min_size=1), st.integers(1, 50)
)
def test_no_byte_is_lost_or_added(pairs: list[tuple[int, float]], columns: int) -> None:
    """Also where the clock was set back."""
    made = timeline([(one(1000), marks(*sorted(pairs)))], columns, None, None)
    expected = max(at for at, _ in pairs)
    assert sum(made.columns if made else []) == expected
    assert all(count >= 0 for count in (made.columns if made else []))
