"""The daemon, over its restarts: a client that is connected anew when its connection has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from twisted_virtlog.client.deferred import Client

T = TypeVar("T")

Connect = Callable[[], "Deferred[Client]"]


class Daemon:
    """Has a client when somebody needs one.

    :param connect: connects to the daemon, as ``partial(connect, reactor, path)`` of
        :mod:`twisted_virtlog.client.deferred` does.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._client: Client | None = None
        self._connecting: list[Deferred[Client]] | None = None
        self._closed = False

    async def client(self) -> Client:
        """Return a client that was connected when it was last heard of.

        :raises Unreachable: there is no daemon.
        """
        if self._client is not None:
            return self._client
        if self._connecting is not None:
            # (one connection for all who ask at once)
            waiting: Deferred[Client] = Deferred()
            self._connecting.append(waiting)
            return await waiting
        self._connecting = []
        connected = Deferred.fromCoroutine(self._connected())
        # (whoever does not wait any longer does not take it from the others)
        asked: Deferred[Client] = Deferred()
        self._connecting.append(asked)
        connected.addBoth(self._tell)
        return await asked

    async def close(self) -> None:
        """Close the connection, and make no other."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> Client:
        client = await self._connect()
        if self._closed:
            client.close()
        else:
            self._client = client
            client.when_gone().addCallback(lambda _: self._forget(client))
        return client

    def _forget(self, client: Client) -> None:
        if self._client is client:
            self._client = None

    def _tell(self, outcome: object) -> None:
        waiting, self._connecting = self._connecting or [], None
        for one in waiting:
            # (it has been called if it was cancelled)
            if not one.called:
                one.callback(outcome)  # type: ignore[arg-type]  # (a Failure is an errback)
