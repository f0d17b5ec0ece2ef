"""What a browser is sent: events that no guest can forge."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import FollowedChunk, Position
from twisted_virtlog.web.event_stream import chunk_event, event
from twisted_virtlog.web.places import place_of, place_text


def parsed(text: bytes) -> list[dict[str, str]]:
    """Read events as the standard says; any of three line ends ends a line."""
    events: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    lines = text.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in lines:
        if not line:
            if fields:
                events.append(fields)
            fields = {}
            continue
        name, _, value = line.partition(":")
        assert name not in fields
        fields[name] = value.removeprefix(" ")
    assert not fields
    return events


@given(st.text())
def test_no_text_ends_an_event(text: str) -> None:
    told = {"path": text.encode("utf-8", "replace").decode()}
    (one,) = parsed(event("rows", told))
    assert one["event"] == "rows"
    assert json.loads(one["data"]) == told


@given(st.binary(), st.integers(0, 2**63 - 1), st.booleans())
def test_every_byte_of_a_log_arrives(data: bytes, offset: int, gap: bool) -> None:
    start = Position(7, offset, "h1.ab")
    end = Position(7, offset + len(data), "h1.ab")
    missed = 5 if gap else None
    (one,) = parsed(chunk_event(FollowedChunk(data, start, end, gap, missed), 1.5))
    told = json.loads(one["data"])
    assert base64.b64decode(told["data"]) == data
    assert place_of(told["start"]) == start
    assert place_of(one["id"]) == place_of(told["end"]) == end
    assert told.get("gap", False) == gap
    assert told.get("missed") == missed
    assert told["time"] == 1.5


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.text(st.characters(min_codepoint=33, max_codepoint=126)),
)
def test_a_position_is_the_same_from_its_text(inode: int, offset: int, birth: str) -> None:
    position = Position(inode, offset, birth)
    assert place_of(place_text(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1:",
        ":1",
        "-1:2",
        "1:2:",
        "1:2:a b",
        "1:2:a\nid: 3",
        "1:2\n",
        "1:18446744073709551616",
        "\u0661:2",
    ],
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        place_of(text)
