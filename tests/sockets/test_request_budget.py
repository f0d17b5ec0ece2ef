"""Unfinished requests take a bounded amount of memory, give it back at once, and starve nobody."""

from __future__ import annotations

import gc
import socket
import struct
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.interfaces import IConversation
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation
from twisted_virtlog.libvirt.program import serving
from twisted_virtlog.libvirt.protocol import LibvirtConversation
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.sockets.conversation import Conversation
from twisted_virtlog.sockets.request_budget import LOOK_SECONDS, SMALL_BYTES, RequestBudget
from twisted_virtlog.sockets.server import Server

MIB = 1024 * 1024
LIMIT = 4 * MIB


class Holder:
    """A client that sends as long as it is read from, and is told what the budget tells."""

    def __init__(self, budget: RequestBudget) -> None:
        self.budget = budget
        self.held = 0
        self.reading = True
        self.waits_for_client = True
        self.gone = ""

    def send(self, size: int) -> None:
        """Send a piece; it is not read from a client that is paused."""
        if self.reading and not self.gone:
            self.held += size
            self.reading = self.budget.update(self, self.held)

    def finish(self) -> None:
        """Have the request carried out."""
        self.held = 0
        self.reading = self.budget.update(self, 0)

    def room_made(self) -> None:
        assert not self.reading
        self.reading = True

    def disconnect(self, reason: str) -> None:
        self.gone = reason
        self.budget.remove(self)


