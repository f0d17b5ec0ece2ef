"""Texts are cut out of a stream in any split; what is no text costs one line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twisted_virtlog.jsonrpc.framing import NotJSON, TextStream
from twisted_virtlog.jsonrpc.scanner import MAX_DEPTH

LIMIT = 8192
REFUSED = "refused"


def parse(text: bytes) -> tuple[Any]:
    """Decode a text; in a tuple, as None stands for no text."""
    try:
        return (msgspec.json.decode(text),)
    except msgspec.ValidationError:
        return ("number out of range",)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJSON(f"Parse error: {error}") from None


def next_or_refusal(stream: TextStream[tuple[Any]]) -> tuple[Any] | None:
    """Take the next text, or REFUSED in its place."""
    try:
        text = stream.next_text()
        while stream.paused:
            assert text is None
            text = stream.next_text()
        return text
    except NotJSON:
        return (REFUSED,)


def taken(stream: TextStream[tuple[Any]]) -> Iterator[Any]:
    """Take all texts that are there."""
    while (found := next_or_refusal(stream)) is not None:
        yield found[0]


def read(chunks: Iterable[bytes], end: bool = False) -> tuple[list[Any], bool]:
    """Feed chunks; tell what came out and whether the stream was lost."""
    stream = TextStream(parse, max_text_bytes=LIMIT)
    found: list[Any] = []
    for chunk in chunks:
        stream.feed(chunk)
        found += taken(stream)
    if end:
        stream.end()
        found += taken(stream)
    return found, stream.lost


def pieces(data: bytes, size: int) -> list[bytes]:
    """Split into chunks of one size."""
    return [data[i : i + size] for i in range(0, len(data), size)]


def split_at(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Split at indices."""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


NEXT = b'{"next":1}\n'
NEXT_TEXT = {"next": 1}

CASES = {
    "a line": (b'{"a":1}\n', [{"a": 1}]),
    "a line that ends in CRLF": (b'{"a":1}\r\n', [{"a": 1}]),
    "no newline": (b'{"a":1}', [{"a": 1}]),
    "nothing between": (b'{"a":1}{"b":2}[3]"x"[]', [{"a": 1}, {"b": 2}, [3], "x", []]),
    "blanks between": (b' \t{"a":1} \r\n\n {"b":2}', [{"a": 1}, {"b": 2}]),
    "over lines": (b'{\n "a": [\n  1,\n  {}\n ]\n}\n', [{"a": [1, {}]}]),
    "brackets in strings": (b'{"a":"}]{[","]":"\\"}"}', [{"a": "}]{[", "]": '"}'}]),
    "escapes at the end": (b'["\\\\"]["\\\\\\""]["\\u007d"]', [["\\"], ['\\"'], ["}"]]),
    "escapes in keys": (b'{"\\\\":{"\\"{":1}}', [{"\\": {'"{': 1}}]),
    "not ASCII": ('{"ü":"€😀"}\n'.encode(), [{"ü": "€😀"}]),
    "scalars": (b'1 true\n"a"null ', [1, True, "a", None]),
    "a scalar before a bracket": (b'1{"a":1}', [1, {"a": 1}]),
    "objects in objects": (b'{"a":{"b":{}},"c":{}}', [{"a": {"b": {}}, "c": {}}]),
    "objects in arrays": (b"[{},{} , [ ],[[],{}]]", [[{}, {}, [], [[], {}]]]),
    "many strings": (b"[" + b'"a",' * 1100 + b'"b"]', [["a"] * 1100 + ["b"]]),
    "many escapes": (b'["' + b"\\n" * 1500 + b'"]', [["\n" * 1500]]),
    "blanks alone": (b" \n\r\t\n", []),
}


