"""Requests, notifications and batches are told apart as JSON-RPC 2.0 says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.jsonrpc.framing import SLICED_BATCH_BYTES, NotJSON
from twisted_virtlog.jsonrpc.messages import (
    ABSENT,
    Batch,
    InvalidRequest,
    Message,
    Request,
    encode_result,
    parse,
)


def request_with(member: str) -> bytes:
    """Make a request with one more member."""
    return b'{"jsonrpc":"2.0","method":"m",%s}' % member.encode()


@pytest.mark.parametrize(
    "spelling",
    [
        "1",
        "-1",
        "0",
        "1.0",
        "-0.0",
        "1e2",
        "1.50E-3",
        "9" * 40,
        "1e999",
        "null",
        '""',
        '"a"',
        '"\\u00e4"',
        '"ä"',
        '"\\/\\n"',
    ],
)
def test_an_id_is_echoed_as_it_was_spelled(spelling: str) -> None:
    """A client finds its id again byte for byte, whatever a number's spelling or size."""
    request = parse(request_with(f'"id": {spelling} '))
    assert isinstance(request, Request)
    answer = encode_result(request.id, True)
    assert answer == b'{"jsonrpc":"2.0","id":%s,"result":true}' % spelling.encode()


def test_no_id_makes_a_notification() -> None:
    """Only an id that is absent does; null is an id."""
    notification = parse(b'{"jsonrpc":"2.0","method":"m"}')
    assert isinstance(notification, Request)
    assert notification.id is ABSENT
    request = parse(request_with('"id":null'))
    assert isinstance(request, Request)
    assert request.id is not ABSENT


INVALID = {
    "a number": (b"1", b"null"),
    "a string": (b'"a"', b"null"),
    "null": (b" null ", b"null"),
    "an empty object": (b"{}", b"null"),
    "no version": (b'{"method":"m","id":1}', b"1"),
    "another version": (b'{"jsonrpc":"1.0","method":"m","id":1}', b"1"),
    "the version as a number": (b'{"jsonrpc":2.0,"method":"m","id":"x"}', b'"x"'),
    "no method": (b'{"jsonrpc":"2.0","id":7}', b"7"),
    "a method that is no string": (b'{"jsonrpc":"2.0","method":1,"id":1.0}', b"1.0"),
    "params null": (request_with('"params":null,"id":1'), b"1"),
    "params a string": (request_with('"params":"bar","id":1'), b"1"),
    "params a string, no id": (request_with('"params":"bar"'), b"null"),
    "an object as id": (request_with('"id":{}'), b"null"),
    "an array as id": (request_with('"id":[1]'), b"null"),
    "true as id": (request_with('"id":true'), b"null"),
    "an id that is bad besides the rest": (b'{"id":[]}', b"null"),
    "an empty batch": (b"[]", b"null"),
    "an empty batch with blanks": (b" [ \n]\n", b"null"),
}


@pytest.mark.parametrize(("text", "request_id"), INVALID.values(), ids=INVALID.keys())
def test_what_is_no_request_is_told_with_its_id(text: bytes, request_id: bytes) -> None:
    """The id is answered if it could be read."""
    message = parse(text)
    assert isinstance(message, InvalidRequest)
    assert bytes(message.id) == request_id
    assert message.reason.startswith("Invalid request: ")


def test_a_reason_is_short() -> None:
    """What was sent is not sent back at length."""
    message = parse(b'{"jsonrpc":"%s","method":"m"}' % (b"x" * 100_000))
    assert isinstance(message, InvalidRequest)
    assert len(message.reason) < 500


def test_unknown_members_of_a_request_are_no_error() -> None:
    """JSON-RPC 2.0 says nothing against them."""
    assert isinstance(parse(request_with('"id":1,"trace":[{"x":"é"}]')), Request)


def checked(text: bytes) -> Message:
    """Decode a text; check all of it."""
    message = parse(text)
    if isinstance(message, Batch):
        message.check_rest()
    return message


