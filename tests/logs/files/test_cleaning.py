"""Which files are old, decided from a listing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.history.records import KnownLog
from twisted_virtlog.logs.files.cleaning import (
    Found,
    Moment,
    Removal,
    Rules,
    ages,
    removals,
    telling,
    used_ns,
)
from twisted_virtlog.logs.files.names import parse_name
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.values import Position

DAY = 24 * 60 * 60 * 10**9
NOW = 20_000 * DAY
RULES = Rules("/logs", max_age_days=30, max_backups=3)


def _found(**days: float) -> list[Found]:
    """Files by their names, with _ for each point, and their ages."""
    return [
        Found(name.replace("_", "."), inode, NOW - int(age * DAY), 1)
        for inode, (name, age) in enumerate(days.items())
    ]


def _age(time: int) -> int:
    """Return an age by a clock that was always right."""
    return NOW - time


def _removals(
    found: list[Found], rules: Rules = RULES, most: Callable[[str], int] = lambda _: 0
) -> list[Removal]:
    return at_once(removals(found, rules, _age, most))


def _names(found: list[Found], rules: Rules = RULES) -> list[list[str]]:
    return [[one.name for one in removal.files] for removal in _removals(found, rules)]


def test_a_log_goes_with_its_backups_the_oldest_first() -> None:
    """When the last write to any of them is long ago."""
    found = _found(a_log=31, a_log_0=32, a_log_2=40, a_log_1=33)
    assert _names(found) == [["a.log.2", "a.log.1", "a.log.0", "a.log"]]


def test_one_file_that_is_new_keeps_all_of_its_log() -> None:
    """Whichever file it is; other logs are not kept by it."""
    assert _names(_found(a_log=40, a_log_0=29, b_log=40)) == [["b.log"]]
    assert _names(_found(a_log=29, a_log_0=40)) == []


def test_the_limit_is_exceeded_after_so_many_days_to_the_nanosecond() -> None:
    """A log exactly as old as the limit stays."""
    limit = NOW - 30 * DAY
    assert _names([Found("a.log", 1, limit, 1)]) == []
    assert _names([Found("a.log", 1, limit - 1, 1)]) == [["a.log"]]


def test_backups_without_a_current_file_go_too() -> None:
    """Someone removed the file and left them."""
    assert _names(_found(a_log_0=31, a_log_3=31)) == [["a.log.3", "a.log.0"]]


def test_a_backup_with_too_great_a_number_goes_at_once() -> None:
    """However new it is; and its age says nothing of its log."""
    assert _names(_found(a_log=31, a_log_3=31, a_log_4=0)) == [["a.log.4"], ["a.log.3", "a.log"]]
    assert _names(_found(a_log=0, a_log_3=0, a_log_10=0)) == [["a.log.10"]]


def test_a_log_may_have_more_backups_for_itself() -> None:
    """Or fewer, as these go with their log."""
    found = _found(a_log_4=0, a_log_5=0, a_log_6=0, b_log_4=0, b_log_3=0)
    backups = {"a.log": 5, "b.log": 1}
    found_removals = _removals(found, most=backups.__getitem__)
    assert [one.files[0].name for one in found_removals] == ["a.log.6", "b.log.4"]
    assert [one.reason[-1] for one in found_removals] == ["5", "3"]
    assert [one.log for one in found_removals] == [None, None]
    assert [one.log for one in _removals(_found(a_log_0=31))] == ["a.log"]


def test_a_surplus_backup_goes_though_its_log_is_open() -> None:
    """No open log writes it; unless it is itself the file of one."""
    (surplus,) = _removals(_found(a_log=0, a_log_9=0))
    assert surplus.unless_open == ("a.log.9",)


def test_an_old_log_stays_while_it_is_open() -> None:
    """So it does while one of its files is open by itself, and when only backups are there."""
    (expired,) = _removals(_found(a_log_1=31, a_log_0=31))
    assert expired.unless_open == ("a.log", "a.log.1", "a.log.0")


def test_nothing_goes_without_an_age_limit() -> None:
    """Not even backups that are too many."""
    off = Rules("/logs", max_age_days=0, max_backups=3)
    assert _names(_found(a_log=9999, a_log_9=9999), off) == []


def test_the_largest_limit_keeps_everything() -> None:
    """A number of days that no calendar has."""
    most = Rules("/logs", max_age_days=2**64 - 1, max_backups=3)
    assert _names(_found(a_log=9999), most) == []


def test_a_file_of_the_future_is_not_old() -> None:
    """The wall clock was put back since it was written."""
    assert _names(_found(a_log=-9999)) == []


def test_the_reason_is_what_an_administrator_wants_to_know() -> None:
    """The age in whole days of the newest file, or the limit that was passed."""
    expired = _removals(_found(a_log=41.9, a_log_0=50))
    assert [one.reason for one in expired] == ["the log was not written to for 41 days"]
    surplus = _removals(_found(a_log_7=0))
    assert [one.reason for one in surplus] == ["its number is greater than max_backups, 3"]


def test_only_names_that_rotation_makes_are_those_of_logs() -> None:
    """Compressed, dated with a dash, hidden and other files stay, whatever their age."""
    for name in ["a.log", "a.log.0", "a.log.32", "a.b.log", ".a.log", "a\n.log", "a.log.1.log"]:
        assert parse_name(name)
    for name in [
        "log", ".log", ".log.1", "alog", "a.log.", "a.log.gz", "a.log.1.gz", "a.log-20260101",
        "a.log.01", "a.log.+1", "a.log.-1", "a.log.\u0661", "a.log\n", "a.log.1\n", "a.LOG",
        "a.txt",
    ]:  # fmt: skip
        assert not parse_name(name)
        assert _names([Found(name, 1, 0, 1)]) == []


_files = st.builds(
    Found,
    st.builds(
        "{}{}".format,
        st.sampled_from(["a.log", "b.log", "a.log.1.log", "a.txt"]),
        st.sampled_from(["", ".0", ".1", ".2", ".3", ".4", ".40", ".gz"]),
    ),
    st.integers(1, 5),
    st.integers(NOW - 60 * DAY, NOW + DAY),
    st.integers(0, 9),
)


@given(st.lists(_files, unique_by=lambda one: one.name), st.integers(0, 50), st.integers(0, 5))
def test_whatever_is_there_no_log_that_is_new_loses_a_file_that_rotation_keeps(
    found: list[Found], max_age_days: int, max_backups: int
) -> None:
    """Nothing goes twice, nothing that is not there, and what stays is not old."""
    rules = Rules("/logs", max_age_days, max_backups)
    removed = [one for removal in _removals(found, rules) for one in removal.files]
    assert len(removed) == len(set(removed))
    assert set(removed) <= set(found)
    oldest = NOW - max_age_days * DAY
    for one in found:
        log, _, number = one.name.rpartition(".log")
        if not parse_name(one.name) or max_age_days == 0:
            assert one not in removed
        elif number and int(number[1:]) > max_backups:
            assert one in removed
        else:
            chain = [
                other
                for other in found
                if parse_name(other.name)
                and other.name.rpartition(".log")[0] == log
                and int(other.name.rpartition(".log")[2][1:] or 0) <= max_backups
            ]
            assert (one in removed) == all(other.modified_ns < oldest for other in chain)


# A machine that has been up for an hour, with logs from before, the newest of them two days old.
UP = 60 * 60 * 10**9
TIMES = [NOW - 40 * DAY, NOW - 20 * DAY, NOW - 2 * DAY]


def _days(times: list[int], moment: Moment) -> list[float]:
    age_ns = ages(times, moment)
    return [round(age_ns(time) / DAY, 1) for time in times]


def test_after_a_start_age_counts_from_the_newest_log() -> None:
    """Nobody knows how long the machine was off, or whether its clock is right."""
    assert _days(TIMES, Moment(NOW, UP, UP)) == [38.0, 18.0, 0.0]


def test_a_clock_that_is_years_ahead_makes_no_log_old() -> None:
    """However far; before NTP has run, and if it never runs."""
    for years in (1, 20, 200):
        ahead = NOW + years * 365 * DAY
        assert _days(TIMES, Moment(ahead, UP, UP)) == [38.0, 18.0, 0.0]
        # Guests that were started by then, of whose logs the clock is as far ahead.
        assert _days([*TIMES, ahead - UP // 2], Moment(ahead, UP, UP)) == [38.0, 18.0, 0.0, 0.0]


def test_when_the_clock_is_right_again_logs_of_before_are_as_old_as_they_are() -> None:
    """No age is negative, and none is years, where the daemon has watched the clock."""
    for wrong in (NOW + 9000 * DAY, NOW - 9000 * DAY):
        seen = Moment(NOW, 40 * DAY, 1, boots_ns=(wrong, NOW - 40 * DAY))
        written = [wrong + 2 * DAY, wrong + 39 * DAY]
        assert _days([*written, NOW - DAY], seen) == [38.0, 1.0, 1.0]


def test_a_clock_that_was_years_behind_does_not_stop_the_cleaner() -> None:
    """No log is old while it is behind; once it is right, the old ones are."""
    behind = Moment(NOW - 9000 * DAY, UP, UP)
    assert all(age < 0 for age in _days(TIMES, behind))
    assert _days(TIMES, Moment(NOW, UP, UP))[0] == 38.0


def test_on_a_machine_that_runs_on_age_is_exact() -> None:
    """It is that of the clock which never steps, and for logs of before the start, as good."""
    long = Moment(NOW, 100 * DAY, 0)
    assert _days(TIMES, long) == [40.0, 20.0, 2.0]
    assert _days([NOW - 200 * DAY, NOW - 101 * DAY, NOW - 99 * DAY, NOW], long) == [
        198.0, 99.0, 99.0, 0.0,
    ]  # fmt: skip


def test_a_step_on_a_machine_that_runs_makes_no_log_old() -> None:
    """Though the daemon was started after it, and does not know of it."""
    ahead = NOW + 9000 * DAY
    stepped = Moment(ahead, 100 * DAY, 60 * 10**9)
    assert _days([*TIMES, ahead - 10**9], stepped) == [38.0, 18.0, 0.0, 0.0]


@given(
    st.lists(st.integers(0, 2 * NOW), min_size=1),
    st.integers(0, 2 * NOW),
    st.integers(0, NOW),
    st.lists(st.integers(-NOW, 2 * NOW), max_size=3),
)
def test_the_newest_log_is_never_older_than_the_machine_runs(
    times: list[int], now: int, up: int, boots: list[int]
) -> None:
    """Whatever the wall clock says, and said before; and no file seems older than it can be."""
    age_ns = ages(times, Moment(now, up, up, tuple(boots)))
    past = [time for time in times if time <= now]
    if past:
        assert age_ns(max(past)) <= up
    for time in times:
        assert age_ns(time) <= max(up, now - time)


@given(
    st.lists(st.integers(-NOW, 2 * NOW)),
    st.integers(0, 2 * NOW),
    st.integers(0, NOW),
    st.integers(0, NOW),
)
def test_few_times_say_as_much_as_all(times: list[int], now: int, up: int, steady: int) -> None:
    """However they are put together."""
    moment = Moment(now, up, min(up, steady))
    few = telling([*telling(times[:3], moment), *times[3:]], moment)
    assert len(few) <= 2
    one, other = ages(times, moment), ages(few, moment)
    assert all(one(time) == other(time) for time in [*times, 0, now])


def test_a_log_was_used_when_it_was_opened_or_closed_last() -> None:
    """Or was appended to first, if it was never opened."""
    first, opened, closed = (datetime(2026, 1, day, tzinfo=timezone.utc) for day in (1, 2, 3))
    end = Position(1, 0)
    found = [
        used_ns(KnownLog("/a", "qemu", None, *times, end))
        for times in ((first, None, None), (first, opened, None), (first, opened, closed))
    ]
    assert found == [int(time.timestamp()) * 10**9 for time in (first, opened, closed)]
