"""All files of a log as one text."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import LogEvent, Position
from twisted_virtlog.web.extent import Extent, Part, later

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=6)


def extent(sizes: list[int]) -> Extent:
    """Make files of some sizes."""
    return Extent([Part(index + 1, f"h.{index}", size) for index, size in enumerate(sizes)])


@given(SIZES, st.integers(-2, 60))
def test_a_position_has_as_many_bytes_before_it(sizes: list[int], distance: int) -> None:
    files = extent(sizes)
    position = files.position(distance)
    assert position is not None
    assert files.distance(position) == max(0, min(distance, files.size))


def test_a_boundary_is_the_beginning_of_the_next_file() -> None:
    assert extent([3, 0, 4]).position(3) == Position(3, 0, "h.2")


def test_the_end_is_in_the_last_file() -> None:
    assert extent([3, 4]).position(99) == Position(2, 4, "h.1")


def test_a_file_that_is_gone_is_nowhere() -> None:
    files = extent([3, 4])
    assert files.distance(Position(9, 0)) is None
    assert files.distance(Position(1, 0, "h.9")) is None
    assert files.distance(Position(2, 1)) == 4
    assert Extent(()).position(0) is None


def test_what_happened_later_is_after_a_position() -> None:
    """Not at it, and not in a file that is gone; a position that is gone is before all of it."""
    time = datetime(2026, 3, 1, tzinfo=timezone.utc)
    files = extent([3, 4])
    happened = [
        LogEvent(Position(inode, offset, f"h.{inode - 1}"), time, "opened", None)
        for inode, offset in ((9, 0), (1, 0), (1, 3), (2, 0), (2, 2))
    ]
    assert later(files, happened, Position(1, 0, "h.0")) == happened[2:]
    assert later(files, happened, Position(1, 3, "h.0")) == happened[4:]
    assert later(files, happened, Position(2, 2, "h.1")) == []
    assert later(files, happened, Position(9, 0, "h.8")) == happened
