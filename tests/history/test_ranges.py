"""Which bytes came in a time: none is missed, and none is further off than is said."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.history.histories import History
from twisted_virtlog.history.moments import wall_ms, wall_time
from twisted_virtlog.history.ranges import Arrivals
from twisted_virtlog.values import TimeRange

T = TypeVar("T")


def whole(slices: Generator[None, None, T]) -> T:
    """Do what is done in slices."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value


def arrivals(history: History) -> Arrivals:
    return Arrivals(
        history.kept(), history.marks(), history.known_walls(), history.now, history.is_watched
    )


@given(st.integers(0, 1 << 62))
@settings(max_examples=examples(2500))
def test_no_byte_is_missed_and_none_is_further_off_than_said(seed: int) -> None:
    """With clock steps of an hour, reboots and kills, whatever is known of them."""
    history = History(seed)
    known = arrivals(history)
    walls = sorted({piece.wall for piece in history.pieces}) or [0]
    for _ in range(3):
        one, other = (
            history.random.choice(walls) + history.random.choice((-5000, -1, 0, 1, 5000))
            for _ in range(2)
        )
        since, until = min(one, other), max(one, other)
        check(
            history,
            known.locate(wall_time(since), wall_time(until)),
            since,
            until,
        )
    everything = known.locate(None, None)
    assert len(everything) == bool(history.pieces)


def check(history: History, ranges: list[TimeRange], since: int, until: int) -> None:
    numbers = {file.inode: number for number, file in enumerate(history.files)}
    places = [
        ((numbers[r.start.inode], r.start.offset), (numbers[r.end.inode], r.end.offset))
        for r in ranges
    ]
    for (_, end), (start, _) in pairwise(places):
        assert end < start
    for piece in history.pieces:
        start = (numbers[piece.file], piece.start)
        end = (numbers[piece.file], piece.end)
        within = [
            r for r, (low, high) in zip(ranges, places, strict=True) if low < end and start < high
        ]
        if since <= piece.wall <= until:
            assert any(low <= start and end <= high for low, high in places), piece
        for r in within:
            assert wall_ms(r.since) <= piece.wall <= wall_ms(r.until), piece
            if r.exact_s is not None:
                off = r.exact_s * 1000
                assert since - off <= piece.wall <= until + off, piece
