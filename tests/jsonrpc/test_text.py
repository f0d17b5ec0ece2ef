"""Excerpts become text without splitting characters, and positions stay exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.jsonrpc.text import decode_excerpt, printable
from twisted_virtlog.values import Excerpt, Position

EURO = "€".encode()


def excerpt(data: bytes, final: bool, end: int | None = None) -> Excerpt:
    """Make an excerpt of bytes from the beginning of a file on."""
    stop = Position(7, len(data) if end is None else end)
    return Excerpt(data, Position(7, 0), stop, gap=False, final=final)


CASES = {
    "nothing": (b"", False, 100, "", 0),
    "whole characters": ("aé€😀".encode(), False, 100, "aé€😀", 10),
    "broken bytes": (b"a\xff\xc3b", False, 100, "a\ufffd\ufffdb", 4),
    "incomplete, log open": (b"ab" + EURO[:2], False, 100, "ab", 2),
    "incomplete, log closed": (b"ab" + EURO[:2], True, 100, "ab\ufffd", 4),
    "cut by the limit, log closed": (b"ab" + EURO[:2], True, 4, "ab", 2),
    "incomplete and alone, log open": (EURO[:1], False, 100, "", 0),
    "limit too small for it": (EURO[:2], True, 2, "\ufffd", 2),
    "broken at the limit": (b"ab\xff\xff", False, 4, "ab\ufffd\ufffd", 4),
    "a continuation byte at the end": (b"ab\x82", False, 100, "ab\ufffd", 3),
    "NUL bytes": (b"a\0b", False, 100, "a\0b", 3),
}


@pytest.mark.parametrize(
    ("data", "final", "limit", "text", "end"), CASES.values(), ids=CASES.keys()
)
def test_text_ends_with_a_character(
    data: bytes, final: bool, limit: int, text: str, end: int
) -> None:
    """A character whose rest may come is left for the next read; a broken one is not."""
    assert decode_excerpt(excerpt(data, final), limit) == (text, Position(7, end))


def test_a_character_that_began_in_the_file_before_is_not_held_back() -> None:
    """There is no position for it in the file where the excerpt ends."""
    cut_by_rollover = Excerpt(b"ab" + EURO[:2], Position(6, 10), Position(7, 1), False, False)
    assert decode_excerpt(cut_by_rollover, 100) == ("ab\ufffd", Position(7, 1))
    at_its_beginning = Excerpt(b"ab" + EURO[:2], Position(6, 10), Position(7, 2), False, False)
    assert decode_excerpt(at_its_beginning, 100) == ("ab", Position(7, 0))


@given(st.text(max_size=40), st.integers(4, 12))
def test_reading_on_gives_the_whole_text(text: str, limit: int) -> None:
    """Excerpts read one after the other put together are the text, at any limit."""
    data = text.encode()
    found, offset = "", 0
    while offset < len(data):
        stop = min(len(data), offset + limit)
        piece = Excerpt(
            data[offset:stop], Position(7, offset), Position(7, stop), False, stop == len(data)
        )
        part, end = decode_excerpt(piece, limit)
        assert offset < end.offset <= stop
        found, offset = found + part, end.offset
    assert found == text


def test_names_that_are_no_utf8_can_be_printed() -> None:
    """A path with other bytes is shown with a replacement for each."""
    assert printable("/a/b€") == "/a/b€"
    assert printable(b"/a/\xff\xfe.log".decode("utf-8", "surrogateescape")) == "/a/\ufffd\ufffd.log"
