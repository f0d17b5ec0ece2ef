"""The one table of calls: all clients have them, in the same form."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from twisted_virtlog.client import BlockingClient
from twisted_virtlog.client.asyncio_client import AsyncioClient
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls, Requests
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.values import Position

CLIENTS: list[Any] = [BlockingClient, Client, AsyncioClient]


def methods(client: type) -> dict[str, Callable[..., Any]]:
    """Return the public methods of a class, by name."""
    found = inspect.getmembers(client, inspect.isfunction)
    return {name: method for name, method in found if not name.startswith("_")}


TABLE = methods(Calls)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_adds_to_the_calls_and_changes_none(client: type) -> None:
    """What one client can ask, all can, by the same name and with the same parameters."""
    assert TABLE.items() <= methods(client).items()
    # (what feeds many logs is no call, and a class of its own for those who wait for answers)
    others = {"close", "when_gone", "follow", "watch", "feed"}
    assert set(methods(client)) - set(TABLE) <= others


@pytest.mark.parametrize("name", TABLE)
def test_a_method_shows_how_it_is_called(name: str) -> None:
    """help() and an editor show its name, parameters and documentation, and not a Call."""
    method = TABLE[name]
    signature = inspect.signature(method)
    assert method.__name__ == name
    assert method.__doc__
    assert next(iter(signature.parameters)) == "self"
    assert signature.return_annotation is inspect.Signature.empty


def test_a_call_can_be_had_without_a_client() -> None:
    """Who has another transport asks by the same names."""
    request: Call[Position] = Requests().position("/a")
    assert (request.method, request.params) == ("log.position", {"path": "/a"})
