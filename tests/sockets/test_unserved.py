"""A client that reads its answers is always served on, whatever its socket takes when."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.effort import examples
from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import MeteredSocket
from twisted_virtlog.sockets.connection import CONGESTED_BYTES, Connection
from twisted_virtlog.sockets.conversation import Conversation
from twisted_virtlog.sockets.peer_credentials import peer_credentials

#: More than a client may leave unread.
MUCH = CONGESTED_BYTES + 40_000


class Sizes(Conversation):
    """Takes requests that are lists of sizes, and answers each by sends of those sizes.

    :ivar later: the answer that is awaited, if one is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[bool, list[int]]] = []
        self.later: Deferred[None] | None = None

    @property
    def held_bytes(self) -> int:
        return 0

    def discard(self) -> None:
        self.requests.clear()

    def feed(self, data: bytes) -> None:
        """Requests are put into the list by the test; the bytes only call for them."""

    def handle_next(self) -> bool | Deferred[None]:
        if not self.requests:
            return False
        soon, sizes = self.requests.pop(0)
        if soon:
            self._answer(sizes)
            return True
        self.later = Deferred()
        return self.later.addCallback(lambda _: self._answer(sizes))

    def _answer(self, sizes: list[int]) -> None:
        for size in sizes:
            self.connection.send(b"x" * size)


class Talk:
    """A connection whose socket takes what the test says."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.socket = MeteredSocket()
        self.conversation = Sizes()
        self.asked = 0
        sock = cast(Any, self.socket)
        self.connection = Connection(
            self.reactor, sock, peer_credentials(sock), self.conversation, lambda _: None
        )
        self.connection.start()

    def ask(self, *requests: list[int], soon: bool = True) -> None:
        """Send requests in one write."""
        self.asked += sum(map(sum, requests))
        self.conversation.requests += [(soon, sizes) for sizes in requests]
        self.socket.incoming.append(b"now")
        self.turn()

    def turn(self) -> None:
        """Let the reactor call for what is ready, as often as something is."""
        for _ in range(1000):
            reading = self.connection in self.reactor.readers and bool(self.socket.incoming)
            if reading:
                self.connection.doRead()
            writing = self.connection in self.reactor.writers and self.socket.room > 0
            if writing:
                self.connection.doWrite()
            if not (reading or writing):
                return
        pytest.fail("the reactor is called for without end")

    def answer(self) -> None:
        """Give the answer that is awaited."""
        later, self.conversation.later = self.conversation.later, None
        if later is not None:
            later.callback(None)
        self.turn()

    def read_all(self) -> None:
        """Be a client that reads all that there is."""
        while True:
            self.socket.room = 1 << 30
            before = len(self.socket.sent)
            self.turn()
            if len(self.socket.sent) == before and self.conversation.later is None:
                return
            self.answer()

    def check(self) -> None:
        """Whoever must read first is told of by the reactor."""
        if self.connection.congested:
            assert self.connection in self.reactor.writers


@pytest.mark.parametrize("taken", [1, 500, 40_000, 70_000, MUCH, MUCH + 1])
def test_an_answer_in_several_sends_that_the_socket_takes_late(taken: int) -> None:
    """The first send fills the socket, and the client reads before the last one leaves."""
    talk = Talk()

    class Reading(MeteredSocket):
        """Its client reads between two sends."""

        def sendmsg(self, buffers: Any, ancillary: object = ()) -> int:
            try:
                return super().sendmsg(buffers, ancillary)
            except BlockingIOError:
                self.room = 1 << 30
                raise

    reading = Reading(room=6 + taken)
    talk.socket = reading
    talk.connection._socket = cast(Any, reading)
    talk.ask([6], [MUCH, 1], [MUCH, 1])
    talk.read_all()
    talk.ask([5])
    talk.read_all()
    assert len(reading.sent) == talk.asked
    assert not talk.connection.congested
    assert talk.connection in talk.reactor.readers
    assert not talk.reactor.writers


SIZES = st.sampled_from([1, 30_000, MUCH])
STEPS = st.lists(
    st.one_of(
        st.lists(st.lists(SIZES, min_size=1, max_size=2), min_size=2, max_size=3),
        st.sampled_from([1, 30_000, MUCH]),
        st.sampled_from(["answer", "later", "hold", "release"]),
    ),
    max_size=8,
)


@settings(max_examples=examples(100))
@given(
    steps=STEPS,
    room=st.sampled_from([2, 30_000]),
    meanwhile=st.lists(st.sampled_from([0, 3 * MUCH]), max_size=8),
)
def test_no_course_leaves_a_client_unserved(
    steps: list[Any], room: int, meanwhile: list[int]
) -> None:
    """Whatever is asked, sent, taken and held when: who reads gets all, and is read from.

    :param meanwhile: what the client reads while the daemon sends, each time the socket is full.
    """
    talk = Talk()
    talk.socket.room = room
    refills = iter(meanwhile)
    take = talk.socket.sendmsg

    def sendmsg(buffers: Any, ancillary: object = ()) -> int:
        try:
            return take(buffers, ancillary)
        except BlockingIOError:
            talk.socket.room += next(refills, 0)
            raise

    talk.socket.sendmsg = sendmsg  # type: ignore[method-assign]
    soon = True
    for step in steps:
        if isinstance(step, list):
            talk.ask(*step, soon=soon)
            soon = True
        elif isinstance(step, int):
            talk.socket.room += step
            talk.turn()
        elif step == "answer":
            talk.answer()
        elif step == "later":
            soon = False
        elif step == "hold":
            talk.conversation.hold()
        else:
            talk.conversation.release()
        talk.check()
    talk.conversation.release()
    talk.read_all()
    assert len(talk.socket.sent) == talk.asked
    assert not talk.connection.congested
    assert talk.connection in talk.reactor.readers
    assert not talk.reactor.writers
