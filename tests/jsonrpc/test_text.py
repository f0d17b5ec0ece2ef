"""Excerpts become text without splitting characters, and positions stay exact."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.jsonrpc.text import decode_excerpt, escape_excerpt, printable
from twisted_virtlog.values import Excerpt, Position

EURO = "€".encode()


def excerpt(data: bytes, final: bool, end: int | None = None) -> Excerpt:
    """Make an excerpt of bytes from the beginning of a file on."""
    stop = Position(7, len(data) if end is None else end)
    return Excerpt((data,), Position(7, 0), stop, gap=False, final=final)


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
    cut_by_rollover = Excerpt((b"ab" + EURO[:2],), Position(6, 10), Position(7, 1), False, False)
    assert decode_excerpt(cut_by_rollover, 100) == ("ab\ufffd", Position(7, 1))
    at_its_beginning = Excerpt((b"ab" + EURO[:2],), Position(6, 10), Position(7, 2), False, False)
    assert decode_excerpt(at_its_beginning, 100) == ("ab", Position(7, 0))


@given(st.text(max_size=40), st.integers(4, 12))
def test_reading_on_gives_the_whole_text(text: str, limit: int) -> None:
    """Excerpts read one after the other put together are the text, at any limit."""
    data = text.encode()
    found, offset = "", 0
    while offset < len(data):
        stop = min(len(data), offset + limit)
        piece = Excerpt(
            (data[offset:stop],), Position(7, offset), Position(7, stop), False, stop == len(data)
        )
        part, end = decode_excerpt(piece, limit)
        assert offset < end.offset <= stop
        found, offset = found + part, end.offset
    assert found == text


def escaped(excerpt: Excerpt, max_bytes: int) -> tuple[str, Position]:
    """Decode an excerpt in slices; check that each is short."""
    slices, found = escape_excerpt(excerpt, max_bytes), []
    while True:
        try:
            found.append(next(slices))
        except StopIteration as stop:
            return msgspec.json.decode(b'"' + b"".join(found) + b'"'), stop.value
        assert len(found[-1]) <= 6 * 16 * 1024


_PARTS = st.sampled_from(
    [EURO, "😀".encode(), b"a", b"\xff", b"\xe2", b"\xf0\x9f", b'"', b"\n\0\\"]
)


@given(st.lists(st.binary() | _PARTS), st.booleans(), st.booleans(), st.integers(0, 3))
def test_slices_are_the_text_that_is_decoded_at_once(
    pieces: list[bytes], final: bool, cut: bool, before: int
) -> None:
    """However the bytes are split, and whatever they are, also at the end."""
    data = b"".join(pieces)
    max_bytes = max(1, len(data)) if cut else len(data) + 1
    end = Position(7, max(0, len(data) - before))
    whole = Excerpt((data,), Position(7, 0), end, gap=False, final=final)
    split = Excerpt(tuple(pieces), Position(7, 0), end, gap=False, final=final)
    assert escaped(split, max_bytes) == decode_excerpt(whole, max_bytes)


@pytest.mark.parametrize("filler", [0, 1, 2])
def test_a_long_piece_is_cut_within_characters(filler: int) -> None:
    """A piece may be as long as an excerpt."""
    data = b"x" * filler + EURO * 50_000
    long = Excerpt((data,), Position(7, 0), Position(7, len(data)), gap=False, final=True)
    assert escaped(long, 1 << 20) == (data.decode(), long.end)


def test_names_that_are_no_utf8_can_be_printed() -> None:
    """A path with other bytes is shown with a replacement for each."""
    assert printable("/a/b€") == "/a/b€"
    assert printable(b"/a/\xff\xfe.log".decode("utf-8", "surrogateescape")) == "/a/\ufffd\ufffd.log"
