"""Clients' descriptors in a set of their own on the reactor."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.loop.client_sockets import EventSet
from twisted_virtlog.loop.shares import TOGETHER_SECONDS


@implementer(IReadDescriptor)
class End:
    """One end of a socket pair, which notes what it is told."""

    def __init__(self, sock: socket.socket, act: Callable[[], object] = lambda: None) -> None:
        self.sock = sock
        self.told: list[str] = []
        self.act = act

    def fileno(self) -> int:
        return self.sock.fileno()

    def logPrefix(self) -> str:
        return "end"

    def doRead(self) -> None:
        self.told.append("read")
        self.act()

    def doWrite(self) -> None:
        self.told.append("write")

    def connectionLost(self, reason: Failure) -> None:
        self.told.append("lost")


class Room:
    """A set on a turned reactor, and pairs of sockets."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.now = 1.0
        self.pace = 0.001
        self.is_calm = True
        self.events = EventSet(self.reactor, lambda: self.is_calm, self.seconds)
        self._sockets: list[socket.socket] = []

    def seconds(self) -> float:
        """Return a time that goes on whenever somebody looks."""
        self.now += self.pace
        return self.now

    def client(self, requests: int) -> End:
        """Add one that asks so many more times, each time as soon as it is answered."""
        self.pace = 10e-6
        ours, theirs = self.pair()

        def answer() -> None:
            ours.sock.recv(1)
            if len(ours.told) <= requests:
                theirs.send(b"?")

        ours.act = answer
        theirs.send(b"?")
        self.events.addReader(ours)
        return ours

    def pair(self) -> tuple[End, socket.socket]:
        """Make a pair of sockets."""
        ours, theirs = socket.socketpair()
        self._sockets += [ours, theirs]
        return End(ours), theirs

    def close(self) -> None:
        """Close all."""
        self.events.close()
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def room() -> Iterator[Room]:
    """A set of events."""
    room = Room()
    yield room
    room.close()


def test_it_looks_like_a_reactor_and_is_one_reader(room: Room) -> None:
    """However many descriptors it has, the reactor has one."""
    for _ in range(3):
        room.events.addReader(room.pair()[0])
    assert verifyObject(IReactorFDSet, room.events)
    assert verifyObject(IReadDescriptor, room.reactor.getReaders()[0])
    assert room.reactor.getReaders() == [room.events]
    assert len(room.events.getReaders()) == 3


def test_each_is_told_what_it_waits_for(room: Room) -> None:
    """Reading and writing are asked for apart, and as often as one likes."""
    end, other = room.pair()
    room.events.addReader(end)
    room.events.addReader(end)
    room.reactor.turn()
    assert end.told == []
    room.events.addWriter(end)
    room.reactor.turn()
    assert end.told == ["write"]
    other.send(b"x")
    room.reactor.turn()
    assert end.told == ["write", "read", "write"]
    room.events.removeWriter(end)
    room.reactor.turn()
    assert end.told == ["write", "read", "write", "read"]
    for _ in range(2):
        room.events.removeReader(end)
        room.events.removeWriter(end)
    room.reactor.turn()
    assert len(end.told) == 4
    assert not room.events.getReaders()
    assert not room.events.getWriters()


def test_a_hang_up_is_told_to_who_waits(room: Room) -> None:
    """A client that is gone is found out by reading, or by writing."""
    reader, other = room.pair()
    writer, another = room.pair()
    room.events.addReader(reader)
    room.events.addWriter(writer)
    other.close()
    another.close()
    room.reactor.turn()
    assert (reader.told, writer.told) == (["read"], ["write"])


def test_a_hang_up_is_told_to_one_that_is_not_read(room: Room) -> None:
    """One that only has shut down its writing side calls for nobody."""
    near, far = room.pair()
    room.events.addHangUp(near)
    room.events.addHangUp(near)
    far.shutdown(socket.SHUT_WR)
    assert not room.reactor.turn()
    room.events.addWriter(near)
    room.reactor.turn()
    assert near.told == ["write"]
    room.events.removeWriter(near)
    far.close()
    room.reactor.turn()
    assert near.told == ["write", "lost"]
    room.events.removeHangUp(near)
    assert not room.reactor.turn()


