"""Clients and listening sockets that the daemon's next image goes on with."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from tests.fakes.conversation import Buffered
from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import (
    PATIENCE,
    descriptors_open,
    fill,
    inodes_of,
    make_descriptors,
    receive_exactly,
    receive_to_end,
)
from twisted_virtlog.handover.state import (
    ClientState,
    ConnectionState,
    DaemonState,
    ServerState,
    ServiceState,
    SocketState,
    decode,
    encode,
)
from twisted_virtlog.interfaces import IConversation
from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.sockets import connection
from twisted_virtlog.sockets.connection import CONGESTED_BYTES
from twisted_virtlog.sockets.doors import Door
from twisted_virtlog.sockets.endpoints import adopt, listen
from twisted_virtlog.sockets.listener import Listener
from twisted_virtlog.sockets.reception import Reception
from twisted_virtlog.sockets.server import Server
from twisted_virtlog.values import Queued, Suspended


class Times(Buffered):
    """Answers each letter by a thousand of it."""

    def handle_next(self) -> bool:
        letter, self.buffer = self.buffer[:1], self.buffer[1:]
        if letter:
            self.connection.send(letter * 1000)
        return bool(letter)

    def suspended(self) -> Suspended:
        return msgspec.structs.replace(super().suspended(), received=self.buffer)

    def resume(self, state: Suspended) -> None:
        super().resume(state)
        self.buffer = state.received


class Talkative(Times):
    """Has more to say when it is suspended, as one with a part of a batch's answer."""

    def suspended(self) -> Suspended:
        self.connection.send(b"a part")
        return super().suspended()


