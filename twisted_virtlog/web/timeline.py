"""How many bytes came when, in as many columns as a picture has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twisted_virtlog.client import TimeMark
from twisted_virtlog.web.extent import Extent

MOST_COLUMNS = 1200

#: Something that came at one instant is shown over so much.
_SHORTEST = timedelta(seconds=1)
#: Times of bytes are known as exactly as that, those of what happened more exactly.
_NEAR = timedelta(seconds=1)
#: A part of a column that is none, but comes of counting with fractions.
_SAME = 1e-6


@dataclass(frozen=True)
class Timeline:
    """Columns of one width, in the order of time.

    :ivar since: the beginning of the first; an aware time.
    :ivar until: the end of the last.
    :ivar columns: bytes in each.
    """

    since: datetime
    until: datetime
    columns: Sequence[int]


@dataclass(frozen=True)
class _Stretch:
    """Bytes that came between two times, nobody knows when exactly."""

    since: datetime
    until: datetime
    count: int


def timeline(
    extents: Sequence[tuple[Extent, Sequence[TimeMark]]],
    columns: int,
    since: datetime | None,
    until: datetime | None,
    happened: Collection[datetime] = (),
) -> Timeline | None:
    """Return when the bytes of logs came, all of them together.

    :param extents: of each log its files, and what is known of when its bytes came.
    :param columns: how many are wanted, at most :data:`MOST_COLUMNS`.
    :param since: an aware time; None for that of the oldest byte.
    :param until: likewise; None for that of the newest.
    :param happened: when something happened. What did so just before the oldest byte came, or
        after the newest, is in the timeline, too.
    :returns: None if nothing is known of that time.
    """
    columns = max(1, min(columns, MOST_COLUMNS))
    stretches = [one for extent, marks in extents for one in _stretches(extent, marks)]
    if not stretches:
        return None
    if since is None:
        since = min(one.since for one in stretches)
        since = min([since, *(one for one in happened if one >= since - _NEAR)])
    if until is None:
        until = max(one.until for one in stretches)
        until = max([until, *(one for one in happened if one <= until + _NEAR)])
    until = max(until, since + _SHORTEST)
    width = (until - since).total_seconds() / columns
    counts = [0.0] * columns
    for one in stretches:
        for column, count in _spread(one, since, width, columns):
            counts[column] += count
    return Timeline(since, until, _whole(counts))


def _stretches(extent: Extent, marks: Sequence[TimeMark]) -> Iterator[_Stretch]:
    before: tuple[int, datetime] | None = None
    for mark in marks:
        distance = extent.distance(mark.position)
        if distance is None:
            continue
        if before is None:
            # (what was there before the first mark came at some time before it)
            before = (0, mark.time)
        count = distance - before[0]
        if count > 0:
            yield _Stretch(min(before[1], mark.time), mark.time, count)
        before = (max(distance, before[0]), mark.time)


def _spread(
    one: _Stretch, since: datetime, width: float, columns: int
) -> Iterator[tuple[int, float]]:
    """Yield the columns that a stretch is in, and its bytes in each."""
    begin = (one.since - since).total_seconds() / width
    end = (one.until - since).total_seconds() / width
    if end - begin < _SAME:
        # (the end of the last column belongs to it)
        if since <= one.until and begin < columns + _SAME:
            yield min(int(begin), columns - 1), one.count
        return
    for column in range(max(0, int(begin // 1)), min(columns, int(end // 1) + 1)):
        share = min(end, column + 1) - max(begin, column)
        if share > 0:
            yield column, one.count * share / (end - begin)


def _whole(counts: Sequence[float]) -> list[int]:
    """Return numbers as whole ones with the same sum."""
    whole, total, given = [], 0.0, 0
    for count in counts:
        total += count
        whole.append(round(total) - given)
        given = round(total)
    return whole
