"""A connection sends at once, reads only when it should, and leaves nothing behind."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

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
from twisted_virtlog.interfaces import IConnection, IConversation
from twisted_virtlog.loop.shares import SHARE_SECONDS, Shares
from twisted_virtlog.sockets import connection
from twisted_virtlog.sockets.connection import (
    CONGESTED_BYTES,
    Connection,
)
from twisted_virtlog.sockets.peer_credentials import PeerCredentials, peer_credentials
from twisted_virtlog.values import Suspended


@implementer(IConversation)
class Recorder:
    """Keeps what its connection tells; raises where a test says so.

    :ivar told: the names of the calls, but for data_received.
    :ivar fails: the name of the call that raises.
    """

    def __init__(self) -> None:
        self.connection: Any = None
        self.told: list[str] = []
        self.received = b""
        self.fails = ""

    def _tell(self, name: str) -> None:
        self.told.append(name)
        if name == self.fails:
            raise ZeroDivisionError(name)

    def connection_made(self, connection: IConnection) -> None:
        self.connection = connection
        self._tell("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.fails == "data":
            raise ZeroDivisionError("data")

    def input_ended(self) -> None:
        self._tell("ended")

    def output_drained(self) -> None:
        self._tell("drained")

    def go_on(self) -> None:
        self._tell("go on")

    def connection_lost(self) -> None:
        self._tell("lost")

    def finish(self) -> None:
        self._tell("finish")

    waiting = False
    held_bytes = 0

    def hold(self) -> None:
        self._tell("hold")

    def release(self) -> None:
        self._tell("release")

    def outline(self) -> Suspended:
        return Suspended()

    def end_subscriptions(self) -> None:
        """It has none."""

    def suspended(self) -> Suspended:
        return Suspended(self.received)

    def resume(self, state: Suspended) -> None:
        self.received = state.received


class Requests(Buffered):
    """Answers each byte with a text, at once; "?" later, with descriptors if it is told."""

    def __init__(self, text: bytes = b"answer") -> None:
        super().__init__()
        self.handled = 0
        self.later: Deferred[list[int]] = Deferred()
        self._text = text

    def handle_next(self) -> bool | Deferred[None]:
        request, self.buffer = self.buffer[:1], self.buffer[1:]
        if not request:
            return False
        self.handled += 1
        if request == b"?":
            return self.later.addCallback(lambda found: self.connection.send(self._text, found))
        self.connection.send(self._text)
        return True


class End:
    """Both ends of a connection: the daemon's on a fake reactor, and the client's socket."""

    def __init__(
        self, reactor: FakeReactor, conversation: IConversation, shares: Shares | None = None
    ) -> None:
        self.client, self.server = socket.socketpair()
        self.client.settimeout(PATIENCE)
        self.closed: list[Connection] = []
        self.connection = Connection(
            reactor,
            self.server,
            peer_credentials(self.server),
            conversation,
            self.closed.append,
            shares=shares,
        )


@pytest.fixture
def reactor() -> FakeReactor:
    """A reactor that the test turns."""
    return FakeReactor()


@pytest.fixture
def recorder() -> Recorder:
    """A conversation that keeps what it is told."""
    return Recorder()


@pytest.fixture
def ends(reactor: FakeReactor) -> Iterator[Any]:
    """Make connections that have begun; they are closed in the end."""
    with ExitStack() as stack:

        def make(conversation: IConversation, shares: Shares | None = None) -> End:
            end = End(reactor, conversation, shares)
            stack.enter_context(end.client)
            stack.enter_context(end.server)
            end.connection.start()
            return end

        yield make


@pytest.fixture
def end(ends: Any, recorder: Recorder) -> End:
    """A connection that has begun."""
    made: End = ends(recorder)
    return made


def test_what_the_client_has_not_read_is_known(end: End) -> None:
    assert end.connection.unread() == 0
    end.connection.send(b"one")
    one = end.connection.unread()
    end.connection.send(b"two")
    assert end.connection.unread() > one > 0
    assert receive_exactly(end.client, 6) == b"onetwo"
    assert end.connection.unread() == 0
    end.connection.abort()
    assert end.connection.unread() == 0


def test_interfaces(end: End, reactor: FakeReactor, recorder: Recorder) -> None:
    """A connection is what its conversation and the reactor take it for."""
    assert verifyObject(IConnection, end.connection)
    assert verifyObject(IReadDescriptor, end.connection)
    assert verifyObject(IWriteDescriptor, end.connection)
    assert verifyObject(IReactorFDSet, reactor)
    assert verifyObject(IConversation, recorder)
    assert isinstance(end.connection.logPrefix(), str)


def test_begins_with_reading(end: End, reactor: FakeReactor, recorder: Recorder) -> None:
    """What a client sends reaches its conversation."""
    assert recorder.told == ["made"]
    assert recorder.connection is end.connection
    end.client.send(b"hello")
    reactor.run()
    assert recorder.received == b"hello"
    assert end.connection.fileno() == end.server.fileno()


def test_the_kernel_tells_who_connected(end: End) -> None:
    """The peer is the process that made the connection."""
    expected = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
    assert end.connection.peer == expected


def test_sends_at_once_when_nothing_waits(end: End, reactor: FakeReactor) -> None:
    """An answer is with the client before the reactor turns again, descriptors too."""
    end.client.setblocking(False)
    end.connection.send(b"one")
    assert end.client.recv(100) == b"one"
    (descriptor,), inodes = make_descriptors(1)
    end.connection.send(b"two", [descriptor])
    data, descriptors, _, _ = socket.recv_fds(end.client, 100, 1)
    assert (data, inodes_of(descriptors)) == (b"two", inodes)
    assert not reactor.writers


def test_answers_that_are_gathered_leave_together(end: End, reactor: FakeReactor) -> None:
    """In order, those with descriptors too; much is sent in between."""
    end.client.setblocking(False)
    end.connection.gather()
    end.connection.send(b"one ")
    end.connection.send(b"two ")
    with pytest.raises(BlockingIOError):
        end.client.recv(1)
    (descriptor,), (inode,) = make_descriptors(1)
    end.connection.send(b"three", (descriptor,))
    end.connection.flush()
    assert end.client.recv(8) == b"one two "
    data, found, _, _ = socket.recv_fds(end.client, 100, 1)
    assert (data, inodes_of(found)) == (b"three", [inode])
    end.connection.send(b"at once")
    assert end.client.recv(100) == b"at once"
    end.connection.gather()
    end.connection.send(b"x" * 40_000)
    assert end.client.recv(1) == b"x"
    end.connection.close_when_sent()
    end.connection.flush()
    assert end.connection.fileno() == -1


def test_a_client_that_reads_while_it_is_answered_is_served_on(
    ends: Any, reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was too much at first, and is read before the request is done with."""
    monkeypatch.setattr(connection, "CONGESTED_BYTES", 1000)
    received = []

    class Read(Requests):
        def handle_next(self) -> bool | Deferred[None]:
            handled = super().handle_next()
            if handled is True:
                received.append(len(end.client.recv(1 << 20)))
            return handled

    end = ends(Read(b"x" * 300_000))
    end.client.send(b"abc")
    while sum(received) < 900_000:
        reactor.run()
        end.client.setblocking(False)
        with suppress(BlockingIOError):
            received.append(len(end.client.recv(1 << 20)))
        end.client.setblocking(True)
    end.client.send(b"d")
    reactor.run()
    assert end.client.recv(1) == b"x"


