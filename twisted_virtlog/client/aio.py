"""The Twisted client: an endpoint in, Deferreds out, as many requests at once as you like."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.client import admin_calls, calls
from twisted_virtlog.client.admin_calls import OwnLogging, ServerClients, ServerLimits
from twisted_virtlog.client.calls import DEFAULT_READ_BYTES, Call, Chunk, DaemonInfo, LogInfo
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import BadAnswer, BadRequest, Disconnected
from twisted_virtlog.values import Closed, Domain, Opened, Position

R = TypeVar("R")


def connect(endpoint: IStreamClientEndpoint) -> Deferred[Client]:
    """Connect to the daemon.

    :param endpoint: of the JSON-RPC socket, a
        :class:`twisted.internet.endpoints.UNIXClientEndpoint`.
    :returns: a Deferred of the client; it fails as the endpoint does, with
        :class:`twisted.internet.error.ConnectError`.
    """
    return endpoint.connect(Factory.forProtocol(_Wire)).addCallback(
        lambda protocol: Client(cast(_Wire, protocol))
    )


class Client:
    """A connection to the daemon; made by :func:`connect`.

    Requests may overlap; the daemon carries them out and answers them in the order of the calls.
    Every Deferred may fail with :class:`RemoteError` for an error that the daemon answers,
    :class:`Disconnected` when the connection ends first (at once, if it has ended),
    :class:`BadAnswer` for an answer that is none, and :class:`BadRequest` for what cannot be asked.
    Cancelling one does not cancel the request: its answer is dropped, and a descriptor in it is
    closed.
    """

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def open(
        self, path: str, driver: str = "none", domain: Domain | None = None, truncate: bool = False
    ) -> Deferred[Opened]:
        """Open a log; the caller owns the write end of its pipe that comes in the result."""
        return self._wire.perform(calls.open_log(path, driver, domain, truncate))

    def close_log(self, path: str) -> Deferred[Closed]:
        """Close a log, whoever holds its pipe, after writing what is in it.

        What is written to the pipe later is refused: its writers get EPIPE.
        """
        return self._wire.perform(calls.close_log(path))

    def position(self, path: str) -> Deferred[Position]:
        """Tell the end of an open log, after all that was written to its pipe until now."""
        return self._wire.perform(calls.tell_position(path))

    def read(
        self, path: str, position: Position | None = None, max_bytes: int = DEFAULT_READ_BYTES
    ) -> Deferred[Chunk]:
        """Read bytes from a position on; None is the oldest byte kept."""
        return self._wire.perform(calls.read_log(path, position, max_bytes))

    def append(
        self, path: str, message: str, driver: str = "none", domain: Domain | None = None
    ) -> Deferred[Position]:
        """Write a message, as it is, after all that is in the pipe; tell the position after it."""
        return self._wire.perform(calls.append_message(path, message, driver, domain))

    def list(self) -> Deferred[Sequence[LogInfo]]:
        """Tell of all open logs, sorted by path."""
        return self._wire.perform(calls.list_logs())

    def info(self) -> Deferred[DaemonInfo]:
        """Tell what the daemon is."""
        return self._wire.perform(calls.daemon_info())

    def clients(self, server: str | None = None) -> Deferred[Sequence[ServerClients]]:
        """Tell who is connected, by server; None for all servers."""
        return self._wire.perform(admin_calls.list_clients(server))

    def disconnect(self, server: str, number: int) -> Deferred[bool]:
        """Close a client's connection; its logs stay open."""
        return self._wire.perform(admin_calls.disconnect(server, number))

    def set_limits(self, server: str, max_clients: int) -> Deferred[ServerLimits]:
        """Let a server have so many clients at once."""
        return self._wire.perform(admin_calls.set_limits(server, max_clients))

    def logging(self) -> Deferred[OwnLogging]:
        """Tell what the daemon logs of itself."""
        return self._wire.perform(admin_calls.get_logging())

    def set_logging(
        self,
        level: str | None = None,
        filters: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Deferred[OwnLogging]:
        """Log other things of the daemon itself, or elsewhere; None leaves a setting as it is.

        :param level: ``debug``, ``info``, ``warning`` or ``error``.
        :param filters: as ``1:logs``; empty for none.
        :param outputs: as ``3:stderr``; empty for the default.
        """
        return self._wire.perform(admin_calls.set_logging(level, filters, outputs))

    def reexec(self, to_virtlogd: str | None = None) -> Deferred[bool]:
        """Let the daemon hand over to its next image; see the blocking client."""
        return self._wire.perform(calls.reexec(to_virtlogd))

    def discover(self) -> Deferred[dict[str, Any]]:
        """Tell the OpenRPC document of the daemon's methods."""
        return self._wire.perform(calls.discover())

    def close(self) -> Deferred[None]:
        """Close the connection; opened logs stay open.

        :returns: a Deferred that fires when the connection is gone; calls that are not answered by
            then fail with Disconnected.
        """
        self._wire.close()
        return self.when_gone()

    def when_gone(self) -> Deferred[None]:
        """Give a Deferred that fires when the connection is gone, whoever ended it."""
        return self._wire.when_gone()


@implementer(IFileDescriptorReceiver)
class _Wire(Protocol):
    """The protocol below a :class:`Client`."""

    transport: ITransport

    def __init__(self) -> None:
        self._dialogue = Dialogue()
        #: By id, the methods asked and who waits for their answers.
        self._pending: dict[int, tuple[str, Deferred[Any]]] = {}
        self._watchers: list[Deferred[None]] = []
        #: Why nothing can be asked any more; the connection itself may take a while to end.
        self._gone: str | None = None
        self._lost = False

    def perform(self, call: Call[R]) -> Deferred[R]:
        """Send a request; the Deferred fires with its result."""
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
        """See Client."""
        gone: Deferred[None] = Deferred()
        if self._lost:
            gone.callback(None)
        else:
            self._watchers.append(gone)
        return gone

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep a descriptor for the answer that promises it."""
        # Twisted does not ask the kernel to receive it so, and a process that is started now would
        # keep the log open.
        os.set_inheritable(descriptor, False)
        self._dialogue.add_descriptor(descriptor)

    def dataReceived(self, data: bytes) -> None:
        """Give the answers to those who wait."""
        try:
            for reply in self._dialogue.receive(data):
                self._settle(reply)
        except BadAnswer as error:
            self._end(error)
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what waits, and close descriptors that nobody took."""
        self._end(None, reason.getErrorMessage())
        self._lost = True
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(None)

    def _settle(self, reply: Reply) -> None:
        _method, answered = self._pending.pop(reply.id)
        # (called already: its caller has cancelled it)
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
