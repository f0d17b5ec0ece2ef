"""When the bytes of a part of a log came, as far as the daemon knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from twisted_virtlog.client import Position, TimeMark
from twisted_virtlog.web.extent import Extent

#: The nearest time that is known of a byte is mostly no farther away.
_AROUND_BYTES = 256 * 1024


def around(extent: Extent, start: Position, end: Position) -> tuple[Position | None, ...]:
    """Return from where to where times are to be asked for, for those of what is between."""
    first, last = extent.distance(start), extent.distance(end)
    return (
        None if first is None else extent.position(first - _AROUND_BYTES),
        None if last is None else extent.position(last + _AROUND_BYTES),
    )


def times_before(
    extent: Extent, end: Position, marks: Sequence[TimeMark]
) -> Iterator[tuple[int, datetime]]:
    """Yield how many bytes are yet to come before a position, and by when those before had come.

    (Counted from the end, as what a part begins with may be rotated away meanwhile. Beyond it,
    numbers are negative.)
    """
    whole = extent.distance(end)
    if whole is None:
        return
    for mark in marks:
        distance = extent.distance(mark.position)
        if distance is not None:
            yield whole - distance, mark.time