def test_what_does_not_fit_follows_in_order(end: End, reactor: FakeReactor) -> None:
    """Bytes and descriptors keep their order when the socket is full and the client is slow."""
    filled = fill(end.server)
    (descriptor,), inodes = make_descriptors(1)
    end.connection.send(b"one")
    end.connection.send(b"\0", [descriptor])
    end.connection.send(b"three")
    assert end.connection in reactor.writers
    receive_exactly(end.client, filled)
    end.connection.send(b"four")
    reactor.run()
    assert receive_exactly(end.client, 3) == b"one"
    data, descriptors, _, _ = socket.recv_fds(end.client, 1, 1)
    assert (data, inodes_of(descriptors)) == (b"\0", inodes)
    assert receive_exactly(end.client, 9) == b"threefour"
    assert not reactor.writers


def test_an_answer_larger_than_the_socket_takes(end: End, reactor: FakeReactor) -> None:
    """A long answer comes whole."""
    data = os.urandom(3_000_000)
    end.connection.send(data)
    received = b""
    while len(received) < len(data):
        received += end.client.recv(1_000_000)
        reactor.run()
    assert received == data


@pytest.mark.parametrize("size", [100, 5000, CONGESTED_BYTES], ids=["short", "middle", "long"])
def test_congested_at_the_mark(
    end: End, reactor: FakeReactor, recorder: Recorder, size: int
) -> None:
    """A client that leaves answers unread is congested, until it has read more than half."""
    filled = fill(end.server)
    sent = 0
    while sent < CONGESTED_BYTES:
        assert not end.connection.congested
        end.connection.send(b"x" * size)
        sent += size
    assert end.connection.congested
    reactor.run()
    assert end.connection.congested
    assert recorder.told == ["made"]
    receive_exactly(end.client, filled)
    end.client.setblocking(False)
    received = 0
    while received < sent:
        reactor.run()
        received += len(end.client.recv(1_000_000))
    assert not end.connection.congested
    assert recorder.told == ["made", "drained"]
    assert received == sent


