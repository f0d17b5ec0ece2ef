"""Descriptors on their way are bounded, whoever reads them or does not."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fakes.conversation import Buffered
from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import descriptors_open, inodes_of, make_descriptors
from twisted_virtlog.errors import LimitReached
from twisted_virtlog.handover.state import ConnectionState
from twisted_virtlog.sockets.connection import Connection
from twisted_virtlog.sockets.descriptor_budget import DescriptorBudget, usual_limit
from twisted_virtlog.sockets.peer_credentials import peer_credentials
from twisted_virtlog.values import Queued

MOST = 10


class Asks(Buffered):
    """A conversation that asks for nothing by itself."""

    def handle_next(self) -> bool:
        return False


class Client:
    """A client, and its connection.

    :ivar own: the client's end.
    """

    def __init__(self, budget: DescriptorBudget) -> None:
        self.own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection = Connection(
            FakeReactor(),
            theirs,
            peer_credentials(theirs),
            Asks(),
            lambda _: None,
            descriptors=budget,
        )

    def ask(self, count: int, most: int = MOST) -> None:
        """Have some descriptors sent to it."""
        self.connection.claim_descriptors(most)
        self.connection.settle_descriptors(count)
        if count:
            self.connection.send(b"answer\n", make_descriptors(count)[0])

    def read(self) -> int:
        """Read what there is; return with how many descriptors it came."""
        data, descriptors, _, _ = socket.recv_fds(self.own, 65536, 253)
        assert data
        return len(inodes_of(descriptors))

    def close(self) -> None:
        """Leave."""
        self.own.close()


class Room:
    """A budget of twice what a client may ask for, and its clients."""

    def __init__(self, stack: ExitStack) -> None:
        self.budget = DescriptorBudget(2 * MOST)
        self._stack = stack
        stack.callback(self.budget.close)

    def client(self) -> Client:
        """Connect."""
        client = Client(self.budget)
        self._stack.callback(client.close)
        self._stack.callback(client.connection.abort)
        return client

    def has_room(self) -> bool:
        """Return whether somebody else may ask for descriptors."""
        client = self.client()
        try:
            client.ask(0)
        except LimitReached:
            return False
        return True


@pytest.fixture
def room() -> Iterator[Room]:
    """Leave no descriptor behind."""
    before = descriptors_open()
    with ExitStack() as stack:
        yield Room(stack)
    assert descriptors_open() == before


def test_who_reads_may_ask_again(room: Room) -> None:
    """As often as it likes."""
    client = room.client()
    for _ in range(5):
        client.ask(MOST)
        assert client.read() == MOST
    assert room.has_room()


def test_one_answer_is_on_its_way(room: Room) -> None:
    """To a client that asks for the next one before it has read the first."""
    client = room.client()
    client.ask(3)
    with pytest.raises(LimitReached, match="already") as caught:
        client.ask(3)
    assert caught.value.limit == "descriptors"
    assert client.read() == 3
    client.ask(3)


def test_who_reads_a_part_has_not_read(room: Room) -> None:
    """The descriptors have arrived, but nobody says so before the rest is read."""
    client = room.client()
    client.ask(3)
    client.own.recv(3)
    with pytest.raises(LimitReached):
        client.ask(3)
    client.own.recv(100)
    client.ask(3)


def test_those_who_do_not_read_use_the_budget_up(room: Room) -> None:
    """What they were sent is counted, not what it might have been; until they read or go."""
    first, second = room.client(), room.client()
    first.ask(MOST)
    second.ask(1)
    assert not room.has_room()
    second.read()
    assert room.has_room()
    second.ask(MOST)
    assert not room.has_room()
    first.close()
    assert room.has_room()


def test_those_of_a_connection_that_ended_are_counted(room: Room) -> None:
    """They are there until the client reads, or goes; it sees the end all the same."""
    first, second = room.client(), room.client()
    for client in (first, second):
        client.ask(MOST)
        client.connection.abort()
    assert not room.has_room()
    assert first.read() == MOST
    assert first.own.recv(1) == b""
    assert room.has_room()
    first.close()
    third = room.client()
    third.ask(MOST)
    assert not room.has_room()
    second.close()
    assert room.has_room()


def test_an_answer_that_never_comes_takes_no_room(room: Room) -> None:
    """The client is gone before it is there, or there is an error in its place."""
    client, other = room.client(), room.client()
    for one in (client, other):
        one.connection.claim_descriptors(MOST)
    assert not room.has_room()
    client.connection.settle_descriptors(0)
    assert room.has_room()
    other.connection.abort()
    other.connection.settle_descriptors(MOST)
    assert room.budget.count == 0


def test_what_waits_here_is_on_its_way_too(room: Room) -> None:
    """It is with the connection, as the client's socket is full."""
    client = room.client()
    client.connection.send(bytes(1 << 20))
    client.ask(3)
    with pytest.raises(LimitReached, match="already"):
        client.ask(3)
    assert room.budget.count == 3


def test_descriptors_of_an_earlier_request_are_others(room: Room) -> None:
    """They may be sent while it is not known yet what comes."""
    client = room.client()
    client.connection.claim_descriptors(MOST)
    client.connection.send(b"before\n", make_descriptors(1)[0])
    assert client.read() == 1
    with pytest.raises(LimitReached, match="already"):
        client.ask(3)


def handed_over(client: Client, budget: DescriptorBudget) -> Connection:
    """Return a client's connection in the daemon's next image."""
    connection = Connection(
        FakeReactor(),
        client.connection._socket.dup(),
        client.connection.peer,
        Asks(),
        lambda _: None,
        descriptors=budget,
    )
    connection.resume(client.connection.suspended())
    return connection


def test_a_handed_over_client_that_has_not_read(room: Room) -> None:
    """The next image knows how many are on their way, so that others may have the rest."""
    before = room.client()
    before.ask(3)
    budget = DescriptorBudget(100)
    after = handed_over(before, budget)
    assert budget.count == 3
    with pytest.raises(LimitReached):
        after.claim_descriptors(MOST)
    assert before.read() == 3
    after.claim_descriptors(MOST)
    assert budget.count == MOST
    after.abort()


def test_a_handed_over_client_that_has_read(room: Room) -> None:
    """And one that has other things to read."""
    before, other = room.client(), room.client()
    before.ask(3)
    assert before.read() == 3
    other.connection.send(b"of another kind\n")
    budget = DescriptorBudget(100)
    after = [handed_over(client, budget) for client in (before, other)]
    assert budget.count == 0
    for connection in after:
        connection.abort()


def test_what_waits_to_be_sent_is_handed_over(room: Room) -> None:
    """It is on its way in the next image, too."""
    read, write = os.pipe()
    os.close(write)
    budget = DescriptorBudget(100)
    client = Client(budget)
    client.connection.resume(ConnectionState(queued=(Queued(b"late\n", (read,)),), descriptors=1))
    assert budget.count == 1
    assert client.read() == 1
    client.connection.claim_descriptors(MOST)
    assert budget.count == MOST
    client.connection.abort()
    client.close()


def test_the_limit_follows_that_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that most is left to others."""
    for soft, limit in ((1024, 128), (20000, 1024), (resource.RLIM_INFINITY, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert usual_limit() == limit
