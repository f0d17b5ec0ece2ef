"""The births of positions: what is known to be another file, and what is not known."""

from __future__ import annotations

import pytest

from twisted_virtlog.values import birth_with_cut, is_in_other_file, is_outdated


@pytest.mark.parametrize(
    ("of_position", "of_file", "expected"),
    [
        ("h1.a", "h1.a", False),
        ("h1.a", "h1.b", True),
        # Unknown is not different.
        ("", "h1.b", False),
        ("h1.a", "", False),
        ("h1.a", "t.b", False),
        ("h1.a", "h81.b", False),
        # A position from before the cut, from after it, and from another cut.
        ("h1.a", "h1.a+5", True),
        ("h1.a+5", "h1.a+5", False),
        ("h1.a+4", "h1.a+5", True),
        # The cut is not known any more.
        ("h1.a+5", "h1.a", False),
        ("h1.a+5", "h1.b", True),
        # Whatever a client sends.
        ("+", "h1.a+5", False),
        ("x", "h1.a", False),
    ],
)
def test_only_what_is_known_is_different(of_position: str, of_file: str, expected: bool) -> None:
    """Births of one kind are compared, and cuts as far as the file's is known."""
    assert is_outdated(of_position, of_file) is expected


def test_a_cut_makes_no_other_file() -> None:
    """What is in the file was written after the position."""
    assert not is_in_other_file("h1.a", "h1.a+5")
    assert is_in_other_file("h1.a+5", "h1.b+5")
    assert not is_in_other_file("", "h1.a")
    assert not is_in_other_file("t.a", "h1.a")


def test_a_cut_is_a_second_part() -> None:
    """Where the file itself tells nothing, a cut tells nothing either."""
    assert birth_with_cut("h1.a", "5") == "h1.a+5"
    assert birth_with_cut("h1.a", "") == "h1.a"
    assert birth_with_cut("", "5") == ""
