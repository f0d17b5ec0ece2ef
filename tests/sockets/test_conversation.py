"""One client's requests are carried out in order, the next one after the last is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel, capturedLogs
from zope.interface.verify import verifyObject

from tests.fakes.connection import FakeConnection
from tests.fakes.conversation import Buffered
from twisted_virtlog.interfaces import IConnection, IConversation


class Echo(Buffered):
    """Answers each line with itself, at once, or later if it begins with "later".

    :ivar begun: the lines whose request was begun.
    :ivar pending: the answers that are awaited: never more than one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[bytes] = []
        self.pending: list[Deferred[None]] = []

    def handle_next(self) -> bool | Deferred[None]:
        line, newline, rest = self.buffer.partition(b"\n")
        if not newline:
            return False
        self.buffer = rest
        self.begun.append(line)
        if b"rest" in line:
            self.rest(1.5)
        if line == b"raise":
            raise ZeroDivisionError
        if line == b"fail":
            return fail(ZeroDivisionError())
        if line == b"close":
            self.connection.send(line)
            self.close()
            return True
        if not line.startswith(b"later"):
            self.connection.send(line)
            return succeed(None) if line.startswith(b"soon") else True
        later: Deferred[None] = Deferred()
        self.pending.append(later)
        return later.addCallback(lambda _: self.connection.send(line))


class Client:
    """A conversation with a fake connection."""

    def __init__(self) -> None:
        self.conversation = Echo()
        self.connection = FakeConnection(self.conversation)
        self.conversation.connection_made(self.connection)

    def ask(self, *lines: bytes) -> None:
        """Send requests in one piece."""
        self.conversation.data_received(b"".join(line + b"\n" for line in lines))

    def answer(self) -> None:
        """Give the answer that is awaited."""
        (later,) = self.conversation.pending
        self.conversation.pending.clear()
        later.callback(None)

    @property
    def answers(self) -> list[bytes]:
        """Return what was answered."""
        return self.connection.pieces


@pytest.fixture
def client() -> Client:
    """A client that just connected."""
    return Client()


def test_interfaces(client: Client) -> None:
    """A conversation offers what a connection calls, and the fake what a conversation calls."""
    assert verifyObject(IConversation, client.conversation)
    assert verifyObject(IConnection, client.connection)


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    """Requests that come in one piece are all answered, and more are read."""
    client.ask(b"a", b"soon b", b"c")
    assert client.answers == [b"a", b"soon b", b"c"]
    assert client.connection.reading


def test_half_a_request_waits_for_its_rest(client: Client) -> None:
    """A request may come in pieces."""
    client.conversation.data_received(b"hal")
    assert client.answers == []
    assert client.connection.reading
    client.conversation.data_received(b"f\nrest")
    assert client.answers == [b"half"]


def test_the_next_request_begins_after_an_answer_that_comes_later(client: Client) -> None:
    """While an answer is awaited nothing more is begun and nothing is read."""
    client.ask(b"a", b"later b", b"later c", b"d")
    assert client.conversation.begun == [b"a", b"later b"]
    assert client.answers == [b"a"]
    assert not client.connection.reading
    client.answer()
    assert client.conversation.begun == [b"a", b"later b", b"later c"]
    assert not client.connection.reading
    client.answer()
    assert client.answers == [b"a", b"later b", b"later c", b"d"]
    assert client.connection.reading


def test_bytes_that_come_while_an_answer_is_awaited_are_kept(client: Client) -> None:
    """A read that was under way when reading was paused loses nothing."""
    client.ask(b"later a")
    client.ask(b"b")
    assert client.conversation.begun == [b"later a"]
    client.answer()
    assert client.answers == [b"later a", b"b"]


def test_a_client_that_does_not_read_is_not_served(client: Client) -> None:
    """While too many answers are unread no request is begun and nothing is read."""
    client.connection.congested = True
    client.ask(b"a", b"b")
    assert client.conversation.begun == []
    assert not client.connection.reading
    client.connection.congested = False
    client.conversation.output_drained()
    assert client.answers == [b"a", b"b"]
    assert client.connection.reading


def test_a_drained_client_still_waits_for_its_answer(client: Client) -> None:
    """That a client read its answers does not begin a request while another is in progress."""
    client.ask(b"later a", b"b")
    client.conversation.output_drained()
    assert client.conversation.begun == [b"later a"]
    assert not client.connection.reading
    client.connection.congested = True
    client.answer()
    assert client.answers == [b"later a"]
    assert not client.connection.reading
    client.connection.congested = False
    client.conversation.output_drained()
    assert client.answers == [b"later a", b"b"]


def test_half_close_answers_what_was_asked(client: Client) -> None:
    """A client that shuts its writing side gets all its answers, then the end."""
    client.ask(b"a", b"later b", b"c")
    client.conversation.input_ended()
    assert client.connection.closing is None
    client.answer()
    assert client.answers == [b"a", b"later b", b"c"]
    assert client.connection.closing == "when sent"


