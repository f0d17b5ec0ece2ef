"""A conversation survives whatever a client sends, and does with it what virtlogd does."""

from __future__ import annotations

import errno
import os
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from tests.libvirt.fakes import (
    Client,
    append_arguments,
    frame,
    open_arguments,
    position_arguments,
    read_arguments,
)
from twisted_virtlog.errors import LogBusy, NoSuchLog, SystemFailure
from twisted_virtlog.libvirt.messages import MessageType, Status
from twisted_virtlog.values import Excerpt, Opened, Position

OPEN, POSITION, READ, APPEND = 1, 2, 3, 4
HERE = Position(7, 3)
HERE_PAYLOAD = bytes.fromhex("00000000000000070000000000000003")
ASK = frame(POSITION, position_arguments(b"/p"))
KEEPALIVE = 0x6B656570
OPENED_AT = datetime(2024, 2, 29, tzinfo=timezone.utc)


def client_of(**answers: Any) -> Client:
    """Make a client that can ask for the position of any log."""
    return Client(**{"position": HERE, **answers})


def serials(client: Client) -> list[int]:
    """Return which calls were answered, in order."""
    return [header.serial for header, _ in client.frames]


def still_serves(client: Client) -> bool:
    """Return whether a further call is answered."""
    before = len(client.frames)
    client.send(frame(POSITION, position_arguments(b"/p"), serial=4711))
    return [header.serial for header, _ in client.frames[before:]] == [4711]


@pytest.mark.parametrize("serial", [0, 1, 2**31, 2**32 - 1])
def test_a_reply_repeats_the_header(serial: int) -> None:
    """Any serial is the client's own affair."""
    header, payload = client_of().call(POSITION, position_arguments(b"/p"), serial=serial)
    assert (header.program, header.version, header.procedure) == (0x87539319, 1, POSITION)
    assert (header.type, header.serial, header.status) == (MessageType.REPLY, serial, Status.OK)
    assert payload == HERE_PAYLOAD


# Abnormal input that is answered with an error, after which the connection goes on.
REFUSED: list[tuple[str, bytes, str]] = [
    ("unknown program", frame(1, program=0x12345678), "Cannot find program 305419896 version 1"),
    ("high program", frame(1, program=0xF2345678), "Cannot find program -231451016 version 1"),
    ("version", frame(1, version=2), "Cannot find program -2024565991 version 2"),
    ("admin program", frame(1, program=0x06900690), "Cannot find program 110102160 version 1"),
    ("procedure 0", frame(0), "unknown procedure: 0"),
    ("procedure 5", frame(5), "unknown procedure: 5"),
    ("procedure -1", frame(-1), "unknown procedure: -1"),
    ("status", frame(POSITION, position_arguments(b"/p"), status=1), "Unexpected message status 1"),
    ("status before procedure", frame(99, status=2), "Unexpected message status 2"),
    ("no payload", frame(POSITION), "Unable to decode message payload"),
    ("short payload", frame(POSITION, b"\0\0\0\2/x\0\0"), "Unable to decode message payload"),
    ("string without padding", frame(POSITION, b"\0\0\0\2/x"), "Unable to decode message payload"),
    (
        "string too long",
        frame(POSITION, (4194305).to_bytes(4, "big") + bytes(4194312)),
        "Unable to decode message payload",
    ),
    (
        "string that ends nowhere",
        frame(POSITION, b"\xff\xff\xff\xff" + bytes(8)),
        "Unable to decode message payload",
    ),
    (
        "with descriptors, unknown program",
        frame(1, bytes(4), program=5, kind=4),
        "Cannot find program 5 version 1",
    ),
    (
        "with descriptors, no arguments",
        frame(POSITION, bytes(4), kind=4),
        "Unable to decode message payload",
    ),
    ("ping as a call", frame(1, program=KEEPALIVE), "Cannot find program 1801807216 version 1"),
]


