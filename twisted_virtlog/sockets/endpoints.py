"""Twisted's server endpoint strings, as far as they mean UNIX sockets: by path, or handed over.

Twisted parses the strings; what they then ask of the reactor, to listen at a path or to adopt a
descriptor, is done here. Twisted's own port would leave a socket open to others between bind and
chmod, and change and remove one that the service manager owns.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from twisted_virtlog.config.endpoint_strings import fault, with_scheme
from twisted_virtlog.errors import ListenError
from twisted_virtlog.loop.client_sockets import IClientEvents
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.sockets.binding import BACKLOG, bind
from twisted_virtlog.sockets.listener import Listener
from twisted_virtlog.sockets.server import Server

#: The mode of the file of a socket that a group may reach.
_GROUP_MODE = 0o660


class _UnixSockets:
    """What Twisted's endpoints see as a reactor: it can listen on UNIX sockets, nothing else."""

    def __init__(self, reactor: IClientEvents, clock: Clock, server: Server) -> None:
        self._reactor = reactor
        self._clock = clock
        self._server = server

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int, mode: int, wantPID: bool
    ) -> Listener:
        group = self._server.group
        # Whatever the mode says, nobody gets in but the owner, or a group that was named.
        sock = bind(address, mode & 0o700 if group is None else _GROUP_MODE, group)
        return self._started(sock, os.path.abspath(address))

    def adoptStreamPort(self, fd: int, family: int, factory: Factory) -> Listener:
        return adopt(self._reactor, self._clock, fd, self._server)

    def _started(self, sock: socket.socket, bound: str | None) -> Listener:
        listener = Listener(self._reactor, self._clock, sock, bound, self._server)
        listener.startListening()
        return listener


def adopt(reactor: IClientEvents, clock: Clock, descriptor: int, server: Server) -> Listener:
    """Listen on a socket that was handed over.

    :param descriptor: it stays the caller's.
    :raises ListenError: it is not a UNIX socket.
    :raises OSError: it is not a socket at all, or cannot be listened on.
    """
    with ExitStack() as undo:
        own = os.dup(descriptor)
        undo.callback(os.close, own)
        given = socket.socket(fileno=own)
        undo.pop_all()
        undo.callback(given.close)
        if given.family != socket.AF_UNIX:
            raise ListenError(
                f"{server.name}: descriptor {descriptor} is not a UNIX socket;"
                " only those say who connects"
            )
        given.listen(BACKLOG)
        undo.pop_all()
    listener = Listener(reactor, clock, given, None, server)
    listener.startListening()
    return listener


def listen(reactor: IClientEvents, clock: Clock, endpoint: str, server: Server) -> Listener:
    """Listen where a server endpoint string says.

    :param endpoint: as ``unix:/run/libvirt/virtlogd-sock:mode=600`` or ``systemd:...``; a path
        without ``unix:`` is taken as if that stood before it.
    :raises ListenError: it is not such a string, or the socket cannot be had.
    """
    if wrong := fault(with_scheme(endpoint)):
        raise ListenError(
            f"{server.name}: cannot listen on {endpoint!r}: {wrong}; write unix:/path or"
            " unix:/path:mode=600"
        )
    try:
        parsed = serverFromString(_UnixSockets(reactor, clock, server), with_scheme(endpoint))
        outcome: list[Listener | Failure] = []
        parsed.listen(Factory()).addBoth(outcome.append)
    except LookupError as error:
        raise ListenError(
            f"{server.name}: {endpoint!r}: no such socket was handed over; LISTEN_FDS and"
            " LISTEN_FDNAMES tell which were. Or write unix:/path"
        ) from error
    except Exception as error:
        # Twisted's parsers and those of its plugins raise anything, with messages of their own.
        raise ListenError(
            f"{server.name}: {endpoint!r} is not the endpoint of a UNIX socket; write"
            " unix:/path:mode=600 or systemd:domain=UNIX:name=..."
        ) from error
    result = outcome[0]
    if isinstance(result, Failure):
        if result.check(ListenError):
            result.raiseException()
        raise ListenError(f"{server.name}: cannot listen on {endpoint!r}: {result.value}")
    return result
