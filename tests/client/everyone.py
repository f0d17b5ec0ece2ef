"""Asks through each of the clients, and compares what they send and what they give."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.client.fake_daemon import FakeDaemon
from tests.client.test_deferred import Wire
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.client.asyncio_client import connect

#: A client's method and what it is given; the request's parameters and result; what comes of it.
Row = tuple[str, tuple[Any, ...], str, dict[str, Any], Any, Any]


def ask_everyone(daemon: FakeDaemon, row: Row) -> None:
    """Let all clients make a call; each sends the same request, and gives the same value."""
    name, given, method, params, result, expected = row
    asked = []

    def answered(got: dict[str, Any]) -> Any:
        asked.append(got)
        return result

    daemon.answers[method] = answered
    with BlockingClient(str(daemon.path), 10) as client:
        assert getattr(client, name)(*given) == expected
    assert asked == [params]

    async def ask() -> Any:
        async with await connect(str(daemon.path), 10) as client:
            return await getattr(client, name)(*given)

    assert asyncio.run(ask()) == expected
    assert asked == [params, params]

    wire = Wire()
    got: list[Any] = []
    getattr(wire.client, name)(*given).addCallback(got.append)
    (request,) = wire.requests()
    assert (request["method"], request.get("params", {})) == (method, params)
    wire.answer(request["id"], result=result)
    assert got == [expected]