@pytest.mark.parametrize(("data", "text"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_bad_call_is_refused_and_the_connection_goes_on(data: bytes, text: str) -> None:
    """With virtlogd's text; an error is of type REPLY, whatever the call was."""
    client = client_of()
    client.send(data)
    ((header, _),) = client.frames
    assert (header.type, header.status, header.serial) == (MessageType.REPLY, Status.ERROR, 5)
    program, version, procedure = data[4:8], data[8:12], data[12:16]
    words = [header.program, header.version, header.procedure % 2**32]
    assert b"".join(w.to_bytes(4, "big") for w in words) == program + version + procedure
    assert text.encode() in client.connection.output
    assert still_serves(client)
    assert not client.connection.closed


# Abnormal input after which the connection is closed, without an answer.
CLOSED: list[tuple[str, bytes]] = [
    *((f"length {length}", length.to_bytes(4, "big")) for length in range(5)),
    *((f"length {length}", length.to_bytes(4, "big") + bytes(length - 4)) for length in (5, 27)),
    ("length over the limit", (33554437).to_bytes(4, "big")),
    ("highest length", b"\xff\xff\xff\xff"),
    ("with descriptors, no count", frame(POSITION, kind=4)),
    ("with 33 descriptors", frame(POSITION, b"\0\0\0\x21" + position_arguments(b"/p"), kind=4)),
    ("with 33 descriptors, unknown program", frame(1, b"\0\0\0\x21", program=5, kind=4)),
]


@pytest.mark.parametrize("data", [c[1] for c in CLOSED], ids=[c[0] for c in CLOSED])
def test_what_cannot_be_read_on_closes_the_connection(data: bytes) -> None:
    """Nobody knows where the next message would begin; calls before it are answered."""
    client = client_of()
    client.send(ASK + data + ASK)
    assert serials(client) == [5]
    assert client.connection.closed


def test_the_daemons_log_tells_why_it_closed() -> None:
    """An operator finds out about a broken client."""
    client = Client()
    with capturedLogs() as events:
        client.send(b"\0\0\0\4")
    assert [str(event["error"]) for event in events] == [
        "message: a frame of 4 bytes; the shortest has 28"
    ]


@pytest.mark.parametrize("length", [5, 27, 28, 33554436])
def test_a_message_that_does_not_come_is_waited_for(length: int) -> None:
    """There is no time limit; a payload is judged when it is complete."""
    client = client_of()
    client.send(length.to_bytes(4, "big"))
    assert client.connection.sent == []
    assert not client.connection.closed


IGNORED: list[tuple[str, bytes]] = [
    *(
        (f"type {kind}", frame(POSITION, position_arguments(b"/p"), kind=kind))
        for kind in (1, 2, 3)
    ),
    ("reply with descriptors", frame(POSITION, b"\0\0\0\x21", kind=5)),
    *((f"type {kind}", frame(POSITION, kind=kind)) for kind in (6, 2**32 - 1)),
    ("message of an unknown program", frame(1, program=5, kind=2)),
    ("status in a reply", frame(1, kind=1, status=9)),
    ("pong", frame(2, program=KEEPALIVE, kind=2)),
    ("unknown keepalive", frame(9, program=KEEPALIVE, kind=2)),
    ("ping of another version", frame(1, program=KEEPALIVE, version=2, kind=2)),
]


@pytest.mark.parametrize("data", [i[1] for i in IGNORED], ids=[i[0] for i in IGNORED])
def test_what_is_no_call_is_ignored(data: bytes) -> None:
    """No answer, and the connection stays usable."""
    client = client_of()
    client.send(data)
    assert client.connection.sent == []
    assert still_serves(client)


@pytest.mark.parametrize("serial", [0, 9])
def test_a_ping_is_answered_with_a_pong(serial: int) -> None:
    """libvirt's keepalive; its pong always has the serial 0."""
    client = client_of()
    client.send(frame(1, program=KEEPALIVE, kind=2, serial=serial))
    pong = bytes.fromhex("0000001c6b6565700000000100000002000000020000000000000000")
    assert client.connection.output == pong


@pytest.mark.parametrize("surplus", [b"junk", b"j", b"\0" * 5])
def test_surplus_bytes_after_the_arguments_are_ignored(surplus: bytes) -> None:
    """A newer client may send more arguments than are known."""
    client = client_of()
    assert client.call(POSITION, position_arguments(b"/p") + surplus)[1] == HERE_PAYLOAD


def test_padding_is_not_looked_at() -> None:
    """As virtlogd, which takes what libvirt's own clients would never send."""
    client = client_of()
    _, payload = client.call(POSITION, b"\0\0\0\2/p\xff\xff" + bytes(4))
    assert payload == HERE_PAYLOAD
    assert client.handler.calls == [("position", "/p")]


def test_calls_in_one_piece_are_answered_in_order() -> None:
    """A client may send calls before it has read answers."""
    client = client_of()
    calls = [frame(POSITION, position_arguments(b"/p"), serial=n) for n in range(50)]
    client.send(b"".join(calls))
    assert serials(client) == list(range(50))


@pytest.mark.parametrize("count", [0, 1, 2, 32])
def test_bytes_of_descriptors_are_waited_for(count: int) -> None:
    """A call with descriptors is carried out when all that carry them are there."""
    client = client_of()
    call = frame(POSITION, count.to_bytes(4, "big") + position_arguments(b"/p"), kind=4)
    client.send(call)
    for _ in range(count):
        assert client.connection.sent == []
        client.send(b"\0")
    assert serials(client) == [5]
    assert client.frames[0][0].type == MessageType.REPLY
    client.send(call + b"\x01" * count + ASK)
    assert serials(client) == [5, 5, 5]


def test_open_does_not_give_a_client_its_own_descriptor_back(write_end: int) -> None:
    """Only the log's pipe goes with the answer."""
    client = Client(open=Opened(HERE, write_end))
    header, payload = client.call(OPEN, b"\0\0\0\0" + open_arguments(b"/p"), kind=4)
    assert header.type == MessageType.REPLY_WITH_FDS
    assert payload == b"\0\0\0\1" + HERE_PAYLOAD
    assert client.connection.sent[1:] == [(b"\0", (write_end,))]


def test_pipelined_opens_keep_frames_and_descriptors_in_order(write_end: int) -> None:
    """Each descriptor follows the frame that it belongs to, in a message of its own."""
    client = Client(open=lambda *_: Opened(HERE, write_end), position=HERE)
    call = frame(OPEN, open_arguments(b"/p"))
    client.send(call + ASK + call)
    kinds = [(len(data), descriptors) for data, descriptors in client.connection.sent]
    opened = [(48, ()), (1, (write_end,))]
    assert kinds == [*opened, (44, ()), *opened]


# Answers that come later.


def test_an_answer_that_comes_later_keeps_the_order() -> None:
    """The next call is carried out once the one before it is answered."""
    later: Deferred[Excerpt] = Deferred()
    client = client_of(read=lambda *_: later)
    client.send(frame(READ, read_arguments(b"/p"), serial=1) + ASK)
    assert client.connection.sent == []
    assert not client.connection.reading
    later.callback(Excerpt((b"data",), HERE, HERE, gap=False, final=False))
    assert serials(client) == [1, 5]
    assert client.connection.reading


def test_many_answers_that_are_there_already() -> None:
    """A long row of Deferreds that have fired is no deep recursion."""
    client = client_of(position=lambda _: succeed(HERE))
    client.send(ASK * 3000)
    assert len(client.frames) == 3000


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoSuchLog("none"), b"Unable to seek to inode 7 offset 3: Bad file descriptor"),
        (SystemFailure("Unable to read", errno.EIO), b"Unable to read: Input/output error"),
    ],
)
def test_a_failure_that_comes_later_is_told_like_any(error: Exception, text: bytes) -> None:
    """As if it had been there at once."""
    later: Deferred[Excerpt] = Deferred()
    client = client_of(read=lambda *_: later)
    client.send(frame(READ, read_arguments(b"/p")))
    later.errback(error)
    assert text in client.connection.output
    assert still_serves(client)


