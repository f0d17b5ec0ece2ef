"""What a message says, and how messages follow one another."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.fleet.stored import LastLines, Log, Stored, is_same, stored_of, with_gaps
from twisted_virtlog.ship import headers as names
from twisted_virtlog.ship.subjects import subject
from twisted_virtlog.values import Position

LOG = Log("virtlog.n.-./a", "n", "/a", "qemu", None, None)
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)


def message(data: bytes, start: Position, end: Position, sequence: int = 1) -> Stored:
    """Return one."""
    return Stored(sequence, LOG, data, start, end, NOON)


def in_one_file(texts: list[bytes]) -> list[Stored]:
    """Return messages that follow one another in a file."""
    found, offset = [], 0
    for number, text in enumerate(texts, 1):
        end = offset + len(text)
        found.append(message(text, Position(7, offset), Position(7, end), number))
        offset = end
    return found


SAID = {
    names.START: "7:0:h1.x",
    names.END: "7:4:h1.x",
    names.HOST: "node%2517",
    names.PATH: "/logs/w%C3%A9b.log",
    names.DRIVER: "qemu",
    names.DOMAIN: "web",
    names.TIME: "2026-11-28T12:00:00.000+00:00",
}
UUID = "11111111-1111-4111-8111-111111111111"


def test_a_message_says_whose_it_is() -> None:
    """Decoded, with what its subject says of the guest."""
    name = subject("a.b", "node%17", UUID, "/logs/wéb.log")
    found = stored_of(name, SAID, b"one\n", 9, 3)
    log = Log(name, "node%17", "/logs/wéb.log", "qemu", UUID, "web")
    start, end = Position(7, 0, "h1.x"), Position(7, 4, "h1.x")
    assert found == Stored(9, log, b"one\n", start, end, NOON, left=3)
    assert log.title == "node%17:/logs/wéb.log"
    nobody = stored_of(subject("v", "n", None, "/a"), SAID, b"", 1)
    assert nobody is not None
    assert nobody.log.uuid is None


@pytest.mark.parametrize(
    ("said", "gap", "missed", "begins_line"),
    [
        ({}, False, None, True),
        ({names.MISSED: "12"}, True, 12, True),
        ({names.MISSED: "unknown"}, True, None, True),
        ({names.CUT: "begin"}, False, None, False),
        ({names.CUT: "both"}, False, None, False),
        ({names.CUT: "end"}, False, None, True),
        ({names.TIME: "2026-11-28T12:00:00"}, False, None, True),
    ],
)
def test_a_message_says_what_is_missing(
    said: dict[str, str], gap: bool, missed: int | None, begins_line: bool
) -> None:
    """And whether it begins with a line."""
    found = stored_of("v.n.-.a", {**SAID, **said}, b"x", 1)
    assert found is not None
    assert (found.gap, found.missed, found.begins_line) == (gap, missed, begins_line)
    assert found.time == NOON


def test_a_message_may_have_come_over_some_time() -> None:
    """As it was shipped later."""
    found = stored_of("v.n.-.a", {**SAID, names.SINCE: "2026-11-28T11:00:00+00:00"}, b"x", 1)
    assert found is not None
    assert found.earliest == datetime(2026, 11, 28, 11, 0, tzinfo=timezone.utc)
    at_once = stored_of("v.n.-.a", SAID, b"x", 1)
    assert at_once is not None
    assert at_once.earliest == NOON


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v.n.-.a", None),
        ("n.-.a", SAID),
        ("v.n.-.a", {**SAID, names.START: "x"}),
        ("v.n.-.a", {**SAID, names.TIME: "noon"}),
        ("v.n.-.a", {key: value for key, value in SAID.items() if key != names.HOST}),
    ],
)
def test_other_messages_are_none_of_a_log(name: str, said: dict[str, str] | None) -> None:
    """Whoever put them there."""
    assert stored_of(name, said, b"x", 1) is None


def test_parts_of_a_message_have_their_positions() -> None:
    """Also where a file ends within it."""
    one = message(b"abcdef", Position(7, 10), Position(8, 2))
    assert one.by_file() == [(b"abcd", Position(7, 10)), (b"ef", Position(8, 0))]
    assert (one.after(2).data, one.after(2).start) == (b"cdef", Position(7, 12))
    assert (one.after(5).start, one.after(5).skipped) == (Position(8, 1), 5)
    assert one.after(2).after(1).skipped == 3
    assert one.after(0) is one
    assert (one.before(3).data, one.before(3).end) == (b"abc", Position(7, 13))
    assert one.before(6) is one
    at_end = message(b"ab", Position(7, 10), Position(8, 2))
    assert at_end.by_file() == [(b"ab", Position(8, 0))]
    within = message(b"ab", Position(8, 0), Position(8, 2))
    assert within.by_file() == [(b"ab", Position(8, 0))]


@pytest.mark.parametrize(
    ("position", "offset"),
    [
        (Position(7, 10), 0),
        (Position(7, 13), 3),
        (Position(7, 14), None),
        (Position(7, 9), None),
        (Position(8, 0), 4),
        (Position(8, 1), 5),
        (Position(8, 2), None),
        (Position(9, 1), None),
    ],
)
def test_a_position_is_found_in_a_message(position: Position, offset: int | None) -> None:
    """By its file."""
    one = message(b"abcdef", Position(7, 10), Position(8, 2))
    assert one.offset_of(position) == offset
    assert one.may_have(position) or offset is None


def test_a_position_may_lack_its_birth() -> None:
    """Or have another one, which is another file."""
    one = message(b"ab", Position(7, 0, "h1.x"), Position(7, 2, "h1.x"))
    assert one.offset_of(Position(7, 1)) == 1
    assert one.offset_of(Position(7, 1, "h1.y")) is None
    assert one.may_have(Position(7, 1))
    assert not one.may_have(Position(7, 2))
    assert is_same(Position(7, 2), one.end)
    assert not is_same(Position(7, 2, "h1.y"), one.end)


def test_what_was_left_out_is_a_gap() -> None:
    """Between messages, and before the first one."""
    first, left_out, third = in_one_file([b"a", b"b", b"c"])
    new_file = message(b"d", Position(8, 0), Position(8, 1))
    late = message(b"e", Position(9, 5), Position(9, 6))
    found = list(with_gaps([first, third, new_file, late]))
    assert [one.gap for one in found] == [False, True, False, True]
    assert [one.gap for one in with_gaps([first, left_out, third])] == [False] * 3
    assert [one.gap for one in with_gaps([third], first.end)] == [True]


@given(st.lists(st.binary(max_size=6).map(lambda x: x.replace(b"\1", b"\n"))), st.integers(0, 5))
def test_the_last_lines_are_those_of_the_text(texts: list[bytes], count: int) -> None:
    """However it was cut into messages."""
    lines = LastLines(count)
    messages = in_one_file([text for text in texts if text])
    for one in messages:
        lines.add(one)
    text = b"".join(texts)
    whole = text.split(b"\n")
    ends = [line + b"\n" for line in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    found = lines.messages()
    assert b"".join(one.data for one in found) == b"".join(
        ends[len(ends) - min(count, len(ends)) :]
    )
    for one in found:
        assert text[one.start.offset : one.end.offset] == one.data


def test_it_is_known_when_lines_are_enough() -> None:
    """A newline more than lines."""
    lines = LastLines(1)
    for text in (b"a\n", b"b"):
        lines.add(in_one_file([text])[0])
        assert not lines.are_enough
    lines.add(in_one_file([b"\n"])[0])
    assert lines.are_enough
    assert LastLines(0).are_enough
