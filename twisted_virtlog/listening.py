"""Listening UNIX sockets: bound by path or handed over, for the right peers and no others.

Twisted parses the endpoint strings; what they ask of the reactor, to listen at a path or to adopt a
descriptor, is done here. Twisted's own port would leave a socket open to others between bind and
chmod, and change and remove one that the service manager owns.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.clock import Clock
from twisted_virtlog.connection import Connection, PeerCredentials, peer_credentials
from twisted_virtlog.interfaces import IConversation

#: As virtlogd's; Debian's libvirtd opens a connection for each operation on a guest.
BACKLOG = 30

#: So many clients are accepted in one turn of the reactor.
_ACCEPTS_PER_TURN = 16

#: Without descriptors left, accepting pauses for so long.
_PAUSE_SECONDS = 1.0

#: When the daemon stops, clients have so long to read the answers that they asked for.
_FINISH_SECONDS = 5.0


class ListenError(Exception):
    """A socket cannot be listened on; the message says which, why, and who has it."""


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
        self._file = _file_of(bound) if bound else None
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
            if self._bound and _file_of(self._bound) == self._file:
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


class _UnixSockets:
    """What Twisted's endpoints see as a reactor: it can listen on UNIX sockets and nothing else."""

    def __init__(self, reactor: IReactorFDSet, clock: Clock, door: Door) -> None:
        self._reactor = reactor
        self._clock = clock
        self._door = door

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int, mode: int, wantPID: bool
    ) -> Listener:
        # Whatever the mode says, nobody but the owner gets in.
        return self._started(bind(address, mode & 0o700), os.path.abspath(address))

    def adoptStreamPort(self, fd: int, family: int, factory: Factory) -> Listener:
        given = socket.socket(fileno=fd)
        try:
            if given.family != socket.AF_UNIX:
                raise ListenError(
                    f"{self._door.name}: descriptor {fd} is no UNIX socket;"
                    " only those tell who asks"
                )
            given.listen(BACKLOG)
            return self._started(given.dup(), None)
        finally:
            # (it is the endpoint's, which closes it)
            given.detach()

    def _started(self, sock: socket.socket, bound: str | None) -> Listener:
        listener = Listener(self._reactor, self._clock, sock, bound, self._door)
        listener.startListening()
        return listener


def listen(reactor: IReactorFDSet, clock: Clock, endpoint: str, door: Door) -> Listener:
    """Listen where a server endpoint string says.

    :param endpoint: as ``unix:/run/libvirt/virtlogd-sock:mode=600`` or ``systemd:...``.
    :raises ListenError: it is no such string, or the socket cannot be had.
    """
    try:
        parsed = serverFromString(_UnixSockets(reactor, clock, door), endpoint)
        outcome: list[Listener | Failure] = []
        parsed.listen(Factory()).addBoth(outcome.append)
    except LookupError as error:
        raise ListenError(
            f"{door.name}: {endpoint!r}: no such socket was handed over; LISTEN_FDS and"
            " LISTEN_FDNAMES tell which were. Or write unix:/path"
        ) from error
    except Exception as error:
        # Twisted's parsers, and those of its plugins, raise what they like.
        reason = f" ({error})" if isinstance(error, ValueError | TypeError) else ""
        raise ListenError(
            f"{door.name}: {endpoint!r} is no UNIX socket's endpoint{reason}; write"
            " unix:/path:mode=600 or systemd:domain=UNIX:name=..."
        ) from error
    result = outcome[0]
    if isinstance(result, Failure):
        if result.check(ListenError):
            result.raiseException()
        raise ListenError(f"{door.name}: cannot listen on {endpoint!r}: {result.value}")
    return result


def bind(path: str, mode: int) -> socket.socket:
    """Make a listening socket at a path, in place of one whose daemon is dead.

    :param mode: of the socket's file.
    :raises ListenError: a live process has it, or it cannot be made.
    """
    try:
        with _locked(f"{path}.lock"):
            _remove_stale(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # The file never has more rights than its owner's, not even for a moment.
                umask = os.umask(0o177)
                try:
                    sock.bind(path)
                finally:
                    os.umask(umask)
                os.chmod(path, mode)
                sock.listen(BACKLOG)
            except BaseException:
                sock.close()
                raise
            return sock
    except OSError as error:
        raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {path}: it exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            # A daemon that stops removed it just now.
            return
        except BlockingIOError:
            # Its queue is full: somebody is there.
            raise ListenError(f"cannot listen on {path}: another daemon has it") from None
        raise ListenError(f"cannot listen on {path}: {_name(peer_credentials(probe))} has it")


def _name(peer: PeerCredentials) -> str:
    try:
        with open(f"/proc/{peer.pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"process {peer.pid} ({file.read().strip()})"
    except OSError:
        return f"process {peer.pid}"


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keep another daemon that starts now from removing the socket that was just made.

    :param path: of a file for this alone. The socket's directory would not do: whoever may read
        it could lock it, and so keep the daemon from starting.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who had the lock before has removed its file: then this is nobody's lock.
            if _file_of(path) == _identity(os.fstat(descriptor)):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        os.unlink(path)
                return
        finally:
            os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _file_of(path: str) -> tuple[int, int] | None:
    try:
        return _identity(os.lstat(path))
    except OSError:
        return None