@pytest.mark.parametrize("comes_later", [False, True])
def test_what_nobody_foresaw_costs_one_answer(
    comes_later: bool, expected_failures: list[str]
) -> None:
    """It is logged with its traceback, answered, and the connection goes on."""
    expected_failures.append("boom")
    later: Deferred[Excerpt] = Deferred()
    broken = ZeroDivisionError("boom")
    client = client_of(read=(lambda *_: later) if comes_later else broken)
    with capturedLogs() as events:
        client.send(frame(READ, read_arguments(b"/p")))
        if comes_later:
            later.errback(broken)
    (event,) = [event for event in events if "log_failure" in event]
    assert event["log_failure"].value is broken
    told = b"internal error: ZeroDivisionError; the daemon's log says more"
    assert told in client.connection.output
    assert client.frames[0][1][:8] == bytes.fromhex("0000000100000007")
    assert still_serves(client)


def test_an_answer_that_cannot_be_sent_leaves_no_descriptor_open(
    expected_failures: list[str],
) -> None:
    """The log closes by itself then, as its pipe has no writer."""
    expected_failures.append("NotEncodable")
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    client = client_of(open=Opened(Position(-1, 0), write_end))
    with capturedLogs() as events:
        client.send(frame(OPEN, open_arguments(b"/p")))
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    assert "inode: -1 is not of type unsigned hyper" in str(events[-1]["log_failure"].value)
    assert b"internal error: NotEncodable" in client.connection.output
    assert still_serves(client)


