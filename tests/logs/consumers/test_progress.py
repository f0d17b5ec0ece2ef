"""What consumers have read of a log's files, and what is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.logs.consumers.progress import LogFile, find, is_further, lag, unread_in
from twisted_virtlog.values import Position

FILES = [LogFile(11, "h1.a", 100), LogFile(12, "h1.b", 50), LogFile(13, "h1.c", 7)]


def at(file: int, offset: int) -> Position:
    """Return a position in one of the files."""
    return Position(FILES[file].inode, offset, FILES[file].birth)


GONE = Position(9, 100, "h1.z")


@pytest.mark.parametrize(
    ("position", "number", "unread", "left"),
    [
        (None, None, [100, 50, 7], 157),
        (GONE, None, [100, 50, 7], 157),
        (at(0, 0), 0, [100, 50, 7], 157),
        (at(0, 60), 0, [40, 50, 7], 97),
        (at(0, 100), 0, [0, 50, 7], 57),
        (at(1, 50), 1, [0, 0, 7], 7),
        (at(2, 7), 2, [0, 0, 0], 0),
        # Beyond the end: another program has cut it, unseen.
        (at(2, 8), 2, [0, 0, 0], 0),
        # Another file has got the number.
        (Position(12, 50, "h1.y"), None, [100, 50, 7], 157),
        # Of that kind nothing can be compared, or nothing is known.
        (Position(12, 50, "t1"), 1, [0, 0, 7], 7),
        (Position(12, 20), 1, [0, 30, 7], 37),
    ],
)
def test_what_is_left(
    position: Position | None, number: int | None, unread: list[int], left: int
) -> None:
    """In each file, and in all."""
    assert find(FILES, position) == number
    assert [unread_in(FILES, one, position) for one in range(3)] == unread
    assert lag(FILES, position) == left


def test_of_a_file_that_was_cut_all_is_left() -> None:
    """What is in it was written after what was read."""
    cut = LogFile(12, "h1.b+1", 5)
    assert cut.has(Position(12, 50, "h1.b"))
    assert cut.after(Position(12, 3, "h1.b")) == 5
    assert cut.after(Position(12, 3, "h1.b+1")) == 2


def test_with_one_number_the_newer_file_is_meant() -> None:
    """Where nothing tells them apart."""
    files = [LogFile(5, "", 10), LogFile(6, "", 10), LogFile(5, "", 10)]
    assert find(files, Position(5, 1)) == 2


PLACES = st.tuples(st.integers(0, 2), st.integers(0, 100)).map(
    lambda place: at(place[0], min(place[1], FILES[place[0]].size))
)


@given(PLACES, PLACES)
def test_what_is_further(position: Position, former: Position) -> None:
    """It leaves no more to read."""
    further = lag(FILES, position) <= lag(FILES, former)
    if FILES.index(next(f for f in FILES if f.has(position))) == FILES.index(
        next(f for f in FILES if f.has(former))
    ):
        assert is_further(FILES, position, former) == further
    elif is_further(FILES, position, former):
        assert further


def test_of_what_is_gone_nothing_is_further_than_what_is_there() -> None:
    """But of two such places, the one that was told later."""
    assert is_further(FILES, GONE, None)
    assert is_further(FILES, at(0, 0), GONE)
    assert not is_further(FILES, GONE, at(0, 0))
    assert is_further(FILES, Position(8, 0, "h1.y"), GONE)
    assert not is_further(FILES, Position(9, 99, "h1.z"), GONE)
