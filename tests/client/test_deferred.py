"""The Twisted client, with no socket: what it writes, and what its Deferreds get."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.testing import MemoryReactor, MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.client.full_queue import full_queue
from twisted_virtlog.client import (
    BadAnswer,
    BadRequest,
    Disconnected,
    Position,
    RemoteError,
    Unreachable,
)
from twisted_virtlog.client.deferred import Client, connect, connect_endpoint

HERE = {"inode": 5, "offset": 9}


class Wire:
    """A client's connection as its daemon has it."""

    def __init__(self) -> None:
        reactor = MemoryReactor()
        clients: list[Client] = []
        endpoint = UNIXClientEndpoint(reactor, "/run/sock")
        connect_endpoint(endpoint).addCallback(clients.append)
        assert reactor.unixClients[0][0] == "/run/sock"
        self.protocol: Any = reactor.unixClients[0][1].buildProtocol(None)
        # Twisted's transport asks just this before it hands a descriptor over.
        assert IFileDescriptorReceiver.providedBy(self.protocol)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        (self.client,) = clients

    def requests(self) -> list[dict[str, Any]]:
        """Return what the client has sent."""
        return [json.loads(line) for line in self.transport.value().splitlines()]

    def answer(self, number: int, **members: Any) -> None:
        """Let an answer arrive."""
        text = json.dumps({"jsonrpc": "2.0", "id": number, **members}).encode() + b"\n"
        self.protocol.dataReceived(text)

    def pass_write_end(self) -> int:
        """Let the write end of a pipe arrive; returns the read end."""
        read_end, write_end = os.pipe()
        os.set_inheritable(write_end, True)
        self.protocol.fileDescriptorReceived(write_end)
        return read_end

    def lose(self, reason: Exception | None = None) -> None:
        """End the connection."""
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))


@pytest.fixture
def wire() -> Wire:
    """Connect a client."""
    return Wire()


def outcome(deferred: Deferred[Any]) -> Any:
    """Return the result or the error that a Deferred has now."""
    outcomes: list[Any] = []
    deferred.addBoth(outcomes.append)
    assert outcomes, "it waits still"
    return outcomes[0].value if isinstance(outcomes[0], Failure) else outcomes[0]


def ended(read_end: int) -> bool:
    """Return whether no write end of a pipe is left."""
    os.set_blocking(read_end, False)
    try:
        return os.read(read_end, 1) == b""
    except BlockingIOError:
        return False
    finally:
        os.close(read_end)


def test_requests_overlap_and_answers_find_them(wire: Wire) -> None:
    """Nobody waits for an answer before the next request, and each gets its own."""
    first, second = wire.client.position("/a"), wire.client.list()
    assert [request["method"] for request in wire.requests()] == ["log.position", "log.list"]
    wire.answer(1, error={"code": 1002, "message": "/a is not open"})
    wire.answer(2, result=[])
    assert isinstance(outcome(first), RemoteError)
    assert outcome(second) == []


def test_calls_can_be_awaited(wire: Wire) -> None:
    """A coroutine reads like a blocking program."""

    async def append_twice() -> Position:
        await wire.client.append("/a", "one\n")
        return await wire.client.append("/a", "two\n", driver="qemu")

    result = Deferred.fromCoroutine(append_twice())
    wire.answer(1, result=HERE)
    wire.answer(2, result={"inode": 5, "offset": 13})
    assert outcome(result) == Position(5, 13)
    assert [request["params"]["driver"] for request in wire.requests()] == ["none", "qemu"]


def test_an_opened_log_comes_with_its_own_write_end(wire: Wire) -> None:
    """The first answer that promises a descriptor gets the first; no child inherits it."""
    first, second = wire.client.open("/a"), wire.client.open("/b")
    pipes = [wire.pass_write_end(), wire.pass_write_end()]
    for number in (1, 2):
        wire.answer(number, result={"position": HERE, "fds": 1})
    for opened, read_end, text in zip(
        (outcome(first), outcome(second)), pipes, (b"one", b"two"), strict=True
    ):
        assert not os.get_inheritable(opened.write_end)
        os.write(opened.write_end, text)
        os.close(opened.write_end)
        assert os.read(read_end, 10) == text
        assert ended(read_end)


