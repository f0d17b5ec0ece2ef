"""Requests that are posted."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.collector import answered, collecting
from twisted_virtlog.ship.http_post import Answer, HttpError, Poster


def asked(*answers: bytes, timeout: float = 60.0) -> list[Answer | str]:
    """Return what comes of requests that get these answers, over one Poster."""

    async def ask() -> list[Answer | str]:
        found: list[Answer | str] = []
        async with collecting() as collector:
            collector.answers.extend(answers)
            poster = Poster(f"{collector.url}?a=b", None, timeout)
            for _ in answers:
                try:
                    found.append(await poster.post({"X-A": "b"}, b"body"))
                except HttpError as error:
                    found.append(str(error))
            poster.close()
            head, body = collector.requests[0]
        assert head.startswith(
            f"POST /v1/logs?a=b HTTP/1.1\r\nHost: 127.0.0.1:{collector.port}\r\nUser-Agent: virt"
        )
        assert "\r\nX-A: b\r\n" in head
        assert body == b"body"
        return found

    return asyncio.run(ask())


def test_answers_of_all_kinds() -> None:
    """With a length, in chunks, without a body, after others, and up to the end."""
    found = asked(
        answered(200, b"hello", "Retry-After:  7 "),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answered(503, b"later"),
        b"HTTP/1.0 200 OK\nContent-Length: 2\n\nhi",
        answered(200, b"bye", "Connection: close"),
        answered(200, b"again"),
    )
    answers = [one for one in found if isinstance(one, Answer)]
    assert [(one.status, one.body) for one in answers] == [
        (200, b"hello"),
        (200, b"hello"),
        (204, b""),
        (503, b"later"),
        (200, b"hi"),
        (200, b"bye"),
        (200, b"again"),
    ]
    assert answers[0].headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "the connection ended before the answer"),
        (b"SSH-2.0-OpenSSH\r\n", "this is no answer of HTTP/1.1"),
        (b"HTTP/1.1 abc\r\n", "this is no answer of HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "the answer is too long"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "invalid literal"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300, "the answer has too many headers"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000, "chunk exceed the limit"),
    ],
)
def test_what_is_no_answer(answer: bytes, said: str) -> None:
    """It says what is wrong, and the next request has a connection of its own."""
    wrong, right = asked(answer, answered(200, b"well"))
    assert isinstance(wrong, str)
    assert said in wrong
    assert isinstance(right, Answer)
    assert right.body == b"well"


def test_a_connection_is_kept() -> None:
    """Until the server lets go of it."""

    async def ask() -> None:
        async with collecting() as collector:
            poster = Poster(collector.url, None, 60.0)
            for _ in range(3):
                await poster.post({}, b"a")
            assert collector.connections == 1
            poster.close()
            await poster.post({}, b"a")
            assert collector.connections == 2
            poster.close()

    asyncio.run(ask())


def test_nobody_answers() -> None:
    """At all, or in time."""

    async def ask() -> None:
        async with collecting() as collector:
            collector.is_open.clear()
            with pytest.raises(HttpError, match=r"no answer came within 0\.01 seconds"):
                await Poster(collector.url, None, 0.01).post({}, b"a")
        with pytest.raises(HttpError, match="Connect call failed"):
            await Poster(collector.url, None, 60.0).post({}, b"a")

    asyncio.run(ask())