def test_while_it_is_held_nobody_is_told_anything(room: Room) -> None:
    """Not even by whoever serves clients in the middle of a turn; afterwards all are."""
    end, other = room.pair()
    room.events.addReader(end)
    other.send(b"x")
    room.events.hold()
    room.reactor.turn()
    room.events.doRead()
    assert end.told == []
    room.events.release()
    room.reactor.turn()
    assert end.told == ["read"]


def test_one_that_was_removed_in_this_turn_is_left_alone(room: Room) -> None:
    """What one does may close another."""
    ends = [room.pair() for _ in range(2)]
    for (end, other), (victim, _) in zip(ends, reversed(ends), strict=True):
        end.act = lambda victim=victim: room.events.removeReader(victim)  # type: ignore[misc]
        room.events.addReader(end)
        other.send(b"x")
    room.reactor.turn()
    assert sorted(end.told for end, _ in ends) == [[], ["read"]]


def test_one_that_fails_does_not_keep_others_from_their_turn(
    room: Room, expected_failures: list[str]
) -> None:
    """It is logged, and the rest go on."""
    expected_failures.append("ZeroDivisionError")
    bad, other = room.pair()
    good, another = room.pair()
    bad.act = lambda: 1 / 0
    for end in (bad, good):
        room.events.addReader(end)
    other.send(b"x")
    another.send(b"x")
    room.reactor.turn()
    assert (bad.told, good.told) == (["read", "lost"], ["read"])
    # It would fail again at once, for ever.
    assert room.events.getReaders() == [good]
    room.reactor.turn()
    assert bad.told == ["read", "lost"]


def test_all_can_be_removed_at_once(room: Room) -> None:
    """And told which they were."""
    first, second = room.pair()[0], room.pair()[0]
    room.events.addReader(first)
    room.events.addWriter(first)
    room.events.addWriter(second)
    assert set(room.events.removeAll()) == {first, second}
    assert not select.select([room.events.fileno()], [], [], 0)[0]
    room.events.addReader(first)
    assert room.events.getReaders() == [first]


def when_told(client: End, times: int, act: Callable[[], object]) -> None:
    """Have something happen as soon as a client was told so often that it may read."""
    answer = client.act

    def answer_and_act() -> None:
        answer()
        if len(client.told) == times:
            act()

    client.act = answer_and_act


def answered_in_a_turn(room: Room, client: End) -> int:
    """Return how many requests of a client one turn of the reactor answers."""
    before = len(client.told)
    room.events.doRead()
    return len(client.told) - before


def test_a_client_that_asks_again_at_once_need_not_wait_for_the_reactor(room: Room) -> None:
    """As soon as it has shown that it does, and as long as it goes on."""
    client = room.client(requests=20)
    assert answered_in_a_turn(room, client) == 1
    assert answered_in_a_turn(room, client) == 20


def test_the_reactor_has_its_turn_whatever_a_client_asks(room: Room) -> None:
    """After the clients' turn, of which the waiting is a part."""
    client = room.client(requests=100_000)
    answered_in_a_turn(room, client)
    most = TOGETHER_SECONDS / room.pace
    assert most / 2 < answered_in_a_turn(room, client) <= most + 1
    assert most / 2 < answered_in_a_turn(room, client) <= most + 1


def asking(room: Room, client: End) -> list[bool]:
    """Have a client ask each time that it is served whether it is alone; return the answers."""
    answers: list[bool] = []
    client.act = lambda: answers.append(room.events.is_alone(client.fileno()))
    room.pace = 10e-6
    room.events.addReader(client)
    return answers


def test_a_client_is_alone_if_nobody_else_asks(room: Room) -> None:
    """Whether it has sent more itself, or another is connected, does not matter."""
    client, theirs = room.pair()
    room.events.addReader(room.pair()[0])
    answers = asking(room, client)
    theirs.send(b"x")
    room.events.doRead()
    assert answers == [True]


