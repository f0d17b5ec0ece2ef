"""A conversation answers in order, once, and survives whatever a client or the handler does."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from tests.jsonrpc.fakes import Client
from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.jsonrpc import long_steps
from twisted_virtlog.values import Excerpt, Opened, Position

HERE = Position(7, 3)
HERE_JSON = {"inode": 7, "offset": 3, "birth": ""}


def request(number: Any, method: str = "log.position", params: str = '["/a"]') -> str:
    """Make a request, or a notification if its number is None, without a newline."""
    member = "" if number is None else f'"id":{number},'
    return f'{{"jsonrpc":"2.0",{member}"method":"{method}","params":{params}}}'


def answer(number: Any, result: Any = HERE_JSON) -> dict[str, Any]:
    """Make the answer to a request that went well."""
    return {"jsonrpc": "2.0", "id": number, "result": result}


def codes(answers: list[Any]) -> list[Any]:
    """Return id and error code, or "ok", of answers, of batches as lists."""
    return [
        codes(a) if isinstance(a, list) else (a["id"], a["error"]["code"] if "error" in a else "ok")
        for a in answers
    ]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe, its read end non-blocking; the write end is the test's to close."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    yield read_end, write_end
    os.close(read_end)


def is_closed(read_end: int) -> bool:
    """Return whether a pipe has no write end left."""
    try:
        return os.read(read_end, 1) == b""
    except BlockingIOError:
        return False


# The examples of the JSON-RPC 2.0 specification, with methods that this daemon has.
EXAMPLES: dict[str, tuple[str, list[Any]]] = {
    "positional parameters": (request(1), [(1, "ok")]),
    "named parameters": (request(3, params='{"path":"/a"}'), [(3, "ok")]),
    "a notification": (request(None), []),
    "a notification of no method": (request(None, "foobar", "[]"), []),
    "no such method": ('{"jsonrpc":"2.0","method":"foobar","id":"1"}', [("1", -32601)]),
    "invalid JSON": (
        '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]\n',
        [(None, -32700)],
    ),
    "an invalid request": (
        '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
        [(None, -32600)],
    ),
    "a batch, invalid JSON": (
        '[\n {"jsonrpc":"2.0","method":"sum","id":"1"},\n {"jsonrpc":"2.0","method"\n]\n',
        [(None, -32700)],
    ),
    "an empty array": ("[]", [(None, -32600)]),
    "an invalid batch of one": ("[1]", [[(None, -32600)]]),
    "an invalid batch": ("[1,2,3]", [[(None, -32600)] * 3]),
    "a batch": (
        f'[{request(1)},{request(None)},{request(2)},{{"foo":"boo"}},{request(5, "foo.get")}]',
        [[(1, "ok"), (2, "ok"), (None, -32600), (5, -32601)]],
    ),
    "a batch of notifications": (f"[{request(None)},{request(None, 'x')}]", []),
}


@pytest.mark.parametrize(("data", "expected"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_specifications_examples(data: str, expected: list[Any]) -> None:
    """JSON-RPC 2.0 in full, sent whole and byte by byte."""
    assert codes(Client(position=HERE).ask(data)) == expected
    client = Client(position=HERE)
    for byte in data.encode():
        client.send(bytes([byte]))
    assert codes(client.answers) == expected


def test_notifications_are_carried_out_in_silence() -> None:
    """Whether they go well, fail, or have wrong parameters."""
    client = Client(position=HERE, append=NoSuchLog("no", "/a"))
    client.send(
        request(None) + request(None, "log.append", '["/a","x"]') + request(None, params="{}")
    )
    assert [call[0] for call in client.handler.calls] == ["position", "append"]
    assert client.connection.output == b""


def test_a_null_id_is_answered() -> None:
    """It is an id like any other."""
    assert Client(position=HERE).ask(request("null")) == [answer(None)]


def test_wrong_parameters_are_told_with_the_path() -> None:
    """A person reading the daemon's answers sees which log they are about."""
    error = Client().call("log.read", {"path": "/a", "max_bytes": 0})["error"]
    assert (error["code"], error["data"]) == (-32602, {"path": "/a"})
    assert "max_bytes is 0" in error["message"]
    assert "data" not in Client().call("log.read", {})["error"]


