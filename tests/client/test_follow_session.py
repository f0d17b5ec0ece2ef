"""A log that is followed over several connections, without any: what is asked, and what comes."""

from __future__ import annotations

import base64
import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.client import BadAnswer, BadRequest, Boot, Disconnected, Position, RemoteError
from twisted_virtlog.client.follow_session import Closing, FollowSession, Openings, cut
from twisted_virtlog.client.notifications import FollowedChunk

NOON = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)


def boot(number: int, closed: bool = True, start: Position | None = None) -> Boot:
    """Return the opening of a number; they are a minute apart."""
    opened_at = NOON + timedelta(minutes=number)
    closed_at = opened_at + timedelta(seconds=9) if closed else None
    return Boot(start or Position(number, 0), opened_at, closed_at, "qemu", None)


ONE, TWO, THREE = boot(1), boot(2), boot(3)
OPEN = boot(1, closed=False)
#: As the daemon tells it after a restart, from a table with coarser times.
ONE_AGAIN = Boot(
    Position(9, 9), ONE.opened_at + timedelta(microseconds=400), ONE.closed_at, "qemu", None
)


@pytest.mark.parametrize(
    ("latest", "was_open", "boots", "is_open", "closing"),
    [
        # It was open. It is still, and nothing else is known.
        (OPEN, True, [OPEN], True, None),
        (OPEN, True, [], True, None),
        (None, True, [], True, None),
        # (an index that was lost, and came back)
        (None, True, [OPEN, TWO], True, None),
        # It was closed, or is not open any more and nobody knows when.
        (OPEN, True, [ONE], False, Closing(None)),
        (OPEN, True, [OPEN], False, Closing(None)),
        (OPEN, True, [], False, Closing(None)),
        (None, True, [], False, Closing(None)),
        # It was opened again since, once or more often.
        (OPEN, True, [ONE_AGAIN, boot(2, closed=False)], True, Closing(TWO.start)),
        (OPEN, True, [ONE, TWO, THREE], False, Closing(TWO.start)),
        # (the bytes of its own opening are gone)
        (OPEN, True, [TWO, THREE], True, Closing(TWO.start)),
        # It was not open: the next opening counts.
        (ONE, False, [ONE], False, None),
        (None, False, [], False, None),
        (ONE, False, [ONE, boot(2, closed=False)], True, None),
        (None, False, [boot(2, closed=False)], True, None),
        (ONE, False, [ONE, TWO], False, Closing(None)),
        (None, False, [TWO], False, Closing(None)),
        (ONE, False, [ONE, TWO, THREE], True, Closing(THREE.start)),
        (None, False, [TWO, THREE], False, Closing(THREE.start)),
        # (the daemon keeps no openings)
        (None, False, [], True, None),
    ],
)
def test_the_first_close_since_is_found(
    latest: Boot | None, was_open: bool, boots: list[Boot], is_open: bool, closing: Closing | None
) -> None:
    """Whatever happened while nobody followed."""
    assert Openings(latest, was_open).closing(boots, is_open) == closing


def piece(data: bytes, start: Position, end: Position) -> FollowedChunk:
    """Return a chunk."""
    return FollowedChunk(data, start, end, True, 7)


@pytest.mark.parametrize(
    ("chunk", "end", "expected"),
    [
        # In the only file, in the first, in the last.
        (piece(b"abcd", Position(1, 5), Position(1, 9)), Position(1, 7), b"ab"),
        (piece(b"abcd", Position(1, 5), Position(2, 2)), Position(1, 6), b"a"),
        (piece(b"abcd", Position(1, 5), Position(2, 2)), Position(2, 1), b"abc"),
        (piece(b"abcd", Position(1, 5), Position(2, 4)), Position(2, 0), b""),
        # At its end, after it, before it, and in another file.
        (piece(b"abcd", Position(1, 5), Position(1, 9)), Position(1, 9), b"abcd"),
        (piece(b"abcd", Position(1, 5), Position(1, 9)), Position(1, 10), b"abcd"),
        (piece(b"abcd", Position(1, 5), Position(1, 9)), Position(1, 3), b"abcd"),
        (piece(b"abcd", Position(1, 5), Position(1, 9)), Position(3, 7), b"abcd"),
        (piece(b"abcd", Position(1, 5, "a"), Position(1, 9, "a")), Position(1, 7, "b"), b"abcd"),
    ],
)
def test_what_comes_after_the_close_is_cut_off(
    chunk: FollowedChunk, end: Position, expected: bytes
) -> None:
    """Where that can be told from the chunk."""
    shorter = cut(chunk, end)
    assert (shorter.data, shorter.start, shorter.gap) == (expected, chunk.start, True)
    assert shorter.end == (chunk.end if expected == chunk.data else end)


