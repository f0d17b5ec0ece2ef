"""Generates times as people, and programs, may write them: most are right, some are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

#: Clocks change by an hour, in the north and by half an hour in the south, and those of one are put
#: back for the winter, in which its time is not the standard one.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Europe/Dublin")

_UNITS = (
    *("seconds", "second", "sec", "s", "minutes", "minute", "min", "months", "month", "M", "msec"),
    *("ms", "m", "hours", "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w", "usec"),
    *("us", "\u00b5s", "\u03bcs", "years", "year", "y", ""),
)
_CHARACTERS = "0123456789:-+.@ agolefty TZUC"


@dataclass(frozen=True)
class Expression:
    """A text that may mean a time.

    :ivar wall: the date and the time that it names, if any.
    """

    text: str
    wall: datetime | None = None


def changes(zone: str, years: range) -> list[datetime]:
    """Return what the clocks of a zone show just before each change."""
    zone_info, found = ZoneInfo(zone), []
    hour = timedelta(hours=1)
    for year in years:
        here = datetime(year, 1, 1)
        while here.year == year:
            if _offset(here, zone_info) != _offset(here + hour, zone_info):
                found.append(here)
            here += hour
    return found


def is_calm(wall: datetime, zone: str) -> bool:
    """Return whether the clocks of a zone do not change around a time."""
    day = timedelta(days=1)
    return _offset(wall - day, ZoneInfo(zone)) == _offset(wall + day, ZoneInfo(zone))


def expressions(count: int, seed: int) -> list[Expression]:
    """Return as many expressions; a third of those with a date are near a change of clocks."""
    rng = random.Random(seed)
    near = [change for zone in ZONES for change in changes(zone, range(2025, 2028))]
    kinds: list[Callable[[], Expression]] = [
        lambda: Expression(_dated(rng, wall := _any_wall(rng)), wall),
        lambda: Expression(_dated(rng, wall := _near_wall(rng, near)), wall),
        lambda: Expression(_dated(rng, wall := _any_wall(rng)), wall),
        lambda: Expression(_timed(rng, _any_wall(rng))),
        lambda: Expression(rng.choice(["today", "yesterday", "tomorrow"]) + _zone(rng)),
        lambda: Expression(_spanned(rng)),
        lambda: Expression("@" + _span(rng)),
        lambda: Expression(_damaged(rng, _dated(rng, _any_wall(rng)))),
        lambda: Expression(_damaged(rng, _spanned(rng))),
    ]
    return [kinds[number % len(kinds)]() for number in range(count)]


def _offset(wall: datetime, zone: ZoneInfo) -> timedelta | None:
    return wall.replace(tzinfo=zone).utcoffset()


def _any_wall(rng: random.Random) -> datetime:
    return datetime(1971, 1, 1) + timedelta(seconds=rng.randrange(100 * 365 * 86_400))


def _near_wall(rng: random.Random, changes: list[datetime]) -> datetime:
    return rng.choice(changes) + timedelta(seconds=rng.randrange(-2 * 3600, 3 * 3600))


def _dated(rng: random.Random, wall: datetime) -> str:
    weekday = rng.choice(["", "", f"{wall:%a} ", f"{wall:%A} ", f"{wall:%a} ".lower()])
    date = rng.choice(
        [f"{wall:%Y-%m-%d}", f"{wall:%Y-%m-%d}", f"{wall.year}-{wall.month}-{wall.day}"]
    )
    if 1969 <= wall.year < 2069 and rng.random() < 0.2:
        date = f"{wall:%y-%m-%d}"
    if rng.random() < 0.1:
        return f"{weekday}{date}{_zone(rng)}"
    return f"{weekday}{date} {_clock(rng, wall)}{_zone(rng)}"


def _timed(rng: random.Random, wall: datetime) -> str:
    month = rng.choice(["", "", "", f"{wall:%b %d} ", f"{wall:%B %d} "])
    return f"{month}{_clock(rng, wall)}{_zone(rng)}"


def _clock(rng: random.Random, wall: datetime) -> str:
    digits = "".join(rng.choices("0123456789", k=rng.randint(1, 9)))
    return rng.choice(
        [
            f"{wall:%H:%M}",
            f"{wall:%H:%M:%S}",
            f"{wall:%H:%M:%S}.{digits}",
            f"{wall.hour}:{wall.minute}",
        ]
    )


def _zone(rng: random.Random) -> str:
    # (systemd-analyze 252 refuses names of zones, so also CET, and 257 takes no small letters)
    return rng.choice(["", "", "", " UTC", rng.choice([" CEST", " EDT", " IST"])])


def _span(rng: random.Random) -> str:
    return rng.choice(["", " "]).join(_part(rng) for _ in range(rng.randint(1, 3)))


def _part(rng: random.Random) -> str:
    number = rng.choice(
        [f"{rng.randrange(60)}", f"{rng.randrange(60)}.{rng.randrange(10_000)}", ".5"]
    )
    return number + rng.choice(["", "", " "]) + rng.choice(_UNITS)


def _spanned(rng: random.Random) -> str:
    span = _span(rng)
    return rng.choice([f"+{span}", f"-{span}", f"{span} ago", f"{span} left", "now"])


def _damaged(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at] + rng.choice(["", rng.choice(_CHARACTERS)]) + text[at + rng.randint(0, 1) :]
        )
    return text