class Room:
    """A budget and its clients."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.budget = RequestBudget(self.clock, LIMIT)

    def holders(self, count: int) -> list[Holder]:
        return [Holder(self.budget) for _ in range(count)]


@pytest.fixture
def room() -> Room:
    return Room()


def test_ordinary_requests_are_not_counted(room: Room) -> None:
    """They pass, however much others hold."""
    big, other, small = room.holders(3)
    big.send(LIMIT + MIB)
    other.send(MIB)
    assert (big.reading, other.reading) == (True, False)
    small.send(SMALL_BYTES)
    assert small.reading
    assert room.budget.held == LIMIT + 2 * MIB


def test_the_oldest_may_always_finish(room: Room) -> None:
    """Then there is room for the next oldest, and so on until all have been served."""
    holders = room.holders(10)
    for holder in holders:
        holder.send(MIB)
    assert [holder.reading for holder in holders] == [True] * 3 + [False] * 7
    for holder in holders:
        assert holder.reading
        holder.send(30 * MIB)
        assert holder.reading
        holder.finish()
    assert room.budget.held == 0


def test_only_as_many_go_on_as_there_is_room_for(room: Room) -> None:
    """A crowd that waits does not grow by a piece each whenever a little becomes free."""
    holders = room.holders(200)
    for holder in holders:
        holder.send(SMALL_BYTES + 1)
    assert sum(holder.reading for holder in holders) == 63
    before = room.budget.held
    holders[5].finish()
    woken = [holder for holder in holders[63:] if holder.reading]
    assert woken == []
    for holder in holders[6:140]:
        holder.finish()
    for holder in holders:
        holder.send(SMALL_BYTES)
    assert room.budget.held <= max(before, LIMIT + SMALL_BYTES)


def test_who_keeps_room_that_others_wait_for_is_disconnected(room: Room) -> None:
    """A client that stopped in the middle of a request, not one that the daemon lets wait."""
    stopped, working, paused = room.holders(3)
    stopped.send(2 * MIB)
    working.send(MIB)
    working.waits_for_client = False
    paused.send(MIB)
    assert not paused.reading
    for _ in range(3):
        assert not stopped.gone
        room.clock.advance(LOOK_SECONDS)
    assert "holds 2097152 bytes of unfinished requests and sends nothing more" in stopped.gone
    assert paused.reading
    room.clock.advance(10 * LOOK_SECONDS)
    assert [working.gone, paused.gone] == ["", ""]


def test_who_sends_slowly_is_not_disconnected(room: Room) -> None:
    """As long as it gets on while others wait."""
    slow, paused = room.holders(2)
    slow.send(LIMIT)
    paused.send(MIB)
    for _ in range(20):
        room.clock.advance(LOOK_SECONDS)
        slow.send(SMALL_BYTES)
        assert not slow.gone
        assert not paused.reading
    for _ in range(20):
        slow.send(SMALL_BYTES // 10)
        room.clock.advance(LOOK_SECONDS)
    assert slow.gone


def test_nobody_is_disconnected_while_there_is_room(room: Room) -> None:
    """However long a request stays unfinished."""
    holder = room.holders(1)[0]
    holder.send(LIMIT * 2)
    room.clock.advance(1000)
    assert not holder.gone
    assert not room.clock.getDelayedCalls()


def test_a_closed_budget_looks_no_more(room: Room) -> None:
    """The daemon ends."""
    first, second = room.holders(2)
    first.send(LIMIT)
    second.send(MIB)
    assert room.clock.getDelayedCalls()
    room.budget.close()
    assert not room.clock.getDelayedCalls()


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from(["send", "much", "finish", "leave", "look"])),
        max_size=100,
    )
)
def test_any_course(steps: list[tuple[int, str]]) -> None:
    """The sum is right, the limit holds but for the oldest, and somebody can always go on."""
    room = Room()
    holders = room.holders(8)
    for number, step in steps:
        holder = holders[number]
        if step in ("send", "much"):
            holder.send(SMALL_BYTES if step == "send" else MIB)
        elif step == "finish" and holder.held:
            holder.finish()
        elif step == "leave":
            room.budget.remove(holder)
            holders[number] = Holder(room.budget)
        elif step == "look":
            room.clock.advance(LOOK_SECONDS)
            holders = [Holder(room.budget) if one.gone else one for one in holders]
        counted = [one for one in holders if one.held > SMALL_BYTES]
        assert room.budget.held == sum(one.held for one in counted)
        if counted:
            assert any(one.reading for one in counted)
        if room.budget.held < LIMIT:
            assert sum(one.reading for one in holders) > 0
        # Each reads a piece before it is paused.
        others = room.budget.held - max((one.held for one in counted), default=0)
        assert others <= LIMIT + len(counted) * MIB
    while any(one.held for one in holders):
        for one in [one for one in holders if one.held and one.reading]:
            one.finish()
    assert room.budget.held == 0
    assert all(one.reading for one in holders)


# With connections.

_HEADER = struct.Struct(">7I")


def libvirt_request(size: int) -> bytes:
    """Make a call of an unknown procedure."""
    return _HEADER.pack(size, 0x87539319, 1, 99, 0, 1, 0) + bytes(size - _HEADER.size)


def jsonrpc_request(size: int) -> bytes:
    """Make a request of an unknown method."""
    head, tail = b'{"jsonrpc":"2.0","id":1,"method":"x","params":["', b'"]}'
    return head + b"a" * (size - len(head) - len(tail)) + tail


def headers_request(size: int) -> bytes:
    """Make a request with headers as of the Language Server Protocol."""
    return b"Content-Length: %d\r\n\r\n" % size + jsonrpc_request(size)


def http_request(size: int) -> bytes:
    """Make a request over HTTP."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % size + jsonrpc_request(size)


KINDS = pytest.mark.parametrize(
    ("converse", "request_of"),
    [
        (lambda: LibvirtConversation(serving(), at_once), libvirt_request),
        *(
            (lambda: JSONRPCConversation(cast(Any, None)), request_of)
            for request_of in (jsonrpc_request, headers_request, http_request)
        ),
    ],
    ids=["libvirt", "texts", "headers", "http"],
)


class Host:
    """A server with a budget."""

    def __init__(self, stack: ExitStack, converse: Callable[[], IConversation]) -> None:
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.budget = RequestBudget(self.clock, LIMIT)
        self.server = Server("a server", _Everybody(), 100, converse, self.budget)
        self._stack = stack

    def connect(self) -> socket.socket:
        theirs, ours = socket.socketpair()
        self._stack.enter_context(theirs)
        theirs.setblocking(False)
        self.server.admit(self.reactor, ours)
        return theirs

    def send(self, *waiting: tuple[socket.socket, memoryview]) -> list[memoryview]:
        """Send to all in turns, as far as they are read from; tell what is left of each."""
        left = dict(waiting)
        self.reactor.run()
        moved = True
        while moved:
            moved = False
            for sock, data in left.items():
                with suppress(BlockingIOError):
                    sent = sock.send(data[:200_000]) if data else 0
                    moved = moved or sent > 0
                    left[sock] = data[sent:]
            self.reactor.run()
        return list(left.values())


