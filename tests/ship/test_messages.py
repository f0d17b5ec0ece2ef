"""What comes of a log is cut into messages of whole lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship import messages
from twisted_virtlog.ship.messages import Cutter, Message, Piece
from twisted_virtlog.values import Position

MOST = 16
FEW = 4


@pytest.fixture(autouse=True)
def short_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few bytes be many."""
    monkeypatch.setattr(messages, "MOST_BYTES", MOST)
    monkeypatch.setattr(messages, "_FEW_BYTES", FEW)


def piece(data: bytes, offset: int = 0, inode: int = 1, gap: bool = False) -> Piece:
    """Return what came from one file."""
    start = Position(inode, offset, "b")
    return Piece(data, start, Position(inode, offset + len(data), "b"), gap, 7 if gap else None)


def taken(cutter: Cutter, rest: bool = False) -> list[Message]:
    """Take all that is to be shipped."""
    found = []
    while (message := cutter.take(rest)) is not None:
        found.append(message)
    return found


def test_whole_lines_are_shipped_and_the_rest_waits() -> None:
    """Until its end comes, or it is asked for."""
    cutter = Cutter()
    cutter.feed(piece(b"a\nb\nlog"))
    (message,) = taken(cutter)
    assert (message.data, message.end) == (b"a\nb\n", Position(1, 4, "b"))
    assert (message.begins_line, message.ends_line, cutter.size) == (True, True, 3)
    cutter.feed(piece(b"in: ", 7))
    assert taken(cutter) == []
    (prompt,) = taken(cutter, rest=True)
    assert (prompt.data, prompt.begins_line, prompt.ends_line) == (b"login: ", True, False)
    cutter.feed(piece(b"root\n", 11))
    (answer,) = taken(cutter)
    assert (answer.data, answer.begins_line, answer.ends_line) == (b"root\n", False, True)
    assert (answer.start, answer.end) == (Position(1, 11, "b"), Position(1, 16, "b"))


def test_a_line_that_is_too_long_comes_in_parts() -> None:
    """Each part says which of its ends is in the middle."""
    cutter = Cutter()
    cutter.feed(piece(b"x" * 40 + b"\n"))
    found = taken(cutter)
    assert [(len(one.data), one.begins_line, one.ends_line) for one in found] == [
        (16, True, False),
        (16, False, False),
        (9, False, True),
    ]


def test_few_bytes_behind_a_full_message_wait_for_more() -> None:
    """As a flood is told in pieces as long as a message, they would be a message each time."""
    cutter = Cutter()
    cutter.feed(piece(b"a" * 14 + b"\nb\n"))
    assert [one.data for one in taken(cutter)] == [b"a" * 14 + b"\n"]
    cutter.feed(piece(b"c" * 12 + b"\nd\n", 17))
    assert [one.data for one in taken(cutter)] == [b"b\n" + b"c" * 12 + b"\n"]
    assert [one.data for one in taken(cutter, rest=True)] == [b"d\n"]
    cutter.feed(piece(b"e" * 14 + b"\nf\n", 32))
    assert [one.data for one in taken(cutter)] == [b"e" * 14 + b"\n"]
    # (a line that comes alone says that it is over)
    cutter.feed(piece(b"g\n", 49))
    assert [one.data for one in taken(cutter)] == [b"f\ng\n"]
    assert cutter.size == 0


def test_no_message_goes_over_a_gap() -> None:
    """What comes after it begins a message, which says how many bytes are missing."""
    cutter = Cutter()
    cutter.feed(piece(b"a\nhal"))
    cutter.feed(piece(b"b\n", 0, inode=2, gap=True))
    found = taken(cutter)
    assert [(one.data, one.gap, one.missed) for one in found] == [
        (b"a\n", False, None),
        (b"hal", False, None),
        (b"b\n", True, 7),
    ]
    assert not found[2].begins_line


def test_an_empty_piece_may_say_that_bytes_are_missing() -> None:
    """It is said by what comes after it."""
    cutter = Cutter()
    cutter.feed(piece(b"", gap=True))
    assert taken(cutter, rest=True) == []
    cutter.feed(piece(b"a\n"))
    cutter.feed(piece(b"b\n", 2))
    assert [(one.data, one.gap, one.missed) for one in taken(cutter)] == [(b"a\nb\n", True, 7)]


def test_positions_over_two_files() -> None:
    """A piece may begin in a file that was rolled over in the middle of it."""
    cutter = Cutter()
    cutter.feed(Piece(b"abc\ndef\ng", Position(1, 100, "b"), Position(2, 5, "c")))
    (message,) = taken(cutter)
    assert message.end == Position(2, 4, "c")
    cutter = Cutter()
    cutter.feed(Piece(b"a\nbcdefghi", Position(1, 100, "b"), Position(2, 5, "c")))
    (message,) = taken(cutter)
    assert message.end == Position(1, 102, "b")


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.booleans()), max_size=12),
    st.sampled_from([b"\n", b"x\n", b"x"]),
)
def test_put_together_they_are_what_came(
    pieces: list[tuple[bytes, bool, bool]], letters: bytes
) -> None:
    """In order, each byte once, each message where the one before ended, and none too long."""
    cutter, found, expected, offset = Cutter(), [], b"", 0
    for data, gap, rest in pieces:
        text = bytes(letters[byte % len(letters)] for byte in data)
        offset += 100 * gap
        cutter.feed(piece(text, offset, gap=gap))
        offset += len(text)
        expected += text
        found += taken(cutter, rest)
        assert cutter.size == len(expected) - sum(len(one.data) for one in found)
    found += taken(cutter, rest=True)
    assert b"".join(one.data for one in found) == expected
    end = None
    for one in found:
        assert 0 < len(one.data) <= MOST
        assert one.end.offset - one.start.offset == len(one.data)
        assert one.gap or end is None or one.start == end
        assert one.ends_line == one.data.endswith(b"\n")
        end = one.end