class Talk:
    """A session, and a daemon that says what a test tells it to."""

    def __init__(self, **given: Any) -> None:
        given = {"position": None, "since": None, "until_closed": False, **given}
        self.session = FollowSession("/a", **given)
        self.asked: list[dict[str, Any]] = []

    def connect(self) -> list[str]:
        """Connect; return the methods that are asked."""
        self.session.connected()
        return self.sent()

    def lose(self) -> None:
        """Lose the connection."""
        with pytest.raises(Disconnected):
            self.session.receive(b"", [])
        self.session.lost()

    def sent(self) -> list[str]:
        """Return the methods that are asked since the last time."""
        new = [json.loads(line) for line in self.session.to_send().splitlines()]
        self.asked += new
        return [request["method"] for request in new]

    def hear(self, *texts: dict[str, Any], cuts: tuple[int, ...] = ()) -> list[Any]:
        """Let texts arrive; return what comes of them."""
        stream = b"".join(json.dumps(text).encode() + b"\n" for text in texts)
        places = sorted(cut % (len(stream) + 1) for cut in cuts)
        came = []
        for start, end in zip([0, *places], [*places, len(stream)], strict=True):
            if start < end:
                self.session.receive(stream[start:end], [])
            while (item := self.session.next()) is not None:
                came.append(item)
        return came

    def answer(self, method: str, **members: Any) -> dict[str, Any]:
        """Return an answer to the latest request of a method."""
        number = next(one["id"] for one in reversed(self.asked) if one["method"] == method)
        return {"jsonrpc": "2.0", "id": number, **members}

    def followed(self, inode: int = 5, offset: int = 0, subscription: int = 1) -> dict[str, Any]:
        """Return the answer to log.follow."""
        result = {"subscription": subscription, "position": place(inode, offset)}
        return self.answer("log.follow", result=result)

    def openings(self, *boots: Boot, is_open: bool) -> list[dict[str, Any]]:
        """Return the answers to log.boots and log.position."""
        rows = [
            {
                "start": place(boot.start.inode, boot.start.offset),
                "opened_at": boot.opened_at.isoformat(),
                "closed_at": boot.closed_at and boot.closed_at.isoformat(),
                "driver": boot.driver,
                "domain": None,
            }
            for boot in boots
        ]
        end: dict[str, Any] = {"result": place(5, 99)}
        if not is_open:
            end = {"error": {"code": 1002, "message": "not open"}}
        return [self.answer("log.boots", result=rows), self.answer("log.position", **end)]

    def read(self, data: bytes, start: int, inode: int = 5) -> dict[str, Any]:
        """Return the answer to log.read."""
        result = {**written(data, start, inode), "gap": False}
        return self.answer("log.read", result=result)


def place(inode: int, offset: int) -> dict[str, Any]:
    return {"inode": inode, "offset": offset, "birth": ""}


def written(data: bytes, start: int, inode: int = 5) -> dict[str, Any]:
    return {
        "data": base64.b64encode(data).decode(),
        "encoding": "base64",
        "start": place(inode, start),
        "end": place(inode, start + len(data)),
    }


def tell(data: bytes, start: int, subscription: int = 1, **members: Any) -> dict[str, Any]:
    """Return a notification of bytes."""
    told = {"subscription": subscription, **written(data, start), "gap": False, **members}
    return {"jsonrpc": "2.0", "method": "log.data", "params": told}


def end(reason: str, subscription: int = 1) -> dict[str, Any]:
    """Return the last notification."""
    told = {"subscription": subscription, "reason": reason}
    return {"jsonrpc": "2.0", "method": "log.end", "params": told}


def chunk(data: bytes, start: int) -> FollowedChunk:
    return FollowedChunk(data, Position(5, start), Position(5, start + len(data)))


