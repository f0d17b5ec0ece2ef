"""Answers that are long by themselves: made in slices, sent in pieces, the same in all framings."""

from __future__ import annotations

import base64
import os
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from tests.fakes.administration import FakeDaemon
from tests.jsonrpc.fakes import Client
from tests.jsonrpc.test_suspended import go_on
from twisted_virtlog.jsonrpc.admin_methods import ServerEntry
from twisted_virtlog.jsonrpc.method import ServingSocket
from twisted_virtlog.jsonrpc.text import decode_excerpt
from twisted_virtlog.values import Domain, Excerpt, LogState, LogStatus, Position

HERE = Position(7, 3)
SINCE = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)
GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "w€b")
MOST = 4 * 1024 * 1024

#: Text, escapes, and bytes that are not UTF-8, which are dear.
BYTES = ('€ \x1b[0m"\\\n'.encode() * 9000 + os.urandom(150_000)) * 3
PIECES = tuple(BYTES[at : at + 98304] for at in range(0, len(BYTES), 98304))
READ_RESULT = Excerpt(PIECES, HERE, Position(7, 3 + len(BYTES)), gap=False, final=True)

LOGS = [
    LogStatus(
        path=f"/var/log/libvirt/qemu/guest-{number:05}.log",
        driver="qemu",
        domain=GUEST,
        position=HERE,
        opened_at=SINCE,
        bytes_written=number,
        rollovers=0,
        state=LogState.OPEN,
        error=None,
        lost_bytes=0,
        pipe=number,
    )
    for number in range(3000)
]

POSITION = '{"jsonrpc":"2.0","id":%d,"method":"log.position","params":["/a"]}'
LIST = '{"jsonrpc":"2.0","id":2,"method":"log.list"}'
READ = '{"jsonrpc":"2.0","id":3,"method":"log.read","params":["/a",null,4194304,"%s"]}'
LONG = {"list": LIST, "utf-8": READ % "utf-8", "base64": READ % "base64"}


def plain(text: str) -> bytes:
    """Frame a text as such."""
    return text.encode() + b"\n"


def with_headers(text: str) -> bytes:
    """Frame a text by its length."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(text), text.encode())


def over_http(text: str) -> bytes:
    """Frame a text as a request of HTTP."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(text), text.encode())


FRAMINGS = {"plain": plain, "headers": with_headers, "http": over_http}

each_framing = pytest.mark.parametrize("framing", FRAMINGS)
each_long = pytest.mark.parametrize("long", LONG)


def answering(**options: Any) -> Client:
    """Make a client whose daemon has much to say."""
    client = Client(position=HERE, read=READ_RESULT, logs=LOGS, **options)
    client.slices.later = True
    return client


def texts(framing: str, output: bytes) -> list[Any]:
    """Decode what was sent in a framing."""
    found = []
    while output:
        if framing == "plain":
            text, _, output = output.partition(b"\n")
        else:
            head, _, output = output.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
            if b"Transfer-Encoding" in fields:
                text = b""
                while (size := int(output.partition(b"\r\n")[0], 16)) > 0:
                    output = output.partition(b"\r\n")[2]
                    text, output = text + output[:size], output[size + 2 :]
                output = output.partition(b"\r\n\r\n")[2]
            else:
                size = int(fields[b"Content-Length"])
                assert len(output) >= size
                text, output = output[:size], output[size:]
        found.append(msgspec.json.decode(text))
    return found


def check(long: str, answer: Any) -> None:
    """Check that a long answer says all."""
    result = answer["result"]
    if long == "list":
        assert [one["path"] for one in result] == [log.path for log in LOGS]
        assert [one["bytes"] for one in result] == list(range(3000))
    elif long == "base64":
        assert base64.b64decode(result["data"], validate=True) == BYTES
    else:
        text, end = decode_excerpt(READ_RESULT, MOST)
        assert result["data"] == text
        assert result["end"]["offset"] == end.offset


@each_framing
@each_long
def test_a_long_answer_is_made_in_slices(long: str, framing: str) -> None:
    """Between them others are served, and what the client sends next waits for its turn."""
    client = answering()
    frame = FRAMINGS[framing]
    client.conversation.data_received(frame(LONG[long]) + frame(POSITION % 4))
    if long != "base64":  # which is made as the client reads
        assert client.conversation.waiting
        assert client.slices.take()
        assert client.connection.output == b""
        assert client.slices.take_all() > 20
    first, second = texts(framing, client.connection.output)
    check(long, first)
    assert (first["id"], second["id"]) == (2 if long == "list" else 3, 4)
    assert all(len(piece) < 600_000 for piece in client.connection.pieces)


@each_framing
@each_long
def test_a_long_answer_in_a_batch_is_never_joined(long: str, framing: str) -> None:
    """However long the batch's array becomes."""
    client = answering()
    entries = [POSITION % 1, LONG[long], POSITION % 4, LONG[long], POSITION % 5]
    client.send(FRAMINGS[framing](f"[{','.join(entries)}]"))
    (array,) = texts(framing, client.connection.output)
    number = 2 if long == "list" else 3
    assert [one["id"] for one in array] == [1, number, 4, number, 5]
    check(long, array[1])
    check(long, array[3])
    assert all(len(piece) < 600_000 for piece in client.connection.pieces)