def test_half_close_of_an_idle_client(client: Client) -> None:
    """A client that shuts its writing side with nothing asked, or half of it, is closed."""
    client.conversation.data_received(b"hal")
    client.conversation.input_ended()
    assert client.connection.closing == "when sent"


def test_half_close_of_a_client_that_does_not_read(client: Client) -> None:
    """A half-closed client that must read first gets the rest of its answers afterwards."""
    client.connection.congested = True
    client.ask(b"a")
    client.conversation.input_ended()
    assert client.connection.closing is None
    client.connection.congested = False
    client.conversation.output_drained()
    assert client.answers == [b"a"]
    assert client.connection.closing == "when sent"


def test_requests_go_on_in_later_turns_when_a_share_is_used_up(client: Client) -> None:
    """Nothing more is read meanwhile, and what comes all the same waits too."""
    client.connection.share_seconds = 0.0
    client.ask(b"one", b"two", b"three")
    assert client.answers == [b"one"]
    assert not client.connection.reading
    client.ask(b"four")
    assert client.answers == [b"one"]
    assert client.connection.take_turn()
    assert client.answers == [b"one", b"two"]
    assert client.connection.take_turns() == 2
    assert client.answers == [b"one", b"two", b"three", b"four"]
    assert client.connection.reading
    assert client.connection.rests == [0.0, 0.0, 0.0]


def test_requests_go_on_at_once_while_nobody_else_waits(client: Client) -> None:
    """A share of time is looked at again after each one."""
    client.connection.share_seconds = 0.0
    client.connection.alone = True
    client.ask(b"one", b"two")
    assert client.answers == [b"one", b"two"]
    assert client.connection.rests == []
    send = client.connection.send

    def another_comes(data: bytes, descriptors: Sequence[int] = ()) -> None:
        send(data, descriptors)
        client.connection.alone = data != b"four"

    client.connection.send = another_comes  # type: ignore[method-assign]
    client.ask(b"three", b"four", b"five")
    assert client.answers == [b"one", b"two", b"three", b"four"]
    assert client.connection.rests == [0.0]


def test_a_conversation_rests_even_if_nobody_else_waits(client: Client) -> None:
    """It has held others up."""
    client.connection.alone = True
    client.ask(b"rest", b"two")
    assert client.answers == [b"rest"]
    assert client.connection.rests == [1.5]


def test_a_conversation_rests_after_a_request_that_is_answered_later(client: Client) -> None:
    """And the next one, which begins with the answer."""
    client.ask(b"later rest", b"two", b"three")
    client.answer()
    assert client.answers == [b"later rest", b"two"]
    assert client.connection.rests == [1.5]


def test_the_last_request_ends_its_share_alone(client: Client) -> None:
    """Nobody asks for a turn in which nothing is left to do."""
    client.connection.share_seconds = 0.0
    client.ask(b"one")
    assert not client.connection.take_turn()
    assert client.connection.reading


def test_half_close_between_two_turns(client: Client) -> None:
    """All is answered before the end."""
    client.connection.share_seconds = 0.0
    client.ask(b"one", b"two")
    client.conversation.input_ended()
    assert client.answers == [b"one"]
    assert not client.connection.closed
    client.connection.take_turns()
    assert client.answers == [b"one", b"two"]
    assert client.connection.closing == "when sent"


def test_a_turn_that_comes_while_requests_are_held(client: Client) -> None:
    """It is not used, and the requests go on afterwards."""
    client.connection.share_seconds = 0.0
    client.ask(b"one", b"two", b"three")
    client.conversation.hold()
    client.connection.take_turns()
    assert client.answers == [b"one"]
    client.conversation.release()
    assert client.answers == [b"one", b"two"]
    client.connection.take_turns()
    assert client.answers == [b"one", b"two", b"three"]


def test_requests_are_released_before_their_turn(client: Client) -> None:
    """They wait for it all the same."""
    client.connection.share_seconds = 0.0
    client.ask(b"one", b"two")
    client.conversation.hold()
    client.conversation.release()
    assert client.answers == [b"one"]
    client.connection.take_turns()
    assert client.answers == [b"one", b"two"]


def test_a_turn_that_comes_while_the_client_does_not_read(client: Client) -> None:
    """Its requests go on when it has read."""
    client.connection.share_seconds = 0.0
    client.ask(b"one", b"two")
    client.connection.congested = True
    client.connection.take_turns()
    assert client.answers == [b"one"]
    client.connection.congested = False
    client.conversation.output_drained()
    assert client.answers == [b"one", b"two"]


def test_a_conversation_that_is_to_rest_does_so_after_the_present_request(client: Client) -> None:
    """Which is answered."""
    client.ask(b"rest", b"two", b"three")
    assert client.answers == [b"rest"]
    assert client.connection.rests == [1.5]
    client.connection.take_turns()
    assert client.answers == [b"rest", b"two", b"three"]
    assert client.connection.rests == [1.5]


