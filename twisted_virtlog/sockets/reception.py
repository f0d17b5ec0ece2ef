"""Where clients come in: servers, their listening sockets, and what a hand-over asks of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.state import DaemonState, ServerState, ServiceState
from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.idle import idle_since
from twisted_virtlog.sockets.connection import Connection
from twisted_virtlog.sockets.doors import Door
from twisted_virtlog.sockets.endpoints import adopt, listen
from twisted_virtlog.sockets.listener import Listener
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.sockets.server import Server


class Reception:
    """All servers that clients can reach, and their listening sockets.

    :ivar servers: those that are served.
    """

    _logger = Logger()

    def __init__(self, events: EventSet, clock: Clock) -> None:
        """Take over ``events``, to close it in the end; serve nobody yet."""
        self.servers: list[Server] = []
        self._events = events
        self._clock = clock
        self._listeners: list[Listener] = []

    def open(self, doors: Sequence[Door], resumed: bool) -> None:
        """Listen at all doors but those that are open since :meth:`resume`.

        :param resumed: as a former image served there, each failure is only logged.
        :raises ListenError: the socket of a door cannot be had.
        """
        for door in doors:
            if door.server in self.servers:
                continue
            if door.descriptors is not None:
                self.listen_on(door.descriptors, door.server)
            elif door.endpoint is not None:
                self.listen(door.endpoint, door.server, door.required and not resumed)

    def listen(self, endpoint: str, server: Server, required: bool) -> None:
        """Listen at an endpoint.

        :param required: otherwise a failure is only told.
        :raises ListenError: the socket cannot be had.
        """
        try:
            listener = listen(self._events, self._clock, endpoint, server)
        except ListenError as error:
            if required:
                raise
            self._logger.error("{error}", error=error)
            return
        self.servers.append(server)
        self._listeners.append(listener)
        self._logger.info(
            "{server}: listening on {endpoint}", server=server.name, endpoint=endpoint
        )

    def listen_on(self, descriptors: Sequence[int], server: Server) -> None:
        """Listen on sockets that a service manager handed over.

        :raises ListenError: one is not a UNIX socket, or cannot be listened on.
        """
        for descriptor in descriptors:
            try:
                self._listeners.append(adopt(self._events, self._clock, descriptor, server))
            except OSError as error:
                raise ListenError(
                    f"{server.name}: descriptor {descriptor} was handed over and cannot be"
                    f" listened on: {error.strerror}"
                ) from error
            os.close(descriptor)
        self.servers.append(server)
        self._logger.info(
            "{server}: listening on sockets that were handed over", server=server.name
        )

    def bind_again(self) -> None:
        """Listen again at the paths of sockets whose files were removed; see Listener."""
        for listener in self._listeners:
            listener.bind_again()

    def addresses(self, server: str) -> list[bytes]:
        """Return where clients of a server connect; see :attr:`Listener.address`."""
        found = [one.address for one in self._listeners if one.server.name == server]
        return [address for address in found if address is not None]

    def count(self) -> int:
        """Return how many clients are connected."""
        return sum(len(server.clients) for server in self.servers)

    def idle_since(self) -> float | None:
        """Return since when, on CLOCK_MONOTONIC, nobody is connected; None if somebody is.

        Those who only look on do not count.
        """
        return idle_since(server.idle_since for server in self.servers if not server.looks_on)

    # The end.

    def stop_listening(self) -> None:
        """Accept no more."""
        for listener in self._listeners:
            listener.stopListening()

    def finish(self) -> Deferred[list[tuple[bool, None]]]:
        """Answer what is in progress, and close all connections."""
        return DeferredList([server.finish(self._clock) for server in self.servers])

    def close(self) -> None:
        """Watch nobody any more."""
        self._events.close()
        self._listeners.clear()
        self.servers.clear()

    # A hand-over; see VirtlogService.

    def hold(self) -> None:
        """Take no more requests and clients; requests in progress go on."""
        self._events.hold()
        for connection in self._connections():
            connection.conversation.hold()

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        self._events.release()
        for connection in self._connections():
            connection.release()

    def waiting(self) -> int:
        """Return how many requests are in progress, whose answers come later."""
        return sum(connection.conversation.waiting for connection in self._connections())

    def end_subscriptions(self) -> None:
        """End what clients follow, and tell them."""
        for connection in self._connections():
            connection.conversation.end_subscriptions()

    def suspended(self, conversations: bool = True) -> dict[str, ServerState]:
        """Return what the next image needs of each server.

        :param conversations: with what clients sent and have not read.
        """
        return {server.name: self._suspended(server, conversations) for server in self.servers}

    def resume(self, state: DaemonState, doors: Sequence[Door]) -> None:
        """Go on with the former image's sockets and clients, as far as possible.

        :param doors: those that may be open now; of other servers, clients are disconnected.
        """
        for door in doors:
            former = state.servers.get(door.server.name)
            if former is not None and former.sockets and _goes_on(door, former):
                self._resume(door.server, former)
        served = {server.name for server in self.servers}
        for name in state.servers.keys() - served:
            self._logger.warn("{name}: no longer served; its clients are disconnected", name=name)
            close_all(state.servers[name].descriptors())

    def _resume(self, server: Server, former: ServerState) -> None:
        for one in former.sockets:
            try:
                self._listeners.append(Listener.resumed(self._events, self._clock, one, server))
            except OSError as error:
                self._logger.error(
                    "{server}: a socket cannot be taken over: {error}",
                    server=server.name,
                    error=error,
                )
                close_all([one.descriptor])
        self.servers.append(server)
        server.resume(self._events, former)

    def _suspended(self, server: Server, conversations: bool) -> ServerState:
        sockets = tuple(one.suspended() for one in self._listeners if one.server is server)
        state = server.suspended(conversations)
        return msgspec.structs.replace(state, services=(ServiceState(sockets),))

    def _connections(self) -> list[Connection]:
        return [client.connection for server in self.servers for client in server.clients.values()]


def _goes_on(door: Door, former: ServerState) -> bool:
    """Return whether a door stays open in this image.

    Some need not have an endpoint, where a service manager's sockets came over.
    """
    if door.endpoint is not None:
        return True
    return door.is_given and not any(socket.bound for socket in former.sockets)
