"""Parses what calendars and clocks show, such as ``2026-11-27 14:05``, in systemd's forms.

They are read as strptime(3) of the GNU C library reads them: a number may have fewer digits and may
follow blanks, and a blank in a form stands for any number of them, or none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date

_EPOCH = date(1970, 1, 1).toordinal()

#: In the order in which systemd tries them. A fraction may follow the seconds.
_FORMS = (
    "%y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%b %d %H:%M:%S",
    "%y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M",
    "%y-%m-%d",
    "%Y-%m-%d",
    "%H:%M:%S",
    "%H:%M",
)

#: The least and the greatest number, and how many digits it has at most.
_NUMBERS = {
    "y": (0, 99, 2),
    "Y": (0, 9999, 4),
    "m": (1, 12, 2),
    "d": (1, 31, 2),
    "H": (0, 23, 2),
    "M": (0, 59, 2),
    # (two leap seconds)
    "S": (0, 61, 2),
}

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_BLANKS = re.compile(r"\s*", re.ASCII)
_WEEKDAY = re.compile("(" + "|".join(f"{day}|{day[:3]}" for day in _WEEKDAYS) + ") ", re.IGNORECASE)
_FRACTION = re.compile(r"\.([0-9]+)")


@dataclass(frozen=True, slots=True)
class Civil:
    """What a calendar and a clock show.

    :ivar day: days since 1970-01-01.
    :ivar second: up to 61.
    :ivar microsecond: up to 1,000,000, as fractions are rounded.
    """

    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    microsecond: int = 0

    @property
    def weekday(self) -> str:
        """The day's English name."""
        return _WEEKDAYS[(self.day + _EPOCH - 1) % 7]


def day_of(year: int, month: int, day: int) -> int:
    """Return a date's days since 1970-01-01; the 31st of February is the 3rd of March.

    :raises ValueError: there is no such month.
    """
    return date(year, month, 1).toordinal() + day - 1 - _EPOCH


def split_weekday(text: str) -> tuple[str | None, str]:
    """Return the day of the week that a text begins with, if any, in full, and the rest."""
    match = _WEEKDAY.match(text)
    if match is None:
        return None, text
    day = next(day for day in _WEEKDAYS if day[:3].lower() == match[1][:3].lower())
    return day, text[match.end() :]


def parse_civil(text: str, today: date) -> Civil | None:
    """Return what a text in one of systemd's forms says; None if it has none of them.

    :param today: what a time without a date, or a date without a year, is completed from.
    """
    for form in _FORMS:
        read = _read(form, text)
        if read is None:
            continue
        numbers, rest = read
        microsecond = _microsecond(rest) if form.endswith("S") else None if rest else 0
        if microsecond is not None:
            civil = _civil(numbers, today)
            return None if civil is None else replace(civil, microsecond=microsecond)
    return None


def round_to_microseconds(digits: str) -> int:
    """Return the microseconds that the digits after a decimal point are.

    :returns: up to 1,000,000.
    """
    return int(digits[:6].ljust(6, "0")) + (digits[6:7] >= "5")


def _read(form: str, text: str) -> tuple[dict[str, int], str] | None:
    """Return the numbers that a text has in a form, and what is left of the text."""
    numbers: dict[str, int] = {}
    at, parts = 0, iter(form)
    for part in parts:
        if part == " ":
            at = _after_blanks(text, at)
        elif part != "%":
            if text[at : at + 1] != part:
                return None
            at += 1
        else:
            kind = next(parts)
            found = _month(text, at) if kind == "b" else _number(text, at, *_NUMBERS[kind])
            if found is None:
                return None
            numbers["m" if kind == "b" else kind], at = found
    return numbers, text[at:]


def _number(text: str, at: int, least: int, greatest: int, digits: int) -> tuple[int, int] | None:
    begin = at = _after_blanks(text, at)
    value = 0
    while at - begin < digits and text[at : at + 1] in set("0123456789"):
        # (no digit is read that would make it too great: 145:00 is the 14th, 5 o'clock)
        if at > begin and value * 10 > greatest:
            break
        value = value * 10 + int(text[at])
        at += 1
    return (value, at) if at > begin and least <= value <= greatest else None


def _month(text: str, at: int) -> tuple[int, int] | None:
    for number, name in enumerate(_MONTHS, 1):
        for written in (name, name[:3]):
            if text[at : at + len(written)].lower() == written.lower():
                return number, at + len(written)
    return None


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return at if match is None else match.end()


def _microsecond(rest: str) -> int | None:
    """Return what follows the seconds, in microseconds; None if it is no fraction."""
    if not rest:
        return 0
    match = _FRACTION.fullmatch(rest)
    return None if match is None else round_to_microseconds(match[1])


def _civil(numbers: dict[str, int], today: date) -> Civil | None:
    year = numbers.get("Y", today.year)
    if "y" in numbers:
        year = numbers["y"] + (1900 if numbers["y"] >= 69 else 2000)
    if year == 0:
        return None
    day = day_of(year, numbers.get("m", today.month), numbers.get("d", today.day))
    return Civil(day, numbers.get("H", 0), numbers.get("M", 0), numbers.get("S", 0))
