"""The clients of one protocol, behind any number of listening sockets, and how many may come."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from twisted_virtlog.handover.state import ClientState, ConnectionState, ServerState, SocketState
from twisted_virtlog.interfaces import IConversation
from twisted_virtlog.loop.client_sockets import IClientEvents
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.shares import Shares
from twisted_virtlog.sockets.connection import Connection
from twisted_virtlog.sockets.descriptor_budget import DescriptorBudget
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.sockets.peer_credentials import PeerCredentials, peer_credentials
from twisted_virtlog.sockets.request_budget import RequestBudget

#: When the daemon stops, clients have this long to read the answers to their requests.
_FINISH_SECONDS = 5.0


class Client(Struct, frozen=True):
    """A connected client.

    :ivar id: counts from 1 for each server and is never used again.
    :ivar connected_at: seconds since the epoch.
    """

    id: int
    connected_at: int
    peer: PeerCredentials
    connection: Connection


class Entrance(Protocol):
    """A listening socket that lets clients in."""

    def open_or_shut(self) -> None:
        """Accept or not, as :attr:`Server.full` says."""


class Server:
    """What libvirt calls a server; see the module.

    At the limit no more clients are accepted; those that connect wait, and nobody is turned away.
    As in libvirt 9.0.0, the limit is checked after a client has come, so that the first one always
    may; a server may be told to keep to a limit of 0 instead.

    :ivar name: as virt-admin shows it.
    :ivar clients: those who are served now, by id, in order of arrival.
    :ivar next_client_id: a client that is turned away takes an id too, as in libvirt.
    :ivar max_clients: see :meth:`limit`.
    :ivar max_anonymous_clients: of those not authenticated yet, which no client ever is.
    :ivar priority_workers: what libvirt's tools set; nothing depends on it.
    :ivar refused: how many clients were turned away, as they are of users who are not served.
    """

    _logger = Logger()

    def __init__(
        self,
        name: str,
        uids: Container[int],
        max_clients: int,
        converse: Callable[[], IConversation],
        budget: RequestBudget | None = None,
        lets_first_in: bool = True,
        shares: Shares | None = None,
        descriptors: DescriptorBudget | None = None,
        looks_on: bool = False,
    ) -> None:
        """Serve nobody before a listening socket is added.

        :param uids: the users who are served.
        :param converse: makes the protocol of one connection.
        :param budget: what the clients' unfinished requests may hold; None for no limit.
        :param lets_first_in: whether the first client is let in at a limit of 0.
        :param shares: of the reactor's time that a client may have; None for no limit.
        :param descriptors: what may be on their way to the clients; None for no limit.
        :param looks_on: whether its clients only look on, so that nobody needs the daemon for them.
        """
        self.name = name
        self.looks_on = looks_on
        self.max_clients = max_clients
        self.max_anonymous_clients = max_clients
        self.priority_workers = 0
        self.refused = 0
        self.clients: dict[int, Client] = {}
        self.next_client_id = 1
        self.converse = converse
        self._budget = budget
        self._shares = shares
        self._descriptors = descriptors
        self._lets_first_in = lets_first_in
        #: The group that may reach its socket's file; None: its owner alone.
        self.group: int | None = None
        self._uids = uids
        self._entrances: list[Entrance] = []
        self._finished: Deferred[None] | None = None
        self._left_at = time.monotonic()

    @property
    def full(self) -> bool:
        """Whether as many clients are connected as may be."""
        return len(self.clients) >= self.max_clients

    @property
    def lets_nobody_in(self) -> bool:
        """Whether not even the first client may come."""
        return not (self.max_clients or self._lets_first_in)

    @property
    def idle_since(self) -> float | None:
        """Since when nobody is connected, in seconds of CLOCK_MONOTONIC; None while somebody is."""
        return None if self.clients else self._left_at

    def add_entrance(self, entrance: Entrance) -> None:
        """Let a listening socket know when there is room."""
        self._entrances.append(entrance)
        if not self.max_clients:
            self._logger.warn(
                "{server}: the limit is 0 clients; {who} is let in",
                server=self.name,
                who="nobody" if self.lets_nobody_in else "only the first one, as by virtlogd,",
            )

    def limit(self, max_clients: int, max_anonymous_clients: int | None = None) -> None:
        """Set how many clients there may be; a lower number disconnects nobody.

        :param max_anonymous_clients: None for as many.
        """
        self.max_clients = max_clients
        self.max_anonymous_clients = (
            max_clients if max_anonymous_clients is None else max_anonymous_clients
        )
        if not max_clients:
            self._logger.warn(
                "{server}: the limit is 0 clients now; nobody is let in any more until it is set"
                " again over another socket, or SIGHUP sets it to what the configuration says",
                server=self.name,
            )
        self._open_or_shut()

    def admit(self, reactor: IClientEvents, sock: socket.socket) -> None:
        """Take over the socket of a client that connected, and serve or close it.

        A failure costs that client alone; nothing is raised.
        """
        number = self.next_client_id
        self.next_client_id += 1
        with self._guarded(sock, number):
            self._admit(reactor, sock, number)

    @contextmanager
    def _guarded(self, sock: socket.socket, number: int) -> Iterator[None]:
        """Let a failure with one client cost that one alone, and close its socket."""
        try:
            yield
        except Exception:  # noqa: BLE001 (the next client may fare better)
            self._logger.failure("a client of {server} cannot be served", server=self.name)
            client = self.clients.get(number)
            if client is not None:
                client.connection.abort()
            sock.close()

    def _admit(self, reactor: IClientEvents, sock: socket.socket, number: int) -> None:
        peer = peer_credentials(sock)
        if peer.uid not in self._uids:
            self._logger.error(
                "operation forbidden: Disallowing client {pid} with uid {uid} on {server}",
                pid=peer.pid,
                uid=peer.uid,
                server=self.name,
            )
            self.refused += 1
            sock.close()
            return
        connection = self.add(reactor, sock, self.converse(), number, int(time.time()))
        if self.full:
            self._logger.warn(
                "{server}: {count} clients are connected; no more are accepted until one leaves",
                server=self.name,
                count=len(self.clients),
            )
            self._open_or_shut()
        connection.start()

    def add(
        self,
        reactor: IClientEvents,
        sock: socket.socket,
        conversation: IConversation,
        number: int,
        connected_at: int,
    ) -> Connection:
        """Add a client; its connection is still to be started."""
        peer = peer_credentials(sock)
        connection = Connection(
            reactor,
            sock,
            peer,
            conversation,
            lambda _: self._left(number),
            self._budget,
            self._shares,
            self._descriptors,
        )
        self.clients[number] = Client(number, connected_at, peer, connection)
        return connection

    def suspended(self, conversations: bool = True) -> ServerState:
        """Return what the daemon's next image needs to go on, without the listening sockets.

        :param conversations: with what clients sent and have not read.
        """
        # (a conversation may send then, and find out that its client is gone)
        connections = {
            number: (
                client.connection.suspended()
                if conversations
                else ConnectionState(client.connection.conversation.outline())
            )
            for number, client in list(self.clients.items())
        }
        clients = [
            ClientState(
                client.id,
                client.connected_at,
                SocketState(client.connection.fileno(), is_client=True),
                connections[client.id],
            )
            for client in self.clients.values()
        ]
        return ServerState(
            max_clients=self.max_clients,
            next_client_id=self.next_client_id,
            clients=tuple(clients),
            max_anonymous_clients=self.max_anonymous_clients,
            priority_workers=self.priority_workers,
        )

    def resume(self, reactor: IClientEvents, state: ServerState) -> None:
        """Go on with the clients of the daemon's former image; close those where that fails."""
        self.max_clients = state.max_clients
        self.max_anonymous_clients = state.max_anonymous_clients
        self.priority_workers = state.priority_workers
        self.next_client_id = max(state.next_client_id, self.next_client_id)
        for client in state.clients:
            try:
                sock = socket.socket(fileno=client.socket.descriptor)
            except OSError as error:
                self._logger.error(
                    "{server}: client {id} cannot be taken over: {error}",
                    server=self.name,
                    id=client.id,
                    error=error,
                )
                close_all(client.descriptors())
                continue
            with self._guarded(sock, client.id):
                connection = self.add(
                    reactor, sock, self.converse(), client.id, client.connected_at
                )
                connection.resume(client.connection or ConnectionState())
        self._open_or_shut()

    def finish(self, clock: Clock) -> Deferred[None]:
        """Answer the requests in progress and close all connections.

        :returns: fires when all are closed; clients that do not read are cut off.
        """
        for client in list(self.clients.values()):
            client.connection.finish()
        if not self.clients:
            return succeed(None)
        self._finished = Deferred()
        late = clock.callLater(_FINISH_SECONDS, self._cut_off)
        return self._finished.addCallback(lambda _: late.cancel() if late.active() else None)

    def _left(self, number: int) -> None:
        del self.clients[number]
        self._left_at = time.monotonic()
        if self._finished is None:
            self._open_or_shut()
        elif not self.clients:
            self._finished.callback(None)

    def _open_or_shut(self) -> None:
        for entrance in self._entrances:
            entrance.open_or_shut()

    def _cut_off(self) -> None:
        for client in list(self.clients.values()):
            client.connection.abort()