def test_what_comes_with_the_answer_is_not_lost() -> None:
    """They may be read at once."""
    talk = Talk()
    assert talk.connect() == ["log.follow"]
    assert not talk.session.started
    assert talk.hear(talk.followed(), tell(b"a", 0), tell(b"b", 1)) == [
        chunk(b"a", 0),
        chunk(b"b", 1),
    ]
    assert talk.session.started
    assert talk.session.position == Position(5, 0)


CUTS = st.lists(st.integers(0, 10_000), max_size=8).map(tuple)


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(st.integers(1, 7), st.integers(0, 3), CUTS), max_size=12),
)
def test_each_byte_comes_once_wherever_connections_end(
    content: bytes, losses: list[tuple[int, int, tuple[int, ...]]]
) -> None:
    """In any split, with any number of chunks on their way when a connection ends."""
    talk = Talk(position=Position(5, 0))
    got = b""
    for size, count, cuts in [*losses, (10, 10, ())]:
        assert talk.connect() == ["log.follow"]
        begin = talk.asked[-1]["params"]["position"]["offset"]
        assert begin == len(got)
        rest = [
            tell(content[start : start + size], start) for start in range(begin, len(content), size)
        ][:count]
        # (the last of them is not whole when the connection ends)
        texts = [talk.followed(), *rest]
        stream = b"".join(json.dumps(text).encode() + b"\n" for text in texts)
        whole = stream[: cuts[0] % len(stream)] if cuts else stream
        for start in range(0, len(whole), 50):
            talk.session.receive(whole[start : start + 50], [])
            while (item := talk.session.next()) is not None:
                got += item.data
        talk.lose()
    assert got == content


def test_news_of_another_subscription_is_nothing() -> None:
    """It is of one that was given up."""
    talk = Talk()
    talk.connect()
    assert talk.hear(talk.followed(subscription=2), tell(b"a", 0), end("closed")) == []
    assert talk.session.ended is None


def test_a_descriptor_that_nobody_asked_for_is_closed() -> None:
    """A daemon that passes some leaves none open here."""
    before = os.listdir("/proc/self/fd")
    talk = Talk()
    talk.connect()
    talk.session.receive(b'{"id":1,"result":{"subscription":1', [os.dup(0), os.dup(0)])
    talk.session.receive(b',"position":{"inode":5,"offset":0},"fds":1}}\n', [])
    assert talk.session.next() is None
    talk.lose()
    assert os.listdir("/proc/self/fd") == before


def test_a_path_that_is_too_long_is_not_asked_for() -> None:
    """No file can have it, and no socket takes it at once."""
    session = FollowSession("/" + "x" * 65536, None, None, False)
    with pytest.raises(BadRequest, match=r"log\.follow: the request has \d+ bytes"):
        session.connected()


# From a log's first byte.


def opened(*offsets: int, kind: str = "opened") -> list[dict[str, Any]]:
    return [
        {"position": place(5, offset), "time": NOON.isoformat(), "kind": kind, "bytes": None}
        for offset in offsets
    ]


@pytest.mark.parametrize(
    ("events", "gap"),
    [
        ({"result": opened(0)}, False),
        ({"result": opened(0, 9)}, False),
        # The oldest opening that is known is not where the oldest byte is, or none is.
        ({"result": opened(9)}, True),
        ({"result": []}, True),
        ({"result": opened(0, kind="recovered")}, True),
        ({"error": {"code": -32601, "message": "no such method"}}, True),
    ],
)
@pytest.mark.parametrize("until_closed", [False, True])
def test_whether_the_first_byte_is_missing(
    events: dict[str, Any], gap: bool, until_closed: bool
) -> None:
    """The daemon cannot know it of a log that was not there; where it was opened says it."""
    talk = Talk(until_closed=until_closed)
    talk.connect()
    talk.hear(talk.followed(inode=0))
    if until_closed:
        talk.sent()
        talk.hear(*talk.openings(is_open=False))
    talk.lose()
    assert talk.connect() == ["log.follow"]
    assert talk.asked[-1]["params"]["position"] == {"inode": 0, "offset": 0}
    assert talk.hear(talk.followed(inode=0), tell(b"a", 0, gap=True)) == []
    assert talk.sent() == ["log.events", *(["log.boots", "log.position"] * until_closed)]
    answers = [talk.answer("log.events", **events)]
    if until_closed:
        answers += talk.openings(OPEN, is_open=True)
    # What is missing later is missing.
    came = talk.hear(*answers, tell(b"b", 1, gap=True))
    assert [(chunk.data, chunk.gap) for chunk in came] == [(b"a", gap), (b"b", True)]


