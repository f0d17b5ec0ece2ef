"""Who is connected, by number and time, and how many may be."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

import pytest
from twisted.logger import capturedLogs

from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import descriptors_open
from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.sockets import server as servers
from twisted_virtlog.sockets.connection import Connection
from twisted_virtlog.sockets.conversation import Conversation
from twisted_virtlog.sockets.reception import Reception
from twisted_virtlog.sockets.server import Server


class Silent(Conversation):
    """Takes everything and says nothing."""

    held_bytes = 0

    def discard(self) -> None:
        pass

    def feed(self, data: bytes) -> None:
        pass

    def handle_next(self) -> bool:
        return False


class Entrance:
    """Remembers whether it was told to be open."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.open = True

    def open_or_shut(self) -> None:
        self.open = not self.server.full


class Host:
    """A server with one entrance."""

    def __init__(self, stack: ExitStack) -> None:
        self.reactor = FakeReactor()
        self.stack = stack

    def server(self, max_clients: int = 2, uids: frozenset[int] | None = None) -> Server:
        server = Server("a server", uids or {os.geteuid()}, max_clients, Silent)
        self.entrance = Entrance(server)
        server.add_entrance(self.entrance)
        self.stack.callback(self._disconnect, server)
        return server

    def admit(self, server: Server) -> socket.socket:
        theirs, ours = socket.socketpair()
        self.stack.enter_context(theirs)
        server.admit(self.reactor, ours)
        return theirs

    def _disconnect(self, server: Server) -> None:
        for client in list(server.clients.values()):
            client.connection.abort()


@pytest.fixture
def host() -> Iterator[Host]:
    """Where servers are made."""
    with ExitStack() as stack:
        yield Host(stack)


def test_clients_have_numbers_that_are_never_used_again(host: Host) -> None:
    """The first client is 1; one who left or was turned away leaves a gap."""
    server = host.server(max_clients=10)
    before = int(time.time())
    for _ in range(3):
        host.admit(server)
    server.clients[2].connection.abort()
    host.admit(server)
    assert list(server.clients) == [1, 3, 4]
    client = server.clients[4]
    assert before <= client.connected_at <= time.time()
    assert client.peer.pid == os.getpid()
    assert server.next_client_id == 5


def test_who_is_turned_away_has_a_number_too(host: Host) -> None:
    """As in libvirt; the connection is closed without a word."""
    server = host.server(uids=frozenset({os.geteuid() + 1}))
    assert host.admit(server).recv(1) == b""
    assert not server.clients
    assert server.next_client_id == 2


def test_a_client_that_cannot_be_watched_costs_nobody_anything(host: Host) -> None:
    """It is disconnected and not counted, so that the next one has its place."""
    server = host.server(max_clients=1)
    before = descriptors_open()
    for _ in range(3):
        host.reactor.refuses = True
        with capturedLogs() as logged:
            refused = host.admit(server)
        assert refused.recv(1) == b""
        assert not server.clients
        assert host.entrance.open
        text = logged[-1]["log_format"].format(**logged[-1])
        assert "cannot be served and is disconnected: [Errno 28]" in text
    host.reactor.refuses = False
    host.admit(server)
    assert len(server.clients) == 1
    assert not host.entrance.open
    # (three refused clients' own ends, and both ends of the last one)
    assert descriptors_open() == before + 5


@pytest.mark.parametrize("step", ["peer_credentials", "Connection"])
def test_a_client_that_fails_while_it_is_let_in_is_closed(
    host: Host, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str], step: str
) -> None:
    """Whatever fails, nothing is raised to who accepts, and others are let in."""
    expected_failures.append("ZeroDivisionError")
    server = host.server()
    with monkeypatch.context() as broken:
        broken.setattr(servers, step, lambda *_: 1 / 0)
        assert host.admit(server).recv(1) == b""
    assert not server.clients
    host.admit(server)
    assert list(server.clients) == [2]


def test_a_client_that_fails_as_it_starts_is_not_counted(
    host: Host, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """What fails after it was counted is taken back."""
    expected_failures.append("ZeroDivisionError")
    server = host.server()
    monkeypatch.setattr(Connection, "start", lambda _: 1 / 0)
    assert host.admit(server).recv(1) == b""
    assert not server.clients


def test_a_limit_holds_at_once(host: Host) -> None:
    """Raised, those who wait are let in; lowered, nobody is disconnected and nobody let in."""
    server = host.server(max_clients=2)
    host.admit(server)
    assert host.entrance.open
    host.admit(server)
    assert not host.entrance.open
    server.limit(3)
    assert host.entrance.open
    server.limit(1)
    assert not host.entrance.open
    assert len(server.clients) == 2
    server.clients[1].connection.abort()
    assert not host.entrance.open
    server.clients[2].connection.abort()
    assert host.entrance.open


def test_a_limit_of_none_lets_one_in(host: Host) -> None:
    """As in libvirt, which looks at the limit after a client came."""
    server = host.server(max_clients=0)
    assert host.entrance.open
    host.admit(server)
    assert not host.entrance.open


def test_who_looks_on_does_not_count_as_using_the_daemon(host: Host) -> None:
    """It may end while such a client is connected, and not while another is."""
    reception = Reception(cast(EventSet, None), cast(Clock, None))
    used = host.server()
    looked_at = Server("looked at", {os.geteuid()}, 2, Silent, looks_on=True)
    host.stack.callback(host._disconnect, looked_at)
    reception.servers += [used, looked_at]
    host.admit(looked_at)
    assert reception.count() == 1
    assert reception.idle_since() == used.idle_since
    host.admit(used)
    assert reception.idle_since() is None