# The end.


def test_a_client_that_shuts_its_side_down_gets_its_answers() -> None:
    """Then the connection is closed."""
    later: Deferred[Excerpt] = Deferred()
    client = client_of(read=lambda *_: later)
    client.send(frame(READ, read_arguments(b"/p"), serial=1) + ASK + ASK[:9])
    client.conversation.input_ended()
    assert not client.connection.closed
    later.callback(Excerpt((b"data",), HERE, HERE, gap=False, final=False))
    assert serials(client) == [1, 5]
    assert client.connection.closed


def test_half_a_message_and_the_end_are_passed_over() -> None:
    """Nothing is answered to what was not said."""
    client = client_of()
    client.send(frame(POSITION, b"\0\0\0\1" + position_arguments(b"/p"), kind=4))
    client.conversation.input_ended()
    assert client.connection.sent == []
    assert client.connection.closed


def test_a_client_that_does_not_read_is_not_served_further() -> None:
    """What is queued for it stays bounded."""
    client = Client(congest_at=100, position=HERE)
    client.send(ASK * 10)
    assert len(client.frames) == 3
    assert not client.connection.reading
    client.connection.congest_at = None
    client.conversation.output_drained()
    assert len(client.frames) == 10


@pytest.mark.parametrize("size", [1, 2, 3, 5, 27, 29, 64])
def test_any_split_gives_the_same_answers(size: int) -> None:
    """All kinds of messages, good and bad, cut in pieces."""
    data = b"".join(
        [
            ASK,
            frame(POSITION, b"\0\0\0\2" + position_arguments(b"/p"), kind=4) + b"\0\0",
            *(message for name, message, _ in REFUSED if name != "string too long"),
            *(message for _, message in IGNORED),
            frame(1, program=KEEPALIVE, kind=2),
            ASK,
            b"\0\0\0\3",
        ]
    )
    whole, pieces = client_of(), client_of()
    whole.send(data)
    for start in range(0, len(data), size):
        pieces.send(data[start : start + size])
    assert pieces.connection.sent == whole.connection.sent
    assert len(whole.frames) == len(REFUSED) - 1 + 4
    assert pieces.connection.closed
    assert whole.connection.closed


MESSAGES = st.builds(
    frame,
    procedure=st.integers(-1, 6),
    payload=st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                open_arguments(b"/p"),
                position_arguments(b"/p"),
                read_arguments(b"/p"),
                append_arguments(b"/p"),
                b"\0\0\0\1" + position_arguments(b"/p"),
            ]
        ),
    ),
    program=st.sampled_from([0x87539319, KEEPALIVE, 5]),
    version=st.integers(0, 2),
    kind=st.integers(0, 6),
    status=st.integers(0, 3),
)


@given(
    chunks=st.lists(st.one_of(st.binary(max_size=40), MESSAGES), max_size=8),
    size=st.integers(1, 100),
)
def test_any_bytes_are_survived(chunks: list[bytes], size: int) -> None:
    """Whatever is sent gives answers or an end, never an exception."""
    busy = LogBusy("/p", "qemu", None, OPENED_AT, 7)
    read = Excerpt((b"data",), HERE, HERE, gap=False, final=False)
    client = Client(open=busy, position=HERE, read=read, append=NoSuchLog("none"))
    data = b"".join(chunks)
    for start in range(0, len(data), size):
        client.send(data[start : start + size])
    for header, _ in client.frames:
        assert header.type in {MessageType.REPLY, MessageType.MESSAGE}
        assert header.status in {Status.OK, Status.ERROR}
