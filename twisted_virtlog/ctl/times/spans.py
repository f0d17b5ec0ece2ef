"""Parses spans of time, such as ``1h 30min``, as systemd takes them and as docker does."""

from __future__ import annotations

import re

#: Of systemd, in the order in which it looks for them, so that ``min`` is not ``m`` and ``in``. A
#: month is a twelfth of a year, and a year has 365.25 days.
_UNITS = (
    (("seconds", "second", "sec", "s"), 1_000_000),
    (("minutes", "minute", "min"), 60_000_000),
    (("months", "month", "M"), 2_629_800_000_000),
    (("msec", "ms"), 1_000),
    (("m",), 60_000_000),
    (("hours", "hour", "hr", "h"), 3_600_000_000),
    (("days", "day", "d"), 86_400_000_000),
    (("weeks", "week", "w"), 604_800_000_000),
    (("years", "year", "y"), 31_557_600_000_000),
    # (the letter mu, and the micro sign)
    (("usec", "us", "\u03bcs", "\u00b5s"), 1),
)
_UNIT_US = {name: us for names, us in _UNITS for name in names}
_SECOND_US = 1_000_000

_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"\s*(?:\+?([0-9]+)(?:\.([0-9]+))?|\.([0-9]+))", re.ASCII)
_UNIT = re.compile("[ \t\n\r]*(" + "|".join(_UNIT_US) + ")")

_DOCKER_NS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "\u03bcs": 1_000,
    "\u00b5s": 1_000,
    "ns": 1,
}
_DOCKER_PART = re.compile(r"(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(ms|us|\u03bcs|\u00b5s|ns|h|m|s)")

#: More digits than these are out of range in any unit, and more of a fraction are nothing.
_MAX_DIGITS = 19
#: What systemd and Go count with: 64 bits, of microseconds and of nanoseconds.
_LIMIT_US = (1 << 64) - 1
_LIMIT_NS = 1 << 63


def systemd_span(text: str) -> int | None:
    """Return the microseconds of a span as systemd takes it, such as ``1h 30min``.

    A number without a unit is seconds.

    :returns: None if it is no span, or is one of more than 584,542 years.
    """
    at, total = 0, 0
    while _after(_BLANKS, text, at) < len(text):
        number = _NUMBER.match(text, at)
        if number is None:
            return None
        at, unit_us = number.end(), _SECOND_US
        if unit := _UNIT.match(text, at):
            at, unit_us = unit.end(), _UNIT_US[unit[1]]
        elif at < len(text) and _after(_BLANKS, text, at) == at:
            return None
        whole = (number[1] or "0").lstrip("0")
        total += _part(whole, unit_us) + _fraction(number[2] or number[3] or "", unit_us)
        if len(whole) > _MAX_DIGITS or total >= _LIMIT_US:
            return None
    return total if at else None


def docker_span(text: str) -> int | None:
    """Return the microseconds of a span as docker takes it, such as ``1h30m``.

    These are Go's durations, without a sign.

    :returns: None if it is no span, or is one of more than 292 years.
    """
    at, total_ns = 0, 0
    while at < len(text):
        part = _DOCKER_PART.match(text, at)
        if part is None:
            return None
        at, unit_ns = part.end(), _DOCKER_NS[part[4]]
        whole, fraction = (part[1] or "0").lstrip("0"), (part[2] or part[3] or "")[:_MAX_DIGITS]
        total_ns += _part(whole, unit_ns) + int(fraction or "0") * unit_ns // 10 ** len(fraction)
        if len(whole) > _MAX_DIGITS or total_ns >= _LIMIT_NS:
            return None
    return total_ns // 1000 if at else None


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _part(whole: str, unit: int) -> int:
    return int(whole[: _MAX_DIGITS + 1] or "0") * unit


def _fraction(digits: str, unit_us: int) -> int:
    """Return what the digits after the point are; each is rounded down by itself, as in systemd."""
    total = 0
    for digit in digits[:_MAX_DIGITS]:
        unit_us //= 10
        total += int(digit) * unit_us
    return total
