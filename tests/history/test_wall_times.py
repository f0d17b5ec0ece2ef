"""What the wall clock showed: by what was seen of it, and where nobody looked, within an hour."""

from __future__ import annotations

import pytest

from twisted_virtlog.history.moments import moment
from twisted_virtlog.history.wall_times import (
    ANY_TIME,
    HOUR_MS,
    SLACK_MS,
    UNWATCHED_MS,
    WallTimes,
    Watch,
    watch,
)

#: By how much the wall clock is ahead.
BASE = 1_800_000_000_000
FIRST, SECOND, THIRD = 1, 2, 3


@pytest.fixture
def walls() -> WallTimes:
    """One boot with a step of an hour back, one of which little was seen, and one more."""
    walls = WallTimes()
    walls.add(FIRST, watch(1000, 50_000, BASE))
    walls.add(FIRST, watch(50_010, 90_000, BASE - HOUR_MS))
    walls.add(SECOND, watch(100_000, 200_000, BASE + 10 * HOUR_MS))
    walls.add(SECOND, watch(1_000_000, 2_000_000, BASE + 10 * HOUR_MS))
    walls.add(THIRD, watch(7000, 8000, BASE + 30 * HOUR_MS))
    return walls


@pytest.mark.parametrize(
    ("since", "until", "low", "high"),
    [
        # Within a watch.
        ((FIRST, 2000), (FIRST, 3000), 2000, 3000),
        # At its ends.
        ((FIRST, 1000), (FIRST, 1000), 1000, 1000),
        ((FIRST, 90_000), (FIRST, 90_000), 90_000 - HOUR_MS, 90_000 - HOUR_MS),
        # Across the step, and in it.
        ((FIRST, 49_000), (FIRST, 51_000), 50_000 - HOUR_MS, 50_010),
        ((FIRST, 50_005), (FIRST, 50_005), 50_005 - HOUR_MS, 50_005),
        # Soon before the first watch, and soon after the last.
        ((FIRST, 500), (FIRST, 700), 500, 700),
        ((THIRD, 8500), (THIRD, 9000), 30 * HOUR_MS + 8500, 30 * HOUR_MS + 9000),
        # Long after the last, and where nobody looked for long.
        ((FIRST, 150_001), (FIRST, 150_001), 150_001 - 2 * HOUR_MS, 150_001),
        ((SECOND, 300_000), (SECOND, 310_000), 9 * HOUR_MS + 300_000, 11 * HOUR_MS + 310_000),
        # From one boot to another, with one between.
        ((FIRST, 80_000), (SECOND, 150_000), 80_000 - 2 * HOUR_MS, 11 * HOUR_MS + 150_000),
        ((SECOND, 1_500_000), (THIRD, 7500), 9 * HOUR_MS + 1_500_000, 31 * HOUR_MS + 7500),
        ((FIRST, 80_000), (THIRD, 7500), 80_000 - 2 * HOUR_MS, 31 * HOUR_MS + 7500),
    ],
)
def test_between_two_moments(
    walls: WallTimes, since: tuple[int, int], until: tuple[int, int], low: int, high: int
) -> None:
    found = walls.between(moment(*since), moment(*until))
    assert found == (BASE + low - SLACK_MS, BASE + high + SLACK_MS)
    assert walls.latest(moment(*until)) == walls.between(moment(*until), moment(*until))[1]


def test_a_step_may_take_less_than_a_millisecond() -> None:
    walls = WallTimes()
    walls.add(1, watch(1000, 5000, BASE))
    walls.add(1, watch(5000, 5000, BASE - HOUR_MS))
    walls.add(1, watch(5000 + 2 * UNWATCHED_MS, 300_000, BASE))
    found = walls.between(moment(1, 4000), moment(1, 5000))
    assert found == (BASE + 5000 - HOUR_MS - SLACK_MS, BASE + 5000 + SLACK_MS)


def test_of_a_boot_that_nobody_watched_nothing_is_known(walls: WallTimes) -> None:
    assert walls.between(moment(9, 1), moment(9, 2)) == ANY_TIME


@pytest.mark.parametrize(
    ("since", "until", "doubt"),
    [
        ((FIRST, 2000), (FIRST, 3000), 0),
        ((FIRST, 2000), (FIRST, 60_000), HOUR_MS),
        ((SECOND, 150_000), (SECOND, 1_500_000), HOUR_MS),
        ((FIRST, 80_000), (SECOND, 150_000), HOUR_MS),
        ((FIRST, 2000), (THIRD, 7500), 4 * HOUR_MS),
    ],
)
def test_all_steps_make_a_clock_doubtful(
    walls: WallTimes, since: tuple[int, int], until: tuple[int, int], doubt: int
) -> None:
    """Those that were seen, and those that may have been while nobody looked."""
    assert walls.doubt(moment(*since), moment(*until)) == doubt + SLACK_MS


def test_a_watch_goes_on_in_another_process() -> None:
    walls = WallTimes()
    walls.add(1, watch(1000, 2000, BASE))
    known = walls.add(1, watch(2000 + UNWATCHED_MS, 70_000, BASE + SLACK_MS))
    assert known == watch(1000, 70_000, BASE)
    assert list(walls) == [(1, known)]
    later = watch(70_000 + UNWATCHED_MS + 1, 200_000, BASE)
    assert walls.add(1, later) == later
    assert walls.of_boot(1) == [known, later]


def test_a_copy_is_another() -> None:
    walls = WallTimes()
    walls.add(1, watch(1000, 2000, BASE))
    copy = walls.copy()
    copy.add(1, watch(1000, 3000, BASE))
    assert walls.of_boot(1) == [watch(1000, 2000, BASE)]


def test_the_first_moment_of_which_anything_is_known(walls: WallTimes) -> None:
    assert walls.first(moment(SECOND, 5)) == moment(FIRST, 1000)
    assert walls.first(moment(FIRST, 5)) == moment(FIRST, 5)
    assert WallTimes().first(moment(FIRST, 5)) == moment(FIRST, 5)


def test_a_clock_that_steps_all_the_time_is_known_less_well() -> None:
    """What it may have shown is what it may have shown in any part of the time."""
    walls, exact = WallTimes(), WallTimes()
    for number in range(1000):
        each = watch(number * 100, number * 100 + 90, BASE + number % 7 * 1000)
        exact.add(1, each)
        walls.add(1, each)
        walls.thin(1)
    assert len(walls.of_boot(1)) <= 513
    assert walls.of_boot(1)[0] == Watch(0, 390, BASE, BASE + 3000)
    for since in range(0, 100_000, 777):
        low, high = walls.between(moment(1, since), moment(1, since + 500))
        other_low, other_high = exact.between(moment(1, since), moment(1, since + 500))
        assert low <= other_low
        assert high >= other_high


def test_what_nobody_saw_stays_doubtful_when_watches_are_joined() -> None:
    walls = WallTimes()
    for number in range(600):
        begin = number * 2 * UNWATCHED_MS
        walls.add(1, watch(begin, begin + 1000, BASE))
    assert walls.thin(1)
    low, high = walls.between(moment(1, 30_000), moment(1, 30_000))
    assert (low, high) == (BASE + 30_000 - HOUR_MS - SLACK_MS, BASE + 30_000 + HOUR_MS + SLACK_MS)


def test_joining_leaves_few_as_they_are() -> None:
    walls = WallTimes()
    walls.add(1, watch(1, 2, BASE))
    assert not walls.thin(1)
    assert not walls.thin(2)