def test_a_first_byte_may_be_asked_for() -> None:
    """By a program that has stored it; what it says is known at once."""
    talk = Talk(position=Position(0, 0))
    assert talk.connect() == ["log.follow"]
    assert talk.hear(talk.followed(inode=0), tell(b"a", 0, gap=True)) == []
    assert talk.sent() == ["log.events"]
    assert not talk.session.started
    assert talk.hear(talk.answer("log.events", result=opened(0))) == [chunk(b"a", 0)]
    assert talk.session.started


def test_the_rest_of_a_log_that_was_not_there_is_whole() -> None:
    """It was opened and closed while nobody was connected."""
    talk = Talk(until_closed=True)
    talk.connect()
    talk.hear(talk.followed(inode=0))
    talk.sent()
    talk.hear(*talk.openings(is_open=False))
    talk.lose()
    talk.connect()
    talk.hear(talk.followed(inode=0))
    talk.sent()
    events = talk.answer("log.events", result=opened(0))
    talk.hear(events, *talk.openings(ONE, is_open=False))
    assert talk.sent() == ["log.unfollow", "log.read"]
    read = talk.read(b"all", 0)
    read["result"]["gap"] = True
    assert talk.hear(read) == [chunk(b"all", 0)]


# Until the log is closed.


def test_until_closed_ends_with_the_daemon_s_word() -> None:
    """It is asked at once what is known of the log's openings, which may be needed later."""
    talk = Talk(until_closed=True)
    assert talk.connect() == [
        "log.follow",
    ]
    assert talk.asked[-1]["params"] == {"path": "/a", "encoding": "base64", "until": "closed"}
    assert talk.hear(talk.followed(), tell(b"a", 0)) == []
    assert talk.sent() == ["log.boots", "log.position"]
    assert not talk.session.started
    assert talk.hear(*talk.openings(OPEN, is_open=True)) == [chunk(b"a", 0)]
    assert talk.session.started
    assert talk.hear(tell(b"b", 1), end("closed")) == [chunk(b"b", 1)]
    assert talk.session.ended == "closed"


def begun(*boots: Boot, is_open: bool) -> Talk:
    """Follow until the log is closed, take a byte, and lose the connection."""
    talk = Talk(until_closed=True)
    talk.connect()
    talk.hear(talk.followed())
    talk.sent()
    assert talk.hear(*talk.openings(*boots, is_open=is_open), tell(b"a", 0)) == [chunk(b"a", 0)]
    talk.lose()
    assert talk.connect() == ["log.follow"]
    return talk


def test_a_log_that_is_open_still_is_followed_on() -> None:
    """What came meanwhile comes when that is known."""
    talk = begun(OPEN, is_open=True)
    assert talk.hear(talk.followed(offset=1), tell(b"b", 1)) == []
    assert talk.sent() == ["log.boots", "log.position"]
    assert talk.hear(*talk.openings(OPEN, is_open=True)) == [chunk(b"b", 1)]
    assert talk.hear(tell(b"c", 2), end("closed")) == [chunk(b"c", 2)]
    assert talk.session.ended == "closed"


def test_a_log_that_was_closed_meanwhile_is_read_to_its_end() -> None:
    """As the daemon would wait for the next close."""
    talk = begun(OPEN, is_open=True)
    talk.hear(talk.followed(offset=1), tell(b"b", 1))
    talk.sent()
    assert talk.hear(*talk.openings(ONE, is_open=False)) == []
    assert talk.sent() == ["log.unfollow", "log.read"]
    assert talk.asked[-1]["params"]["position"] == {"inode": 5, "offset": 1}
    told = [end("unfollowed"), talk.answer("log.unfollow", result=True), talk.read(b"bc", 1)]
    assert talk.hear(tell(b"b", 1), *told) == [chunk(b"bc", 1)]
    assert talk.session.ended is None
    # Reading goes on over another connection, too.
    assert talk.sent() == ["log.read"]
    talk.lose()
    assert talk.connect() == ["log.read"]
    assert talk.asked[-1]["params"]["position"] == {"inode": 5, "offset": 3}
    assert talk.hear(talk.read(b"d", 3)) == [chunk(b"d", 3)]
    talk.sent()
    assert talk.hear(talk.read(b"", 4)) == []
    assert talk.session.ended == "closed"