def test_finish_between_two_turns(client: Client) -> None:
    """What has not begun is not carried out."""
    client.connection.share_seconds = 0.0
    client.ask(b"one", b"two")
    client.conversation.finish()
    client.connection.take_turns()
    assert client.answers == [b"one"]
    assert client.connection.closing == "when sent"


def test_finish_answers_the_request_in_progress_and_no_more(client: Client) -> None:
    """When the daemon stops, the request in progress is answered and later ones are not begun."""
    client.ask(b"later a", b"b")
    client.conversation.finish()
    assert client.connection.closing is None
    client.answer()
    assert client.answers == [b"later a"]
    assert client.connection.closing == "when sent"
    assert not client.connection.reading


def test_finish_closes_an_idle_client(client: Client) -> None:
    """When the daemon stops, a client that waits for nothing is closed at once."""
    client.ask(b"a")
    client.conversation.finish()
    assert client.connection.closing == "when sent"
    client.ask(b"b")
    assert client.answers == [b"a"]


def test_close_takes_no_more_requests(client: Client) -> None:
    """After a request that ends the conversation nothing is begun."""
    client.ask(b"close", b"b")
    assert client.answers == [b"close"]
    assert client.connection.closing == "when sent"
    assert not client.connection.reading


def test_nothing_is_begun_for_a_client_that_is_gone(client: Client) -> None:
    """A client that left while its answer was awaited has no further request carried out."""
    client.ask(b"later a", b"b")
    client.connection.abort()
    client.answer()
    assert client.conversation.begun == [b"later a"]


@pytest.mark.parametrize("soon", [True, False], ids=["at once", "later"])
def test_an_answer_that_fails_costs_its_connection(
    client: Client, expected_failures: list[str], soon: bool
) -> None:
    """An answer that nobody foresaw to fail is logged and its client is closed, not left alone."""
    expected_failures.append("ZeroDivisionError")
    with capturedLogs() as logged:
        if soon:
            client.ask(b"fail", b"b")
        else:
            client.ask(b"later a", b"b")
            (later,) = client.conversation.pending
            later.errback(ZeroDivisionError())
    assert client.connection.closing == "aborted"
    assert b"b" not in client.conversation.begun
    (event,) = logged
    assert event["log_level"] is LogLevel.critical
    assert event["log_failure"].check(ZeroDivisionError)


def test_a_request_that_fails_after_a_late_answer_costs_its_connection(
    client: Client, expected_failures: list[str]
) -> None:
    """A request that raises once the last one is answered does not leave its client waiting."""
    expected_failures.append("ZeroDivisionError")
    with capturedLogs() as logged:
        client.ask(b"later a", b"raise", b"b")
        client.answer()
    assert client.answers == [b"later a"]
    assert client.connection.closing == "aborted"
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]


def test_a_request_that_fails_is_told_to_the_connection(client: Client) -> None:
    """A request that raises at once is the connection's to log."""
    with pytest.raises(ZeroDivisionError):
        client.ask(b"raise")


def test_many_answers_one_after_another_do_not_pile_up(client: Client) -> None:
    """Thousands of pipelined requests, at once or answered soon, need no deep stack."""
    lines = [b"a", b"soon b"] * 5000
    client.ask(*lines)
    assert client.answers == lines


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["answer", "congest", "drain", "turn"]),
        st.lists(st.sampled_from([b"a", b"soon b", b"later c"]), max_size=3),
    ),
    max_size=30,
)


@given(steps=STEPS, finish=st.booleans(), share_seconds=st.sampled_from([0.0, math.inf]))
def test_any_course_answers_in_order(steps: list[Any], finish: bool, share_seconds: float) -> None:
    """Whatever comes when: one request at a time, in order, none lost, reads paused rightly."""
    client = Client()
    client.connection.share_seconds = share_seconds
    asked: list[bytes] = []
    number = 0
    for step in steps:
        if step == "turn":
            client.connection.take_turn()
        elif step == "answer" and client.conversation.pending:
            client.answer()
        elif step == "congest":
            client.connection.congested = True
        elif step == "drain":
            client.connection.congested = False
            client.conversation.output_drained()
        elif isinstance(step, list):
            lines = [line + b" %d" % (number := number + 1) for line in step]
            client.ask(*lines)
            asked += lines
        begun = client.conversation.begun
        waiting = len(client.conversation.pending)
        assert waiting <= 1
        assert begun == asked[: len(begun)]
        assert client.answers == begun[: len(begun) - waiting]
        if waiting:
            assert not client.connection.reading
    client.connection.congested = False
    if finish:
        begun = list(client.conversation.begun)
        client.conversation.finish()
        if client.conversation.pending:
            client.answer()
        assert client.answers == begun
    else:
        client.conversation.input_ended()
        client.connection.take_turns()
        while client.conversation.pending:
            client.answer()
            client.connection.take_turns()
        assert client.answers == asked
    assert client.connection.closing == "when sent"
