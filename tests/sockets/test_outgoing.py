"""Answers and their descriptors reach a client in order, whatever its socket takes at a time."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sockets.fakes import (
    PATIENCE,
    descriptors_open,
    fill,
    frame,
    inodes_of,
    make_descriptors,
    receive_as_libvirt,
    receive_exactly,
)
from twisted_virtlog.sockets.outgoing import AT_ONCE_BYTES, Outgoing

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A daemon's socket that does not block and takes little at a time, and its client's."""
    server, client = socket.socketpair()
    with server, client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        server.setblocking(False)
        client.settimeout(PATIENCE)
        yield server, client


def send_all(outgoing: Outgoing, server: socket.socket) -> None:
    """Send as a reactor would until nothing waits."""
    while not outgoing.send(server):
        assert select.select([], [server], [], PATIENCE)[1], "the client does not read"


class Reader(threading.Thread):
    """Receives libvirt's replies while the test sends them."""

    def __init__(self, client: socket.socket, count: int) -> None:
        super().__init__()
        self._client = client
        self._count = count
        self.received: list[Any] = []

    def run(self) -> None:
        try:
            for _ in range(self._count):
                self.received.append(receive_as_libvirt(self._client))
        except (AssertionError, OSError) as error:
            self.received.append(error)
            # (whoever sends must not wait for a reader that is gone)
            self._client.close()


def test_what_waits_is_sent_in_order(pair: Pair) -> None:
    """Many short answers come as one stream, and nothing is left waiting."""
    server, client = pair
    outgoing = Outgoing()
    assert not outgoing
    texts = [b"%d\n" % number for number in range(100)]
    for text in texts:
        outgoing.add(text)
    assert outgoing
    assert outgoing.size == sum(map(len, texts))
    assert outgoing.send(server)
    assert receive_exactly(client, sum(map(len, texts))) == b"".join(texts)
    assert not outgoing
    assert outgoing.size == 0


def test_a_slow_client_gets_every_byte_once(pair: Pair) -> None:
    """Answers much larger than the socket's room come whole, and the size tells what waits."""
    server, client = pair
    outgoing = Outgoing()
    sizes = [1, 300_000, 7, 70_000, 65_536, 65_535, 3, 1, 100_000]
    data = os.urandom(sum(sizes))
    begin = 0
    for size in sizes:
        outgoing.add(data[begin : begin + size])
        begin += size
    received = b""
    while outgoing:
        outgoing.send(server)
        received += client.recv(1_000_000)
        assert outgoing.size >= len(data) - len(received) - 100_000
    client.setblocking(False)
    while len(received) < len(data):
        received += client.recv(1_000_000)
    assert received == data
    assert outgoing.size == 0


def test_a_full_socket_loses_nothing(pair: Pair) -> None:
    """What a full socket does not take waits, descriptors open, and is sent when there is room."""
    server, client = pair
    filled = fill(server)
    (descriptor,), inodes = make_descriptors(1)
    before = descriptors_open()
    outgoing = Outgoing()
    outgoing.add(b"plain")
    outgoing.add(b"x", [descriptor])
    outgoing.add(b"after")
    assert not outgoing.send(server)
    assert not outgoing.send(server)
    assert outgoing.size == 11
    assert descriptors_open() == before
    receive_exactly(client, filled)
    assert outgoing.send(server)
    assert descriptors_open() == before - 1
    assert receive_exactly(client, 5) == b"plain"
    byte, received, _, _ = socket.recv_fds(client, 1, 1)
    assert (byte, inodes_of(received)) == (b"x", inodes)
    assert client.recv(100) == b"after"


NEIGHBOURS: dict[str, list[tuple[bytes, int]]] = {
    "nothing": [],
    "an answer": [(b"short", 0)],
    "many answers": [(b"%d" % number, 0) for number in range(50)],
    "a long answer": [(b"l" * 200_000, 0)],
    "an answer with a descriptor": [(b"open", 1)],
    "an answer with descriptors": [(b"open", 3), (b"open", 2)],
    "all kinds": [(b"open", 1), (b"l" * 99_999, 0), (b"open", 2), (b"x", 0), (b"y", 0)],
}