@pytest.mark.parametrize("wrap", [lambda v: v, succeed], ids=["at once", "Deferred"])
def test_each_answer_is_one_line(wrap: Any) -> None:
    """Requests on one line or many are answered in order, each with one newline."""
    client = Client(position=lambda path: wrap(Position(1, len(path))))
    client.send(request(1, params='["/a"]') + request('"b"', params='["/ab"]') + "\n" + request(3))
    lines = client.connection.output.split(b"\n")
    assert lines.pop() == b""
    assert [msgspec.json.decode(line)["id"] for line in lines] == [1, "b", 3]


def test_a_later_answer_keeps_its_place() -> None:
    """Nothing after it is carried out before it is there, and nothing is read meanwhile."""
    later: Deferred[Position] = Deferred()
    client = Client(read=later, position=HERE)
    client.send(request(1, "log.read") + request(2))
    client.send(request(3))
    assert client.connection.output == b""
    assert [call[0] for call in client.handler.calls] == ["read"]
    assert not client.connection.reading
    client.handler.answers["read"] = None
    later.callback(Excerpt((b"x",), HERE, HERE, False, True))  # type: ignore[arg-type]
    assert [a["id"] for a in client.answers] == [1, 2, 3]
    assert client.connection.reading


def test_a_later_error_is_told() -> None:
    """A failed Deferred is answered as if the error had been raised at once."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(request(1))
    later.errback(NoSuchLog("not open: /a", "/a"))
    (told,) = client.answers
    assert told["error"] == {"code": 1002, "message": "not open: /a", "data": {"path": "/a"}}


@pytest.mark.parametrize("is_later", [False, True])
def test_what_nobody_foresaw_costs_one_answer(is_later: bool, expected_failures: list[str]) -> None:
    """It is logged with its traceback, and the conversation goes on."""
    expected_failures.append("ZeroDivisionError")

    def fail(_: object) -> Position:
        raise ZeroDivisionError("no wonder")

    def fail_later(_: object) -> Deferred[Position]:
        return succeed(HERE).addCallback(fail)

    client = Client(position=fail_later if is_later else fail, append=HERE)
    with capturedLogs() as logged:
        error = client.call("log.position", ["/a"])["error"]
    assert (error["code"], error["data"]) == (-32603, {"path": "/a"})
    assert "ZeroDivisionError" in error["message"]
    assert "no wonder" not in error["message"]
    (event,) = logged
    assert event["log_failure"].check(ZeroDivisionError)
    assert __file__ in event["log_failure"].getTraceback()
    assert client.call("log.append", ["/a", "x"]) == {"result": HERE_JSON}


def test_descriptors_go_with_their_answers(pipe: tuple[int, int]) -> None:
    """The first answer that promises one comes with the first."""
    _, write_end = pipe
    second = os.dup(write_end)
    descriptors = iter([write_end, second])
    client = Client(open=lambda *_: Opened(HERE, next(descriptors)), position=HERE)
    client.send(request(1, "log.open") + request(2) + request(3, "log.open"))
    found = [(msgspec.json.decode(data)["id"], given) for data, given in client.connection.sent]
    assert found == [(1, (write_end,)), (2, ()), (3, (second,))]
    os.close(write_end)
    os.close(second)


def test_a_batchs_descriptors_come_with_its_one_text(pipe: tuple[int, int]) -> None:
    """In the order of the answers within."""
    _, write_end = pipe
    second = os.dup(write_end)
    descriptors = iter([write_end, second])
    client = Client(open=lambda *_: Opened(HERE, next(descriptors)), position=HERE)
    client.send(f"[{request(1, 'log.open')},{request(2)},{request(3, 'log.open')}]")
    ((text, given),) = client.connection.sent
    assert given == (write_end, second)
    assert [a["id"] for a in msgspec.json.decode(text)] == [1, 2, 3]
    os.close(write_end)
    os.close(second)


@pytest.mark.parametrize("batch", [False, True])
def test_a_log_opened_by_a_notification_is_closed(pipe: tuple[int, int], batch: bool) -> None:
    """Nobody would get its descriptor."""
    read_end, write_end = pipe
    client = Client(open=Opened(HERE, write_end))
    text = request(None, "log.open")
    client.send(f"[{text}]" if batch else text)
    assert client.connection.output == b""
    assert is_closed(read_end)


def test_a_descriptor_is_closed_if_its_answer_cannot_be_made(
    pipe: tuple[int, int], expected_failures: list[str]
) -> None:
    """Nothing leaks when a step fails half way."""
    expected_failures.append("Error")
    read_end, write_end = pipe
    broken = Opened(Position("?", 0), write_end)  # type: ignore[arg-type]
    with capturedLogs() as logged:
        assert Client(open=broken).call("log.open", ["/a"])["error"]["code"] == -32603
    assert len(logged) == 1
    assert is_closed(read_end)


@pytest.mark.parametrize("text", [request(1, "log.open"), f"[{request(1, 'log.open')},1]"])
def test_a_descriptor_is_closed_if_the_client_left_meanwhile(
    pipe: tuple[int, int], text: str
) -> None:
    """A log that is opened for a client that is gone is closed at once."""
    read_end, write_end = pipe
    later: Deferred[Opened] = Deferred()
    client = Client(open=later)
    client.send(text)
    client.connection.abort()
    later.callback(Opened(HERE, write_end))
    assert is_closed(read_end)


def test_descriptors_gathered_in_a_batch_are_closed_with_the_connection(
    pipe: tuple[int, int],
) -> None:
    """Also those whose batch still waits for another entry."""
    read_end, write_end = pipe
    later: Deferred[Position] = Deferred()
    client = Client(open=Opened(HERE, write_end), position=later)
    client.send(f"[{request(1, 'log.open')},{request(2)}]")
    assert not is_closed(read_end)
    client.connection.abort()
    assert is_closed(read_end)
    later.callback(HERE)


def test_a_batch_waits_for_each_entry() -> None:
    """Entries are carried out one after another, as requests are."""
    waiting: list[Deferred[Position]] = []

    def position(_path: str) -> Deferred[Position]:
        waiting.append(Deferred())
        return waiting[-1]

    client = Client(position=position)
    client.send(f"[{request(1)},{request(2)}]{request(3)}")
    for number in range(3):
        assert len(waiting) == number + 1
        waiting[number].callback(Position(number, 0))
    batch, single = client.answers
    assert [a["id"] for a in (*batch, single)] == [1, 2, 3]


def test_a_long_batch_leaves_in_pieces_as_the_client_reads() -> None:
    """Its answers are no burden to the daemon, and still one array."""
    excerpt = Excerpt((b"x" * 30_000,), HERE, HERE, False, True)
    client = Client(congest_at=100_000, read=excerpt, position=HERE)
    client.send("[" + ",".join(request(n, "log.read") for n in range(20)) + "]" + request(20))
    sent = []
    while client.connection.congested:
        assert not client.connection.reading
        sent += client.connection.sent
        assert len(client.connection.output) < 200_000
        client.connection.sent.clear()
        client.conversation.output_drained()
    client.connection.sent[:0] = sent
    batch, single = client.answers
    assert [a["id"] for a in (*batch, single)] == list(range(21))
    assert len(client.handler.calls) == 21


READ = '{"path":"/a","encoding":"base64","max_bytes":4194304}'
LONG = bytes(range(256)) * 4096
EXCERPT = Excerpt((LONG,), HERE, HERE, False, True)


def told_of_long(reply: dict[str, Any]) -> bool:
    """Return whether an answer has all of LONG."""
    return base64.b64decode(reply["result"]["data"], validate=True) == LONG


@pytest.mark.parametrize("is_later", [False, True])
def test_a_long_read_leaves_in_pieces_as_the_client_reads(is_later: bool) -> None:
    """A client that is slow to read makes the daemon hold little; the next answer has to wait."""
    later: Deferred[Excerpt] = Deferred()
    client = Client(congest_at=100_000, read=later if is_later else EXCERPT, position=HERE)
    client.send(request(1, "log.read", READ) + request(2))
    if is_later:
        later.callback(EXCERPT)
    sent = []
    while client.connection.congested:
        assert not client.connection.reading
        assert len(client.connection.output) < 300_000
        sent += client.connection.sent
        client.connection.sent.clear()
        client.conversation.output_drained()
    client.connection.sent[:0] = sent
    first, second = client.answers
    assert told_of_long(first)
    assert second == answer(2)


def test_a_long_read_in_a_batch_is_whole() -> None:
    """Between other entries, and without a trace of one that nobody waits for."""
    client = Client(read=EXCERPT, position=HERE)
    client.send(f"[{request(1)},{request(2, 'log.read', READ)},{request(3)}]")
    client.send(request(None, "log.read", READ) + request(4))
    batch, single = client.answers
    assert [one["id"] for one in (*batch, single)] == [1, 2, 3, 4]
    assert told_of_long(batch[1])


@pytest.mark.parametrize("is_later", [False, True])
def test_a_stopping_daemon_ends_a_long_read(is_later: bool) -> None:
    """Its answer is complete, those behind it are not begun."""
    later: Deferred[Excerpt] = Deferred()
    client = Client(congest_at=1, read=later if is_later else EXCERPT, position=HERE)
    client.send(request(1, "log.read", READ) + request(2))
    client.conversation.finish()
    if is_later:
        later.callback(EXCERPT)
    (only,) = client.answers
    assert told_of_long(only)
    assert client.connection.closed


def test_the_rest_of_a_long_read_goes_with_its_client() -> None:
    """Nothing is encoded for somebody who is gone."""
    client = Client(congest_at=1, read=EXCERPT)
    client.send(request(1, "log.read", READ))
    client.connection.abort()
    client.conversation.output_drained()
    assert len(client.connection.output) < 200_000


def test_a_long_batch_leaves_the_reactor_to_others() -> None:
    """Also one without answers, whose client is never congested."""
    client = Client(position=HERE)
    client.connection.share_seconds = 0.0
    text = "[" + ",".join([request(None)] * 9 + [request(1)]) + "]" + request(2)
    client.conversation.data_received(text.encode())
    for turn in range(9):
        assert len(client.handler.calls) == turn + 1
        assert client.connection.take_turn()
    client.connection.take_turns()
    assert len(client.handler.calls) == 11
    assert client.answers == [[answer(1)], answer(2)]


def test_many_small_entries_take_little_memory() -> None:
    """A batch is taken apart as it is carried out."""
    client = Client(congest_at=1000)
    client.send(b"[" + b"1," * 100_000 + b"1]")
    assert client.connection.congested
    assert len(client.connection.output) < 200_000


def test_requests_wait_while_the_client_does_not_read() -> None:
    """What is sent and never read is bounded by one answer."""
    client = Client(congest_at=1, position=HERE)
    client.send(request(1) + request(2))
    assert client.answers == [answer(1)]
    assert not client.connection.reading
    client.connection.sent.clear()
    client.conversation.output_drained()
    assert client.answers == [answer(2)]


def test_a_half_closed_client_gets_its_answers() -> None:
    """The connection closes after the last one."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(request(1))
    client.send(request(2, "daemon.info", "[]")[:-1])
    client.send("}")
    client.conversation.input_ended()
    assert not client.connection.closed
    later.callback(HERE)
    assert codes(client.answers) == [(1, "ok"), (2, "ok")]
    assert client.connection.closed


