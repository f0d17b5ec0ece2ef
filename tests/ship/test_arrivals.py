"""What is shipped later is dated by what the daemon noted."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from twisted_virtlog.ship.arrivals import Arrivals, Mark
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.values import Position

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)


def at(minutes: int | None) -> datetime | None:
    """Return a time after noon."""
    return None if minutes is None else NOON + timedelta(minutes=minutes)


def mark(inode: int, offset: int, minutes: int) -> Mark:
    """Return one."""
    return Mark(Position(inode, offset), NOON + timedelta(minutes=minutes))


def message(start: tuple[int, int], end: tuple[int, int]) -> Message:
    """Return one; of its bytes nothing is asked."""
    return Message(b"x\n", Position(*start), Position(*end))


MARKS = (mark(7, 0, 0), mark(7, 100, 1), mark(7, 200, 2), mark(8, 0, 3), mark(8, 50, 4))


@pytest.mark.parametrize(
    ("messages", "dates"),
    [
        # (one after the other, over the end of a file, up to what comes now)
        (
            [((7, 0), (7, 50)), ((7, 50), (7, 150)), ((7, 150), (8, 10)), ((8, 10), (8, 60))],
            [(0, 1), (1, 2), (2, 4), (None, None)],
        ),
        ([((7, 0), (7, 100)), ((7, 100), (7, 200))], [(0, 1), (1, 2)]),
        # (from the middle on; the first file is gone)
        ([((7, 120), (7, 130)), ((7, 130), (7, 140))], [(2, 2), (2, 2)]),
        ([((8, 10), (8, 20)), ((8, 20), (8, 51)), ((8, 51), (8, 60))], [(4, 4), (None, None)]),
        # (a file without a mark, before others and behind them)
        ([((6, 0), (6, 10)), ((6, 10), (7, 10))], [(0, 0), (0, 1)]),
        ([((8, 10), (8, 50)), ((9, 0), (9, 10))], [(4, 4), (None, None)]),
        ([((7, 150), (7, 250)), ((7, 250), (7, 260))], [(2, 3), (3, 3)]),
        # (the next file was rotated away, or is in the middle of a message)
        ([((7, 150), (7, 250)), ((9, 0), (9, 10))], [(2, 3), (None, None)]),
        ([((7, 150), (9, 10)), ((9, 10), (9, 20))], [(None, None), (None, None)]),
    ],
)
def test_messages_are_dated(
    messages: list[tuple[tuple[int, int], tuple[int, int]]],
    dates: list[tuple[int | None, int | None]],
) -> None:
    """By the first mark behind them; and by that of the message before, when they begin."""
    arrivals = Arrivals(MARKS)
    found = [arrivals.date(message(*one)) for one in messages]
    expected = [(at(since), at(time)) for since, time in dates]
    assert [(one.since, one.time) for one in found][: len(expected)] == expected


def test_all_marks_may_be_rotated_away() -> None:
    """Before anything of their files was shipped."""
    arrivals = Arrivals(MARKS)
    assert arrivals.date(message((6, 0), (6, 10))).time == at(0)
    late = Message(b"x", Position(9, 0), Position(9, 1), gap=True)
    assert arrivals.date(late) is late


def test_what_comes_now_has_no_other_time() -> None:
    """Nothing is noted of it."""
    one = message((7, 0), (7, 1))
    assert Arrivals().date(one) is one


def test_halves_have_the_same_times() -> None:
    """Of a message that was refused."""
    whole = Message(b"a\nb\n", Position(7, 0), Position(7, 4), since=at(1), time=at(2))
    halves = whole.halves()
    assert halves is not None
    assert [(half.data, half.since, half.time) for half in halves] == [
        (b"a\n", at(1), at(2)),
        (b"b\n", at(1), at(2)),
    ]