@pytest.mark.parametrize("start", [3, 5])
def test_what_the_next_guest_said_is_left_out(start: int) -> None:
    """The log was closed and opened again while nobody followed."""
    talk = begun(OPEN, is_open=True)
    talk.hear(talk.followed(offset=1))
    talk.sent()
    later = boot(2, closed=False, start=Position(5, start))
    talk.hear(*talk.openings(ONE, later, is_open=True))
    talk.sent()
    content = b"abcdefghi"
    assert talk.hear(talk.read(content[1:5], 1)) == [chunk(content[1 : min(start, 5)], 1)]
    assert talk.session.ended == "closed"


def test_nothing_is_read_if_the_next_guest_begins_there() -> None:
    """All was taken before the connection ended."""
    talk = begun(OPEN, is_open=True)
    talk.hear(talk.followed(offset=1))
    talk.sent()
    later = boot(2, closed=False, start=Position(5, 1))
    assert talk.hear(*talk.openings(ONE, later, is_open=True)) == []
    assert talk.session.ended == "closed"


def test_all_files_are_gone() -> None:
    """Nothing is left to be read of a log that was closed."""
    talk = begun(OPEN, is_open=True)
    talk.hear(talk.followed(offset=1))
    talk.sent()
    talk.hear(*talk.openings(is_open=False))
    talk.sent()
    gone = {"code": 1002, "message": "no such log"}
    assert talk.hear(talk.answer("log.read", error=gone)) == []
    assert talk.session.ended == "closed"


def test_a_log_that_was_not_open_waits_for_its_opening() -> None:
    """Over any number of connections."""
    talk = begun(ONE, is_open=False)
    for _ in range(2):
        talk.hear(talk.followed(offset=1))
        talk.sent()
        assert talk.hear(*talk.openings(ONE, is_open=False)) == []
        assert talk.sent() == []
        assert talk.session.ended is None
        talk.lose()
        talk.connect()
    talk.hear(talk.followed(offset=1))
    talk.sent()
    talk.hear(*talk.openings(ONE, TWO, is_open=False))
    assert talk.sent() == ["log.unfollow", "log.read"]


@pytest.mark.parametrize("code", [-32601, 1011, 1002])
def test_a_daemon_without_openings_does_as_well(code: int) -> None:
    """Whether the log is open says most."""
    talk = Talk(until_closed=True)
    talk.connect()
    talk.hear(talk.followed())
    talk.sent()
    refusal = {"code": code, "message": "no"}
    talk.hear(talk.answer("log.boots", error=refusal), talk.openings(is_open=True)[1])
    assert talk.session.started
    talk.lose()
    talk.connect()
    talk.hear(talk.followed(offset=0))
    talk.sent()
    talk.hear(talk.answer("log.boots", error=refusal), talk.openings(is_open=False)[1])
    assert talk.sent() == ["log.unfollow", "log.read"]


@pytest.mark.parametrize("method", ["log.follow", "log.boots", "log.position", "log.read"])
def test_an_odd_answer_is_an_error(method: str) -> None:
    """Whatever was asked."""
    talk = begun(OPEN, is_open=True)
    answers = {"log.follow": [talk.followed()]}
    if method == "log.follow":
        with pytest.raises(BadAnswer):
            talk.hear(talk.answer(method, result={}))
        return
    talk.hear(*answers["log.follow"])
    talk.sent()
    openings = talk.openings(ONE, is_open=False)
    if method == "log.read":
        talk.hear(*openings)
        talk.sent()
        talk.hear(talk.answer("log.unfollow", result=True))
    elif method == "log.position":
        talk.hear(openings[0])
    with pytest.raises(BadAnswer):
        talk.hear(talk.answer(method, result="odd"))


def test_a_read_that_fails_is_tried_again_or_raised() -> None:
    """A disk may answer again; a refusal stays."""
    talk = begun(OPEN, is_open=True)
    talk.hear(talk.followed(offset=1))
    talk.sent()
    talk.hear(*talk.openings(ONE, is_open=False))
    talk.sent()
    with pytest.raises(Disconnected):
        talk.hear(talk.answer("log.read", error={"code": 1003, "message": "no answer"}))
    talk.session.lost()
    talk.connect()
    with pytest.raises(RemoteError):
        talk.hear(talk.answer("log.read", error={"code": 1011, "message": "not allowed"}))