def test_a_half_sent_request_is_refused_at_the_end() -> None:
    """So that a client that was cut short knows it."""
    client = Client()
    client.send(request(1)[:-5])
    client.conversation.input_ended()
    assert codes(client.answers) == [(None, -32700)]
    assert client.connection.closed


def test_a_stream_that_cannot_go_on_is_closed() -> None:
    """Garbage without end is answered once and then cut off."""
    client = Client()
    client.send(b"garbage ")
    for _ in range(256):
        assert not client.connection.closed
        client.send(b"x" * 65536)
    assert codes(client.answers) == [(None, -32700)]
    assert client.connection.closed


def test_a_text_of_16_mebibytes_is_taken_and_no_longer_one() -> None:
    """The limit is as documented; the next line is served."""
    head, tail = request(1, "log.append", '["/a","').encode()[:-1], b'"]}'
    for size, told in ((2**24, (1, "ok")), (2**24 + 1, (None, -32700))):
        text = head + b"x" * (size - len(head) - len(tail)) + tail
        assert len(text) == size
        client = Client(append=HERE)
        for start in range(0, size, 2**20):
            client.send(text[start : start + 2**20])
        client.send("\n" + request(2, "daemon.info", "[]"))
        assert codes(client.answers) == [told, (2, "ok")]


