"""All clients administer the daemon: what they ask, and what they give."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.client.fake_daemon import FakeDaemon
from tests.client.test_deferred import Wire
from twisted_virtlog.client import (
    BlockingClient,
    ClientInfo,
    OwnLogging,
    ServerClients,
    ServerLimits,
)
from twisted_virtlog.client.asyncio_client import connect

CLIENT = {
    "id": 17,
    "connected_at": "2024-02-29T12:00:00Z",
    "pid": 2168,
    "uid": 0,
    "user": "root",
    "gid": 4000,
    "group": None,
}
SINCE = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
CLIENTS = [ServerClients("virtlogd", 20, [ClientInfo(17, SINCE, 2168, 0, "root", 4000, None)])]
LOGGING = {"level": "warning", "filters": ["1:logs"], "outputs": ["3:stderr"]}
LIMITS = {"server": "virtlogd", "max_clients": 5, "clients": 2}
NO_CHANGE = {"level": None, "filters": None, "outputs": None}

#: A client's method and what it is given; the request's parameters and result; what comes of it.
CALLS: list[tuple[str, tuple[Any, ...], str, dict[str, Any], Any, Any]] = [
    (
        *("clients", (), "daemon.clients", {"server": None}),
        [{"server": "virtlogd", "max_clients": 20, "clients": [CLIENT]}],
        CLIENTS,
    ),
    ("clients", ("admin",), "daemon.clients", {"server": "admin"}, [], []),
    (
        *("disconnect", ("virtlogd", 17), "daemon.disconnect", {"server": "virtlogd", "id": 17}),
        *(True, True),
    ),
    (
        *("set_limits", ("virtlogd", 5), "daemon.set_limits"),
        *({"server": "virtlogd", "max_clients": 5}, LIMITS, ServerLimits("virtlogd", 5, 2)),
    ),
    ("logging", (), "daemon.get_logging", {}, LOGGING, OwnLogging(**LOGGING)),  # type: ignore[arg-type]
    (
        *("set_logging", (None, [], None), "daemon.set_logging", {**NO_CHANGE, "filters": []}),
        *(LOGGING, OwnLogging(**LOGGING)),  # type: ignore[arg-type]
    ),
]


@pytest.mark.parametrize(("name", "given", "method", "params", "result", "expected"), CALLS)
def test_all_clients_ask_and_understand(
    daemon: FakeDaemon,
    name: str,
    given: tuple[Any, ...],
    method: str,
    params: dict[str, Any],
    result: Any,
    expected: Any,
) -> None:
    """The same request of all, and the same value for its answer."""
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
