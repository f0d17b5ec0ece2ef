"""Clients and guests on one reactor: what each leaves to the other."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.loop.turns import Turns


class Guest:
    """Reads a pipe; notes who was served."""

    is_awaited = False

    capacity = PIECE_BYTES

    def __init__(self, order: list[str]) -> None:
        self._order = order
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def pipe_floods(self) -> None:
        """It is no log that could be lent."""

    def pipe_ready(self, most: int = PIECE_BYTES) -> int:
        self._order.append("guest")
        return len(os.read(self.read_end, most))

    def pipe_failed(self) -> None:
        pass

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_end)
        os.close(self.write_end)


@implementer(IReadDescriptor)
class Client:
    """A connection; notes who was served."""

    def __init__(self, order: list[str]) -> None:
        self._order = order
        self.ours, self.theirs = socket.socketpair()

    def fileno(self) -> int:
        return self.ours.fileno()

    def logPrefix(self) -> str:
        return "client"

    def doRead(self) -> None:
        self._order.append("client")
        self.ours.recv(1)

    def connectionLost(self, reason: Failure) -> None:
        pass

    def close(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed in the end."""
    with ExitStack() as stack:
        yield stack


def test_clients_are_answered_between_two_guests_who_print_much(stack: ExitStack) -> None:
    """They wait for one piece, and not for all pipes."""
    order: list[str] = []
    turns = Turns(FakeReactor())
    stack.callback(turns.clients.close)
    stack.callback(turns.guests.close)
    # (no turn is over)
    turns.guests._usual._seconds = lambda: 0.0
    guests = [Guest(order), Guest(order)]
    for guest in guests:
        stack.callback(guest.close)
        turns.guests.add(guest.read_end, guest)
        os.write(guest.write_end, b"x" * (PIECE_BYTES // 2))
    client = Client(order)
    stack.callback(client.close)
    turns.clients.addReader(client)
    client.theirs.send(b"?")
    turns.guests._usual.doRead()
    assert order == ["guest", "client", "guest"]


def test_a_client_is_alone_until_somebody_waits_for_a_turn(stack: ExitStack) -> None:
    """Shares know it from the set of clients."""
    turns = Turns(FakeReactor())
    stack.callback(turns.clients.close)
    stack.callback(turns.guests.close)
    stack.callback(turns.shares.close)
    client = Client([])
    stack.callback(client.close)
    # (no turn is over)
    turns.clients._seconds = lambda: 0.0
    answers: list[bool] = []

    def ask() -> None:
        answers.append(turns.shares.is_alone(client.fileno()))
        turns.shares.later(lambda: None)
        answers.append(turns.shares.is_alone(client.fileno()))

    client.doRead = ask  # type: ignore[method-assign]
    turns.clients.addReader(client)
    client.theirs.send(b"?")
    turns.clients.doRead()
    assert answers == [True, False]


def test_clients_leave_the_reactor_to_guests_whose_pipes_fill_fast(stack: ExitStack) -> None:
    """They are not waited for then."""
    turns = Turns(FakeReactor())
    stack.callback(turns.clients.close)
    stack.callback(turns.guests.close)
    assert turns.clients._calm()
    guest = Guest([])
    stack.callback(guest.close)
    turns.guests.add(guest.read_end, guest)
    os.write(guest.write_end, b"x" * (PIECE_BYTES // 2))
    turns.guests._usual.doRead()
    assert not turns.clients._calm()