def test_a_stopping_daemon_ends_the_batch_in_progress() -> None:
    """What was carried out is answered, in an array that has its end."""
    client = Client(congest_at=1, position=HERE)
    client.send("[" + ",".join(request(n) for n in range(5000)) + "]")
    client.conversation.finish()
    (batch,) = client.answers
    assert 0 < len(batch) < 5000
    assert client.connection.closed


def test_a_stopping_daemon_answers_what_waits_in_a_batch() -> None:
    """The entry in progress is answered, the ones behind it are not carried out."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(f"[{request(1)},{request(2)}]")
    client.conversation.finish()
    assert not client.connection.closed
    later.callback(HERE)
    assert client.answers == [[answer(1)]]
    assert client.connection.closed


def test_a_stopping_daemon_answers_what_waits() -> None:
    """The request in progress is answered, the ones behind it are not carried out."""
    later: Deferred[Position] = Deferred()
    client = Client(position=later)
    client.send(request(1) + request(2))
    client.conversation.finish()
    later.callback(HERE)
    assert client.answers == [answer(1)]
    assert client.connection.closed


requests = st.sampled_from(
    [
        request(1),
        request('"x"', "log.read", '{"path":"/a","encoding":"base64"}'),
        request(None),
        request(2, "log.append", '["/a"]'),
        f"[{request(3)},7,{request(None)}]",
        request(4, "daemon.info", "{}"),
    ]
).map(str.encode)


@given(
    st.lists(
        requests | st.binary(max_size=20) | st.sampled_from([b"\n", b"{", b"]", b'"']), max_size=8
    ),
    st.lists(st.integers(0, 500), max_size=5),
)
def test_no_bytes_break_a_conversation(parts: list[bytes], cut: list[int]) -> None:
    """Whatever comes, every answer is a JSON-RPC answer on a line of its own."""
    data = b"".join(parts)
    client = Client(position=HERE, read=Excerpt((b"x",), HERE, HERE, False, True), append=HERE)
    edges = [0, *sorted(c % (len(data) + 1) for c in cut), len(data)]
    for start, stop in itertools.pairwise(edges):
        client.send(data[start:stop])
    client.conversation.input_ended()
    client.connection.take_turns()
    assert client.connection.closed
    for told in client.answers:
        for one in told if isinstance(told, list) else [told]:
            assert one["jsonrpc"] == "2.0"
            assert one.keys() == {"jsonrpc", "id", "error" if "error" in one else "result"}


def test_a_text_that_takes_long_to_decode_is_answered_and_its_connection_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Decoding cannot be interrupted; so the next text waits, and others do not."""
    monkeypatch.setattr(long_steps, "LONG_SECONDS", -1.0)
    client = Client(position=HERE)
    long = request(1, "log.append", f'["/a", "{"x" * 200_000}", 1]')
    client.conversation.data_received((long + request(2) + request(3)).encode())
    assert [one["id"] for one in client.answers] == [1]
    assert client.connection.rests == [1.0]
    client.connection.take_turns()
    assert [one["id"] for one in client.answers] == [1, 2, 3]


