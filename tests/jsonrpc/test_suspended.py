"""A conversation that goes on in the daemon's next image: nobody can tell where it stopped."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.jsonrpc.fakes import Client
from twisted_virtlog.jsonrpc.framing import MAX_TEXT_BYTES, SLICED_BATCH_BYTES
from twisted_virtlog.values import Excerpt, Position

HERE = Position(7, 3)

_ASK = '{"jsonrpc":"2.0","id":%d,"method":"log.position","params":["/a"]}'

#: What clients send, right and wrong.
_TEXTS = (
    _ASK % 1 + "\n",
    _ASK % 2,
    '{"jsonrpc": "2.0",\n "method": "log.list"}\n',
    "[" + _ASK % 3 + ", 1,\n" + _ASK % 4 + "]",
    "[]\n",
    "nonsense until the end of the line " + _ASK % 5 + "\n",
    '{"jsonrpc":"2.0","id":"cut short\n',
    '{"a": [1, 2}\n',
    '"a string"  17 \n',
    "\u00e9\u00df\n",
)


def go_on(client: Client, **answers: Any) -> Client:
    """Hand a client's conversation over to a new one."""
    client.conversation.hold()
    state = client.conversation.suspended()
    successor = Client(**answers)
    successor.conversation.resume(state)
    successor.conversation.connection_made(successor.connection)
    successor.conversation.release()
    successor.connection.take_turns()
    return successor


@given(st.lists(st.sampled_from(_TEXTS), max_size=6).map("".join), st.data())
def test_input_may_be_cut_anywhere(text: str, data: st.DataObject) -> None:
    """All answers are those of a daemon that was never replaced, in the same order."""
    sent = text.encode()
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=3).map(sorted))
    once = Client(position=HERE, logs=())
    once.send(sent)
    client = Client(position=HERE, logs=())
    answers = b""
    begin = 0
    for cut in cuts:
        client.send(sent[begin:cut])
        begin = cut
        answers += client.connection.output
        client = go_on(client, position=HERE, logs=())
    client.send(sent[begin:])
    assert answers + client.connection.output == once.connection.output
    once.conversation.input_ended()
    client.conversation.input_ended()
    assert answers + client.connection.output == once.connection.output
    assert client.connection.closed == once.connection.closed


def test_a_long_answer_that_is_under_way_is_sent_whole() -> None:
    """And only once; then the next image carries out what came behind it."""
    read = '{"jsonrpc":"2.0","id":8,"method":"log.read","params":["/a",null,1048576,"base64"]}'
    excerpt = Excerpt((b"\0" * 1_000_000,), HERE, HERE, False, True)
    client = Client(congest_at=1, read=excerpt)
    client.send(read + _ASK % 9)
    successor = go_on(client, position=HERE)
    (long,) = client.answers
    assert base64.b64decode(long["result"]["data"]) == b"\0" * 1_000_000
    assert [one["id"] for one in successor.answers] == [9]


def test_a_line_that_is_skipped_is_skipped_on() -> None:
    """Its limit goes on counting, too."""
    client = Client()
    client.send(b"}" + b"x" * (MAX_TEXT_BYTES - 10))
    client = go_on(client)
    client.send(b"x" * 100)
    assert client.connection.closed


@pytest.mark.parametrize("turns", [1, 2, 90])
@pytest.mark.parametrize("entries", [100, 1000])
def test_a_batch_goes_on_where_it_stopped(turns: int, entries: int) -> None:
    """Its answer is one array, the parts of which come from two images."""
    batch = "[" + ",".join(_ASK % number for number in range(entries)) + "]"
    assert (len(batch) >= SLICED_BATCH_BYTES) == (entries == 1000)
    once = Client(position=HERE)
    once.send(batch)
    client = Client(position=HERE)
    client.connection.share_seconds = 0.0
    client.conversation.data_received(batch.encode())
    for _ in range(turns):
        assert client.connection.take_turn()
    # A batch waits for the reactor's next turn, and then stands still.
    client.conversation.hold()
    client.connection.take_turns()
    assert not client.conversation.waiting
    successor = go_on(client, position=HERE)
    assert len(client.handler.calls) + len(successor.handler.calls) == entries
    output = client.connection.output + successor.connection.output
    assert output == once.connection.output


def test_a_request_in_progress_is_waited_for_and_the_next_ones_go_over() -> None:
    """Nothing is carried out twice."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(_ASK % 1 + _ASK % 2)
    client.conversation.hold()
    assert client.conversation.waiting
    later.callback(HERE)
    assert not client.conversation.waiting
    successor = go_on(client, position=HERE)
    ids = [[answer["id"] for answer in each.answers] for each in (client, successor)]
    assert ids == [[1], [2]]


def test_a_hand_over_that_came_to_nothing_leaves_no_trace() -> None:
    """Requests that came meanwhile are carried out afterwards, once."""
    client = Client(position=HERE)
    client.conversation.hold()
    client.send(_ASK % 1 + "[" + _ASK % 2 + "]" + _ASK % 3)
    client.conversation.suspended()
    assert client.connection.output == b""
    client.conversation.release()
    client.connection.take_turns()
    once = Client(position=HERE)
    once.send(_ASK % 1 + "[" + _ASK % 2 + "]" + _ASK % 3)
    assert client.connection.output == once.connection.output


def test_an_end_of_input_is_not_forgotten() -> None:
    """A client that only waits for its answers gets them, and then the end."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(_ASK % 1 + _ASK % 2)
    client.conversation.input_ended()
    client.conversation.hold()
    later.callback(HERE)
    successor = go_on(client, position=HERE)
    assert [answer["id"] for answer in successor.answers] == [2]
    assert successor.connection.closed
