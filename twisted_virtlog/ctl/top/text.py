"""The table as lines of a width, in which nothing is that a terminal would obey."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twisted_virtlog.ctl.top.board import FAILING, Row, Totals
from twisted_virtlog.ctl.top.view import SORT_KEYS, View
from twisted_virtlog.escaping import visible

#: A guest's name has at most so many columns, or this part of a narrow line; and the path at least.
_WIDEST_GUEST = 24
_GUESTS_PART = 4
_NARROWEST_PATH = 20
_WIDEST_STATE = 10

_GUEST = "GUEST"
_GAP = "  "

#: Besides the logs and the keys: two lines about all of them, and the headings.
_OTHER_LINES = 3

_UNITS = "KMGTPE"

_KEYS = (
    *("q quit", "/ filter", "space pause", "i reverse", "arrows scroll", "sort by:"),
    *(f"{key} {order}" for key, order in SORT_KEYS.items()),
)
_TYPING_KEYS = "enter keep  escape undo"
_MAX_KEY_LINES = 2


class Style(enum.Enum):
    """What a line is, and so how it looks."""

    PLAIN = enum.auto()
    HEADING = enum.auto()
    FAILED = enum.auto()
    KEYS = enum.auto()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the screen."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True, slots=True)
class Status:
    """What is said about the table itself.

    :ivar time: of the day.
    :ivar interval: seconds between two lists of logs.
    :ivar trouble: why nothing new comes; empty if all is well.
    """

    time: str
    interval: float
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column before those of the guest and the path.

    :ivar order: what sorts by it.
    """

    heading: str
    order: str
    cell: Callable[[Row], str]
    is_number: bool = True

    def width(self, rows: Sequence[Row]) -> int:
        """Return how wide it is for some logs; numbers are no wider than their heading."""
        if self.is_number:
            return len(self.heading)
        widest = max([len(self.heading), *(cells(self.cell(row)) for row in rows)])
        return min(widest, _WIDEST_STATE)

    def aligned(self, text: str, width: int) -> str:
        """Return a cell, or the heading, with spaces."""
        return text.rjust(width) if self.is_number else padded(text, width)


def amount(number: float | None) -> str:
    """Return a number of bytes in at most five characters, by powers of 1024; ``-`` for None."""
    if number is None:
        return "-"
    if number < 999.5:
        return f"{number:.0f}"
    unit = -1
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return f"{number:.1f}{_UNITS[unit]}" if number < 9.95 else f"{number:.0f}{_UNITS[unit]}"


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


#: Those that come first in the second one have it where there is no room for all.
_COLUMNS = (
    _Column("BYTES/S", "rate", lambda row: amount(row.rate)),
    _Column("DROPPED", "dropped", lambda row: amount(row.dropped)),
    _Column("PENDING", "pending", lambda row: amount(row.pending)),
    _Column("FOLLOWERS", "followers", lambda row: _count(row.followers)),
    _Column("STATE", "state", lambda row: visible(row.state), is_number=False),
)
_BY_WEIGHT = ("rate", "dropped", "state", "pending", "followers")


def screen(
    rows: Sequence[Row],
    totals: Totals,
    view: View,
    status: Status,
    width: int,
    height: int,
) -> list[Line]:
    """Return the lines of a screen.

    :param rows: all logs that are to be seen, sorted.
    :returns: at most as many lines as the screen has, none wider than it.
    """
    shown = page(width, height)
    # (there may be fewer logs by now)
    first = max(0, min(view.first, len(rows) - shown))
    lines = [
        Line(of_all(totals, status.time)),
        _about(rows, view, status, first),
        *table(rows[first : first + shown], view.order, width),
    ]
    keys = _key_lines(width)
    if view.is_typing:
        keys[-1] = f"/{visible(view.wanted)}_  {_TYPING_KEYS}"
    room = max(0, height - len(keys))
    lines += [Line("")] * (room - len(lines))
    lines = [*lines[:room], *(Line(text, Style.KEYS) for text in keys)]
    return [Line(clipped(line.text, width), line.style) for line in lines[:height]]