@pytest.mark.parametrize("full", [False, True], ids=["with room", "full"])
@pytest.mark.parametrize("after", NEIGHBOURS)
@pytest.mark.parametrize("before", NEIGHBOURS)
def test_libvirt_gets_its_descriptor(pair: Pair, before: str, after: str, full: bool) -> None:
    """Libvirt's plain reads lose no descriptor, whatever is queued before and after its answer."""
    server, client = pair
    filled = fill(server) if full else 0
    outgoing = Outgoing()
    expected = []
    for payload, count in [*NEIGHBOURS[before], (b"the open", 1), *NEIGHBOURS[after]]:
        descriptors, inodes = make_descriptors(count)
        reply = frame(payload, count)
        outgoing.add(reply)
        for descriptor in descriptors:
            outgoing.add(b"\0", [descriptor])
        expected.append((reply, inodes))
    assert outgoing.send(server) is not full or outgoing
    receive_exactly(client, filled)
    reader = Reader(client, len(expected))
    reader.start()
    try:
        send_all(outgoing, server)
    finally:
        reader.join()
    assert reader.received == expected


@pytest.mark.parametrize("size", [1, 100, 500_000])
def test_a_descriptor_comes_with_the_first_byte_of_its_text(pair: Pair, size: int) -> None:
    """A JSON-RPC client has its descriptors before the text that promised them has ended."""
    server, client = pair
    descriptors, inodes = make_descriptors(2)
    outgoing = Outgoing()
    outgoing.add(b"before\n")
    outgoing.add(b"t" * size, descriptors)
    outgoing.add(b"after\n")
    outgoing.send(server)
    assert receive_exactly(client, 7) == b"before\n"
    first, received, _, _ = socket.recv_fds(client, 1, 253)
    assert (first, inodes_of(received)) == (b"t", inodes)
    rest = b""
    while len(rest) < size - 1 + 6:
        outgoing.send(server)
        data, received, _, _ = socket.recv_fds(client, 100_000, 253)
        assert not received
        rest += data
    assert rest == b"t" * (size - 1) + b"after\n"


def test_more_descriptors_than_the_kernel_takes_with_one_message(pair: Pair) -> None:
    """A batch that opened 600 logs gets all their pipes, in order, before its newline."""
    server, client = pair
    descriptors, inodes = make_descriptors(600)
    text = b"[" + b"x" * 50 + b"]\n"
    outgoing = Outgoing()
    outgoing.add(text, descriptors)
    assert outgoing.size == len(text)
    data = b""
    found: list[int] = []
    while len(data) < len(text):
        outgoing.send(server)
        more, received, _, _ = socket.recv_fds(client, 1, 253)
        data += more
        found += inodes_of(received)
    assert data == text
    assert found == inodes
    assert outgoing.size == 0


class Takes:
    """A socket whose client reads as fast as is written.

    :ivar took: the number of bytes of each call.
    """

    def __init__(self) -> None:
        self.took: list[int] = []

    def send(self, data: memoryview) -> int:
        self.took.append(len(data))
        return len(data)

    def sendmsg(self, views: Sequence[memoryview]) -> int:
        self.took.append(sum(map(len, views)))
        return self.took[-1]


