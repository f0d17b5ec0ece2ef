"""The first bytes of a connection tell its framing, however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.jsonrpc.sniffing import HEADERS, HTTP, TEXTS, told_by

CASES = {
    b"{": TEXTS,
    b"[": TEXTS,
    b" {": TEXTS,
    b"\r\n": TEXTS,
    b'"a"': TEXTS,
    b"17": TEXTS,
    b"true ": TEXTS,
    b"null\n": TEXTS,
    b"\xc3\xa9": TEXTS,
    b"a" * 65: TEXTS,
    b"Content-Length:": HEADERS,
    b"content-type:": HEADERS,
    b"GET:": HEADERS,
    b"POST ": HTTP,
    b"BREW ": HTTP,
    b"Post ": TEXTS,
    b"M-SEARCH ": TEXTS,
    b"POST\t": TEXTS,
    b"": None,
    b"Content-Length": None,
    b"POST": None,
    b"t": None,
}


@pytest.mark.parametrize("data", CASES)
def test_the_first_bytes_tell_the_framing(data: bytes) -> None:
    """A name and a colon, an upper-case word and a blank, or all else."""
    assert told_by(data) == CASES[data]


@given(st.binary(max_size=80) | st.text("POSTcontent-:  {", max_size=80).map(str.encode))
def test_it_is_told_once(data: bytes) -> None:
    """More bytes change nothing, and 65 are always enough."""
    answers = [told_by(data[:size]) for size in range(len(data) + 1)]
    known = [one for one in answers if one is not None]
    assert len(set(known)) <= 1
    assert answers[: len(answers) - len(known)] == [None] * (len(answers) - len(known))
    assert len(data) < 65 or known
