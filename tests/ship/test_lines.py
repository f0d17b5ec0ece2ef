"""The lines of messages, and where they stand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship.lines import Line, lines_of
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.values import Position


def at(offset: int, inode: int = 1) -> Position:
    """Return a position."""
    return Position(inode, offset, "b")


def message(data: bytes, **members: object) -> Message:
    """Return one that begins at 100 of a file."""
    return Message(data, at(100), at(100 + len(data)), **members)  # type: ignore[arg-type]


def test_each_line_has_its_place() -> None:
    """Without what ends it; an empty line is one."""
    assert list(lines_of(message(b"one\r\n\ntwo\n"))) == [
        Line(b"one", at(100), at(105), True, True),
        Line(b"", at(105), at(106), True, True),
        Line(b"two", at(106), at(110), True, True),
    ]


def test_what_is_cut_says_so() -> None:
    """At the ends of the message, and where a line is too long."""
    found = list(lines_of(message(b"the end of\nlogin: ", begins_line=False, ends_line=False)))
    assert [(one.data, one.cut) for one in found] == [(b"the end of", "begin"), (b"login: ", "end")]
    found = list(lines_of(message(b"x" * 25 + b"\r\ny\n"), 10))
    assert [(one.data, one.cut, one.start.offset) for one in found] == [
        (b"x" * 10, "end", 100),
        (b"x" * 10, "both", 110),
        (b"x" * 5, "begin", 120),
        (b"y", None, 127),
    ]


def test_no_character_is_cut() -> None:
    """Unless there are none."""
    found = [one.data for one in lines_of(message("äöü€".encode() + b"\n"), 7)]
    assert found == ["äöü".encode(), "€".encode()]
    assert [one.data for one in lines_of(message(b"\x80" * 9 + b"\n"), 4)] == [
        *(b"\x80" * 4, b"\x80" * 4, b"\x80")
    ]


def test_what_is_missing_is_missing_before_the_first() -> None:
    """And of no other."""
    found = list(lines_of(message(b"a\nb\n", gap=True, missed=7)))
    assert [(one.gap, one.missed) for one in found] == [(True, 7), (False, None)]


def test_a_message_may_go_over_into_the_next_file() -> None:
    """Each line stands in its own."""
    found = list(lines_of(Message(b"ab\ncd\nef\n", at(500), at(5, inode=2))))
    assert [(one.start.inode, one.start.offset) for one in found] == [(1, 500), (1, 503), (2, 2)]


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", "ä".encode(), b"\xff"]), min_size=1, max_size=40),
    st.one_of(st.none(), st.integers(4, 9)),
)
def test_put_together_they_are_the_message(parts: list[bytes], most: int | None) -> None:
    """But for what ends lines, which their places tell."""
    data = b"".join(parts)
    found = list(lines_of(message(data), most))
    together = b"".join(
        one.data + data[one.start.offset - 100 + len(one.data) : one.end.offset - 100]
        for one in found
    )
    assert together == data
    assert (found[0].start, found[-1].end) == (at(100), at(100 + len(data)))
    assert all(one.end == two.start for one, two in pairwise(found))
    for one in found:
        ending = data[one.start.offset - 100 + len(one.data) : one.end.offset - 100]
        assert ending in ({b"\n", b"\r\n"} if one.ends_line else {b""})
        assert most is None or len(one.data) <= most


@pytest.mark.parametrize(
    ("data", "halves"),
    [
        (b"a\nb\n", (b"a\n", b"b\n")),
        (b"a\nb\nc", (b"a\n", b"b\nc")),
        (b"a long line\nb", (b"a long line\n", b"b")),
        (b"a\nb, which is long\n", (b"a\n", b"b, which is long\n")),
        (b"a\n", None),
        (b"a", None),
    ],
)
def test_halves_of_messages(data: bytes, halves: tuple[bytes, bytes] | None) -> None:
    """Are messages of whole lines; one line has none."""
    whole = message(data, begins_line=False, ends_line=data.endswith(b"\n"), gap=True, missed=3)
    found = whole.halves()
    if halves is None:
        assert found is None
        return
    assert found is not None
    first, second = found
    assert (first.data, second.data) == halves
    assert (first.start, first.end, second.end) == (whole.start, second.start, whole.end)
    assert (first.gap, first.missed, first.cut) == (True, 3, "begin")
    assert (second.gap, second.begins_line, second.ends_line) == (False, True, whole.ends_line)
