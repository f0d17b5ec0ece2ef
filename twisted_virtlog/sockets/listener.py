"""A listening socket on the reactor: accepts clients for a server while that has room."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
from contextlib import suppress

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReadDescriptor,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.state import SocketState
from twisted_virtlog.loop.client_sockets import IClientEvents
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.sockets.binding import BACKLOG, bind, file_of
from twisted_virtlog.sockets.server import Server

#: The most clients that are accepted in one turn of the reactor.
_ACCEPTS_PER_TURN = 16

#: Descriptors that no client gets: a log whose file a thread replaces closes the old one before it
#: opens the new one where none is left, and nobody may take its place in between.
_DESCRIPTORS_LEFT = 8

#: Without descriptors left, accepting pauses for this long.
_PAUSE_SECONDS = 1.0


@implementer(IListeningPort, IReadDescriptor)
class Listener:
    """Accepts clients on one socket."""

    _logger = Logger()

    def __init__(
        self,
        reactor: IClientEvents,
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
        self._path = bound or _path_of(sock)
        self._file = file_of(self._path) if self._path else None
        self._rights = _rights_of(self._path) if self._path else None
        self._complaint = ""
        self._accepting = False
        self._pause: IDelayedCall | None = None
        sock.setblocking(False)
        server.add_entrance(self)

    @classmethod
    def resumed(
        cls, reactor: IClientEvents, clock: Clock, state: SocketState, server: Server
    ) -> Listener:
        """Listen on, as the daemon's former image did.

        :raises OSError: its descriptor is not a socket.
        """
        sock = socket.socket(fileno=state.descriptor)
        # (the process may leave the directory in which a relative path has its meaning)
        bound = os.path.abspath(sock.getsockname()) if state.bound else None
        listener = cls(reactor, clock, sock, bound, server)
        listener._file = state.file or listener._file
        # An earlier release let fewer clients wait.
        with suppress(OSError):
            sock.listen(BACKLOG)
        listener.open_or_shut()
        return listener

    @property
    def address(self) -> bytes | None:
        """Where clients connect: an absolute path, or NUL and an abstract name.

        None if that is not known, as of a socket that somebody else bound to a relative path, or
        no longer.
        """
        if self._socket.fileno() == -1:
            return None
        if self._path is not None:
            return os.fsencode(self._path)
        name = self._socket.getsockname()
        return name if isinstance(name, bytes) and name.startswith(b"\0") else None

    def suspended(self) -> SocketState:
        """Return what the daemon's next image needs to listen on."""
        bound = self._bound is not None
        return SocketState(self.fileno(), bound=bound, file=self._file if bound else None)

    def bind_again(self) -> None:
        """Listen at the path again if the socket's file was removed, as by a clean-up of /run.

        Clients that wait on the socket that had it are let in. What cannot be mended is logged
        once: a socket that was handed over is its manager's, and at the path of one that is ours
        there may be another daemon's.
        """
        path = self._path
        if path is None or self._socket.fileno() == -1:
            return
        present = file_of(path)
        if present is not None and present == self._file:
            self._complaint = ""
        elif self._bound is None:
            self._complain(
                f"the file {path} of a socket that was handed over is gone, so that nobody can"
                " connect; its manager makes it again, as by systemctl restart of its socket unit"
            )
        else:
            try:
                self._take_path(path)
            except (ListenError, OSError) as error:
                self._complain(f"the socket's file is gone, and {error}")
            else:
                self._complaint = ""
                self._logger.warn(
                    "{server}: the file {path} of the socket was gone; it was made again",
                    server=self.server.name,
                    path=path,
                )

    def _take_path(self, path: str) -> None:
        mode, group = self._rights or (0o600, -1)
        parent = os.path.dirname(path)
        if not os.path.isdir(parent):
            os.makedirs(parent, 0o700 if os.geteuid() else 0o755)
        sock = bind(path, mode, group if mode & 0o077 else None)
        sock.setblocking(False)
        self._stop_accepting()
        if not self.server.lets_nobody_in:
            with suppress(OSError):
                while True:
                    self.server.admit(self._reactor, self._socket.accept()[0])
        self._socket.close()
        self._socket = sock
        self._file = file_of(path)
        self.open_or_shut()

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            self._logger.error(
                "{server}: {complaint}", server=self.server.name, complaint=complaint
            )

    # IListeningPort.

    def startListening(self) -> None:
        if self.server.lets_nobody_in:
            return
        self._reactor.addReader(self)
        self._accepting = True

    def stopListening(self) -> Deferred[None]:
        """Accept no more, and remove the socket unless it was handed over."""
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
        return UNIXAddress(self._socket.getsockname())

    # Entrance.

    def open_or_shut(self) -> None:
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
        """Return -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return self.server.name

    def doRead(self) -> None:
        """Accept those who wait."""
        for _ in range(_ACCEPTS_PER_TURN):
            if not self._accepting:
                return
            try:
                self._leave_descriptors()
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ECONNABORTED:
                    self._rest(error)
                    return
            else:
                self.server.admit(self._reactor, sock)

    def _leave_descriptors(self) -> None:
        """Look whether descriptors are left for logs; a new one has the lowest free number."""
        lowest = os.dup(self._socket.fileno())
        os.close(lowest)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY and lowest >= limit - _DESCRIPTORS_LEFT:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def connectionLost(self, reason: Failure) -> None:
        """Reading failed unexpectedly, or the reactor ended.

        If this socket were given up, nobody could connect any more.
        """
        if self._socket.fileno() != -1 and self._pause is None:
            self._rest(reason.value)

    def _rest(self, error: BaseException | None) -> None:
        """Wait for descriptors; without a pause the reactor would call again at once, forever."""
        self._logger.error("{server}: cannot accept: {error}", server=self.server.name, error=error)
        self._stop_accepting()
        self._pause = self._clock.callLater(_PAUSE_SECONDS, self._rested)

    def _rested(self) -> None:
        self._pause = None
        self.open_or_shut()

    def _stop_accepting(self) -> None:
        self._accepting = False
        self._reactor.removeReader(self)


def _path_of(sock: socket.socket) -> str | None:
    """Return the path of a socket's file; None if it has none, like one with an abstract name."""
    name = sock.getsockname()
    return name if isinstance(name, str) and os.path.isabs(name) else None


def _rights_of(path: str) -> tuple[int, int] | None:
    """Return a file's permissions and group; None if there is no such file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return stat.S_IMODE(status.st_mode), status.st_gid