@pytest.mark.parametrize(("data", "texts"), CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("following", [b"", b" ", b"\n" + NEXT], ids=["alone", "blank", "next"])
def test_texts_come_out_in_any_split(data: bytes, texts: list[Any], following: bytes) -> None:
    """A text is found whole, byte by byte, and with bytes behind it."""
    stream = data + following
    expected = texts + [NEXT_TEXT] * (following == b"\n" + NEXT)
    for size in (1, 2, 3, 7, len(stream)):
        assert read(pieces(stream, size)) == (expected, False)


BROKEN = {
    "no JSON": b"GET / HTTP/1.1",
    "a missing value": b'{"a":}',
    "more on the line": b'{"a":} {"b":1} [',
    "a string that does not end": b'{"a":"b',
    "an escape that does not end": b'{"a":"b\\',
    "a bracket that does not match": b'{"a":[1}]',
    "a bracket too many": b"}",
    "a comma between": b',{"a":1}',
    "a comma after the last": b"[1,]",
    "words": b"tru",
    "invalid UTF-8": b'{"a":"\xff"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "half a surrogate pair": b'{"a":"\\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a control character": b'{"a":"\x01"}',
    "a NUL": b"\0",
    "a line cut after a value": b'{"a":1',
    "a line cut after a comma": b'{"a":1,',
    "a line cut after a bracket": b'{"a":{',
    "a line cut after a string": b'["a"',
    "nested too deeply": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "opened without end": b"[" * (MAX_DEPTH + 1),
    "too long": b'["' + b"x" * LIMIT + b'"]',
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_line_costs_only_itself(data: bytes) -> None:
    """After what is no JSON the next line is served, however the bytes are split."""
    stream = NEXT + data + b"\n" + NEXT + NEXT
    for size in (1, 2, 3, 7, len(stream)):
        expected = [NEXT_TEXT, REFUSED, NEXT_TEXT, NEXT_TEXT]
        assert read(pieces(stream, size)) == (expected, False)


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken_input_that_ends_is_refused_once(data: bytes) -> None:
    """A client that sends what is no JSON and half-closes gets one answer."""
    for size in (1, len(data)):
        assert read(pieces(data, size), end=True) == ([REFUSED], False)


@pytest.mark.parametrize("number", [b"1", b"-1.5e3", b"true", b"null"])
def test_a_scalar_ends_with_the_input(number: bytes) -> None:
    """What may go on is a text only once it is known to have ended."""
    assert read([number]) == ([], False)
    assert read([number], end=True) == ([msgspec.json.decode(number)], False)


def test_a_text_of_just_the_limit_is_taken() -> None:
    """The limit is the text's own length, without white space around it."""
    text = b'["' + b"x" * (LIMIT - 4) + b'"]'
    assert len(text) == LIMIT
    stream = b" " * 10 + text + b" " * LIMIT + b"\n"
    for size in (100, len(stream)):
        assert read(pieces(stream, size)) == ([["x" * (LIMIT - 4)]], False)


def test_nesting_up_to_the_limit_is_taken() -> None:
    """The limit of levels does not depend on how the bytes are split."""
    text = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    for size in (1, len(text)):
        (found,), _ = read(pieces(text, size))
        assert msgspec.json.encode(found) == text


@pytest.mark.parametrize("data", [b"x", b'{"a":}', b"[" + b"1," * LIMIT, b'"' + b"x" * LIMIT])
def test_without_a_newline_the_stream_is_lost(data: bytes) -> None:
    """What follows a refused text is dropped unread, up to the limit; then nothing is taken."""
    refused = data + b"y" * 2 * LIMIT
    for size in (100, len(refused)):
        found, lost = read([*pieces(refused, size), b"\n" + NEXT])
        assert (found, lost) == ([REFUSED], True)


def test_a_newline_within_the_limit_saves_the_stream() -> None:
    """Bytes up to the limit may be dropped before the stream goes on."""
    for refused in (b"", b"[,]"):
        # A bracket too many is itself dropped with its line, a whole text is behind.
        dropped = refused + (b" " if refused else b"}") + b"y" * (LIMIT - 2)
        for size in (1, len(refused) or 1, len(dropped) + 1 + len(NEXT)):
            just = read(pieces(dropped + b"\n" + NEXT, size))
            assert just == ([REFUSED, NEXT_TEXT], False)
            assert read(pieces(dropped + b"y\n" + NEXT, size)) == ([REFUSED], True)


def test_memory_is_bounded() -> None:
    """White space, and what is dropped, is not kept."""
    stream = TextStream(parse, max_text_bytes=LIMIT)
    for chunk in [b" " * 1000, b"\n" * 1000, b"} " + b"x" * 1000, b"x" * 1000]:
        stream.feed(chunk)
        list(taken(stream))
        assert len(stream._buffer) == 0


@pytest.mark.parametrize("text", [b"[]", b'{"a":[]}', b'{"a":1}\n'])
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_the_work_is_in_proportion_to_the_bytes(text: bytes, size: int) -> None:
    """Many texts in one chunk, on one line or many, are each decoded once, but for a first try."""
    decoded = []

    def counting_parse(text: bytes) -> tuple[Any]:
        decoded.append(len(text))
        return parse(text)

    stream = TextStream(counting_parse, max_text_bytes=LIMIT)
    data = text * (LIMIT // len(text))
    for chunk in pieces(data, size):
        stream.feed(chunk)
        assert None not in taken(stream)
    assert sum(decoded) <= 2 * len(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
containers = st.lists(json_values, max_size=4) | st.dictionaries(st.text(), json_values, max_size=4)
cuts = st.lists(st.integers(0, 2000), max_size=12)


@given(st.lists(containers, max_size=6), st.sampled_from([b"", b" ", b"\n", b"\r\n \t"]), cuts)
def test_any_texts_come_out_as_they_went_in(
    values: list[Any], separator: bytes, cut: list[int]
) -> None:
    """Whatever the texts are, between whatever white space, in whatever split."""
    data = separator.join(msgspec.json.encode(value) for value in values)
    assert read(split_at(data, cut)) == (values, False)


tokens = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b" ", b"1", b"tru", b'"a"', b"\xff"]
)
garbage = st.binary(max_size=60) | st.lists(tokens, max_size=40).map(b"".join)


@given(garbage, cuts)
@example(b'{"a":1\n  {"a"\n', [8])
@example(b'["\\\n', [3])
def test_the_split_makes_no_difference(data: bytes, cut: list[int]) -> None:
    """Any bytes give the same texts and refusals in any split, and no other exception."""
    whole = read([data], end=True)
    assert read(split_at(data, cut), end=True) == whole
    assert read(pieces(data, 1), end=True) == whole
