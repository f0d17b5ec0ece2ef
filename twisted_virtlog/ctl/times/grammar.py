"""Parses times as journalctl and docker take them.

These are the timestamps of systemd.time(7), read as systemd 252 to 257 read them; times of RFC
3339, also without a zone, for the caller's; and docker's ``1h30m``, which is as long ago. All else
is refused, also what could be guessed: a time that is understood wrongly gives a wrong answer
without an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone, tzinfo

from twisted_virtlog.ctl.times.civil import (
    Civil,
    day_of,
    parse_civil,
    round_to_microseconds,
    split_weekday,
)
from twisted_virtlog.ctl.times.moments import EPOCH, local_time, moment_of
from twisted_virtlog.ctl.times.spans import docker_span, systemd_span

EXAMPLES = (
    "now",
    "10 min ago",
    "1h",
    "yesterday",
    "14:05",
    "2026-11-27 14:05",
    "2026-11-27 14:05 Europe/Berlin",
    "2026-11-27T14:05:00+01:00",
    "@1795788300",
)

#: The last microsecond that systemd shows in any zone.
_LATEST_US = 253_402_214_400_000_000

_DAYS_FROM_TODAY = {"yesterday": -1, "today": 0, "tomorrow": 1}

_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})([Tt ])([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"([Zz]|[-+][0-9]{2}:[0-9]{2})?"
)

FindZone = Callable[[str], "tzinfo | None"]


class NotATime(ValueError):
    """A text that means no time, with examples of what does."""

    def __init__(self, text: str, reason: str = "") -> None:
        examples = ", ".join(f'"{example}"' for example in EXAMPLES)
        problem = f"{text!r} is not a time{reason and f': {reason}'}"
        super().__init__(f"{problem}; write it as one of these: {examples}")


def parse(text: str, now: datetime, zone: tzinfo, find_zone: FindZone) -> datetime:
    """Return the moment that a text means.

    :param now: an aware time.
    :param zone: the caller's.
    :param find_zone: returns the zone of a name such as ``Europe/Berlin``, or None.
    :returns: an aware time in the caller's zone.
    :raises NotATime: the text means none.
    """
    now_us = (now - EPOCH) // timedelta(microseconds=1)
    moment_us = _relative(text, now_us)
    if moment_us is None:
        moment_us = _absolute(text, now_us, zone, find_zone)
    if moment_us is None:
        raise NotATime(text, _advice(text))
    if not 0 <= moment_us <= _LATEST_US:
        raise NotATime(text, "it is before 1970 or after 9999")
    return (EPOCH + timedelta(microseconds=moment_us)).astimezone(zone)


def _relative(text: str, now_us: int) -> int | None:
    """Return the moment that a text means by a span of time, in microseconds since 1970."""
    if text == "now":
        return now_us
    if text.startswith("@"):
        return systemd_span(text[1:])
    span_us, sign = docker_span(text), -1
    if text.startswith(("+", "-")):
        span_us, sign = systemd_span(text[1:]), 1 if text[0] == "+" else -1
    elif text.endswith(" ago"):
        span_us = systemd_span(text.removesuffix(" ago"))
    elif text.endswith(" left"):
        span_us, sign = systemd_span(text.removesuffix(" left")), 1
    return None if span_us is None else now_us + sign * span_us


def _absolute(text: str, now_us: int, zone: tzinfo, find_zone: FindZone) -> int | None:
    """Return the moment that a text means by a calendar or a clock."""
    if match := _RFC_3339.fullmatch(text):
        rfc_3339 = _rfc_3339(match, zone)
        if rfc_3339 is not None:
            return rfc_3339
    before, _, name = text.rpartition(" ")
    if not before:
        return _in_zone(text, text, now_us, zone)
    if name.lower() == "utc":
        return _in_zone(text, before, now_us, timezone.utc)
    named = find_zone(name)
    if named is not None:
        zone = named
    # The short names of the zone's two times, such as CET and CEST, say which of them is meant.
    for summer, short_name in enumerate(_short_names(zone, now_us)):
        if name.lower() == short_name.lower():
            return _in_zone(text, before, now_us, zone, bool(summer))
    return _in_zone(text, text if named is None else before, now_us, zone)


def _in_zone(
    text: str, without_zone: str, now_us: int, zone: tzinfo, summer: bool | None = None
) -> int | None:
    """Return the moment that a text means in a zone.

    :param text: all of it, for what is said about it.
    """
    today = local_time(now_us // 1_000_000, zone).date()
    if without_zone in _DAYS_FROM_TODAY:
        day = day_of(today.year, today.month, today.day + _DAYS_FROM_TODAY[without_zone])
        return _moment(text, Civil(day), zone, summer)
    weekday, rest = split_weekday(without_zone)
    civil = parse_civil(rest, today)
    if civil is None:
        return None
    if weekday not in {None, civil.weekday}:
        raise NotATime(text, f"that day is a {civil.weekday}")
    return _moment(text, civil, zone, summer)


def _moment(text: str, civil: Civil, zone: tzinfo, summer: bool | None) -> int:
    moment_us = moment_of(civil, zone, summer)
    if moment_us is None:
        raise NotATime(text, "it is before 1970 or after 9999")
    return moment_us


def _rfc_3339(match: re.Match[str], zone: tzinfo) -> int | None:
    """Return the moment of a time that has RFC 3339's form, if it is one."""
    date_digits, separator, offset = match.group(1, 2, 3), match[4], match[9]
    # With a blank it is RFC 3339's only if nothing is left out; docker's T allows that.
    if separator == " " and not (match[7] and offset):
        return None
    hour, minute, second = (int(digits or "0") for digits in match.group(5, 6, 7))
    try:
        day = date(*map(int, date_digits))
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    civil = Civil(
        day_of(day.year, day.month, day.day),
        hour,
        minute,
        second,
        round_to_microseconds(match[8] or "0"),
    )
    if offset is not None:
        zone = timezone.utc
        if offset not in "Zz":
            hours, minutes = int(offset[1:3]), int(offset[4:6])
            if hours > 23 or minutes > 59:
                return None
            ahead = timedelta(hours=hours, minutes=minutes)
            zone = timezone(ahead if offset[0] == "+" else -ahead)
    return _moment(match[0], civil, zone, None)


def _short_names(zone: tzinfo, now_us: int) -> tuple[str, str]:
    """Return what a zone calls its time, and its summer time; "" where it has none."""
    names = ["", ""]
    # (summer time may be as short as the month of Ramadan)
    for days in range(0, 366, 14):
        local = local_time(now_us // 1_000_000 - days * 86_400, zone)
        is_summer = bool(local.dst())
        names[is_summer] = names[is_summer] or local.tzname() or ""
    return names[0], names[1]


def _advice(text: str) -> str:
    """Return what was probably meant, if it is clear what the text lacks."""
    if systemd_span(text) is not None:
        return f'perhaps "{text.strip()} ago" or "@{text.strip()}"'
    return ""