def next_entry(batch: Batch) -> Request | InvalidRequest | None:
    """Take the next entry out of a batch, however often that pauses."""
    while (entry := batch.next_entry()) == "paused":
        pass
    return entry


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":tru}',
        b"[1,",
        b"[1 2]",
        request_with('"id":01'),
        request_with('"x":[1,]'),
        b'{"jsonrpc":3,"x":}',
        b'{"jsonrpc":"2.0","method":"m","x":"\xc3"}',
        b'{"jsonrpc":"2.0","method":"m","id":"\xff"}',
        b'{"jsonrpc":"2.0","method":"m","params":["\xed\xa0\x80"]}',
        b'{"jsonrpc":"2.0","method":"m","params":["\\ud83d"]}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Every part of a text is checked, also those that no method looks at."""
    with pytest.raises(NotJSON, match=r"^Parse error: "):
        checked(text)


@pytest.mark.parametrize("padding", range(-4, 1))
def test_utf8_is_checked_piece_by_piece(padding: int) -> None:
    """A character on the edge of a piece is no error, a broken byte behind it is one."""
    before = b'{"jsonrpc":"2.0","method":"m","x":"'
    filled = before + b"x" * (65536 - len(before) + padding)
    assert isinstance(parse(filled + '€😀"}'.encode()), Request)
    with pytest.raises(NotJSON, match=f"byte {len(filled) + 3} is not UTF-8"):
        parse(filled + "€".encode() + b'\xff"}')


def test_a_batch_gives_its_entries_one_by_one() -> None:
    """Entries keep their order; those that are no requests are told apart."""
    batch = parse(
        b' [ {"jsonrpc":"2.0","method":"a,[","id":1} ,1,"x, y",[],[{"id":2}],'
        b'{"jsonrpc":"2.0","method":"b","params":[{},"]"]}, null ] '
    )
    assert isinstance(batch, Batch)
    entries = []
    while (entry := next_entry(batch)) is not None:
        entries.append(entry)
    assert [type(entry) for entry in entries] == [
        Request, InvalidRequest, InvalidRequest, InvalidRequest, InvalidRequest, Request,
        InvalidRequest,
    ]  # fmt: skip
    assert [entry.method for entry in entries if isinstance(entry, Request)] == ["a,[", "b"]
    assert next_entry(batch) is None


#: More than is checked at once.
_FILLING = b'"' + b"x" * SLICED_BATCH_BYTES + b'",'


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (b"1,]", "no text begins with ']'"),
        (b"1", "does not end"),
        (b"1,", "does not end"),
        (b"1 2]", "neither a comma nor"),
        (b"1}", "neither a comma nor"),
        (b"1]]", "more follows the batch"),
        (b"1] x", "more follows the batch"),
        (b",1]", "no text begins with ','"),
        (b"tru]", "in the entry at byte"),
        (b'{"a":}]', "in the entry at byte"),
        (b'["\xc3"]]', "is not UTF-8"),
        (b"[" * 100, "does not end"),
    ],
)
def test_a_long_batch_that_is_no_json_is_refused_as_a_whole(rest: bytes, why: str) -> None:
    """Wherever the mistake is, and before anything is carried out."""
    batch = parse(b"[" + _FILLING + rest)
    assert isinstance(batch, Batch)
    assert not batch.is_checked
    with pytest.raises(NotJSON, match=rf"^Parse error: .*{re.escape(why)}"):
        batch.check_rest()


def test_a_long_array_without_entries_is_no_batch() -> None:
    """As a short one."""
    message = parse(b" [" + b" " * SLICED_BATCH_BYTES + b"] ")
    assert isinstance(message, InvalidRequest)
    with pytest.raises(NotJSON):
        checked(b"[" + b" " * SLICED_BATCH_BYTES)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.lists(_JSON, min_size=1), st.sampled_from([",", " , ", ",\n"]), st.data())
def test_a_batch_checked_in_parts_is_one_checked_at_once(
    entries: list[Any], separator: str, data: st.DataObject
) -> None:
    """It is refused or not, and its entries are the same."""
    text = "[" + separator.join(json.dumps(each, ensure_ascii=False) for each in entries) + "]"
    sent = bytearray(text.encode())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(1, len(sent) - 1))
        sent[at : at + 1] = data.draw(st.binary(max_size=2))
    try:
        at_once = parse(bytes(sent))
    except NotJSON:
        at_once = None
    in_parts = Batch(bytes(sent), is_checked=False)
    try:
        in_parts.check_rest()
    except NotJSON:
        assert not isinstance(at_once, Batch)
        return
    assert isinstance(at_once, Batch)
    while (entry := next_entry(at_once)) is not None:
        assert entry == next_entry(in_parts)
    assert next_entry(in_parts) is None
