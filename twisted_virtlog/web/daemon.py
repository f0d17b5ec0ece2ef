"""The daemon, over its restarts: a connection is made anew when the last one has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from twisted_virtlog.client.deferred import Client


class Connected(Protocol):
    """A connection to the daemon."""

    def close(self) -> Deferred[None]:
        """Close it; the Deferred fires when it is closed."""

    def when_gone(self) -> Deferred[None]:
        """Return a Deferred that fires when it has ended."""


C = TypeVar("C", bound=Connected)

Connect = Callable[[], "Deferred[Client]"]


class Daemon(Generic[C]):
    """Has a connection when somebody needs one: a client, or a feed.

    :param connect: connects to the daemon, as ``partial(connect, reactor, path)`` of
        :mod:`twisted_virtlog.client.deferred` does.
    """

    def __init__(self, connect: Callable[[], Deferred[C]]) -> None:
        self._connect = connect
        self._client: C | None = None
        self._connecting: list[Deferred[C]] | None = None
        self._closed = False

    async def client(self) -> C:
        """Return one that was connected when it was last heard of.

        :raises Unreachable: there is no daemon.
        """
        if self._client is not None:
            return self._client
        if self._connecting is not None:
            # (one connection for all who ask at once)
            waiting: Deferred[C] = Deferred()
            self._connecting.append(waiting)
            return await waiting
        self._connecting = []
        connected = Deferred.fromCoroutine(self._connected())
        # (whoever does not wait any longer does not take it from the others)
        asked: Deferred[C] = Deferred()
        self._connecting.append(asked)
        connected.addBoth(self._tell)
        return await asked

    async def another(self) -> C:
        """Return one for whoever asks alone, who closes it.

        :raises Unreachable: there is no daemon.
        """
        return await self._connect()

    async def close(self) -> None:
        """Close the connection, and make no other."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> C:
        client = await self._connect()
        if self._closed:
            client.close()
        else:
            self._client = client
            client.when_gone().addCallback(lambda _: self._forget(client))
        return client

    def _forget(self, client: C) -> None:
        if self._client is client:
            self._client = None

    def _tell(self, outcome: object) -> None:
        waiting, self._connecting = self._connecting or [], None
        for one in waiting:
            # (it has been called if it was cancelled)
            if not one.called:
                one.callback(outcome)  # type: ignore[arg-type]  # (a Failure is an errback)
