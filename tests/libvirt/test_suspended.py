"""A conversation in libvirt's protocol that goes on in the daemon's next image."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.libvirt.fakes import Client, frame, open_arguments, position_arguments
from twisted_virtlog.values import Opened, Position

HERE = Position(7, 3)
OPEN, POSITION = 1, 2
CALL_WITH_FDS = 4

_ASK = frame(POSITION, position_arguments(b"/p"))

#: What clients send: calls, errors, messages that are ignored, and descriptors' bytes.
_MESSAGES = (
    _ASK,
    frame(POSITION, position_arguments(b"/" + b"long" * 50), serial=6),
    frame(POSITION, b"too short", serial=7),
    frame(99, serial=8),
    frame(POSITION, position_arguments(b"/p"), kind=1),
    frame(1, program=0x6B656570, kind=2),
    frame(POSITION, b"\0\0\0\3" + position_arguments(b"/p"), kind=CALL_WITH_FDS, serial=9)
    + b"\0\1\2",
)


def go_on(client: Client, **answers: Any) -> Client:
    """Hand a client's conversation over to a new one."""
    client.conversation.hold()
    state = client.conversation.suspended()
    successor = Client(**answers)
    successor.conversation.resume(state)
    successor.conversation.release()
    return successor


@given(st.lists(st.sampled_from(_MESSAGES), max_size=6).map(b"".join), st.data())
def test_input_may_be_cut_anywhere(sent: bytes, data: st.DataObject) -> None:
    """In the middle of a length, a header, arguments, or bytes that carry descriptors."""
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=3).map(sorted))
    once = Client(position=HERE)
    once.send(sent)
    client = Client(position=HERE)
    answers = b""
    begin = 0
    for cut in cuts:
        client.send(sent[begin:cut])
        begin = cut
        answers += client.connection.output
        client = go_on(client, position=HERE)
    client.send(sent[begin:])
    assert answers + client.connection.output == once.connection.output
    assert client.connection.closed == once.connection.closed


def test_pipelined_calls_go_over_behind_one_in_progress() -> None:
    """The first is answered before, the others after, and none twice."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(_ASK + frame(POSITION, position_arguments(b"/p"), serial=6))
    client.conversation.hold()
    later.callback(HERE)
    successor = go_on(client, position=HERE)
    serials = [[header.serial for header, _ in each.frames] for each in (client, successor)]
    assert serials == [[5], [6]]


def test_a_conversation_that_was_closed_stays_so() -> None:
    """Nothing that follows a broken frame is carried out."""
    client = Client(position=HERE)
    client.send(b"\0\0\0\3" + _ASK)
    assert client.connection.closed
    successor = go_on(client, position=HERE)
    successor.send(_ASK)
    assert successor.handler.calls == []


def test_a_descriptor_goes_out_once() -> None:
    """An open that was answered is not answered again."""
    read_end, write_end = os.pipe()
    client = Client(open=Opened(HERE, write_end), position=HERE)
    client.send(frame(OPEN, open_arguments(b"/p")) + _ASK[:10])
    assert client.connection.descriptors == [write_end]
    successor = go_on(client, position=HERE)
    successor.send(_ASK[10:])
    assert successor.connection.descriptors == []
    assert len(successor.frames) == 1
    os.close(read_end)
    os.close(write_end)
