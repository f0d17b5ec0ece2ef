"""What messages say of their bytes."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship.headers import (
    CUT,
    DOMAIN,
    MISSED,
    PATH,
    TIME,
    end_of,
    headers_of,
    message_id,
    position_of,
    position_text,
)
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.sink import Source
from twisted_virtlog.values import Domain, Position

START, END = Position(7, 100, "h1.x"), Position(7, 105, "h1.x")
NOW = datetime(2026, 11, 28, 7, 0, 0, 123456, timezone.utc)
DOMAIN_OF = Domain("11111111-2222-3333-4444-555555555555", "web\n1")


def headers(**members: object) -> dict[str, str]:
    """Return those of a message."""
    message = Message(b"line\n", START, END, **members)  # type: ignore[arg-type]
    return headers_of(message, Source("n1", "/a b/\n.log", "QEMU", DOMAIN_OF), NOW)


def test_all_is_said() -> None:
    """In lines of headers, which no name can break."""
    assert headers() == {
        "Nats-Msg-Id": "n1./a%20b/%0A%2Elog.7:100:h1.x",
        "Virtlog-Start": "7:100:h1.x",
        "Virtlog-End": "7:105:h1.x",
        "Virtlog-Host": "n1",
        "Virtlog-Path": "/a%20b/%0A.log",
        "Virtlog-Driver": "QEMU",
        "Virtlog-Domain": "web%0A1",
        "Virtlog-Time": "2026-11-28T07:00:00.123+00:00",
    }
    assert {PATH, DOMAIN, TIME} <= headers().keys()


@pytest.mark.parametrize(
    ("begins", "ends", "cut"),
    [(True, True, None), (True, False, "end"), (False, True, "begin"), (False, False, "both")],
)
def test_parts_of_lines_say_so(begins: bool, ends: bool, cut: str | None) -> None:
    """By which ends are in the middle of a line."""
    assert headers(begins_line=begins, ends_line=ends).get(CUT) == cut


def test_what_is_missing_is_said() -> None:
    """By how many bytes, where that is known."""
    assert MISSED not in headers()
    assert headers(gap=True)[MISSED] == "unknown"
    assert headers(gap=True, missed=12)[MISSED] == "12"


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**63 - 1),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_a_position_is_read_as_it_was_written(inode: int, offset: int, birth: str) -> None:
    """Whatever its birth has in it."""
    position = Position(inode, offset, birth)
    assert position_of(position_text(position)) == position
    assert end_of({"Virtlog-End": position_text(position)}) == position


@pytest.mark.parametrize("text", ["", "1", "1:2", "a:2:x", "1:2:a b", "1:-2:x"])
def test_what_is_no_position(text: str) -> None:
    """A message of something else says nothing of a log."""
    assert position_of(text) is None
    assert end_of({"Virtlog-End": text}) is None
    assert end_of(None) is None


def test_two_file_systems_may_give_files_one_number() -> None:
    """Their messages are not the same."""
    assert message_id("n1", "/a", START) != message_id("n1", "/b", START)