def page(width: int, height: int) -> int:
    """Return how many logs a screen has room for."""
    return max(1, height - _OTHER_LINES - len(_key_lines(width)))


def table(rows: Sequence[Row], order: str, width: int) -> list[Line]:
    """Return the headings and a line for each log, with the reason at the end of a failing one.

    :param order: what it is sorted by; that column is not left out where the line is narrow.
    """
    guests = max([len(_GUEST), *(cells(visible(row.guest)) for row in rows)])
    guests = min(guests, _WIDEST_GUEST, max(len(_GUEST), width // _GUESTS_PART))
    widths = {column: column.width(rows) for column in _COLUMNS}
    columns = _fitting(order, width - guests - len(_GAP) - _NARROWEST_PATH, widths)
    headings = [column.aligned(column.heading, widths[column]) for column in columns]
    lines = [Line(_GAP.join([*headings, padded(_GUEST, guests), "PATH"]), Style.HEADING)]
    for row in rows:
        parts = [column.aligned(column.cell(row), widths[column]) for column in columns]
        before = _GAP.join([*parts, padded(visible(row.guest) or "-", guests), ""])
        path = row.path if row.error is None else f"{row.path}: {row.error}"
        text = before + _end_of(visible(path), width - cells(before))
        lines.append(Line(text, Style.FAILED if row.state == FAILING else Style.PLAIN))
    return lines


def cells(text: str) -> int:
    """Return how many columns of a terminal a text has, as far as can be said."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def clipped(text: str, width: int) -> str:
    """Return the beginning of a text that is no wider than that."""
    if text.isascii():
        return text[: max(0, width)]
    used = 0
    for index, character in enumerate(text):
        used += _cells_of(character)
        if used > width:
            return text[:index]
    return text


def padded(text: str, width: int) -> str:
    """Return a text with spaces up to a width, or its beginning with that width."""
    if cells(text) > width:
        text = clipped(text, width - 1) + "+"
    return text + " " * (width - cells(text))


def _end_of(text: str, width: int) -> str:
    """Return a text, or its end, which tells paths apart, with dots before it."""
    if cells(text) <= width:
        return text
    room = width - 3
    if room <= 0:
        return clipped(text, width)
    start, used = len(text), 0
    while start > 0 and used + _cells_of(text[start - 1]) <= room:
        start -= 1
        used += _cells_of(text[start])
    return "..." + text[start:]


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _fitting(order: str, room: int, widths: Mapping[_Column, int]) -> list[_Column]:
    """Return the columns that there is room for, that by which it is sorted before others."""
    chosen: list[_Column] = []
    weights = [order, *_BY_WEIGHT]
    for column in sorted(_COLUMNS, key=lambda column: weights.index(column.order)):
        room -= widths[column] + len(_GAP)
        if room < 0:
            break
        chosen.append(column)
    return [column for column in _COLUMNS if column in chosen]


def _key_lines(width: int) -> list[str]:
    """Return what the keys do, in one line or in two."""
    lines = [""]
    for key in _KEYS:
        longer = f"{lines[-1]}  {key}" if lines[-1] else key
        if len(longer) > width and len(lines) < _MAX_KEY_LINES and lines[-1]:
            lines.append(key)
        else:
            lines[-1] = longer
    return lines


def of_all(totals: Totals, when: str) -> str:
    """Return a line about all logs together."""
    logs = "1 log" if totals.logs == 1 else f"{totals.logs} logs"
    return (
        f"{when}  {logs}, {totals.failing} failing, {amount(totals.rate)} bytes/s,"
        f" {amount(totals.dropped)} dropped, {amount(totals.pending)} pending,"
        f" {totals.followers} followers"
    )


def _about(rows: Sequence[Row], view: View, status: Status, first: int) -> Line:
    if status.trouble:
        return Line(visible(status.trouble), Style.FAILED)
    parts = [f"by {view.order}" + (", reversed" if view.is_reversed else "")]
    parts.append(f"every {status.interval:g} s")
    if view.wanted:
        parts.append(f'{len(rows)} with "{visible(view.wanted)}"')
    if first:
        parts.append(f"from {first + 1} on")
    if view.is_paused:
        parts.append("paused")
    return Line("  ".join(parts))