def test_who_asks_whether_more_is_taken_is_told_when_it_is(
    end: End, reactor: FakeReactor, recorder: Recorder
) -> None:
    """Once, when the client has read all that waits; nobody else is told."""
    assert end.connection.takes_more()
    for asks in (False, True):
        filled = fill(end.server)
        end.connection.send(b"some")
        reactor.run()
        if asks:
            assert not end.connection.takes_more()
        assert recorder.told == ["made"]
        receive_exactly(end.client, filled)
        reactor.run()
        assert end.connection.takes_more()
        assert recorder.told == (["made", "drained"] if asks else ["made"])
        receive_exactly(end.client, 4)


def test_drained_is_told_when_little_waits(
    end: End, reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A congested client must read until half the mark is left, not just a byte."""
    left = []

    def drained() -> None:
        assert not end.connection.congested
        left.append(sent - received)

    monkeypatch.setattr(end.connection.conversation, "output_drained", drained)
    kernel = fill(end.server)
    sent = 8 * CONGESTED_BYTES
    received = -kernel
    end.connection.send(b"x" * sent)
    while received < sent:
        received += len(end.client.recv(4096))
        reactor.run()
    (unread,) = left
    assert CONGESTED_BYTES // 4 < unread < CONGESTED_BYTES // 2 + kernel


@pytest.mark.lengthy
@pytest.mark.parametrize("size", [10, 1000, 1_000_000])
def test_a_client_that_never_reads_does_not_grow_the_daemon(
    ends: Any, reactor: FakeReactor, size: int
) -> None:
    """Requests without end and no answer read: soon nothing more is read nor carried out."""
    conversation = Requests(b"x" * size)
    end = ends(conversation)
    end.client.setblocking(False)
    for _ in range(200):
        try:
            end.client.send(b"r" * 4096)
        except BlockingIOError:
            break
        reactor.run()
    else:
        pytest.fail("the daemon took 200 times 4096 requests")
    assert end.connection not in reactor.readers
    # (what the kernel holds of short answers counts many times)
    assert conversation.handled * size <= CONGESTED_BYTES + 300_000 + size


def test_a_client_that_reads_late_gets_all_answers(ends: Any, reactor: FakeReactor) -> None:
    """A client that was paused for its unread answers is served on once it reads them."""
    end = ends(Requests(b"x" * 1000))
    end.client.sendall(b"r" * 3000)
    reactor.run()
    assert end.connection not in reactor.readers
    end.client.shutdown(socket.SHUT_WR)
    end.client.setblocking(False)
    received = 0
    while received < 3_000_000:
        received += len(end.client.recv(100_000))
        reactor.run()
    assert end.client.recv(1) == b""
    assert len(end.closed) == 1


def test_half_close_is_answered(ends: Any, reactor: FakeReactor) -> None:
    """A client that shuts its writing side after its requests gets the answers, then the end."""
    end = ends(Requests())
    end.client.send(b"ab")
    end.client.shutdown(socket.SHUT_WR)
    reactor.run()
    assert receive_to_end(end.client) == b"answeranswer"
    assert end.closed == [end.connection]


def test_half_close_is_answered_later_too(ends: Any, reactor: FakeReactor) -> None:
    """A half-closed client gets an answer that takes its time, with a descriptor."""
    conversation = Requests()
    end = ends(conversation)
    end.client.send(b"?a")
    end.client.shutdown(socket.SHUT_WR)
    reactor.run()
    assert end.closed == []
    descriptors, inodes = make_descriptors(1)
    conversation.later.callback(descriptors)
    # (that the input ended is seen now at the latest)
    reactor.run()
    data, received, _, _ = socket.recv_fds(end.client, 100, 1)
    assert (data, inodes_of(received)) == (b"answer", inodes)
    assert receive_to_end(end.client) == b"answer"
    assert end.closed == [end.connection]


def test_half_close_of_a_client_that_reads_slowly(ends: Any, reactor: FakeReactor) -> None:
    """A half-closed client gets the whole of a long answer before the end."""
    end = ends(Requests(b"x" * 1_000_000))
    end.client.send(b"a")
    end.client.shutdown(socket.SHUT_WR)
    reactor.run()
    assert end.closed == []
    received = b""
    while more := end.client.recv(100_000):
        received += more
        reactor.run()
    assert received == b"x" * 1_000_000
    assert end.closed == [end.connection]


@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
def test_full_close_while_an_answer_is_awaited(ends: Any, reactor: FakeReactor, seen: bool) -> None:
    """A client that left before its answer leaves no descriptor, and nothing raises."""
    before = descriptors_open()
    conversation = Requests()
    end = ends(conversation)
    end.client.send(b"?ab")
    if seen:
        reactor.run()
    end.client.close()
    reactor.run()
    with capturedLogs() as logged:
        conversation.later.callback(make_descriptors(3)[0])
        reactor.run()
    assert logged == []
    assert end.closed == [end.connection]
    assert conversation.handled == 1
    assert descriptors_open() == before
    assert not reactor.readers
    assert not reactor.writers


def test_an_answer_to_a_client_that_is_gone(end: End, reactor: FakeReactor) -> None:
    """Sending to a client that closed closes the connection and all descriptors, once."""
    end.client.close()
    before = descriptors_open()
    for descriptors in [[], make_descriptors(2)[0], [], make_descriptors(1)[0]]:
        end.connection.send(b"answer", descriptors)
    assert end.closed == [end.connection]
    assert end.connection.conversation.told == ["made", "lost"]  # type: ignore[attr-defined]
    assert descriptors_open() == before - 1
    assert not reactor.readers


def test_a_client_that_leaves_with_answers_unread(
    end: End, reactor: FakeReactor, recorder: Recorder
) -> None:
    """What waits for a client is dropped with its descriptors when it leaves."""
    before = descriptors_open()
    fill(end.server)
    end.connection.send(b"x" * CONGESTED_BYTES)
    end.connection.send(b"\0", make_descriptors(1)[0])
    end.connection.pause_reading()
    assert end.connection.congested
    end.client.close()
    reactor.run()
    assert recorder.told == ["made", "lost"]
    assert end.closed == [end.connection]
    assert not end.connection.congested
    assert not reactor.writers
    assert descriptors_open() == before - 2


def test_a_client_that_resets_the_connection(
    end: End, reactor: FakeReactor, recorder: Recorder
) -> None:
    """A client that leaves without reading its answer is no error."""
    end.connection.send(b"unread")
    end.client.close()
    with capturedLogs() as logged:
        reactor.run()
    assert recorder.told == ["made", "lost"]
    assert logged == []


@pytest.mark.parametrize("fails", ["made", "data", "ended", "drained", "lost", "finish"])
def test_a_failing_conversation_costs_its_connection(
    ends: Any, reactor: FakeReactor, expected_failures: list[str], fails: str
) -> None:
    """What nobody foresaw is logged and closes one connection; another goes on."""
    expected_failures.append("ZeroDivisionError")
    before = descriptors_open()
    other_recorder = Recorder()
    other = ends(other_recorder)
    failing = Recorder()
    failing.fails = fails
    with capturedLogs() as logged:
        end = ends(failing)
        end.client.setblocking(False)
        with suppress(BrokenPipeError):
            end.client.send(b"data")
        reactor.run()
        end.connection.send(b"x" * 2 * CONGESTED_BYTES)
        while end.connection.congested:
            end.client.recv(100_000)
            reactor.run()
        end.connection.finish()
        if fails != "finish":
            end.client.shutdown(socket.SHUT_WR)
            reactor.run()
        if fails == "lost":
            end.connection.abort()
        other.client.send(b"fine")
        reactor.run()
    assert other_recorder.received == b"fine"
    assert end.closed == [end.connection]
    assert failing.told[-1] == "lost"
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]
    assert not reactor.writers
    end.client.close()
    assert descriptors_open() == before + 2


def test_an_idle_connection_that_is_closed(end: End, recorder: Recorder) -> None:
    """With nothing to send the connection is closed at once."""
    end.connection.close_when_sent()
    assert recorder.told == ["made", "lost"]
    assert end.client.recv(1) == b""


def test_close_when_sent_sends_everything_first(
    end: End, reactor: FakeReactor, recorder: Recorder
) -> None:
    """A connection that is to be closed sends all, even what is added yet, and reads no more."""
    data = os.urandom(1_000_000)
    (descriptor,), inodes = make_descriptors(1)
    end.connection.send(data)
    end.connection.close_when_sent()
    end.connection.close_when_sent()
    end.connection.send(b"\0", [descriptor])
    end.connection.resume_reading()
    assert end.connection not in reactor.readers
    received = b""
    while len(received) < len(data):
        received += end.client.recv(len(data) - len(received))
        reactor.run()
    assert received == data
    byte, descriptors, _, _ = socket.recv_fds(end.client, 1, 1)
    assert (byte, inodes_of(descriptors)) == (b"\0", inodes)
    assert end.client.recv(1) == b""
    assert end.closed == [end.connection]
    assert recorder.told[-1] == "lost"


def test_pause_and_resume_change_nothing_twice(
    end: End, reactor: FakeReactor, recorder: Recorder
) -> None:
    """A paused client is not read from, however often it is paused; resuming asks once."""
    additions = reactor.additions
    end.connection.resume_reading()
    assert reactor.additions == additions
    end.connection.pause_reading()
    end.connection.pause_reading()
    end.client.send(b"hello")
    reactor.run()
    assert recorder.received == b""
    end.connection.resume_reading()
    end.connection.resume_reading()
    assert reactor.additions == additions + 1
    reactor.run()
    assert recorder.received == b"hello"


def test_nothing_is_read_after_the_end_of_input(end: End, reactor: FakeReactor) -> None:
    """A half-closed connection is not watched for input, which would spin for ever."""
    end.client.shutdown(socket.SHUT_WR)
    reactor.run()
    end.connection.resume_reading()
    assert end.connection not in reactor.readers


def test_stale_events(end: End, reactor: FakeReactor, recorder: Recorder) -> None:
    """Readiness that finds nothing, or a connection that is closed, is ignored."""
    end.connection.doRead()
    end.connection.doWrite()
    assert recorder.told == ["made"]
    end.connection.abort()
    assert end.connection.fileno() == -1
    before = descriptors_open()
    end.connection.doRead()
    end.connection.doWrite()
    end.connection.connectionLost(Failure(ConnectionLost()))
    end.connection.abort()
    end.connection.close_when_sent()
    end.connection.send(b"x")
    end.connection.send(b"x", make_descriptors(2)[0])
    end.connection.pause_reading()
    end.connection.resume_reading()
    assert recorder.told == ["made", "lost"]
    assert end.closed == [end.connection]
    assert descriptors_open() == before
    assert not reactor.readers
    assert not reactor.writers


def test_who_has_used_up_his_share_goes_on_in_his_turn(ends: Any, reactor: FakeReactor) -> None:
    """A conversation that is called again when others were served, and not once it has ended."""
    shares = Shares(reactor)
    recorders = [Recorder(), Recorder()]
    both = [ends(each, shares) for each in recorders]
    for end in both:
        assert end.connection.share_seconds == SHARE_SECONDS
        end.connection.go_on_later()
    assert recorders[0].told == ["made"]
    both[1].connection.abort()
    reactor.run()
    assert recorders[0].told == ["made", "go on"]
    assert recorders[1].told == ["made", "lost"]
    shares.close()


def test_who_is_to_rest_goes_on_after_that(ends: Any, reactor: FakeReactor) -> None:
    """Here the time is the real one."""
    shares, recorder = Shares(reactor), Recorder()
    ends(recorder, shares).connection.go_on_later(0.001)
    while "go on" not in recorder.told:
        reactor.turn()
    shares.close()


def test_without_shares_nobody_waits(end: End, recorder: Recorder) -> None:
    """As in an application that has no use for them."""
    assert end.connection.share_seconds == math.inf
    end.connection.go_on_later()
    assert recorder.told == ["made", "go on"]


class Slow(Recorder):
    """A conversation whose requests take long.

    :ivar seconds: how long each takes.
    """

    seconds = 2 * SHARE_SECONDS

    def __init__(self, now: list[float]) -> None:
        super().__init__()
        self._now = now

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._now[0] += self.seconds


def test_who_took_more_than_a_share_is_read_from_after_those_who_did_not(
    ends: Any, reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a request of his was short again."""
    now = [100.0]
    monkeypatch.setattr(connection, "monotonic", lambda: now[0])
    shares, slow = Shares(reactor), Slow(now)
    end = ends(slow, shares)
    end.client.send(b"1")
    end.connection.doRead()
    assert slow.received == b"1"
    end.client.send(b"2")
    end.connection.doRead()
    end.connection.doRead()
    assert slow.received == b"1"
    slow.seconds = 0.0
    shares.doRead()
    assert slow.received == b"12"
    end.client.send(b"3")
    end.connection.doRead()
    assert slow.received == b"123"
    shares.close()


def test_who_took_more_than_a_share_is_read_from_if_nobody_else_waits(
    ends: Any, reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To wait for nobody would cost as much as some answers."""
    now = [100.0]
    monkeypatch.setattr(connection, "monotonic", lambda: now[0])
    asked: list[int] = []
    shares, slow = Shares(reactor, is_alone=lambda one: asked.append(one) is None), Slow(now)
    end = ends(slow, shares)
    for sent in (b"1", b"2"):
        end.client.send(sent)
        end.connection.doRead()
    assert slow.received == b"12"
    assert asked == [end.connection.fileno()]
    shares.close()


def test_it_is_known_at_once_who_has_left(
    ends: Any, reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those who took much."""
    now = [100.0]
    monkeypatch.setattr(connection, "monotonic", lambda: now[0])
    shares, slow = Shares(reactor), Slow(now)
    end = ends(slow, shares)
    end.client.send(b"1")
    end.connection.doRead()
    # (readiness may be stale)
    end.connection.doRead()
    end.client.shutdown(socket.SHUT_WR)
    end.connection.doRead()
    assert slow.told == ["made", "ended"]
    shares.close()


def test_who_was_paused_before_his_turn_is_not_read_from(
    ends: Any, reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor who has left."""
    now = [100.0]
    monkeypatch.setattr(connection, "monotonic", lambda: now[0])
    shares = Shares(reactor)
    for leave in (False, True):
        slow = Slow(now)
        end = ends(slow, shares)
        end.client.send(b"1")
        end.connection.doRead()
        end.client.send(b"2")
        end.connection.doRead()
        if leave:
            end.connection.abort()
        else:
            end.connection.pause_reading()
        shares.doRead()
        assert slow.received == b"1"
    shares.close()


def test_much_is_sent_on_in_turn_and_little_at_once(ends: Any, reactor: FakeReactor) -> None:
    """A client that reads slowly has its answer all the same."""
    shares, recorder = Shares(reactor), Recorder()
    end = ends(recorder, shares)
    answer = bytes(range(256)) * 8000
    end.connection.send(answer)
    before = end.connection._outgoing.size
    assert before > 1_000_000
    receive_exactly(end.client, 100_000)
    end.connection.doWrite()
    end.connection.doWrite()
    assert end.connection._outgoing.size == before
    shares.doRead()
    assert end.connection._outgoing.size < before
    received = b""
    end.client.setblocking(False)
    while len(received) < len(answer) - 100_000:
        reactor.turn()
        with suppress(BlockingIOError):
            received += end.client.recv(1 << 20)
    assert received == answer[100_000:]
    reactor.run()
    assert not reactor.writers
    shares.close()
