"""The Twisted client: Deferreds out, as many requests at once as you like."""

from __future__ import annotations

import os
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IFileDescriptorReceiver, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls
from twisted_virtlog.client.connecting import attempt, pauses
from twisted_virtlog.client.deferred_feed import DeferredFeed, open_feed
from twisted_virtlog.client.deferred_streams import (
    EndpointWay,
    PathWay,
    ReactorForClient,
    adopt,
)
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import BadAnswer, BadRequest, Disconnected
from twisted_virtlog.client.streams import Streaming, Way

R = TypeVar("R")


def connect(reactor: ReactorForClient, path: str, timeout: float | None = 30.0) -> Deferred[Client]:
    """Connect to the daemon.

    :param path: the path of the daemon's JSON-RPC socket.
    :param timeout: seconds to wait while the daemon's queue of connections is full; None for no
        limit.
    :returns: a Deferred of the client; it fails with :class:`.Unreachable`.
    """
    return Deferred.fromCoroutine(_connect(reactor, path, timeout))


async def _connect(reactor: ReactorForClient, path: str, timeout: float | None) -> Client:
    waits = pauses(path, timeout)
    while (sock := attempt(path)) is None:
        await deferLater(reactor, next(waits))
    wire = _Wire()
    adopt(reactor, sock, wire)
    return Client(wire, PathWay(reactor, path, timeout))


def connect_endpoint(endpoint: IStreamClientEndpoint) -> Deferred[Client]:
    """Connect to the daemon through an endpoint, where :func:`connect` does not know the way.

    :param endpoint: its transports must receive descriptors if logs are to be opened.
    :returns: a Deferred of the client; it fails as the endpoint does, with
        :class:`twisted.internet.error.ConnectError`, and does not wait while the daemon's queue of
        connections is full.
    """
    return endpoint.connect(Factory.forProtocol(_Wire)).addCallback(
        lambda protocol: _client_of_endpoint(cast(_Wire, protocol), endpoint)
    )


def _client_of_endpoint(wire: _Wire, endpoint: IStreamClientEndpoint) -> Client:
    return Client(wire, EndpointWay(endpoint, lambda: wire.transport.reactor))


class Client(Calls[Deferred[Any]], Streaming):
    """A connection to the daemon; made by :func:`connect`.

    Requests may overlap; the daemon carries them out and answers them in the order of the calls.
    Every Deferred may fail with :class:`RemoteError` if the daemon answers with an error,
    :class:`Disconnected` if the connection ends first or has ended, :class:`BadAnswer` if the
    answer does not fit the request, and :class:`BadRequest` if the request cannot be sent.
    Cancelling a Deferred does not cancel the request: its answer is dropped, and a descriptor in it
    is closed.
    """

    def __init__(self, wire: _Wire, way: Way) -> None:
        super().__init__(way)
        self._wire = wire

    def _perform(self, call: Call[R]) -> Deferred[R]:
        return self._wire.perform(call)

    def feed(self, rest_seconds: float = 0.0) -> Deferred[DeferredFeed]:
        """Connect once more, to follow many logs over one connection.

        :param rest_seconds: after it has read a little, the feed reads nothing for so long: what
            comes of many logs then comes together, which costs much less.
        :returns: a Deferred of the feed, which does not end with this client; it fails with
            :class:`.Unreachable`.
        """
        return Deferred.fromCoroutine(open_feed(self._way, rest_seconds))

    def close(self) -> Deferred[None]:
        """Close the connection; opened logs stay open.

        :returns: a Deferred that fires when the connection is closed; calls that are not answered
            by then fail with Disconnected.
        """
        self._wire.close()
        return self.when_gone()

    def when_gone(self) -> Deferred[None]:
        """Return a Deferred that fires when the connection has ended, whoever ended it."""
        return self._wire.when_gone()


@implementer(IFileDescriptorReceiver)
class _Wire(Protocol):
    """The protocol below a :class:`Client`."""

    #: An ITransport, of a reactor.
    transport: Any

    def __init__(self) -> None:
        self._dialogue = Dialogue()
        #: By id: the method of each request that is not answered yet, and its Deferred.
        self._pending: dict[int, tuple[str, Deferred[Any]]] = {}
        self._watchers: list[Deferred[None]] = []
        #: Why nothing can be asked any more; the connection itself may end a little later.
        self._gone: str | None = None
        self._lost = False

    def perform(self, call: Call[R]) -> Deferred[R]:
        """Send a request; return a Deferred of its result."""
        if self._gone is not None:
            return fail(Disconnected(f"{call.method} cannot be asked: {self._gone}"))
        try:
            number, text = self._dialogue.request(call)
        except BadRequest as error:
            return fail(error)
        answered: Deferred[R] = Deferred()
        self._pending[number] = (call.method, answered)
        self.transport.write(text)
        return answered

    def close(self) -> None:
        """Close the connection, if it is there."""
        if self._gone is None:
            self._gone = "the client was closed"
            self.transport.loseConnection()

    def when_gone(self) -> Deferred[None]:
        gone: Deferred[None] = Deferred()
        if self._lost:
            gone.callback(None)
        else:
            self._watchers.append(gone)
        return gone

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep a descriptor for the answer that announces it."""
        # Twisted does not ask the kernel for this; a process started now would keep the log open.
        os.set_inheritable(descriptor, False)
        self._dialogue.add_descriptors([descriptor])

    def dataReceived(self, data: bytes) -> None:
        """Fire the Deferreds of the answers that have arrived."""
        try:
            for said in self._dialogue.receive(data):
                # (nothing is followed on this connection)
                if isinstance(said, Reply):
                    self._settle(said)
        except BadAnswer as error:
            self._end(error)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all pending calls, and close descriptors that no answer took."""
        self._end(None, reason.getErrorMessage())
        self._lost = True
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(None)

    def _settle(self, reply: Reply) -> None:
        _method, answered = self._pending.pop(reply.id)
        # (it has been called if the caller cancelled it)
        if answered.called or reply.failed:
            for descriptor in reply.descriptors:
                os.close(descriptor)
        if reply.failed:
            answered.errback(reply.outcome)
        else:
            answered.callback(reply.outcome)

    def _end(self, error: BadAnswer | None, reason: str = "") -> None:
        self._gone = self._gone or str(error or f"the connection is gone: {reason}")
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
        pending, self._pending = self._pending, {}
        for method, answered in pending.values():
            answered.errback(
                error
                or Disconnected(f"the connection ended before {method} was answered: {reason}")
            )
