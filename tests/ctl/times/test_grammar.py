"""Times as people write them: which moment they mean, and what is refused with examples."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ctl.times import NotATime, parse_time
from twisted_virtlog.ctl.times.grammar import EXAMPLES
from twisted_virtlog.ctl.times.moments import EPOCH

BERLIN = ZoneInfo("Europe/Berlin")
#: A Friday.
NOW = datetime(2026, 11, 27, 14, 5, 6, 789012, BERLIN)

UTC_TIMES = st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)).map(
    lambda time: time.replace(tzinfo=timezone.utc)
)


def parsed(text: str, now: datetime = NOW) -> str:
    return parse_time(text, now, BERLIN).isoformat()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("now", "2026-11-27T14:05:06.789012+01:00"),
        ("10 min ago", "2026-11-27T13:55:06.789012+01:00"),
        ("5min left", "2026-11-27T14:10:06.789012+01:00"),
        ("-1h", "2026-11-27T13:05:06.789012+01:00"),
        ("+1h30min", "2026-11-27T15:35:06.789012+01:00"),
        ("1y 2 months ago", "2025-09-27T12:05:06.789012+02:00"),
        ("1M ago", "2026-10-28T03:35:06.789012+01:00"),
        ("1m ago", "2026-11-27T14:04:06.789012+01:00"),
        ("1.5h 500ms ago", "2026-11-27T12:35:06.289012+01:00"),
        ("today", "2026-11-27T00:00:00+01:00"),
        ("yesterday", "2026-11-26T00:00:00+01:00"),
        ("tomorrow", "2026-11-28T00:00:00+01:00"),
        ("yesterday UTC", "2026-11-26T01:00:00+01:00"),
        ("tomorrow Pacific/Auckland", "2026-11-28T12:00:00+01:00"),
        ("14:05", "2026-11-27T14:05:00+01:00"),
        ("23:59:59.5", "2026-11-27T23:59:59.500000+01:00"),
        ("Fri 14:05", "2026-11-27T14:05:00+01:00"),
        ("2026-07-01", "2026-07-01T00:00:00+02:00"),
        ("26-07-01 9:05", "2026-07-01T09:05:00+02:00"),
        ("Nov 03 14:05:06", "2026-11-03T14:05:06+01:00"),
        ("wednesday 2026-07-01 14:05:06.1234567", "2026-07-01T14:05:06.123457+02:00"),
        ("2026-07-01 14:05 UTC", "2026-07-01T16:05:00+02:00"),
        ("2026-07-01 14:05 America/New_York", "2026-07-01T20:05:00+02:00"),
        ("2026-02-30", "2026-03-02T00:00:00+01:00"),
        ("@1795788300", "2026-11-27T15:05:00+01:00"),
        ("@0.5", "1970-01-01T01:00:00.500000+01:00"),
    ],
)
def test_of_journalctl(text: str, time: str) -> None:
    """A few of those that are compared with systemd's own, for people to read."""
    assert parsed(text) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1h", "2026-11-27T13:05:06.789012+01:00"),
        ("1h30m", "2026-11-27T12:35:06.789012+01:00"),
        ("90s", "2026-11-27T14:03:36.789012+01:00"),
        ("1.5h", "2026-11-27T12:35:06.789012+01:00"),
        ("1.h.5m", "2026-11-27T13:04:36.789012+01:00"),
        ("1m1ms1us1999ns", "2026-11-27T14:04:06.788010+01:00"),
        ("1\u00b5s1\u03bcs", "2026-11-27T14:05:06.789010+01:00"),
        ("2026-11-27T14:05:06.5", "2026-11-27T14:05:06.500000+01:00"),
        ("2026-11-27T14:05", "2026-11-27T14:05:00+01:00"),
        ("2026-11-27T14:05Z", "2026-11-27T15:05:00+01:00"),
    ],
)
def test_of_docker(text: str, time: str) -> None:
    """A span is as long ago; a time without a zone is the caller's."""
    assert parsed(text) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-27T14:05:06Z", "2026-11-27T15:05:06+01:00"),
        ("2026-11-27t14:05:06.789z", "2026-11-27T15:05:06.789000+01:00"),
        ("2026-11-27T14:05:06-05:00", "2026-11-27T20:05:06+01:00"),
        ("2026-11-27T14:05:06+05:30", "2026-11-27T09:35:06+01:00"),
        ("2026-11-27 14:05:06.9999999+00:00", "2026-11-27T15:05:07+01:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T01:00:00+01:00"),
    ],
)
def test_of_rfc_3339(text: str, time: str) -> None:
    """With a T or a blank, in capitals or not."""
    assert parsed(text) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        # The hour that does not come.
        ("2026-03-29 01:59:59", "2026-03-29T01:59:59+01:00"),
        ("2026-03-29 02:30", "2026-03-29T03:30:00+02:00"),
        ("2026-03-29T02:30", "2026-03-29T03:30:00+02:00"),
        ("2026-03-29 03:00", "2026-03-29T03:00:00+02:00"),
        # The one that comes twice.
        ("2026-10-25 01:59:59", "2026-10-25T01:59:59+02:00"),
        ("2026-10-25 02:30", "2026-10-25T02:30:00+01:00"),
        ("2026-10-25 02:30 CEST", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25 02:30 cet", "2026-10-25T02:30:00+01:00"),
        ("2026-10-25 01:30 America/New_York", "2026-10-25T06:30:00+01:00"),
        ("2026-11-01 01:30 America/New_York", "2026-11-01T06:30:00+01:00"),
        ("2026-07-01 12:00 CET", "2026-07-01T13:00:00+02:00"),
    ],
)
def test_when_clocks_change(text: str, time: str) -> None:
    """As journalctl chooses."""
    assert parsed(text) == time


