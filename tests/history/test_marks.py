"""The marks of a file: few numbers, each true by itself."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.history import marks as module
from twisted_virtlog.history.marks import BYTES_OF_MARK, FileMarks, most_marks
from twisted_virtlog.history.moments import THIS_BOOT, moment

A, B, C, D = (moment(3, ms) for ms in (1000, 2000, 3000, 4000))


def of(*marks: tuple[int, int, int]) -> FileMarks:
    found = FileMarks()
    found.add_all(marks)
    return found


def test_a_file_that_rests_has_one_mark() -> None:
    found = of((0, A, A), (10, B, B), (10, C, C), (10, B, B))
    assert list(found) == [(0, A, A), (10, B, C)]
    assert found.last() == (10, B, C)
    assert (found.offset(1), found.since(1), found.until(1)) == (10, B, C)
    assert FileMarks().last() is None


@pytest.mark.parametrize(
    ("marks", "left"),
    [
        ([], []),
        ([(0, A, B), (10, C, C)], [(0, A, B)]),
        ([(5, A, B), (10, C, C)], []),
    ],
)
def test_a_cut_leaves_when_the_file_began(
    marks: list[tuple[int, int, int]], left: list[tuple[int, int, int]]
) -> None:
    """What is below may be new as well, as nobody knows how far it was cut."""
    found = of(*marks)
    found.cut()
    assert list(found) == left


def test_a_lost_end_takes_its_marks_along() -> None:
    found = of((0, A, A), (10, B, B), (20, C, C))
    found.trim(15)
    assert list(found) == [(0, A, A), (10, B, B)]


def test_of_two_marks_the_one_stays_at_which_the_file_rested_longer() -> None:
    found = of((0, A, A), (1, A, A), (2, B, D), (3, A, C), (4, D, D), (5, D, D))
    found.thin(4)
    assert list(found) == [(0, A, A), (2, B, D), (3, A, C), (5, D, D)]
    found.thin(2)
    assert list(found) == [(0, A, A), (5, D, D)]


@given(
    st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 99)), max_size=300),
    st.integers(2, 70),
)
def test_thinning_leaves_some_of_the_marks(ends: list[tuple[int, int]], most: int) -> None:
    found = of(
        *(
            (offset, moment(1, n), moment(1, n + rest))
            for n, (offset, rest) in enumerate(sorted(ends))
        )
    )
    before = list(found)
    found.thin(most)
    assert len(found) <= most
    assert set(found) <= set(before)
    assert len(found) >= min(len(before), most // 2)
    if before:
        assert (next(iter(found)), found.last()) == (before[0], before[-1])


def test_pieces_are_read_as_one() -> None:
    one, other = of((0, A, A), (10, B, B)), of((10, C, C), (20, D, D))
    found = FileMarks(one.kept() + other.kept())
    assert len(found) == 4
    found.thin(64)
    assert list(found) == [(0, A, A), (10, B, C), (20, D, D)]


def test_the_bytes_are_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = of((1, 2, 3)).kept()
    assert kept == b"".join(number.to_bytes(8, "little") for number in (1, 2, 3))
    other = "little" if sys.byteorder == "big" else "big"
    monkeypatch.setattr(module.sys, "byteorder", other)
    swapped = of((1, 2, 3))
    assert swapped.kept() == b"".join(number.to_bytes(8, other) for number in (1, 2, 3))  # type: ignore[arg-type]
    assert list(FileMarks(swapped.kept())) == [(1, 2, 3)]


def test_the_boot_gets_its_number_when_it_is_known() -> None:
    found = of((0, moment(0, 7), moment(THIS_BOOT, 8))).in_boot(5)
    assert list(found) == [(0, moment(0, 7), moment(5, 8))]


@pytest.mark.parametrize(
    ("size", "most"),
    [(0, 64), (300_000, 64), (2 << 20, 419), (1 << 40, 1 << 14)],
)
def test_a_large_file_has_more(size: int, most: int) -> None:
    assert most_marks(size) == most
    assert most <= 64 or most * BYTES_OF_MARK <= 0.006 * size
