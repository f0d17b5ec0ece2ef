"""All files of a log as one text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import Position
from twisted_virtlog.web.extent import Extent, Part

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
