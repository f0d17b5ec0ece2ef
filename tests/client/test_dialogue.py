"""Requests and answers find each other, and descriptors their answers, in any split."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.fake_daemon import LOG
from twisted_virtlog.client import (
    BadAnswer,
    BadRequest,
    Chunk,
    Domain,
    LogInfo,
    Opened,
    Position,
    RemoteError,
)
from twisted_virtlog.client import dialogue as module
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Requests
from twisted_virtlog.client.dialogue import Dialogue
from twisted_virtlog.client.notifications import FeedData, FeedEnd, FeedLog, bytes_told

HERE = {"inode": 5, "offset": 9}
LOG_INFO = LogInfo(
    path="/var/log/web.log",
    driver="qemu",
    domain=Domain(**LOG["domain"]),
    position=Position(5, 1234),
    opened_at=datetime(2024, 2, 29, 12, tzinfo=timezone.utc),
    bytes=1234,
    rollovers=0,
    state="open",
    pipe=4321,
    pending=0,
)
REQUESTS = Requests()


def written(members: dict[str, Any]) -> bytes:
    """Write a text without spaces."""
    text = json.dumps({"jsonrpc": "2.0", **members}, separators=(",", ":"))
    return text.encode() + b"\n"


def answer(number: int | str | None, **members: Any) -> bytes:
    """Write an answer as the daemon does."""
    return written({"id": number, **members})


def notify(method: str, **params: Any) -> bytes:
    """Write a notification as the daemon does."""
    return written({"method": method, "params": params})


def data(content: bytes, **members: Any) -> bytes:
    """Write a notification of bytes of a log."""
    text = base64.b64encode(content).decode()
    told = {"data": text, "encoding": "base64", "start": HERE, "end": HERE, "gap": False}
    return notify("log.data", **{"subscription": 1, **told, "missed": None, **members})


def asking(*asked: Call[Any]) -> Dialogue:
    """Return a dialogue with some requests sent; their ids begin at 1."""
    dialogue = Dialogue()
    for call in asked:
        dialogue.request(call)
    return dialogue


def receive(dialogue: Dialogue, pieces: Iterable[bytes]) -> list[Any]:
    """Feed pieces, one after the other."""
    return [said for piece in pieces for said in dialogue.receive(piece)]


def test_requests_are_json_rpc_texts_with_ids_of_their_own() -> None:
    """What is sent is what the protocol's description says, a line each."""
    dialogue = Dialogue()
    domain = Domain(uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809", name="web")
    texts = [
        dialogue.request(REQUESTS.open("/a", "qemu", domain, True))[1],
        dialogue.request(REQUESTS.read("/a", Position(5, 9), 10))[1],
        dialogue.request(REQUESTS.list())[1],
    ]
    assert all(text.endswith(b"\n") and text.count(b"\n") == 1 for text in texts)
    assert [json.loads(text) for text in texts] == [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "log.open",
            "params": {
                "path": "/a",
                "driver": "qemu",
                "domain": {"uuid": domain.uuid, "name": "web"},
                "truncate": True,
            },
        },
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "log.read",
            "params": {"path": "/a", "position": HERE, "max_bytes": 10, "encoding": "base64"},
        },
        {"jsonrpc": "2.0", "id": 3, "method": "log.list"},
    ]


