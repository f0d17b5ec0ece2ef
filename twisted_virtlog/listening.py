"""A listening socket on the reactor: accepts the right peers, up to a limit, and no others."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.binding import file_of
from twisted_virtlog.clock import Clock
from twisted_virtlog.connection import Connection, peer_credentials
from twisted_virtlog.interfaces import IConversation

#: So many clients are accepted in one turn of the reactor.
_ACCEPTS_PER_TURN = 16

#: Without descriptors left, accepting pauses for so long.
_PAUSE_SECONDS = 1.0

#: When the daemon stops, clients have so long to read the answers that they asked for.
_FINISH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Door:
    """What is served behind a listening socket.

    :ivar name: as virt-admin shows it.
    :ivar uids: the users who are served.
    :ivar max_clients: at so many no more are accepted until one leaves.
    :ivar converse: makes the protocol of one connection.
    """

    name: str
    uids: Container[int]
    max_clients: int
    converse: Callable[[], IConversation]


@implementer(IListeningPort, IReadDescriptor)
class Listener:
    """Accepts clients on one socket, as libvirt 9.0.0's servers do.

    At the limit it stops accepting; those who connect wait, and nobody is turned away.

    :ivar connections: those who are served now, in order of arrival.
    """

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: Clock,
        sock: socket.socket,
        bound: str | None,
        door: Door,
    ) -> None:
        """Take over a listening socket.

        :param bound: the path that was bound for it and is removed with it; None if the socket was
            handed over.
        """
        self.door = door
        self.connections: dict[Connection, None] = {}
        self._reactor = reactor
        self._clock = clock
        self._socket = sock
        self._bound = bound
        self._file = file_of(bound) if bound else None
        self._accepting = False
        self._pause: IDelayedCall | None = None
        self._finished: Deferred[None] | None = None
        sock.setblocking(False)

    # IListeningPort.

    def startListening(self) -> None:
        """See IListeningPort."""
        self._accepting = True
        self._reactor.addReader(self)

    def stopListening(self) -> Deferred[None]:
        """See IListeningPort: accept no more and remove the socket, unless it was handed over."""
        if self._socket.fileno() != -1:
            self._stop_accepting()
            if self._pause is not None:
                self._pause.cancel()
            if self._bound and file_of(self._bound) == self._file:
                with suppress(OSError):
                    os.unlink(self._bound)
            self._socket.close()
        return succeed(None)

    def getHost(self) -> UNIXAddress:
        """See IListeningPort."""
        return UNIXAddress(self._socket.getsockname())

    def finish(self) -> Deferred[None]:
        """Answer the requests in progress and close all connections.

        :returns: fires when all are closed; those of clients who do not read are cut off.
        """
        for connection in list(self.connections):
            connection.finish()
        if not self.connections:
            return succeed(None)
        self._finished = Deferred()
        late = self._clock.callLater(_FINISH_SECONDS, self._cut_off)
        return self._finished.addCallback(lambda _: late.cancel() if late.active() else None)

    # The reactor's side.

    def fileno(self) -> int:
        """See IReadDescriptor; -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See IReadDescriptor."""
        return self.door.name

    def doRead(self) -> None:
        """Accept those who wait."""
        for _ in range(_ACCEPTS_PER_TURN):
            if not self._accepting:
                return
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ECONNABORTED:
                    self._rest(error)
                    return
            else:
                self._accept(sock)

    def connectionLost(self, reason: Failure) -> None:
        """See IReadDescriptor; the reactor has ended."""

    def _accept(self, sock: socket.socket) -> None:
        peer = peer_credentials(sock)
        if peer.uid not in self.door.uids:
            self._logger.error(
                "operation forbidden: Disallowing client {pid} with uid {uid} on {door}",
                pid=peer.pid,
                uid=peer.uid,
                door=self.door.name,
            )
            sock.close()
            return
        try:
            conversation = self.door.converse()
        except Exception:  # noqa: BLE001 (the next client may fare better)
            self._logger.failure("a client of {door} cannot be served", door=self.door.name)
            sock.close()
            return
        connection = Connection(self._reactor, sock, peer, conversation, self._left)
        self.connections[connection] = None
        if len(self.connections) >= self.door.max_clients:
            self._logger.warn(
                "{door}: {count} clients are connected; no more are accepted until one leaves",
                door=self.door.name,
                count=len(self.connections),
            )
            self._stop_accepting()
        connection.start()

    def _left(self, connection: Connection) -> None:
        del self.connections[connection]
        if self._finished is not None:
            if not self.connections:
                self._finished.callback(None)
        elif len(self.connections) < self.door.max_clients and self._pause is None:
            self._go_on()

    def _rest(self, error: OSError) -> None:
        """Wait for descriptors; without a rest the reactor would call again at once, for ever."""
        self._logger.error("{door}: cannot accept: {error}", door=self.door.name, error=error)
        self._stop_accepting()
        self._pause = self._clock.callLater(_PAUSE_SECONDS, self._rested)

    def _rested(self) -> None:
        self._pause = None
        if len(self.connections) < self.door.max_clients:
            self._go_on()

    def _go_on(self) -> None:
        if not self._accepting and self._socket.fileno() != -1:
            self.startListening()

    def _stop_accepting(self) -> None:
        self._accepting = False
        self._reactor.removeReader(self)

    def _cut_off(self) -> None:
        for connection in list(self.connections):
            connection.abort()