@pytest.mark.parametrize(
    ("now", "text", "time"),
    [
        ("2026-03-29T12:00", "yesterday", "2026-03-28T00:00:00+01:00"),
        ("2026-03-30T00:30", "yesterday", "2026-03-29T00:00:00+01:00"),
        ("2026-03-29T12:00", "-1d", "2026-03-28T11:00:00+01:00"),
        ("2026-10-25T12:00", "today", "2026-10-25T00:00:00+02:00"),
        ("2026-10-25T23:30", "tomorrow", "2026-10-26T00:00:00+01:00"),
        ("2026-12-31T23:30", "tomorrow", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_days_begin_at_midnight(now: str, text: str, time: str) -> None:
    """Also those of 23 and of 25 hours; but "-1d" is 24 hours ago."""
    assert parsed(text, datetime.fromisoformat(now).replace(tzinfo=BERLIN)) == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "Yesterday",
        "last week",
        "1 hour",
        "2d",
        "1M",
        "1795788300",
        "1h30",
        "h",
        "+",
        "-",
        "@",
        "@-1",
        "@infinity",
        "--5s",
        "5..5s ago",
        "5. s ago",
        "now UTC",
        "-5s UTC",
        "24:00",
        "14:60",
        "14:05 CET CEST",
        "14:05:06.",
        "14",
        "1/2/2026",
        "27.11.2026",
        "2026-13-01",
        "2026-11-32",
        "2026-11-27T",
        "2026-11-27Z",
        "2026-11-27 14:05Z",
        "2026-11-27T24:05:06Z",
        "2026-11-27T14:05:61Z",
        "2026-11-27T14:05:06+24:00",
        "2026-11-27T14:05:06+0100",
        "2026-02-30T14:05:06Z",
        "0000-11-27",
        "2026-11-27\n",
        "2026-11-27 14:05\0",
        "\udcff",
        "1" * 5000 + "s",
        "-" + "1" * 5000,
        "@" + "0" * 5000 + "x",
        "-1000000y",
    ],
)
def test_all_else_is_refused(text: str) -> None:
    """With the text and examples, as a guess may be wrong."""
    with pytest.raises(NotATime) as refused:
        parsed(text)
    assert repr(text) in str(refused.value)
    assert all(f'"{example}"' in str(refused.value) for example in EXAMPLES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Thu 2026-11-27", "that day is a Friday"),
        ("2 days", 'perhaps "2 days ago" or "@2 days"'),
        ("1795788300", 'perhaps "1795788300 ago" or "@1795788300"'),
        ("-100y", "it is before 1970 or after 9999"),
        ("1970-01-01", "it is before 1970 or after 9999"),
        ("1969-12-31T12:00:00Z", "it is before 1970 or after 9999"),
        ("+9000y", "it is before 1970 or after 9999"),
        ("9999-12-31T23:59:59Z", "it is before 1970 or after 9999"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    """If that is clear."""
    with pytest.raises(NotATime, match=reason.replace("?", ".")):
        parsed(text)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_times(example: str) -> None:
    """Those that a refusal gives."""
    parsed(example)


@given(UTC_TIMES, st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]))
def test_a_time_of_rfc_3339_is_itself(time: datetime, zone: str) -> None:
    """In whatever zone it is written, and whatever the caller's."""
    written = time.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat()
    assert parse_time(written, NOW, ZoneInfo(zone)) == time


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
def test_a_local_time_is_what_the_clock_shows_then(wall: datetime) -> None:
    """Unless it is skipped."""
    moment = parse_time(f"{wall:%Y-%m-%d %H:%M:%S.%f}", NOW, BERLIN)
    known = {wall.replace(tzinfo=BERLIN, fold=fold).timestamp() for fold in (0, 1)}
    assert moment.timestamp() in known


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_span_is_as_long(now_us: int, span_us: int) -> None:
    """Whatever the clocks did meanwhile."""
    now = EPOCH + timedelta(microseconds=now_us + span_us)
    before = EPOCH + timedelta(microseconds=now_us)
    assert parse_time(f"{span_us}us ago", now, BERLIN) == before
    assert parse_time(f"{span_us}us", now, BERLIN) == before
    assert parse_time(f"+{span_us}us", before, BERLIN) == now


@given(st.text(st.sampled_from("0123456789:-+.@ TZagodlefthmsUC"), max_size=25) | st.text())
def test_whatever_is_written(text: str) -> None:
    """It is a time in the caller's zone, or is refused."""
    try:
        found = parse_time(text, NOW, BERLIN)
    except NotATime:
        return
    assert found.tzinfo is BERLIN
    assert found >= EPOCH
