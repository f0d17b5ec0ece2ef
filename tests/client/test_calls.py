"""The one table of calls: all clients have them, in the same form."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from twisted_virtlog.client import BlockingClient, admin_calls, calls
from twisted_virtlog.client.asyncio_client import AsyncioClient
from twisted_virtlog.client.deferred import Client

CLIENTS: list[Any] = [BlockingClient, Client, AsyncioClient]

TABLE = {
    name: function
    for module in (calls, admin_calls)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if str(inspect.signature(function).return_annotation).startswith("Call[")
}


def methods(client: type) -> dict[str, Callable[..., Any]]:
    """Return a client's methods that stand in the table, by name."""
    return {
        name: method
        for name, method in inspect.getmembers(client, inspect.isfunction)
        if method.__name__ in TABLE
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_has_every_call(client: type) -> None:
    """What one client can ask, all can, by the same name."""
    assert {method.__name__ for method in methods(client).values()} == set(TABLE)
    assert {name: method.__name__ for name, method in methods(client).items()} == {
        name: method.__name__ for name, method in methods(BlockingClient).items()
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_a_method_says_what_its_call_says(client: type) -> None:
    """help() and an editor show parameters, defaults and documentation."""
    for method in methods(client).values():
        call = TABLE[method.__name__]
        parameters = list(inspect.signature(method).parameters.values())
        assert parameters[1:] == list(inspect.signature(call).parameters.values())
        assert method.__doc__ == call.__doc__
        assert method.__doc__