@each_framing
@each_long
@pytest.mark.parametrize("in_batch", [False, True])
def test_a_client_that_does_not_read_cannot_refuse_a_hand_over(
    long: str, framing: str, in_batch: bool
) -> None:
    """What is left of its answer goes over, and what it gets is the same as without."""
    sent = f"[{POSITION % 1},{LONG[long]},{POSITION % 4}]" if in_batch else LONG[long]
    data = FRAMINGS[framing](sent) + FRAMINGS[framing](POSITION % 5)
    once = answering()
    once.send(data)
    client = answering(congest_at=1)
    client.send(data)
    assert 0 < len(client.connection.output) < len(once.connection.output)
    client.conversation.hold()
    assert not client.conversation.waiting
    successor = go_on(client, position=HERE, read=READ_RESULT, logs=LOGS)
    assert client.connection.output + successor.connection.output == once.connection.output


@each_long
@pytest.mark.parametrize("in_batch", [False, True])
def test_slices_go_on_while_a_hand_over_holds(long: str, in_batch: bool) -> None:
    """It waits for the request in progress, which ends though nothing else is begun."""
    sent = f"[{LONG[long]},{POSITION % 4}]" if in_batch else LONG[long]
    client = answering()
    client.conversation.data_received(with_headers(sent))
    client.conversation.hold()
    client.slices.take_all()
    assert not client.conversation.waiting
    successor = go_on(client, position=HERE)
    (answer,) = texts("headers", client.connection.output + successor.connection.output)
    check(long, answer[0] if in_batch else answer)


@each_framing
@pytest.mark.parametrize("in_batch", [False, True])
def test_the_client_may_go_meanwhile(framing: str, in_batch: bool) -> None:
    """Nobody is told, and nothing fails."""
    client = answering()
    sent = f"[{LIST},{READ % 'base64'}]" if in_batch else LIST
    client.conversation.data_received(FRAMINGS[framing](sent))
    client.slices.take()
    client.connection.abort()
    client.slices.take_all()
    assert client.connection.output == b""


@each_framing
@each_long
@pytest.mark.parametrize("in_batch", [False, True])
def test_a_daemon_that_stops_answers_first(long: str, framing: str, in_batch: bool) -> None:
    """All of what is in progress, and no more."""
    client = answering(congest_at=1)
    sent = f"[{LONG[long]},{POSITION % 4}]" if in_batch else LONG[long]
    client.conversation.data_received(FRAMINGS[framing](sent))
    client.conversation.finish()
    client.slices.take_all()
    (answer,) = texts(framing, client.connection.output)
    check(long, answer[0] if in_batch else answer)
    assert client.connection.closed


@pytest.mark.parametrize("counts", [(0, 33), (33, 0), (100, 1), (20, 20)])
def test_many_clients_are_told_of_in_slices(counts: tuple[int, int]) -> None:
    """As few are, by server; whoever leaves meanwhile is still among them."""
    daemon = FakeDaemon()
    for number, count in enumerate(counts):
        daemon.connect(*range(2, count + 2), server=number)
    client = Client(daemon=daemon)
    client.slices.later = True
    client.conversation.data_received(b'{"jsonrpc":"2.0","id":1,"method":"daemon.clients"}\n')
    assert client.connection.output == b""
    for server in daemon.servers:
        server.clients.clear()
    client.slices.take_all()
    (answer,) = client.answers
    found = msgspec.convert(answer["result"], list[ServerEntry])
    assert {entry.server: [one.id for one in entry.clients] for entry in found} == {
        server.name: list(range(2, count + 2))
        for server, count in zip(daemon.servers, counts, strict=True)
    }
    assert [entry.server for entry in found] == ["admin", "virtlogd"]
    assert {one.pid for entry in found for one in entry.clients} == {2168}


def test_the_document_is_made_in_slices_once() -> None:
    """Then it is there, until the daemon is served at other sockets."""
    client = Client()
    client.slices.later = True
    discover = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n'
    for address in (b"/run/one", b"/run/two"):
        client.sockets = (ServingSocket("jsonrpc", address, read_only=False),)
        client.conversation.data_received(discover * 2)
        assert client.conversation.waiting
        assert client.slices.take_all() > 20
        assert not client.conversation.waiting
    documents = [answer["result"] for answer in client.answers]
    assert documents[0] == documents[1]
    assert documents[2] == documents[3]
    urls = [document["servers"][0]["url"] for document in documents[::2]]
    assert urls == ["unix:/run/one", "unix:/run/two"]


def test_a_failure_in_a_slice_is_an_answer(expected_failures: list[str]) -> None:
    """As one before the first."""
    expected_failures.append("NoneType")
    client = Client(logs=[*LOGS[:100], None], position=HERE)
    client.slices.later = True
    client.send(LIST + POSITION % 4)
    first, second = client.answers
    assert (first["error"]["code"], second["id"]) == (-32603, 4)
