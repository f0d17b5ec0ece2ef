"""Whatever the framing, the requests are the same: in any split, and across hand-overs."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.jsonrpc.fakes import Client
from tests.jsonrpc.test_suspended import go_on
from twisted_virtlog.jsonrpc.framing import MAX_BATCH_BYTES, MAX_TEXT_BYTES
from twisted_virtlog.values import Excerpt, Opened, Position

HERE = Position(7, 3)
READ = '{"jsonrpc":"2.0","id":8,"method":"log.read","params":["/a",null,4194304,"base64"]}'


def ask(number: Any, method: str = "log.position", params: str = '["/a"]') -> str:
    """Make a request, or a notification if its number is None."""
    member = "" if number is None else f'"id":{number},'
    return f'{{"jsonrpc":"2.0",{member}"method":"{method}","params":{params}}}'


def framed(text: str, *headers: str) -> bytes:
    """Put a text behind its header."""
    data = text.encode()
    return (
        "".join(f"{one}\r\n" for one in (f"Content-Length: {len(data)}", *headers, "")).encode()
        + data
    )


def unframed(output: bytes) -> list[Any]:
    """Take answers out of their frames, strictly."""
    answers = []
    while output:
        found = re.match(rb"Content-Length: ([0-9]+)\r\n\r\n", output)
        assert found
        end = found.end() + int(found[1])
        assert len(output) >= end
        answers.append(json.loads(output[found.end() : end]))
        output = output[end:]
    return answers


def post(
    text: str | bytes, *fields: str, first: str = "POST / HTTP/1.1", type_: str = "application/json"
) -> bytes:
    """Make a request of HTTP with a length."""
    data = text if isinstance(text, bytes) else text.encode()
    lines = (first, "Host: h", f"Content-Type: {type_}", f"Content-Length: {len(data)}", *fields)
    return "\r\n".join((*lines, "", "")).encode() + data


def chunked(text: str, *fields: str, size: int = 10, trailer: str = "") -> bytes:
    """Make a request of HTTP in chunks."""
    data = text.encode()
    lines = ("POST / HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")
    body = b"".join(
        b"%X;a=b\r\n%b\r\n" % (len(piece), piece)
        for piece in (data[at : at + size] for at in range(0, len(data), size))
    )
    return "\r\n".join((*lines, *fields, "", "")).encode() + body + f"0\r\n{trailer}\r\n".encode()


class _Answers:
    """What http.client sees as a socket: the bytes that came."""

    def __init__(self, output: bytes) -> None:
        self._file = io.BytesIO(output)

    def makefile(self, _mode: str) -> io.BytesIO:
        return self._file


def responses(output: bytes, method: str = "POST") -> list[tuple[int, Any]]:
    """Read all responses as http.client does; tell the status and what is in each body."""
    source = _Answers(output)
    file = source.makefile("rb")
    file.close = lambda: None  # type: ignore[method-assign]
    found: list[tuple[int, Any]] = []
    while file.tell() < len(output):
        one = http.client.HTTPResponse(source, method=method)  # type: ignore[arg-type]
        one.begin()
        body = one.read()
        is_json = one.headers.get("Content-Type") == "application/json"
        found.append((one.status, json.loads(body) if body and is_json else body.decode()))
    return found


def talk(sent: bytes, cuts: Sequence[int] = (), handed_over: bool = False, **answers: Any) -> bytes:
    """Send bytes in pieces, each perhaps to another image; return all that is answered."""
    client = Client(**answers)
    output = b""
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        client.send(sent[begin:end])
        if handed_over:
            output += client.connection.output
            if client.connection.closed:
                return output
            client = go_on(client, **answers)
    if not client.connection.closed:
        client.conversation.input_ended()
        client.connection.take_turns()
    assert client.connection.closed
    return output + client.connection.output


_BATCH = f"[{ask(3)}, 1, {ask(None)}, {ask(4)}]"
_EXCERPT = Excerpt((b"\x00\xff" * 100_000,), HERE, HERE, False, True)

_HEADER_TEXTS = (
    framed(ask(1)),
    framed(ask(2), "Content-Type: application/vscode-jsonrpc; charset=utf-8"),
    framed(_BATCH),
    framed(ask(None)),
    framed(f"[{ask(None)}]"),
    framed("no JSON"),
    framed("é"),
    framed(""),
    framed(READ),
    framed(ask(5), "Content-Type: x; charset=utf-16"),
    framed("[" + " " * MAX_BATCH_BYTES + "]"),
    b"Content-Length:2\n\n[]",
)
_HTTP_REQUESTS = (
    post(ask(1)),
    post(_BATCH, "Connection: keep-alive"),
    post(ask(None)),
    post(f"[{ask(None)}]"),
    post("no JSON"),
    post("é"),
    post(""),
    post(READ),
    b"\r\n" + post(ask(2)),
    post(ask(3), first="GET / HTTP/1.1"),
    post(ask(4), type_="text/plain"),
    post(ask(5), first="POST /a HTTP/1.1"),
    post("[" + " " * MAX_BATCH_BYTES + "]"),
    post(ask(9), "Expect: 100-continue"),
    chunked(ask(6)),
    chunked(_BATCH, size=1),
    chunked("[]", trailer="A: b\r\n"),
    chunked("no JSON", "Expect: 100-continue"),
    chunked("no JSON", "Content-Encoding: x"),
)


@pytest.mark.parametrize("pool", [_HEADER_TEXTS, _HTTP_REQUESTS], ids=["headers", "HTTP"])
@given(data=st.data())
def test_any_split_and_any_hand_over_is_the_same(
    pool: Sequence[bytes], data: st.DataObject
) -> None:
    """All is answered as if it had come at once to one daemon."""
    sent = b"".join(data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4)))
    short = st.integers(0, len(sent)) | st.integers(0, min(len(sent), 400))
    cuts = data.draw(st.lists(short, max_size=5).map(sorted))
    handed_over = data.draw(st.booleans())
    # (an answer that says 100 depends on what has come already, as HTTP allows)
    once = talk(sent, position=HERE, read=_EXCERPT)
    pieces = talk(sent, cuts, handed_over, position=HERE, read=_EXCERPT)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert pieces.replace(interim, b"") == once.replace(interim, b"")


@pytest.mark.parametrize("sent", [_HEADER_TEXTS[0] * 2, post(_BATCH), chunked(_BATCH)])
def test_byte_by_byte(sent: bytes) -> None:
    """The framing is told, and its texts found, from single bytes."""
    assert talk(sent, range(1, len(sent)), position=HERE) == talk(sent, position=HERE)
    assert talk(sent, range(1, len(sent)), True, position=HERE) == talk(sent, position=HERE)


@pytest.mark.parametrize("beginning", [b"{", b"Content-Leng", b"POS", b"nul"])
def test_a_hand_over_in_the_first_word(beginning: bytes) -> None:
    """The framing is told by the bytes before and after it."""
    sent = {
        b"{": ask(1).encode(),
        b"C": framed(ask(1)),
        b"P": post(ask(1)),
        b"n": b"null ",
    }[beginning[:1]]
    assert sent.startswith(beginning)
    assert talk(sent, [len(beginning)], True, position=HERE) == talk(sent, position=HERE)


def test_the_framing_stays_for_life() -> None:
    """A JSON text is no header because it looks like one, not even after a hand-over."""
    client = Client(position=HERE)
    client.send(ask(1) + "\n")
    assert client.ask("POST / HTTP/1.1\n")[0]["error"]["code"] == -32700
    client = go_on(client, position=HERE)
    assert client.ask("POST / HTTP/1.1\n")[0]["error"]["code"] == -32700
    assert client.ask(ask(2))[0]["id"] == 2


# Headers.


def test_answers_have_headers_too() -> None:
    """And nothing around them."""
    output = talk(framed(ask(1)) + framed(_BATCH) + framed(ask(None)), position=HERE)
    single, batch = unframed(output)
    assert single["id"] == 1
    assert [one["id"] for one in batch] == [3, None, 4]
    assert output.endswith(b"]")


def test_a_long_answer_says_its_length_before_it_is_made() -> None:
    """And that is right."""
    for size in (0, 1, 98304, 98305, 98306, 98307, 3_000_000):
        excerpt = Excerpt((b"x" * size,), HERE, HERE, False, True)
        (answer,) = unframed(talk(framed(READ), read=excerpt))
        assert len(base64.b64decode(answer["result"]["data"])) == size


def test_a_text_that_is_refused_costs_itself_alone() -> None:
    """As its length is known."""
    long = framed("{" + " " * MAX_TEXT_BYTES + "}") + framed("no") + framed(ask(2))
    codes = [one.get("error", {}).get("code") for one in unframed(talk(long, position=HERE))]
    assert codes == [-32700, -32700, None]


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Type: a\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: 2\r\nso it is\r\n\r\n{}",
        b"A: " + b"x" * 9000,
        b"Content-Length: " + b"9" * 19 + b"\r\n\r\n",
    ],
)
def test_headers_without_a_length_end_the_connection(headers: bytes) -> None:
    """After an answer that says why."""
    client = Client(position=HERE)
    client.send(framed(ask(1)) + headers + framed(ask(2)))
    good, bad = unframed(client.connection.output)
    assert (good["id"], bad["error"]["code"]) == (1, -32700)
    assert client.connection.closed


def test_an_end_within_a_text_is_said() -> None:
    """As it is with plain texts."""
    (answer,) = unframed(talk(framed(ask(1))[:-1]))
    assert answer["error"]["code"] == -32700


def test_descriptors_go_with_a_framed_answer() -> None:
    """Also those of a batch, which is handed over before it is sent."""
    _, write_end = os.pipe()
    client = Client(open=lambda *_: Opened(HERE, os.dup(write_end)), position=HERE)
    client.send(framed(ask(1, "log.open")))
    ((data, descriptors),) = client.connection.sent
    assert unframed(data)[0]["result"]["fds"] == len(descriptors) == 1
    entries = [ask(2, "log.open"), *(ask(number) for number in range(3, 400))]
    client.connection.share_seconds = 0.0
    client.conversation.data_received(framed(f"[{','.join(entries)}]"))
    client.connection.take_turn()
    client.connection.take_turn()
    client.conversation.hold()
    client.connection.take_turns()
    successor = go_on(client, position=HERE)
    assert len(client.connection.sent) == 1
    ((data, own),) = successor.connection.sent
    assert [one["id"] for one in unframed(data)[0]] == list(range(2, 400))
    assert len(own) == 1
    for descriptor in (write_end, *descriptors, *own):
        os.close(descriptor)


def test_a_batch_whose_answers_are_too_many_is_cut() -> None:
    """They must be sent whole, and are not gathered without end; what is refused is not done."""
    excerpt = Excerpt((b"x" * 3_000_000,), HERE, HERE, False, True)
    client = Client(read=excerpt)
    client.send(framed("[" + ",".join([READ] * 50) + "]"))
    (answers,) = unframed(client.connection.output)
    done = len(client.handler.calls)
    assert 3 < done < 7
    codes = [one.get("error", {}).get("code") for one in answers]
    assert codes == [None] * done + [1004] * (50 - done)


# HTTP.


def test_requests_are_answered_by_responses() -> None:
    """One after another on one connection; errors of JSON-RPC are no errors of HTTP."""
    sent = post(ask(1)) + post(_BATCH) + post(ask(2, "no.such")) + post("[]") + post(ask(None))
    found = responses(talk(sent, position=HERE))
    assert [status for status, _ in found] == [200, 200, 200, 200, 204]
    assert found[0][1]["id"] == 1
    assert [one["id"] for one in found[1][1]] == [3, None, 4]
    assert found[2][1]["error"]["code"] == -32601
    assert found[3][1]["error"]["code"] == -32600
    assert found[4][1] == ""


def test_what_is_no_json_is_400() -> None:
    """And the connection goes on."""
    sent = post("no") + post(b"\xff") + post("{" + " " * MAX_TEXT_BYTES + "}") + post(ask(1))
    found = responses(talk(sent, position=HERE))
    assert [status for status, _ in found] == [400, 400, 400, 200]
    assert [body["error"]["code"] for _, body in found[:3]] == [-32700] * 3
    assert found[0][1]["id"] is None


@pytest.mark.parametrize("method", ["log.open", "log_open"])
def test_what_needs_the_stream_is_refused(method: str) -> None:
    """As no descriptor can come with a response."""
    ((status, body),) = responses(talk(post(ask(1, method))))
    assert (status, body["error"]["code"]) == (200, 1012)
    assert "HTTP" in body["error"]["message"]
    assert responses(talk(post(ask(None, method)))) == [(204, "")]


def test_a_client_that_waits_for_100_gets_it() -> None:
    """Once, and only if the request will be carried out."""
    client = Client(position=HERE)
    request = post(ask(1), "Expect: 100-continue")
    head, body = request[: -len(ask(1))], request[-len(ask(1)) :]
    client.send(head)
    assert client.connection.output == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(body[:5])
    client.send(body[5:])
    (answered,) = responses(client.connection.output.partition(b"\r\n\r\n")[2])
    assert answered[0] == 200
    for refused in (head.replace(b"json", b"xml"), head.replace(b"Length: ", b"Length: 9999999")):
        client = Client()
        client.send(refused)
        assert re.match(rb"HTTP/1.1 4(15|00) ", client.connection.output)
        assert client.connection.closed


def test_a_batch_with_long_answers_is_sent_as_it_is_made() -> None:
    """In chunks, or up to the end of the connection for a client that knows no chunks."""
    batch = "[" + ",".join([READ] * 20) + "]"
    for sent in (
        post(batch),
        post(batch, "Connection: keep-alive", first="POST / HTTP/1.0"),
    ):
        client = Client(read=_EXCERPT)
        client.send(sent)
        assert len(client.connection.sent) > 5
        ((status, body),) = responses(client.connection.output)
        assert (status, len(body)) == (200, 20)
        assert client.connection.closed == (b"HTTP/1.0" in sent)


def test_a_batch_is_handed_over_between_two_chunks() -> None:
    """The response goes on."""
    entries = ",".join(ask(number) for number in range(1000))
    client = Client(position=HERE)
    client.connection.share_seconds = 0.0
    client.conversation.data_received(post(f"[{entries}]") + post(ask(5)))
    while not client.connection.output:
        assert client.connection.take_turn()
    successor = go_on(client, position=HERE)
    assert client.handler.calls
    assert len(successor.handler.calls) > 1
    batch, single = responses(client.connection.output + successor.connection.output)
    assert [one["id"] for one in batch[1]] == list(range(1000))
    assert single[1]["id"] == 5
    assert not successor.connection.closed


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/3.1\r\n\r\n",
        b"POST / " + b"x" * 20000,
        chunked("{}").replace(b"\r\n{}\r\n", b"\r\n{} \r\n"),
        chunked("{}").replace(b"2;a=b", b"-2"),
        chunked("{}").replace(b"2;a=b", b"x" * 2000),
        post("", first="POST / HTTP/1.1").replace(b"Length: 0", b"Length: 99999999"),
        chunked("x" * (2 * MAX_TEXT_BYTES + 10), size=1_000_000),
        chunked("x", "Content-Encoding: x", trailer="A: b\r\n" * 4000),
    ],
)
def test_what_cannot_be_understood_or_dropped_ends_the_connection(sent: bytes) -> None:
    """After a response that says so."""
    client = Client(position=HERE)
    for at in range(0, len(sent), 65536):
        client.send(sent[at : at + 65536])
        if client.connection.closed:
            break
    assert client.connection.closed
    ((status, _),) = responses(client.connection.output)
    assert status >= 400
    assert b"\r\nConnection: close\r\n" in client.connection.output


def test_the_head_alone_answers_head() -> None:
    """Whose response has no body; the next response is not taken for one."""
    client = Client(position=HERE)
    client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + post(ask(1)))
    first, rest = client.connection.output.split(b"\r\n\r\n", 1)
    assert first.startswith(b"HTTP/1.1 405 ")
    assert responses(rest)[0][0] == 200


def test_a_body_holds_no_more_memory_than_its_limit() -> None:
    """What is too long is dropped as it comes."""
    client = Client()
    client.send(post("").replace(b"Length: 0", b"Length: %d" % (2 * MAX_TEXT_BYTES)))
    for _ in range(2 * MAX_TEXT_BYTES // 65536 - 1):
        client.send(b" " * 65536)
    state = client.conversation.suspended()
    assert state.http is not None
    assert len(state.http.body) + len(state.received) < 65536
    client.send(b" " * 65536)
    ((status, _),) = responses(client.connection.output)
    assert status == 400
    assert not client.connection.closed