def test_a_cancelled_open_leaves_nothing_open(wire: Wire) -> None:
    """The answer to a call that was given up is dropped with its descriptor; others are not."""
    given_up, kept = wire.client.open("/a"), wire.client.position("/b")
    given_up.cancel()
    assert isinstance(outcome(given_up), CancelledError)
    read_end = wire.pass_write_end()
    wire.answer(1, result={"position": HERE, "fds": 1})
    wire.answer(2, result=HERE)
    assert ended(read_end)
    assert outcome(kept) == Position(5, 9)


def test_an_odd_answer_to_open_leaves_nothing_open(wire: Wire) -> None:
    """A descriptor whose answer cannot be read is closed."""
    opening = wire.client.open("/a")
    read_end = wire.pass_write_end()
    wire.answer(1, result={"position": "here", "fds": 1})
    assert isinstance(outcome(opening), BadAnswer)
    assert ended(read_end)


def test_a_lost_connection_fails_all_that_waits(wire: Wire) -> None:
    """Each call that has no answer says which it was and why, and so does each later one."""
    waiting: list[Deferred[Any]] = [wire.client.open("/a"), wire.client.info()]
    read_end = wire.pass_write_end()
    gone = wire.client.when_gone()
    wire.lose(ConnectionLost())
    errors = [outcome(deferred) for deferred in waiting]
    assert all(isinstance(error, Disconnected) for error in errors)
    assert str(errors[0]).startswith("the connection ended before log.open was answered: Conn")
    assert "daemon.info" in str(errors[1])
    assert ended(read_end)
    assert outcome(gone) is None
    later = outcome(wire.client.list())
    assert isinstance(later, Disconnected)
    assert str(later).startswith("log.list cannot be asked: the connection is gone: Conn")
    assert outcome(wire.client.when_gone()) is None


def test_closing_waits_until_the_connection_is_gone(wire: Wire) -> None:
    """A closed client asks nothing any more, and tells when all is over."""
    waiting = wire.client.discover()
    closed = wire.client.close()
    assert wire.transport.disconnecting
    assert not closed.called
    assert isinstance(outcome(wire.client.list()), Disconnected)
    wire.lose()
    assert outcome(closed) is None
    assert isinstance(outcome(waiting), Disconnected)
    assert outcome(wire.client.close()) is None


def test_nonsense_ends_the_connection(wire: Wire) -> None:
    """No answer is believed after one that makes no sense."""
    waiting: list[Deferred[Any]] = [wire.client.list(), wire.client.info()]
    wire.protocol.dataReceived(b"nonsense\n")
    assert all(isinstance(outcome(deferred), BadAnswer) for deferred in waiting)
    assert wire.transport.disconnecting
    assert isinstance(outcome(wire.client.list()), Disconnected)
    wire.answer(1, result=[])
    wire.lose()


def test_what_cannot_be_said_fails_alone(wire: Wire) -> None:
    """A request that cannot be written down is not sent, and the next one is."""
    assert isinstance(outcome(wire.client.position("/\udcff")), BadRequest)
    waiting = wire.client.position("/a")
    wire.answer(wire.requests()[0]["id"], result=HERE)
    assert outcome(waiting) == Position(5, 9)


class AdoptingReactor(MemoryReactorClock):
    """A reactor that takes connections over.

    :ivar adopted: the protocols that it has made for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        assert addressFamily == socket.AF_UNIX
        assert not os.get_blocking(fileDescriptor)
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        self.adopted.append(protocol)


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """A daemon that has not come to accept is no reason to fail before the time is over."""
    reactor: Any = AdoptingReactor()
    with full_queue(tmp_path / "sock") as listener:
        waiting = connect(reactor, str(tmp_path / "sock"), 5)
        reactor.pump([0.05] * 20)
        assert not waiting.called
        listener.accept()[0].close()
        reactor.pump([0.05] * 2)
        client = outcome(waiting)
        client.info()
        assert b"daemon.info" in reactor.adopted[0].transport.value()

        waiting = connect(reactor, str(tmp_path / "sock"), 5)
        reactor.pump([0.05] * 110)
        assert isinstance(outcome(waiting), Unreachable)
    assert isinstance(outcome(connect(reactor, str(tmp_path / "none"))), Unreachable)


def test_the_former_name_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that import the client by its old name work for one more release."""
    # (another test may have imported it)
    monkeypatch.delitem(sys.modules, "twisted_virtlog.client.aio", raising=False)
    with pytest.warns(DeprecationWarning, match=r"import twisted_virtlog\.client\.deferred"):
        old = importlib.import_module("twisted_virtlog.client.aio")
    assert (old.Client, old.connect) == (Client, connect_endpoint)