def test_a_client_is_not_alone_if_another_was_ready_with_it(room: Room) -> None:
    """Whoever of them comes first."""
    ends = [room.pair() for _ in range(2)]
    answers = [asking(room, client) for client, _ in ends]
    for _, theirs in ends:
        theirs.send(b"x")
    room.events.doRead()
    assert answers == [[False], [False]]


def test_a_client_is_not_alone_if_another_asks_meanwhile(room: Room) -> None:
    """Which is seen at once."""
    client, theirs = room.pair()
    other, another = room.pair()
    room.events.addReader(other)
    answers: list[bool] = []

    def ask() -> None:
        another.send(b"x")
        answers.append(room.events.is_alone(client.fileno()))

    client.act = ask
    room.events.addReader(client)
    theirs.send(b"x")
    room.events.doRead()
    assert answers == [False]


@pytest.mark.parametrize("what", ["pipe", "hold", "close"])
def test_a_client_does_not_go_on_when_others_are_to(room: Room, what: str) -> None:
    """A pipe fills, or the set is held or closed."""
    client, theirs = room.pair()
    answers: list[bool] = []

    def ask() -> None:
        if what == "pipe":
            room.is_calm = False
        else:
            getattr(room.events, what)()
        answers.append(room.events.is_alone(client.fileno()))

    client.act = ask
    room.events.addReader(client)
    theirs.send(b"x")
    room.events.doRead()
    assert answers == [False]


def test_a_client_does_not_go_on_after_the_turn_of_all(room: Room) -> None:
    """However alone it is; and when it is served between guests, it has no such turn."""
    client, theirs = room.pair()
    answers = asking(room, client)
    theirs.send(b"x")
    room.pace = TOGETHER_SECONDS
    room.events.doRead()
    room.pace = 10e-6
    room.events.serve_ready()
    assert answers == [False, False]


def test_nobody_is_waited_for_long_and_not_again_soon(room: Room) -> None:
    """In vain for some microseconds once; then only after the client showed again what it does."""
    client = room.client(requests=1)
    room.events.doRead()
    began = room.now
    room.events.doRead()
    assert 50e-6 < room.now - began < 150e-6
    again = room.client(requests=30)
    assert [answered_in_a_turn(room, again) for _ in range(18)] == [1] * 16 + [15, 0]
    assert len(client.told) == 2


def test_a_client_that_asks_now_and_then_is_not_waited_for(room: Room) -> None:
    """Each of its requests costs one look at the set."""
    client = room.client(requests=100)
    for _ in range(5):
        room.now += 0.0001
        assert answered_in_a_turn(room, client) == 1


def test_nobody_is_waited_for_while_a_pipe_fills(room: Room) -> None:
    """It begins with the next turn, or ends in the middle of one."""
    room.is_calm = False
    client = room.client(requests=100)
    assert [answered_in_a_turn(room, client) for _ in range(3)] == [1, 1, 1]
    room.is_calm = True
    answer = client.act

    def fill() -> None:
        room.is_calm = len(client.told) < 6
        answer()

    client.act = fill
    assert answered_in_a_turn(room, client) == 3


def test_many_clients_that_ask_again_at_once_need_not_wait_either(room: Room) -> None:
    """Each is answered as often as the others."""
    clients = [room.client(requests=20) for _ in range(5)]
    assert answered_in_a_turn(room, clients[0]) == 1
    assert answered_in_a_turn(room, clients[0]) == 20
    assert [len(one.told) for one in clients] == [21] * 5


@pytest.mark.parametrize("name", ["hold", "close"])
def test_a_request_may_hold_or_close_the_set(room: Room, name: str) -> None:
    """Then nobody is told anything more in this turn."""
    client = room.client(requests=100)
    room.events.doRead()
    when_told(client, 5, getattr(room.events, name))
    assert answered_in_a_turn(room, client) == 4