def split(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut a stream at some places."""
    cuts = sorted(cuts)
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


CUTS = st.sets(st.integers(0, 10_000), max_size=12)


CONTENTS = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 2000)).map(
        lambda of: of[0] * of[1]
    ),
)


@given(st.lists(CONTENTS, max_size=5), CUTS)
def test_any_bytes_come_back_in_any_split(contents: list[bytes], cuts: set[int]) -> None:
    """A log's bytes are the same however the answers were cut on their way."""
    stream = b"".join(
        answer(
            number,
            result={
                "data": base64.b64encode(content).decode(),
                "encoding": "base64",
                "start": HERE,
                "end": HERE,
                "gap": False,
            },
        )
        for number, content in enumerate(contents, start=1)
    )
    dialogue = asking(*[REQUESTS.read("/a", None, 100) for _content in contents])
    replies = receive(dialogue, split(stream, (cut % (len(stream) + 1) for cut in cuts)))
    assert [(reply.id, reply.outcome) for reply in replies] == [
        (number, Chunk(content, Position(5, 9), Position(5, 9), False))
        for number, content in enumerate(contents, start=1)
    ]


def test_byte_by_byte_answers_are_found() -> None:
    """The slowest connection there is works too."""
    stream = answer(1, result=HERE) + answer(2, result=[])
    replies = receive(
        asking(REQUESTS.position("/a"), REQUESTS.list()),
        [stream[index : index + 1] for index in range(len(stream))],
    )
    assert [reply.outcome for reply in replies] == [Position(5, 9), []]


def test_the_first_promise_owns_the_first_descriptor() -> None:
    """Descriptors go to the answers in the order in which both came, whatever is between."""
    dialogue = asking(
        REQUESTS.open("/a", "none", None, False),
        REQUESTS.list(),
        REQUESTS.open("/b", "none", None, False),
    )
    dialogue.add_descriptors([100])
    dialogue.add_descriptors([101])
    opened = {"position": HERE, "fds": 1}
    stream = answer(1, result=opened) + answer(2, result=[]) + answer(3, result=opened)
    outcomes = [(reply.outcome, reply.descriptors) for reply in dialogue.receive(stream)]
    assert outcomes == [
        (Opened(Position(5, 9), 100), (100,)),
        ([], ()),
        (Opened(Position(5, 9), 101), (101,)),
    ]
    assert dialogue.abandon() == []


def test_descriptors_that_a_call_did_not_ask_for_are_given_back() -> None:
    """A newer daemon's surplus descriptors can be closed, and shift none of the others."""
    dialogue = asking(REQUESTS.position("/a"))
    dialogue.add_descriptors([100])
    (reply,) = dialogue.receive(answer(1, result={**HERE, "fds": 1}))
    assert (reply.outcome, reply.descriptors) == (Position(5, 9), (100,))


def test_what_no_answer_took_is_given_back_at_the_end() -> None:
    """A connection that ends half way leaks no descriptor."""
    dialogue = asking(REQUESTS.open("/a", "none", None, False))
    dialogue.add_descriptors([100])
    assert receive(dialogue, [answer(1, result={"position": HERE, "fds": 1})[:-1]]) == []
    assert dialogue.abandon() == [100]


def test_an_error_is_told_with_all_its_parts() -> None:
    """What the daemon says of a failure reaches the caller."""
    (reply,) = asking(REQUESTS.position("/a")).receive(
        answer(1, error={"code": 1002, "message": "/a is not open", "data": {"path": "/a"}})
    )
    assert reply.failed
    error = reply.outcome
    assert isinstance(error, RemoteError)
    assert (error.code, error.message, error.data) == (1002, "/a is not open", {"path": "/a"})
    assert str(error) == "/a is not open (error 1002)"


def test_an_error_without_an_id_belongs_to_the_oldest_request() -> None:
    """A request that the daemon could not read fails, not one that it answers later."""
    dialogue = asking(REQUESTS.position("/a"), REQUESTS.position("/b"))
    parse_error = {"code": -32700, "message": "Parse error"}
    stream = answer(None, error=parse_error) + answer(2, result=HERE)
    first, second = dialogue.receive(stream)
    assert (first.id, first.outcome.code) == (1, -32700)
    assert (second.id, second.outcome) == (2, Position(5, 9))


def test_what_a_newer_daemon_adds_is_ignored() -> None:
    """Members that this client does not know, and notifications, disturb nothing."""
    dialogue = asking(REQUESTS.position("/a"))
    news = notify("log.moved", subscription=1, data=1)
    stream = news + b"\n" + answer(1, result={**HERE, "colour": "red"}, more=1)
    assert [reply.outcome for reply in dialogue.receive(stream)] == [Position(5, 9)]


@given(st.lists(st.one_of(st.none(), CONTENTS), max_size=6), CUTS)
def test_news_and_replies_come_in_order(said: list[bytes | None], cuts: set[int]) -> None:
    """What a followed log gets stands where it was sent, between the replies."""
    numbers = iter(range(1, 7))
    stream = b"".join(
        answer(next(numbers), result=HERE) if content is None else data(content) for content in said
    )
    asked = [REQUESTS.position("/a") for content in said if content is None]
    got = receive(asking(*asked), split(stream, (cut % (len(stream) + 1) for cut in cuts)))
    assert [one.data if isinstance(one, FeedData) else None for one in got] == said


ROW = {"subscription": 2, "log": LOG}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            data(b"\xff\0", start={"inode": str(2**60), "offset": "1", "birth": "h1.a"}, gap=True),
            FeedData(1, b"\xff\0", Position(2**60, 1, "h1.a"), Position(5, 9), True),
        ),
        (
            data(b"x", gap=True, missed=7, colour="red"),
            FeedData(1, b"x", Position(5, 9), Position(5, 9), True, 7),
        ),
        (notify("log.end", subscription=1, reason="closed"), FeedEnd(1, "closed")),
        (
            notify("log.end", subscription=3, reason="failed", error={"errno": "EIO"}),
            FeedEnd(3, "failed", {"errno": "EIO"}),
        ),
        (notify("log.opened", **ROW), FeedLog(2, "opened", LOG_INFO)),
        (notify("log.closed", **ROW), FeedLog(2, "closed", LOG_INFO)),
        (notify("log.state", **ROW), FeedLog(2, "state", LOG_INFO)),
    ],
)
def test_what_is_told_has_its_own_types(text: bytes, told: Any) -> None:
    """Each kind of news is a value of its own."""
    assert receive(Dialogue(), [text]) == [told]