def test_so_does_one_whose_batch_takes_long_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of it."""
    monkeypatch.setattr(long_steps, "LONG_SECONDS", -1.0)
    client = Client(position=HERE)
    client.send("[" + ",".join(request(number) for number in range(1000)) + "]")
    assert len(client.answers[0]) == 1000
    assert client.connection.rests.count(1.0) > 10


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[%s1]}' % ("[]," * 20_000),
        "[%s1]" % ("[]," * 10_000),
        "[[%s1]]" % ("[]," * 30_000),
        '"%s"' % ('\\"' * 500_000),
    ],
    ids=["object", "short batch", "long batch", "string"],
)
@pytest.mark.parametrize("broken", [False, True])
def test_no_text_keeps_the_reactor_while_its_end_is_looked_for(text: str, broken: bool) -> None:
    """It is one, or it is broken at its end; and the next one is answered."""
    client = Client(position=HERE)
    client.connection.share_seconds = 0.0
    # (two on a line, so that their ends are looked for)
    sent = (
        " " + (text[:-1] + "}]" if broken else text) + " " + ("\n" if broken else "") + request(9)
    )
    turns = 0
    for start in range(0, len(sent), 65536):
        client.conversation.data_received(sent[start : start + 65536].encode())
        turns += client.connection.take_turns()
    if "[" in text:
        assert turns > 50
    assert client.answers[-1] == answer(9)
