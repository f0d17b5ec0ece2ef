"""Heads of HTTP requests are understood as RFC 9112 says, or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.jsonrpc.http_head import parse_head
from twisted_virtlog.sockets.http import BadHead, Head, Refusal, refusal, response

JSON = "Content-Type: application/json"


def head(*lines: str, first: str = "POST / HTTP/1.1") -> bytes:
    """Make the head of a request."""
    return "\r\n".join((first, *lines, "", "")).encode("latin-1")


UNDERSTOOD = {
    "the usual": (head("Host: x", JSON, "Content-Length: 7"), Head(7)),
    "no body": (head(JSON), Head(0)),
    "chunks": (head(JSON, "Transfer-Encoding: Chunked"), Head(None)),
    "a media type with a charset": (head("content-type:Application/JSON ; charset=UTF-8"), Head(0)),
    "an absolute target": (head(JSON, first="POST http://localhost/ HTTP/1.1"), Head(0)),
    "the same length twice": (head(JSON, "Content-Length: 7", "Content-Length: 7"), Head(7)),
    "a close": (head(JSON, "Connection: x, Close"), Head(0, keep_alive=False)),
    "1.0": (head(JSON, first="POST / HTTP/1.0"), Head(0, is_1_0=True, keep_alive=False)),
    "1.0 with keep-alive": (
        head(JSON, "Connection: keep-alive", first="POST / HTTP/1.0"),
        Head(0, is_1_0=True),
    ),
    "an expectation": (
        head(JSON, "Content-Length: 7", "Expect: 100-continue"),
        Head(7, expects_continue=True),
    ),
    "an expectation of 1.0": (
        head(JSON, "Content-Length: 7", "Expect: 100-continue", first="POST / HTTP/1.0"),
        Head(7, is_1_0=True, keep_alive=False),
    ),
}

REFUSED = {
    "GET": (head(first="GET / HTTP/1.1"), 405),
    "OPTIONS": (head(JSON, first="OPTIONS * HTTP/1.1"), 405),
    "another path": (head(JSON, first="POST /rpc HTTP/1.1"), 404),
    "a query": (head(JSON, first="POST /?a HTTP/1.1"), 404),
    "no type": (head("Content-Length: 7"), 415),
    "what a form of a web page can send": (head("Content-Type: text/plain"), 415),
    "the type of an old draft": (head("Content-Type: application/json-rpc"), 415),
    "two types": (head(JSON, JSON), 415),
    "another charset": (head(JSON + "; charset=utf-16"), 415),
    "an encoded body": (head(JSON, "Content-Encoding: gzip"), 415),
    "another expectation": (head(JSON, "Expect: tea"), 417),
}

BAD = {
    "no version": (head(first="POST /"), 400),
    "two blanks": (head(first="POST  / HTTP/1.1"), 400),
    "HTTP/2": (head(first="PRI * HTTP/2.0"), 505),
    "no field": (head("so it is"), 400),
    "a blank before the colon": (head("Content-Length : 7"), 400),
    "a folded field": (head(JSON, " ; charset=utf-8"), 400),
    "a NUL": (head("A: b\0c"), 400),
    "a bare carriage return": (head("A: b\rContent-Length: 7"), 400),
    "a bare newline": (head("A: b\nContent-Length: 7"), 400),
    "both ends of a body": (head(JSON, "Content-Length: 7", "Transfer-Encoding: chunked"), 400),
    "chunks in 1.0": (head("Transfer-Encoding: chunked", first="POST / HTTP/1.0"), 400),
    "another coding": (head("Transfer-Encoding: gzip, chunked"), 501),
    "two lengths": (head("Content-Length: 7", "Content-Length: 8"), 400),
    "lengths in a list": (head("Content-Length: 7, 7"), 400),
    "a negative length": (head("Content-Length: -7"), 400),
    "a length with a sign": (head("Content-Length: +7"), 400),
    "no digits": (head("Content-Length: ²"), 400),
    "an empty length": (head("Content-Length: "), 400),
    "too many digits": (head("Content-Length: " + "9" * 19), 400),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_what_is_served_is_understood(name: str) -> None:
    """With all that matters for the body and the connection."""
    data, expected = UNDERSTOOD[name]
    assert parse_head(data) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served_has_its_status(name: str) -> None:
    """And the end of its body is known all the same."""
    data, status = REFUSED[name]
    refused = parse_head(data).refusal
    assert refused is not None
    assert refused.status == status


@pytest.mark.parametrize("name", BAD)
def test_what_is_uncertain_ends_the_connection(name: str) -> None:
    """Nobody may find a second request in a body."""
    data, status = BAD[name]
    with pytest.raises(BadHead) as caught:
        parse_head(data)
    assert caught.value.refusal.status == status


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever comes."""
    for text in (data, b"POST / HTTP/1.1\r\n" + data):
        with suppress(BadHead):
            parse_head(text + b"\r\n\r\n")


def test_a_response_says_how_long_it_is_and_what_follows() -> None:
    """And has a body only where it may."""
    assert response(200, Head(0), b"{}") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert response(204, Head(0, keep_alive=False)) == (
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    )
    refused = refusal(Refusal(405, "no", allow="POST"), Head(0, is_1_0=True))
    assert refused.startswith(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\n")
    assert refused.endswith(b"Content-Length: 3\r\nConnection: keep-alive\r\n\r\nno\n")
    assert refusal(Refusal(405, "no"), Head(0, without_body=True)).endswith(b"\r\n\r\n")