@given(st.binary(max_size=40), st.integers(0, 2**63), st.booleans())
def test_bytes_are_the_same_however_they_are_spelled(
    content: bytes, subscription: int, gap: bool
) -> None:
    """As the daemon does, they are found without decoding it all; otherwise they are not."""
    text = data(content, subscription=subscription, gap=gap)
    told = bytes_told(text)
    assert told is not None
    assert (told.data, told.subscription, told.gap) == (content, subscription, gap)
    spaced = json.dumps(json.loads(text)).encode() + b"\n"
    assert bytes_told(spaced) is None
    assert receive(Dialogue(), [spaced]) == [told]
    # (an escape that nothing needs)
    escaped = text.replace(b"/", rb"\/")
    assert receive(Dialogue(), [escaped]) == [told]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        answer(1, result=HERE),
        notify("log.end", subscription=1, reason="closed"),
        notify("log.data", subscription=1, encoding="base64", data="eA=="),
        notify("log.data", subscription="a long one " * 9, data="eA=="),
        data(b"x", data="?"),
        data(b"x", start=None),
        data(b"x")[:80],
    ],
)
def test_all_else_is_decoded_whole(text: bytes) -> None:
    """It may be told in another way, or make no sense."""
    assert bytes_told(text) is None


def test_who_stops_in_the_middle_gets_the_rest_later() -> None:
    """An answer and what follows it may come in one piece, and nothing of it is lost."""
    dialogue = asking(REQUESTS.position("/a"))
    stream = answer(1, result=HERE) + data(b"one") + data(b"two") + data(b"three")
    assert next(iter(dialogue.receive(stream[:-5]))).outcome == Position(5, 9)
    assert [told.data for told in receive(dialogue, [b"", stream[-5:]])] == [
        *(b"one", b"two", b"three")
    ]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (REQUESTS.position("/a"), {"inode": 5}),
        (REQUESTS.position("/a"), None),
        (REQUESTS.position("/a"), [5, 9]),
        (REQUESTS.list(), HERE),
        (REQUESTS.open("/a", "none", None, False), {"position": HERE}),
        (REQUESTS.open("/a", "none", None, False), {"position": HERE, "fds": 0}),
        (
            REQUESTS.read("/a", None, 1),
            {"data": "%%", "encoding": "base64", "start": HERE, "end": HERE, "gap": False},
        ),
        (
            REQUESTS.read("/a", None, 1),
            {"data": "ä", "encoding": "base64", "start": HERE, "end": HERE, "gap": False},
        ),
    ],
)
def test_a_result_of_another_kind_fails_its_call_alone(call: Call[Any], result: Any) -> None:
    """An odd result is an error that names the method, and the next answer is read all the same."""
    dialogue = asking(call, REQUESTS.position("/b"))
    odd, good = dialogue.receive(answer(1, result=result) + answer(2, result=HERE))
    assert isinstance(odd.outcome, BadAnswer)
    assert call.method in str(odd.outcome)
    assert good.outcome == Position(5, 9)


def test_an_answer_without_a_result_is_an_error() -> None:
    """An answer that says nothing is not taken for success."""
    (reply,) = asking(REQUESTS.discover()).receive(answer(1))
    assert isinstance(reply.outcome, BadAnswer)


@pytest.mark.parametrize(
    "stream",
    [
        b"hello\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"id":1,"error":{"code":"x"}}\n',
        answer(2, result=HERE),
        answer("1", result=HERE),
        answer(None, result=HERE),
        answer(1, result={"position": HERE, "fds": 1}),
        answer(1, result={"position": HERE, "fds": "one"}),
        answer(1, result={"position": HERE, "fds": -1}),
        data(b"", data="?"),
        notify("log.data", subscription=1),
        notify("log.end", subscription="x", reason="closed"),
        notify("log.opened", subscription=1, log={}),
        b'{"method":"log.end"}\n',
        b'{"method":"log.end","params":[1]}\n',
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(stream: bytes) -> None:
    """Whatever is no answer to what was asked, is an error of its own name."""
    with pytest.raises(BadAnswer):
        receive(asking(REQUESTS.open("/a", "none", None, False)), [stream])


@given(st.binary(max_size=60))
def test_no_input_raises_anything_else(junk: bytes) -> None:
    """Any bytes at all give replies or a BadAnswer."""
    dialogue = asking(REQUESTS.position("/a"))
    with suppress(BadAnswer):
        receive(dialogue, [junk, b"\n"])


def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon gone mad does not fill the client's memory."""
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
    dialogue = asking(REQUESTS.list())
    assert receive(dialogue, [b"x" * 100]) == []
    with pytest.raises(BadAnswer, match="101 bytes without a newline"):
        receive(dialogue, [b"x"])


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (REQUESTS.position("/\udcff"), "UTF-8"),
        (REQUESTS.append("/a", "x" * module.MAX_REQUEST_BYTES, "none", None), "at most"),
    ],
)
def test_what_cannot_be_said_is_not_sent(call: Call[Any], complaint: str) -> None:
    """A request that the daemon could only refuse is refused here, and disturbs no other."""
    dialogue = Dialogue()
    with pytest.raises(BadRequest, match=complaint):
        dialogue.request(call)
    number, _text = dialogue.request(REQUESTS.position("/a"))
    assert [reply.outcome for reply in dialogue.receive(answer(number, result=HERE))] == [
        Position(5, 9)
    ]