class _Everybody(frozenset[int]):
    def __contains__(self, uid: object) -> bool:
        return True


@contextmanager
def host_of(converse: Callable[[], IConversation]) -> Iterator[Host]:
    """Make a host whose clients are all gone in the end."""
    with ExitStack() as stack:
        host = Host(stack, converse)
        yield host
        for client in list(host.server.clients.values()):
            client.connection.abort()
        assert host.budget.held == 0


@KINDS
def test_clients_that_send_much_at_once_are_all_answered(
    converse: Callable[[], IConversation], request_of: Callable[[int], bytes]
) -> None:
    """In turns, with bounded memory, while another's small request is answered at once."""
    request = request_of(2 * MIB)
    with host_of(converse) as host:
        clients = [host.connect() for _ in range(20)]
        parts = [(client, memoryview(request)[:-1]) for client in clients]
        left = host.send(*parts)
        assert LIMIT <= host.budget.held <= LIMIT + 2 * MIB + 20 * 2 * SMALL_BYTES
        assert sum(map(len, left)) > 0
        quick = host.connect()
        host.send((quick, memoryview(request_of(1000))))
        assert quick.recv(100)
        rest = [
            (client, memoryview(bytes(data) + request[-1:]))
            for client, data in zip(clients, left, strict=True)
        ]
        assert not any(host.send(*rest))
        assert all(client.recv(1000) for client in clients)
        assert host.budget.held == 0


@KINDS
def test_what_a_client_sent_is_freed_when_it_leaves(
    converse: Callable[[], IConversation], request_of: Callable[[int], bytes]
) -> None:
    """At once, and without waiting until Python looks for what refers to itself."""
    gc.collect()
    gc.disable()
    try:
        with host_of(converse) as host:
            client = host.connect()
            host.send((client, memoryview(request_of(MIB))[:-1]))
            assert host.budget.held > 900_000
            (one,) = host.server.clients.values()
            held = [weakref.ref(one.connection.conversation), weakref.ref(one.connection)]
            del one
            client.close()
            host.reactor.run()
            assert [reference() for reference in held] == [None, None]
            assert host.budget.held == 0
    finally:
        gc.enable()


@KINDS
def test_what_a_client_sent_is_freed_though_an_answer_is_awaited(
    converse: Callable[[], Conversation], request_of: Callable[[int], bytes]
) -> None:
    """The request in progress refers to its conversation, which keeps nothing."""
    with host_of(converse) as host:
        client = host.connect()
        host.send((client, memoryview(request_of(MIB))[:-1]))
        (one,) = host.server.clients.values()
        conversation = one.connection.conversation
        assert conversation.held_bytes > 900_000
        one.connection.abort()
        assert conversation.held_bytes == 0


@KINDS
def test_memory_of_a_request_that_was_carried_out_is_given_back(
    converse: Callable[[], Conversation], request_of: Callable[[int], bytes]
) -> None:
    """Also when the beginning of the next one has come with its end."""
    with host_of(converse) as host:
        client = host.connect()
        request = request_of(MIB)
        host.send((client, memoryview(request + request[:20])))
        assert client.recv(1000)
        (one,) = host.server.clients.values()
        assert one.connection.conversation.held_bytes <= SMALL_BYTES
        assert host.budget.held == 0


def test_a_client_that_stops_is_disconnected_for_another() -> None:
    """The own log says who, and the other is served."""
    request = libvirt_request(3 * MIB)
    with host_of(lambda: LibvirtConversation(serving(), at_once)) as host:
        stopped, other = host.connect(), host.connect()
        host.send((stopped, memoryview(request)[:-1]))
        (left,) = host.send((other, memoryview(request)))
        assert left
        with capturedLogs() as logged:
            host.clock.advance(LOOK_SECONDS)
            host.clock.advance(LOOK_SECONDS)
            host.clock.advance(LOOK_SECONDS)
        assert stopped.recv(1) == b""
        (event,) = logged
        assert "is disconnected: it holds 3145727 bytes" in event["log_format"].format(**event)
        assert host.send((other, left)) == [memoryview(b"")]
        assert other.recv(100)
