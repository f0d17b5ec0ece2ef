"""Which bytes came in a time: none is missed, and none is further off than is said."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.history.histories import History
from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.moments import NO_BOOT, moment, wall_ms, wall_time
from twisted_virtlog.history.ranges import Arrivals
from twisted_virtlog.history.wall_times import HOUR_MS, SLACK_MS, WallTimes, watch
from twisted_virtlog.values import KeptFile, Position, TimeMark, TimeRange

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


@pytest.mark.lengthy
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


# Cases by hand. The wall clock is ahead of the boot clock by BASE.

BASE = 1_800_000_000_000
HOUR_S = HOUR_MS / 1000
SLACK_S = SLACK_MS / 1000


def ms(boot_ms: int) -> datetime:
    """Return what the wall clock showed."""
    return wall_time(BASE + boot_ms)


def kept(
    inode: int, size: int, modified_ms: int, is_parted: bool = False, birth: str = ""
) -> KeptFile:
    return KeptFile(inode, birth or f"h.{inode}", size, ms(modified_ms), "fs", is_parted)


def at(inode: int, offset: int) -> Position:
    return Position(inode, offset, f"h.{inode}")


def marks(*ends: tuple[int, int] | tuple[int, int, int]) -> FileMarks:
    """Make marks of offsets and milliseconds of the boot clock."""
    found = FileMarks()
    for offset, *times in ends:
        found.add(offset, moment(1, times[0]), moment(1, times[-1]))
    return found


def known(
    files: list[tuple[KeptFile, FileMarks]], now_ms: int = 1_000_000, is_watched: bool = True
) -> Arrivals:
    walls = WallTimes()
    walls.add(1, watch(0, now_ms, BASE))
    return Arrivals(
        [file for file, _ in files],
        [of_file for _, of_file in files],
        walls,
        moment(1, now_ms),
        is_watched,
    )


#: Two files that were written one after the other, with times of each.
TWO = [
    (kept(1, 300, 30_000), marks((0, 1000), (100, 10_000), (200, 20_000, 25_000), (300, 30_000))),
    (kept(2, 50, 45_000), marks((0, 30_000, 40_000), (50, 45_000))),
]


@pytest.mark.parametrize(
    ("since", "until", "start", "end", "exact_s"),
    [
        (None, None, at(1, 0), at(2, 50), 0),
        (ms(0), ms(99_000), at(1, 0), at(2, 50), 0),
        # Bytes 100 to 200 came between 10 and 20 s: by 4 s more, and by as much as clocks are off.
        (ms(14_000), ms(21_000), at(1, 100), at(1, 200), 4 + SLACK_S),
        (ms(14_000), ms(27_000), at(1, 100), at(1, 300), 4 + SLACK_S),
        (ms(26_000), ms(39_000), at(1, 200), at(1, 300), 1 + SLACK_S),
        (ms(29_000), ms(42_000), at(1, 200), at(2, 50), 4 + SLACK_S),
        (ms(41_000), None, at(2, 0), at(2, 50), 1 + SLACK_S),
    ],
)
def test_what_came_in_a_time(
    since: datetime | None, until: datetime | None, start: Position, end: Position, exact_s: float
) -> None:
    (found,) = known(TWO).locate(since, until)
    assert (found.start, found.end, found.exact_s) == (start, end, exact_s)


@pytest.mark.parametrize(("since", "until"), [(21_000, 24_000), (31_000, 39_000), (46_000, 99_000)])
def test_while_it_rested_nothing_came(since: int, until: int) -> None:
    assert known(TWO).locate(ms(since), ms(until)) == []
    assert known(TWO).locate(ms(2_000_000), None) == []


def test_a_range_says_when_its_bytes_came() -> None:
    (found,) = known(TWO).locate(ms(14_000), ms(21_000))
    assert wall_ms(found.since) == BASE + 10_000 - SLACK_MS
    assert wall_ms(found.until) == BASE + 20_000 + SLACK_MS


def test_bytes_after_the_last_mark_came_before_now() -> None:
    grown = [TWO[0], (kept(2, 80, 990_000), TWO[1][1])]
    (found,) = known(grown).locate(ms(50_000), ms(60_000))
    assert (found.start, found.end) == (at(2, 50), at(2, 80))
    # (and before it was written last: the clock did not step meanwhile)
    assert wall_ms(found.until) == BASE + 990_000 + SLACK_MS
    assert known(grown).locate(ms(991_000), None) == []


def test_ranges_are_apart_where_bytes_are_missing() -> None:
    parted = [TWO[0], (kept(2, 50, 45_000, is_parted=True), TWO[1][1])]
    assert [(r.start, r.end) for r in known(parted).locate(None, None)] == [
        (at(1, 0), at(1, 300)),
        (at(2, 0), at(2, 50)),
    ]


def test_an_empty_file_between_parts_nothing() -> None:
    files = [TWO[0], (kept(7, 0, 30_000), FileMarks()), TWO[1]]
    (found,) = known(files).locate(None, None)
    assert (found.start, found.end) == (at(1, 0), at(2, 50))


def test_nothing_is_kept() -> None:
    assert known([]).locate(None, None) == []
    assert whole(known([]).times(None, None)) == []
    assert known([(kept(7, 0, 30_000), FileMarks())]).locate(None, None) == []


#: From before there were marks: written last after 10, 20 and 30 hours.
OLD = [(kept(number, 100, number * 10 * HOUR_MS), FileMarks()) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("since", "until", "start", "end", "exact_s"),
    [
        # All of the second came after the first was written last, and before it was itself, give
        # or take an hour.
        (12, 13, at(2, 0), at(2, 100), 8 * HOUR_S + SLACK_S),
        (12, None, at(2, 0), at(3, 100), 3 * HOUR_S + SLACK_S),
        # Nobody knows since when the first was written.
        (3, 4, at(1, 0), at(1, 100), None),
        (None, 15, at(1, 0), at(2, 100), None),
    ],
)
def test_without_marks_it_is_as_the_file_system_says(
    since: int | None, until: int | None, start: Position, end: Position, exact_s: float | None
) -> None:
    (found,) = known(OLD, now_ms=100 * HOUR_MS).locate(
        None if since is None else ms(since * HOUR_MS),
        None if until is None else ms(until * HOUR_MS),
    )
    assert (found.start, found.end, found.exact_s) == (start, end, exact_s)
    if exact_s is None:
        assert wall_ms(found.since) == 0


def test_marks_follow_what_has_none() -> None:
    """The index was begun when there was some of the log already."""
    adopted = FileMarks()
    adopted.add(60, moment(NO_BOOT, BASE + 20 * HOUR_MS), moment(1, 50 * HOUR_MS))
    adopted.add(100, moment(1, 51 * HOUR_MS), moment(1, 51 * HOUR_MS))
    files = [OLD[0], (kept(2, 100, 51 * HOUR_MS), adopted)]
    times = known(files, now_ms=100 * HOUR_MS)
    assert times.locate(ms(30 * HOUR_MS), ms(50 * HOUR_MS - 1000)) == []
    (found,) = times.locate(ms(19 * HOUR_MS), ms(30 * HOUR_MS))
    assert (found.start, found.end) == (at(2, 0), at(2, 60))
    # (after the former file, and before it was found so, give or take an hour)
    assert wall_ms(found.since) == BASE + 9 * HOUR_MS - SLACK_MS
    assert wall_ms(found.until) == BASE + 21 * HOUR_MS + SLACK_MS


def test_a_mark_beyond_the_end_says_that_the_file_has_grown_or_was_cut() -> None:
    short = [TWO[0], (kept(2, 20, 60_000), TWO[1][1])]
    (found,) = known(short).locate(ms(41_000), ms(44_000))
    assert (found.start, found.end) == (at(2, 0), at(2, 50))
    # What nobody watched may have been cut to nothing, and written anew.
    times = known(short, is_watched=False)
    (found,) = times.locate(ms(50_000), ms(51_000))
    assert (found.start, found.end) == (at(2, 0), at(2, 20))
    cut = [(kept(1, 250, 60_000), TWO[0][1]), TWO[1]]
    (found,) = known(cut).locate(ms(5_000), ms(6_000))
    assert (found.start, found.end) == (at(1, 0), at(1, 250))


def test_a_step_of_the_clock_hides_nothing() -> None:
    """It stepped back by an hour: the same time came twice, and both times are found."""
    walls = WallTimes()
    walls.add(1, watch(0, 500_000, BASE))
    walls.add(1, watch(500_010, 9_000_000, BASE - HOUR_MS))
    log = marks((0, 0), (10, 400_000), (20, 500_020), (30, 3_900_000), (40, 4_100_000))
    times = Arrivals([kept(1, 40, 0)], [log], walls, moment(1, 9_000_000), True)
    found = times.locate(ms(350_000), ms(390_000))
    assert [(r.start.offset, r.end.offset) for r in found] == [(0, 20), (30, 40)]
    # (the second came during the step: by either clock)
    assert found[0].exact_s == HOUR_S - 500 + 350 + SLACK_S


# Times of positions.


def test_when_bytes_had_arrived() -> None:
    def by(inode: int, offset: int, boot_ms: int) -> TimeMark:
        return TimeMark(at(inode, offset), ms(boot_ms))

    slack = SLACK_MS
    times = known([TWO[0], (kept(2, 80, 50_000), TWO[1][1])])
    assert whole(times.times(None, None)) == [
        by(1, 0, 1000 + slack),
        by(1, 100, 10_000 + slack),
        by(1, 200, 20_000 + slack),
        by(1, 300, 30_000 + slack),
        by(2, 0, 30_000 + slack),
        by(2, 50, 45_000 + slack),
        by(2, 80, 50_000),
    ]
    assert whole(times.times(at(1, 200), at(2, 0))) == [
        by(1, 200, 20_000 + slack),
        by(1, 300, 30_000 + slack),
        by(2, 0, 30_000 + slack),
    ]
    # What names no file that is kept is before the oldest byte, or after the newest.
    assert len(whole(times.times(at(9, 5), Position(2, 10, "h.other")))) == 7


def test_times_of_a_file_without_marks_are_of_its_end() -> None:
    times = known(OLD, now_ms=100 * HOUR_MS)
    assert whole(times.times(None, None)) == [
        TimeMark(at(number, 100), ms(number * 10 * HOUR_MS)) for number in (1, 2, 3)
    ]


def test_many_times_are_said_in_slices() -> None:
    log = marks(*((number, number * 1000) for number in range(1000)))
    times = known([(kept(1, 999, 0), log)]).times(None, None)
    assert sum(1 for _ in times) > 10
