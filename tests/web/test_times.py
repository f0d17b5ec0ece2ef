"""When the bytes of a part of a log came."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from twisted_virtlog.client import Position, TimeMark
from twisted_virtlog.web.extent import Extent, Part
from twisted_virtlog.web.times import around, times_before

T = datetime(2026, 3, 1, tzinfo=timezone.utc)
LARGE = 10 << 20
EXTENT = Extent([Part(1, "h.a", 100), Part(2, "h.b", LARGE)])


def at(inode: int, offset: int) -> Position:
    """Return a position in one of the files."""
    return Position(inode, offset, {1: "h.a", 2: "h.b"}.get(inode, "h.z"))


def test_times_are_asked_for_around_a_part() -> None:
    middle = LARGE // 2
    first, last = around(EXTENT, at(2, middle), at(2, middle + 10))
    assert first is not None
    assert last is not None
    assert first.offset < middle
    assert middle + 10 < last.offset < LARGE
    assert around(EXTENT, at(1, 50), at(2, LARGE)) == (at(1, 0), at(2, LARGE))
    # (what is gone leaves nothing to begin with, or to end with)
    assert around(EXTENT, at(9, 50), at(9, 60)) == (None, None)


def test_bytes_are_counted_back_from_the_end() -> None:
    """Over files, beyond the end, and not in a file that is gone."""
    places = [at(9, 5), at(1, 40), at(2, 10), at(2, 70)]
    marks = [TimeMark(place, T + timedelta(n)) for n, place in enumerate(places)]
    assert list(times_before(EXTENT, at(2, 50), marks)) == [
        *((110, T + timedelta(1)), (40, T + timedelta(2)), (-20, T + timedelta(3))),
    ]
    assert list(times_before(EXTENT, at(9, 50), marks)) == []