@pytest.mark.parametrize("size", [10_000, 100_000, 3_000_000])
def test_no_client_keeps_the_reactor_by_reading_fast(size: int) -> None:
    """So much is sent at once, in however many messages it waits."""
    outgoing, sock = Outgoing(), Takes()
    for _ in range(3_000_000 // size):
        outgoing.add(bytes(size))
    calls = 0
    while True:
        before = sum(sock.took)
        all_sent = outgoing.send(cast(socket.socket, sock))
        assert sum(sock.took) - before <= AT_ONCE_BYTES
        calls += 1
        if all_sent:
            break
    assert sum(sock.took) == 3_000_000
    assert calls == -(-3_000_000 // AT_ONCE_BYTES)
    assert outgoing.size == 0


def test_what_is_dropped_is_closed(pair: Pair) -> None:
    """A client that leaves before its descriptors were sent leaves none of them open here."""
    server, _ = pair
    fill(server)
    before = descriptors_open()
    outgoing = Outgoing()
    for _ in range(3):
        outgoing.add(b"text", make_descriptors(300)[0])
    assert not outgoing.send(server)
    assert descriptors_open() == before + 900
    outgoing.close()
    assert descriptors_open() == before
    assert not outgoing
    assert outgoing.size == 0


def test_a_client_that_is_gone_is_told_by_an_error(pair: Pair) -> None:
    """Sending to a client that closed raises; what waits is closed afterwards, and only once."""
    server, client = pair
    client.close()
    before = descriptors_open()
    outgoing = Outgoing()
    outgoing.add(b"text", make_descriptors(2)[0])
    with pytest.raises(BrokenPipeError):
        outgoing.send(server)
    outgoing.close()
    outgoing.close()
    assert descriptors_open() == before


@dataclass
class Capped:
    """A socket that takes so many bytes at each call, none at 0; all once the list is used up."""

    sock: socket.socket
    room: list[int]
    calls: int = field(default=0)

    def _cut(self, data: Any) -> Any:
        self.calls += 1
        if not self.room:
            return data
        room = self.room.pop(0)
        if not room:
            raise BlockingIOError
        return data[:room]

    def send(self, data: Any) -> int:
        return self.sock.send(self._cut(data))

    def sendmsg(self, parts: Sequence[Any], ancillary: Any = (), flags: int = 0, *_: Any) -> int:
        return self.sock.sendmsg([self._cut(b"".join(parts))], ancillary, flags)


MESSAGES = st.lists(
    st.tuples(st.binary(min_size=1, max_size=12), st.sampled_from([0, 0, 0, 1, 2, 3])),
    max_size=8,
)
ROOM = st.lists(st.integers(0, 14), max_size=30)


@given(groups=st.lists(MESSAGES, max_size=3), room=ROOM)
def test_any_messages_over_any_socket(groups: list[Any], room: list[int]) -> None:
    """The same bytes arrive, each descriptor with its message's first byte, none stays open."""
    before = descriptors_open()
    server, client = socket.socketpair()
    with server, client:
        server.setblocking(False)
        client.setblocking(False)
        capped: Any = Capped(server, list(room))
        outgoing = Outgoing()
        sent = b""
        expected: dict[int, list[int]] = {}
        for group in groups:
            for data, wanted in group:
                # (a byte has room for 253)
                count = min(wanted, 253 * len(data))
                descriptors, inodes = make_descriptors(count)
                for index in range(0, count, 253):
                    expected[len(sent) + index // 253] = inodes[index : index + 253]
                outgoing.add(data, descriptors)
                sent += data
            outgoing.send(capped)
        while not outgoing.send(capped):
            pass
        assert outgoing.size == 0
        received = b""
        found: dict[int, list[int]] = {}
        while len(received) < len(sent):
            byte, descriptors, _, _ = socket.recv_fds(client, 1, 253)
            if descriptors:
                found[len(received)] = inodes_of(descriptors)
            received += byte
        assert received == sent
        assert found == expected
        with pytest.raises(BlockingIOError):
            client.recv(1)
    assert descriptors_open() == before


def test_short_answers_are_joined_and_long_ones_are_not_copied() -> None:
    """The kernel takes one text for less than many."""
    outgoing = Outgoing()
    long = b"l" * 100_000
    for text in (b"one", b"two", b"three"):
        outgoing.add(text)
    (joined,) = outgoing.suspended()
    assert joined.data == b"onetwothree"
    outgoing.add(b"four")
    outgoing.add(long)
    assert [each.data for each in outgoing.suspended()] == [b"onetwothree", b"four", long]
    assert outgoing.suspended()[2].data is long


def test_no_bytes_are_no_message(pair: Pair) -> None:
    """They leave nothing behind that would wait for room."""
    server, _ = pair
    outgoing = Outgoing()
    outgoing.add(b"")
    assert not outgoing
    assert outgoing.send(server)
    assert outgoing.suspended() == ()
