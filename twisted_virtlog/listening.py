"""A listening socket on the reactor: accepts clients for a server while that has room."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

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
from twisted_virtlog.servers import Server
from twisted_virtlog.state import SocketState

#: So many clients are accepted in one turn of the reactor.
_ACCEPTS_PER_TURN = 16

#: Without descriptors left, accepting pauses for so long.
_PAUSE_SECONDS = 1.0


@implementer(IListeningPort, IReadDescriptor)
class Listener:
    """Accepts clients on one socket."""

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: Clock,
        sock: socket.socket,
        bound: str | None,
        server: Server,
    ) -> None:
        """Take over a listening socket.

        :param bound: the path that was bound for it and is removed with it; None if the socket was
            handed over.
        """
        self.server = server
        self._reactor = reactor
        self._clock = clock
        self._socket = sock
        self._bound = bound
        self._file = file_of(bound) if bound else None
        self._accepting = False
        self._pause: IDelayedCall | None = None
        sock.setblocking(False)
        server.add_entrance(self)

    @classmethod
    def resumed(
        cls, reactor: IReactorFDSet, clock: Clock, state: SocketState, server: Server
    ) -> Listener:
        """Listen on, as the daemon's former image did.

        :raises OSError: its descriptor is no socket.
        """
        sock = socket.socket(fileno=state.descriptor)
        # (the process may leave the directory in which a relative path has its meaning)
        bound = os.path.abspath(sock.getsockname()) if state.bound else None
        listener = cls(reactor, clock, sock, bound, server)
        listener._file = state.file or listener._file
        listener.open_or_shut()
        return listener

    def suspended(self) -> SocketState:
        """Tell what the daemon's next image needs to listen on."""
        return SocketState(self.fileno(), bound=self._bound is not None, file=self._file)

    # IListeningPort.

    def startListening(self) -> None:
        """See IListeningPort."""
        self._reactor.addReader(self)
        self._accepting = True

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

    # Entrance.

    def open_or_shut(self) -> None:
        """See Entrance."""
        if self._socket.fileno() == -1 or self._pause is not None:
            return
        if self.server.full:
            self._stop_accepting()
        elif not self._accepting:
            try:
                self.startListening()
            except OSError as error:
                # As at the limit max_user_watches of epoll(7).
                self._rest(error)

    # The reactor's side.

    def fileno(self) -> int:
        """See IReadDescriptor; -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See IReadDescriptor."""
        return self.server.name

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
                self.server.admit(self._reactor, sock)

    def connectionLost(self, reason: Failure) -> None:
        """See IReadDescriptor: reading failed in a way that nobody foresaw, or the reactor ended.

        Were this socket given up, nobody could connect any more.
        """
        if self._socket.fileno() != -1 and self._pause is None:
            self._rest(reason.value)

    def _rest(self, error: BaseException | None) -> None:
        """Wait for descriptors; without a rest the reactor would call again at once, for ever."""
        self._logger.error("{server}: cannot accept: {error}", server=self.server.name, error=error)
        self._stop_accepting()
        self._pause = self._clock.callLater(_PAUSE_SECONDS, self._rested)

    def _rested(self) -> None:
        self._pause = None
        self.open_or_shut()

    def _stop_accepting(self) -> None:
        self._accepting = False
        self._reactor.removeReader(self)
