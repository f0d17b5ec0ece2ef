"""What becomes of messages that are to be stored, by what the server answers, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from nats import errors

from twisted_virtlog.ship import stores
from twisted_virtlog.ship.sink import Overtaken, Refused, Unavailable
from twisted_virtlog.ship.stores import Stores, stored_number


def test_the_number_is_that_of_the_stream() -> None:
    """Also of a message that was stored before."""
    assert stored_number(b'{"stream":"virtlog","seq":7}', None) == 7
    assert stored_number(b'{"stream":"virtlog","seq":7,"duplicate":true}', {}) == 7


@pytest.mark.parametrize(
    ("data", "headers", "kind", "words"),
    [
        (
            b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}',
            None,
            Overtaken,
            "wrong last sequence: 3",
        ),
        (
            b'{"error":{"code":400,"err_code":10054,"description":"message size exceeds"}}',
            None,
            Refused,
            "message size exceeds",
        ),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"no room"}}',
            None,
            Unavailable,
            "no room",
        ),
        (b"", {"Status": "503"}, Unavailable, "no stream takes"),
        (b"+OK", None, Unavailable, "cannot be understood"),
    ],
)
def test_an_answer_that_is_an_error(
    data: bytes, headers: dict[str, str] | None, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        stored_number(data, headers)


class FakeClient:
    """Keeps what is published.

    :ivar fails: what is raised when somebody publishes.
    """

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, str, dict[str, str]]] = []
        self.fails: Exception | None = None
        self._heard: Callable[[Any], Awaitable[None]] | None = None

    def new_inbox(self) -> str:
        return "_INBOX.abc"

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> None:
        assert subject == "_INBOX.abc.*"
        self._heard = cb

    async def publish(
        self, subject: str, payload: bytes, reply: str, headers: dict[str, str]
    ) -> None:
        if self.fails is not None:
            raise self.fails
        self.published.append((subject, payload, reply, headers))

    async def answer(self, place: int, data: bytes) -> None:
        """Answer one of those that were published."""
        assert self._heard is not None
        answer = SimpleNamespace(subject=self.published[place][2], data=data, headers=None)
        await self._heard(answer)


async def _two() -> tuple[FakeClient, Stores, list[asyncio.Task[int]]]:
    """Have two messages under way."""
    client = FakeClient()
    under_way = Stores(client)  # type: ignore[arg-type]
    await under_way.begin()
    tasks = [
        asyncio.ensure_future(under_way.store(subject, b"data", {"a": "b"})) for subject in "xy"
    ]
    while len(client.published) < len(tasks):
        await asyncio.sleep(0)
    return client, under_way, tasks


def test_each_hears_its_own_answer() -> None:
    """In whatever order they come; what nobody waits for is passed over."""

    async def run() -> None:
        client, _, tasks = await _two()
        assert [one[:2] for one in client.published] == [("x", b"data"), ("y", b"data")]
        await client.answer(1, b'{"seq":2}')
        await client.answer(1, b'{"seq":3}')
        await client.answer(0, b'{"seq":1}')
        assert await asyncio.gather(*tasks) == [1, 2]

    asyncio.run(run())


def test_nobody_waits_for_a_connection_that_is_lost() -> None:
    """What became of what was under way has to be asked."""

    async def run() -> None:
        _, under_way, tasks = await _two()
        under_way.lost()
        for task in tasks:
            with pytest.raises(Unavailable, match="does not answer"):
                await task

    asyncio.run(run())


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """For an answer that does not come."""
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.01)

    async def run() -> None:
        _, _, tasks = await _two()
        for task in tasks:
            with pytest.raises(Unavailable, match="does not answer"):
                await task

    asyncio.run(run())


def test_what_cannot_be_sent_is_not_waited_for() -> None:
    """Whoever sends is told why."""

    async def run() -> None:
        client = FakeClient()
        under_way = Stores(client)  # type: ignore[arg-type]
        await under_way.begin()
        client.fails = errors.MaxPayloadError()
        with pytest.raises(errors.MaxPayloadError):
            await under_way.store("x", b"data", {})
        under_way.lost()

    asyncio.run(run())
