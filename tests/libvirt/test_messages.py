"""Headers are read whatever they say, and a strict reader names what they should not say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.strict_xdr import UnknownStatus, UnknownType, decode, decode_known_header, encode
from tests.libvirt.fakes import frame
from twisted_virtlog.libvirt.messages import (
    ERROR_BODY,
    ErrorBody,
    ErrorGuest,
    ErrorNetwork,
    Header,
    MessageType,
    Status,
    TooManyDescriptors,
    decode_descriptor_count,
    decode_header,
    encode_frame,
    encode_reply,
)
from twisted_virtlog.libvirt.xdr import ShortPayload

WORDS = st.integers(0, 2**32 - 1)


@given(st.builds(Header, WORDS, WORDS, st.integers(-(2**31), 2**31 - 1), WORDS, WORDS, WORDS))
def test_any_header_is_read_as_it_was_written(header: Header) -> None:
    """A serial or program number may be anything."""
    assert decode_header(encode_frame(header, [b"payload"])) == header


def test_a_strict_reader_names_unknown_types_and_states() -> None:
    """What libvirt does not define is not taken for something else."""
    assert decode_known_header(frame(1, kind=5, status=2)).type == MessageType.REPLY_WITH_FDS
    with pytest.raises(UnknownType, match="6 is not a type of message"):
        decode_known_header(frame(1, kind=6))
    with pytest.raises(UnknownStatus, match="3 is not a status"):
        decode_known_header(frame(1, status=3))


def test_a_header_cut_short_is_named() -> None:
    """Fewer than 28 bytes hold no header."""
    with pytest.raises(ShortPayload, match="28 bytes, there are 27"):
        decode_header(frame(1)[:27])


@pytest.mark.parametrize("count", [0, 32])
def test_descriptor_counts_are_read_up_to_the_limit(count: int) -> None:
    """libvirt sends at most 32 with a message."""
    assert decode_descriptor_count(frame(1, count.to_bytes(4, "big"), kind=4)) == count


def test_wrong_descriptor_counts_are_named() -> None:
    """No count, or one over the limit."""
    with pytest.raises(ShortPayload):
        decode_descriptor_count(frame(1, b"\0\0\0", kind=4))
    with pytest.raises(TooManyDescriptors, match="33 descriptors; at most 32"):
        decode_descriptor_count(frame(1, b"\0\0\0\x21", kind=4))


def test_a_reply_repeats_what_the_call_said() -> None:
    """Its client finds the call by these."""
    call = encode_frame(Header(1, 2, -3, MessageType.CALL_WITH_FDS, 0xFFFFFFFF, Status.OK), [])
    reply = encode_reply(call, MessageType.REPLY, Status.ERROR, [b"pay", b"load"])
    header = Header(1, 2, -3, MessageType.REPLY, 0xFFFFFFFF, Status.ERROR)
    assert reply == [encode_frame(header, [b"payload"])]
    assert decode_header(reply[0]) == header
    large = [b"\0\0\0\1", b"x" * 1_000_000, b""]
    pieces = encode_reply(call, MessageType.REPLY, Status.ERROR, large)
    assert pieces[-1] is large[1]
    assert b"".join(pieces) == encode_frame(header, large)


def test_an_error_with_every_field_round_trips() -> None:
    """Other daemons of libvirt fill in what virtlogd leaves out."""
    body = ErrorBody(
        42,
        10,
        b"no such guest",
        dom=ErrorGuest(b"vm", bytes(range(16)), -1),
        str1=b"1",
        str2=b"",
        str3=b"3",
        int1=-1,
        int2=7,
        net=ErrorNetwork(b"default", bytes(16)),
    )
    assert decode(ERROR_BODY, encode(ERROR_BODY, body)) == body