class Host:
    """A server, and that of the next image, each on a reactor of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.server = self.make()

    def make(self, max_clients: int = 100, converse: Callable[[], IConversation] = Times) -> Server:
        """Make a server."""
        server = Server("a server", {os.geteuid()}, max_clients, converse)
        self.stack.callback(self._disconnect, server)
        return server

    def connect(self, data: bytes = b"") -> socket.socket:
        """Be a client, who sends something at once."""
        theirs, ours = socket.socketpair()
        theirs.settimeout(PATIENCE)
        self.stack.enter_context(theirs)
        self.server.admit(self.reactor, ours)
        theirs.send(data)
        self.reactor.run()
        return theirs

    def hand_over(self, server: Server | None = None) -> ServerState:
        """Go on with the clients as the next image; give what it was told."""
        state = self.suspended()
        for client in self.server.clients.values():
            # An exec leaves the descriptor, and nothing that would close it.
            client.connection._socket.detach()
        self.server.clients.clear()
        self.reactor = FakeReactor()
        self.server = server or self.make()
        self.server.resume(self.reactor, state)
        return state

    def suspended(self) -> ServerState:
        """Suspend the server, and write its state down and read it as in a hand-over."""
        document = encode(DaemonState(1, {"virtlogd": self.server.suspended()}, ()))
        return decode(document).servers["virtlogd"]

    def _disconnect(self, server: Server) -> None:
        for client in list(server.clients.values()):
            client.connection.abort()


@pytest.fixture
def host() -> Iterator[Host]:
    """A server that can hand over; nothing of it is left open."""
    before = descriptors_open()
    with ExitStack() as stack:
        yield Host(stack)
    assert descriptors_open() == before


# Servers.


def test_clients_keep_their_numbers_and_times(host: Host) -> None:
    """And the next one gets the next number, also after one that has left."""
    first, second, third = (host.connect() for _ in range(3))
    second.close()
    host.reactor.run()
    before = list(host.server.clients.values())
    host.hand_over()
    after = list(host.server.clients.values())
    assert [(one.id, one.connected_at, one.peer) for one in after] == [
        (one.id, one.connected_at, one.peer) for one in before
    ]
    for client in (first, third):
        client.send(b"x")
        host.reactor.run()
        assert receive_exactly(client, 1000) == b"x" * 1000
    host.connect()
    assert list(host.server.clients) == [1, 3, 4]


def test_limits_that_somebody_set_go_over(host: Host) -> None:
    """They hold in place of those of the configuration."""
    host.connect()
    host.server.limit(2, 1)
    host.server.priority_workers = 7
    host.hand_over()
    server = host.server
    assert (server.max_clients, server.max_anonymous_clients, server.priority_workers) == (2, 1, 7)
    assert not server.full
    host.connect()
    assert server.full


def test_who_leaves_meanwhile_is_found_out(host: Host) -> None:
    """As soon as the next image looks."""
    host.connect().close()
    host.connect()
    host.hand_over()
    host.reactor.run()
    assert list(host.server.clients) == [2]


def test_who_is_gone_when_all_stands_still_is_left_out(host: Host) -> None:
    """It is found out by what its conversation has still to send; the others go over."""
    host.server = host.make(converse=Talkative)
    gone, stays = host.connect(), host.connect()
    gone.close()
    state = host.hand_over()
    assert [client.id for client in state.clients] == [2]
    assert receive_exactly(stays, 6) == b"a part"
    stays.send(b"x")
    host.reactor.run()
    assert receive_exactly(stays, 1000) == b"x" * 1000


def test_a_client_that_cannot_be_taken_over_costs_no_other(host: Host) -> None:
    """It is told of, and what it had is closed."""
    client = host.connect()
    state = host.suspended()
    (good,) = state.clients
    descriptors, _ = make_descriptors(3)
    queued = Queued(b"x", tuple(descriptors[1:]))
    bad = ClientState(
        9, 1, SocketState(descriptors[0], is_client=True), ConnectionState(queued=(queued,))
    )
    (former,) = host.server.clients.values()
    former.connection._socket.detach()
    host.server.clients.clear()
    host.reactor, host.server = FakeReactor(), host.make()
    with capturedLogs() as logged:
        host.server.resume(host.reactor, msgspec.structs.replace(state, clients=(bad, good)))
    assert [event["id"] for event in logged] == [9]
    assert list(host.server.clients) == [1]
    client.send(b"x")
    host.reactor.run()
    assert receive_exactly(client, 1000) == b"x" * 1000


# Connections.


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 3)), max_size=8), st.data())
def test_what_nobody_read_yet_goes_over_in_order(
    messages: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Bytes and descriptors, however much the client reads before and after."""
    before = descriptors_open()
    with ExitStack() as stack:
        host = Host(stack)
        client = host.connect()
        (one,) = host.server.clients.values()
        # (the client's socket is full, so that all waits)
        filled = fill(one.connection._socket)
        text, inodes = b"", []
        for number, (size, count) in enumerate(messages):
            descriptors, found = make_descriptors(count)
            one.connection.send(b"%d" % (number % 10) * size, descriptors)
            text += b"%d" % (number % 10) * size
            inodes += found
        seen = data.draw(st.sampled_from((0, 1, filled // 2)))
        receive_exactly(client, seen)
        if data.draw(st.booleans()):
            host.reactor.run()
        host.hand_over()
        got, came = _read(client, host, seen, filled + len(text))
        assert got[-len(text) :] == text if text else True
        assert came == inodes
        client.send(b"x")
        host.reactor.run()
        assert receive_exactly(client, 1000) == b"x" * 1000
    assert descriptors_open() == before


def test_a_client_that_reads_all_in_the_pause_is_served_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers leave at once then, and nothing that waits would tell of room."""
    monkeypatch.setattr(connection, "CONGESTED_BYTES", 10_000)
    monkeypatch.setattr(connection, "_GATHERED_BYTES", 1000)
    client = host.connect()
    (one,) = host.server.clients.values()
    filled = fill(one.connection._socket)
    client.send(b"a" * 10 + b"z")
    host.reactor.run()
    assert one.connection.congested
    receive_exactly(client, filled)
    host.hand_over()
    assert receive_exactly(client, 11_000) == b"a" * 10_000 + b"z" * 1000
    client.send(b"x")
    host.reactor.run()
    assert receive_exactly(client, 1000) == b"x" * 1000


def test_a_client_that_reads_nothing_is_not_served(host: Host) -> None:
    """Its requests wait in the next image too, and are answered once it reads."""
    client = host.connect()
    requests = 2 * CONGESTED_BYTES // 1000
    client.send(b"a" * requests)
    host.reactor.run()
    (one,) = host.server.clients.values()
    assert one.connection.congested
    client.send(b"a" * 10)
    state = host.hand_over()
    assert host.suspended().clients == state.clients
    client.send(b"z")
    text = b""
    while len(text) < 1000 * (requests + 11):
        text += client.recv(65536)
        host.reactor.run()
    assert text == b"a" * (1000 * (requests + 10)) + b"z" * 1000


def test_a_connection_that_was_to_be_closed_is_closed(host: Host) -> None:
    """Once all is sent, however late the client reads."""
    client = host.connect()
    (one,) = host.server.clients.values()
    filled = fill(one.connection._socket)
    client.send(b"a")
    client.shutdown(socket.SHUT_WR)
    host.reactor.run()
    host.hand_over()
    assert len(host.server.clients) == 1
    receive_exactly(client, filled)
    host.reactor.run()
    assert receive_to_end(client) == b"a" * 1000
    assert not host.server.clients


def test_an_end_of_input_is_remembered(host: Host) -> None:
    """Who sends nothing more gets all answers, and then the end."""
    client = host.connect()
    (one,) = host.server.clients.values()
    one.connection.conversation.hold()
    client.send(b"ab")
    client.shutdown(socket.SHUT_WR)
    host.reactor.run()
    host.hand_over()
    host.reactor.run()
    assert receive_to_end(client) == b"a" * 1000 + b"b" * 1000
    assert not host.server.clients


def _read(client: socket.socket, host: Host, seen: int, until: int) -> tuple[bytes, list[int]]:
    """Read with descriptors while the server sends."""
    text, inodes = b"", []
    while seen + len(text) < until:
        host.reactor.run()
        data, descriptors, _, _ = socket.recv_fds(client, 65536, 253)
        assert data, "the connection ended too early"
        text += data
        inodes += inodes_of(descriptors)
    return text, inodes


# Listening sockets.


def _next(host: Host, listener: Listener, server: Server | None = None) -> Listener:
    """Listen on as the next image."""
    state = listener.suspended()
    listener._socket.detach()
    host.reactor = FakeReactor()
    resumed = Listener.resumed(host.reactor, host.clock, state, server or host.make())
    host.stack.callback(resumed.stopListening)
    return resumed


def test_clients_find_the_socket_that_went_over(host: Host, tmp_path: Path) -> None:
    """Those too who connected in the pause; it goes when the next image ends."""
    path = tmp_path / "sock"
    listener = listen(host.reactor, host.clock, f"unix:{path}:mode=600", host.server)
    early = host.stack.enter_context(socket.socket(socket.AF_UNIX))
    early.connect(str(path))
    for _ in range(2):
        listener = _next(host, listener)
    assert listener.getHost().name == os.fsencode(path)
    assert listener.address == os.fsencode(path)
    late = host.stack.enter_context(socket.socket(socket.AF_UNIX))
    late.connect(str(path))
    host.reactor.run()
    assert len(listener.server.clients) == 2
    listener.stopListening()
    assert not path.exists()


def test_another_daemon_s_socket_is_not_removed(host: Host, tmp_path: Path) -> None:
    """Somebody may have put it in the place of ours meanwhile."""
    path = tmp_path / "sock"
    listener = listen(host.reactor, host.clock, f"unix:{path}", host.server)
    path.unlink()
    path.write_text("another's")
    _next(host, listener).stopListening()
    assert path.read_text() == "another's"


def test_a_relative_path_is_found_from_elsewhere(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the socket was made counts, not where the daemon ends."""
    monkeypatch.chdir(tmp_path)
    listener = _next(host, listen(host.reactor, host.clock, "unix:sock", host.server))
    listener = _next(host, listener)
    monkeypatch.chdir("/")
    assert listener.address == os.fsencode(tmp_path / "sock")
    listener.stopListening()
    assert not (tmp_path / "sock").exists()


def test_a_service_manager_s_socket_stays_where_it_is(host: Host, tmp_path: Path) -> None:
    """In every image."""
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        listener = _next(host, adopt(host.reactor, host.clock, theirs.fileno(), host.server))
        listener = _next(host, listener)
        assert listener.address == os.fsencode(path)
        listener.stopListening()
        assert path.is_socket()


def test_where_clients_connect(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every socket that others can find has an address."""
    monkeypatch.chdir(tmp_path)
    reception = Reception(EventSet(host.reactor), host.clock)
    abstract = b"\0" + os.fsencode(tmp_path)
    sockets = [host.stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
    for one, name in zip(sockets, (abstract, "relative", f"{tmp_path}/\udcff"), strict=True):
        one.bind(name)
    reception.listen_on([os.dup(one.fileno()) for one in sockets], host.server)
    other = Server("another server", (), 1, Times)
    reception.listen("unix:other", other, required=True)
    assert reception.addresses("a server") == [abstract, os.fsencode(tmp_path) + b"/\xff"]
    assert reception.addresses("another server") == [os.fsencode(tmp_path / "other")]
    assert reception.addresses("no server") == []
    reception.stop_listening()
    assert reception.addresses("a server") == []
    reception.close()


def test_a_server_that_was_full_stays_so(host: Host, tmp_path: Path) -> None:
    """Who waits is let in when somebody leaves."""
    path = tmp_path / "sock"
    listener = listen(host.reactor, host.clock, f"unix:{path}", host.make(max_clients=1))
    client = host.stack.enter_context(socket.socket(socket.AF_UNIX))
    client.connect(str(path))
    host.reactor.run()
    state = listener.server.suspended()
    (former,) = listener.server.clients.values()
    former.connection._socket.detach()
    listener.server.clients.clear()
    server = host.make()
    listener = _next(host, listener, server)
    server.resume(host.reactor, state)
    waiting = host.stack.enter_context(socket.socket(socket.AF_UNIX))
    waiting.connect(str(path))
    host.reactor.run()
    assert list(server.clients) == [1]
    client.close()
    host.reactor.run()
    assert list(server.clients) == [2]


def test_servers_that_are_no_longer_served(host: Host, tmp_path: Path) -> None:
    """Their clients see the end, and nothing stays open."""
    theirs, ours = socket.socketpair()
    client = ClientState(1, 1, SocketState(ours.detach(), is_client=True))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "sock"))
    former = ServerState(
        1, services=(ServiceState((SocketState(listening.detach()),)),), clients=(client,)
    )
    reception = Reception(EventSet(host.reactor), host.clock)
    with theirs, capturedLogs() as logged:
        reception.resume(DaemonState(1, {"jsonrpc": former}, ()), [Door(host.server, "unix:/x")])
        assert theirs.recv(1) == b""
    assert [event["name"] for event in logged] == ["jsonrpc"]
    assert reception.servers == []
    reception.close()


def test_a_listening_socket_that_is_none(host: Host) -> None:
    """The server listens on its others."""
    file = os.open(os.devnull, os.O_RDONLY)
    theirs, ours = socket.socketpair()
    number = ours.detach()
    sockets = (SocketState(file), SocketState(number))
    state = ServerState(5, services=(ServiceState(sockets),))
    reception = Reception(EventSet(host.reactor), host.clock)
    with theirs, capturedLogs() as logged:
        reception.resume(DaemonState(1, {"a server": state}, ()), [Door(host.server, "unix:/x")])
        assert [event["server"] for event in logged if "error" in event] == ["a server"]
        assert reception.servers == [host.server]
        assert reception.suspended()["a server"].sockets == [SocketState(number)]
        reception.stop_listening()
    reception.close()
