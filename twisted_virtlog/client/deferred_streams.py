"""How logs are followed on Twisted's reactor."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast, final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IFileDescriptorReceiver,
    IReactorSocket,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, ServerFactory, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.client.connecting import attempt
from twisted_virtlog.client.errors import Disconnected, Unreachable

T = TypeVar("T")


class ReactorForClient(IReactorSocket, IReactorTime):
    """What connecting needs of a reactor; all of Twisted's reactors on Linux provide it."""


def adopt(reactor: ReactorForClient, sock: socket.socket, protocol: Protocol) -> None:
    """Give a connected socket to a protocol."""
    with sock:
        # (the reactor duplicates the descriptor)
        reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, _Handing(protocol))


@final
@implementer(IFileDescriptorReceiver)
class DeferredLink(Protocol):
    """A connection that is read only while somebody awaits it."""

    #: An ITransport that is an IPushProducer too, as those of connections are.
    transport: Any

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._descriptors: list[int] = []
        self._waiting: Deferred[None] | None = None
        self._lost: str | None = None

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def receive(self) -> tuple[bytes, Sequence[int]]:
        if not self._data and self._lost is None:
            self._waiting = Deferred(lambda _waiting: self._pause())
            self.transport.resumeProducing()
            await self._waiting
        data, self._data = b"".join(self._data), []
        descriptors, self._descriptors = self._descriptors, []
        if not data and self._lost is not None:
            raise Disconnected(f"the connection is gone: {self._lost}")
        return data, descriptors

    def close(self) -> None:
        self._lost = self._lost or "it was closed"
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._data.clear()
        self.transport.loseConnection()
        self._wake()

    def connectionMade(self) -> None:
        """Read nothing before it is awaited."""
        self.transport.pauseProducing()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep a descriptor, which comes with the next bytes."""
        os.set_inheritable(descriptor, False)
        self._descriptors.append(descriptor)

    def dataReceived(self, data: bytes) -> None:
        """Give bytes to whoever awaits them."""
        if self._lost is None:
            self._data.append(data)
            self._pause()
            self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever awaits bytes."""
        self._lost = self._lost or reason.getErrorMessage()
        self._wake()

    def _pause(self) -> None:
        if self._lost is None:
            self.transport.pauseProducing()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        # (it has been called if it was cancelled)
        if waiting is not None and not waiting.called:
            waiting.callback(None)


class _Clocked:
    """Waits by a clock, and lets a program limit the time itself, as with Deferreds.

    :ivar timeout: see :class:`.Way`.
    """

    def __init__(self, clock: Callable[[], IReactorTime], timeout: float | None) -> None:
        self._clock = clock
        self.timeout = timeout

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await deferLater(self._clock(), seconds)

    async def in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something, as long as it takes."""
        return await work


@final
class PathWay(_Clocked):
    """The way to a socket."""

    def __init__(self, reactor: ReactorForClient, path: str, timeout: float | None) -> None:
        super().__init__(lambda: reactor, timeout)
        self.name = path
        self._reactor = reactor

    async def connect(self) -> DeferredLink | None:
        sock = attempt(self.name)
        if sock is None:
            return None
        link = DeferredLink()
        adopt(self._reactor, sock, link)
        return link


@final
class EndpointWay(_Clocked):
    """The way through one of Twisted's endpoints."""

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Callable[[], IReactorTime]) -> None:
        super().__init__(clock, None)
        self.name = str(endpoint)
        self._endpoint = endpoint

    async def connect(self) -> DeferredLink | None:
        try:
            link = await self._endpoint.connect(Factory.forProtocol(DeferredLink))
        except ConnectError as error:
            raise Unreachable(self.name, str(error), error.osError) from error
        return cast(DeferredLink, link)


class _Handing(ServerFactory):
    """Connects a protocol that already exists."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._protocol
