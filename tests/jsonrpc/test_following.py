"""Subscriptions of a connection: what is told when, and that it stands in no other text."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail

from tests.fakes.connection import FakeConnection
from tests.fakes.following import FakeFollower
from tests.jsonrpc.fakes import Client
from twisted_virtlog.errors import NoSuchLog, SystemFailure
from twisted_virtlog.jsonrpc import patience
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation
from twisted_virtlog.jsonrpc.subscriptions import PIECE_BYTES
from twisted_virtlog.values import (
    EndReason,
    Excerpt,
    LogState,
    LogStatus,
    Position,
    TimeRange,
    Watched,
    WatchKind,
)

_LOG = "/logs/a.log"
_POINT = {"inode": 7, "offset": 0, "birth": "b"}


class Reader(Client):
    """A client that takes what it is told."""

    def turn(self) -> list[Any]:
        """Let the daemon have its turns; return what came since the last time."""
        self.connection.take_turns()
        while self.slices.take():
            self.connection.take_turns()
        return self.news()

    def news(self) -> list[Any]:
        """Return what came since the last time."""
        found = self.answers[self._seen :]
        self._seen += len(found)
        return found

    _seen = 0

    def follow(self, **params: Any) -> FakeFollower:
        """Follow a log; return what the daemon has."""
        (answer,) = self.asked("log.follow", {"path": _LOG, **params})
        assert answer["result"]["position"]
        return self.following.followers[-1]

    def asked(self, method: str, params: Any = None) -> list[Any]:
        """Call a method; return all that comes then."""
        self.send(msgspec.json.encode(_request(method, params or {})))
        return self.turn()


def _request(method: str, params: Any, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _position(offset: int) -> dict[str, Any]:
    return {**_POINT, "offset": offset}


def _data(text: str, start: int, end: int, number: int = 1, **more: Any) -> dict[str, Any]:
    params = {
        "subscription": number,
        "data": text,
        "encoding": "utf-8",
        "start": _position(start),
        "end": _position(end),
        "gap": False,
        "missed": None,
        **more,
    }
    return {"jsonrpc": "2.0", "method": "log.data", "params": params}


def _end(reason: str, number: int = 1, **more: Any) -> dict[str, Any]:
    params = {"subscription": number, "reason": reason, **more}
    return {"jsonrpc": "2.0", "method": "log.end", "params": params}


def _status(state: LogState, **more: Any) -> LogStatus:
    opened = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)
    values: dict[str, Any] = {
        "path": _LOG,
        "driver": "qemu",
        "domain": None,
        "position": None,
        "opened_at": opened,
        "bytes_written": 6,
        "rollovers": 0,
        "state": state,
        "error": None,
        "lost_bytes": 3,
        "pipe": None,
        **more,
    }
    return LogStatus(**values)


@pytest.fixture
def client() -> Reader:
    """Return a client."""
    return Reader()


def test_what_is_written_is_told(client: Reader) -> None:
    """Each time that something comes, from where the last one ended."""
    follower = client.follow()
    follower.write(b"hello\n")
    assert client.turn() == [_data("hello\n", 0, 6)]
    follower.write(b"world\n")
    follower.write(b"again\n")
    assert client.turn() == [_data("world\nagain\n", 6, 18)]
    assert client.turn() == []


def test_who_leaves_unread_what_he_was_told_is_patient(
    client: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logs of others are not; and of his, those that something comes to."""
    for name in ("UNREAD_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(patience, name, 0)
    monkeypatch.setattr(patience, "PATIENT_SECONDS", 1000)
    first, second = client.follow(), client.follow()
    found = []
    for unread in (0, 1, 0):
        client.connection.left_unread = unread
        first.write(b"x")
        client.turn()
        found.append((first.is_patient, second.is_patient))
    assert found == [(False, False), (True, False), (True, False)]


def test_what_is_known_to_wait_is_not_asked_again(client: Reader) -> None:
    """Before it says so itself."""
    follower = client.follow()
    client.turn()
    follower.read_at.clear()
    follower.write(b"one\n")
    assert client.turn() == [_data("one\n", 0, 4)]
    assert follower.read_at == [0, 4]
    follower.waits = True
    follower.write(b"two\n")
    assert client.turn() == [_data("two\n", 4, 8)]
    assert follower.read_at == [0, 4, 4]


def test_the_parameters_are_passed_on(client: Reader) -> None:
    """Path, position and the end; numbers are those of the connection, in order."""
    params = {"path": _LOG, "position": _position(3), "until": "closed", "encoding": "base64"}
    (answer,) = client.asked("log.follow", params)
    assert answer["result"] == {"subscription": 1, "position": _position(3)}
    state = client.following.followers[0].state
    assert (state.path, state.position, state.until_closed) == (_LOG, Position(7, 3, "b"), True)
    (answer,) = client.asked("log.follow", {"path": _LOG})
    assert answer["result"]["subscription"] == 2


def test_a_time_in_place_of_a_position(client: Reader) -> None:
    """The start of the first range that may have bytes of it."""
    at = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)
    found = TimeRange(Position(7, 5, "b"), Position(7, 9, "b"), at, at, 1.0)
    client.history.answers["locate"] = [found]
    for since in ("2026-11-26T10:30:00+01:00", at.timestamp()):
        (answer,) = client.asked("log.follow", {"path": _LOG, "since": since})
        assert answer["result"]["position"] == _position(5)
        assert client.history.calls[-1] == ("locate", _LOG, at, None)
    later: Deferred[list[TimeRange]] = Deferred()
    client.history.answers["locate"] = later
    assert client.asked("log.follow", {"path": _LOG, "since": 0}) == []
    later.callback([found])
    (answer,) = client.turn()
    assert answer["result"]["position"] == _position(5)


@pytest.mark.parametrize("later", [False, True])
def test_nothing_since_then_is_now(client: Reader, later: bool) -> None:
    """No byte may have come, or the log is not there yet."""
    missing = NoSuchLog("no file", _LOG)
    for answer in ([], fail(missing) if later else missing):
        client.history.answers["locate"] = answer
        (told,) = client.asked("log.follow", {"path": _LOG, "since": 0})
        assert "result" in told
        assert client.following.followers[-1].state.position is None


def test_two_places_to_begin_at_are_refused(client: Reader) -> None:
    """And times that are none."""
    for params in ({"position": _position(0), "since": 0}, {"since": "now"}, {"since": 1e300}):
        (answer,) = client.asked("log.follow", {"path": _LOG, **params})
        assert answer["error"]["code"] == -32602


def test_closed_logs_are_listed_if_wanted(client: Reader) -> None:
    """Sorted with the others; one that is open again is listed once."""
    opened = [_status(LogState.OPEN, path=path, pipe=5) for path in ("/b", "/d")]
    closed = [_status(LogState.CLOSED, path=path) for path in ("/a", "/b", "/c")]
    client.handler.answers["logs"] = opened
    client.history.answers["closed_logs"] = closed
    (answer,) = client.asked("log.list")
    assert [row["path"] for row in answer["result"]] == ["/b", "/d"]
    (answer,) = client.asked("log.list", {"closed": True})
    rows = [(row["path"], row["state"]) for row in answer["result"]]
    assert rows == [("/a", "closed"), ("/b", "open"), ("/c", "closed"), ("/d", "open")]


def test_base64_is_exact(client: Reader) -> None:
    """Bytes that are no text come as they are."""
    follower = client.follow(encoding="base64")
    follower.write(b"\xff\0\x80")
    (told,) = client.turn()
    assert told["params"]["encoding"] == "base64"
    assert base64.b64decode(told["params"]["data"]) == b"\xff\0\x80"
    assert told["params"]["end"] == _position(3)


def test_numbers_that_are_not_exact_everywhere_are_digits(client: Reader) -> None:
    """An inode and what was missed beyond 2**53."""
    follower = client.follow(position={"inode": str(2**60), "offset": 0})
    follower.missing = 2**55
    follower.write(b"x")
    (told,) = client.turn()
    assert told["params"]["start"]["inode"] == str(2**60)
    assert told["params"]["missed"] == str(2**55)


def test_a_gap_is_told(client: Reader) -> None:
    """With the bytes that come after it."""
    follower = client.follow()
    follower.missing = 12
    follower.write(b"x")
    assert client.turn() == [_data("x", 0, 1, gap=True, missed=12)]


def test_a_character_is_not_split(client: Reader) -> None:
    """Its beginning waits until the rest has come, and is not read again and again."""
    follower = client.follow()
    follower.write(b"a\xe2\x82")
    assert client.turn() == [_data("a", 0, 1)]
    assert client.turn() == []
    read = len(follower.read_at)
    assert client.turn() == []
    assert len(follower.read_at) == read
    follower.write(b"\xac")
    assert client.turn() == [_data("\u20ac", 1, 4)]


def test_a_character_that_nothing_completes_is_told(client: Reader) -> None:
    """At the end of the log."""
    follower = client.follow(until="closed")
    follower.write(b"\xe2\x82")
    assert client.turn() == []
    follower.finish(EndReason.CLOSED)
    assert client.turn() == [_data("\ufffd", 0, 2), _end("closed")]


def test_pieces_are_bounded_and_take_turns(client: Reader) -> None:
    """Of much that waits, 64 KiB are told at a time; others come in between."""
    first, second = client.follow(), client.follow()
    first.write(b"x" * (2 * PIECE_BYTES + 5))
    second.write(b"y\n")
    told = client.turn()
    sizes = [(one["params"]["subscription"], len(one["params"]["data"])) for one in told]
    assert sizes == [(1, PIECE_BYTES), (2, 2), (1, PIECE_BYTES), (1, 5)]


def test_the_end_is_told_once(client: Reader) -> None:
    """With what is wrong, if something is; nothing comes after it."""
    follower = client.follow()
    follower.finish(EndReason.FAILED, SystemFailure("Unable to read", 5, _LOG))
    error = {"errno": "EIO", "strerror": "Input/output error", "path": _LOG}
    (told,) = client.turn()
    assert told["params"].pop("error").items() <= error.items()
    assert told == _end("failed")
    follower.write(b"more")
    assert client.turn() == []


def test_a_follower_is_stopped_before_the_answer(client: Reader) -> None:
    """The last notification comes first; the number is unknown then."""
    follower = client.follow()
    ended, answer = client.asked("log.unfollow", {"subscription": 1})
    assert ended == _end("unfollowed")
    assert answer["result"] is True
    assert follower.stopped
    (answer,) = client.asked("log.unfollow", {"subscription": 1})
    assert answer["error"]["code"] == -32602
    assert "no subscription 1" in answer["error"]["message"]


def test_an_error_of_following_is_the_answer(client: Reader) -> None:
    """Nothing is left of it."""
    client.following.error = SystemFailure("Unable to open file", 13, _LOG)
    (answer,) = client.asked("log.follow", {"path": _LOG})
    assert answer["error"]["code"] == 1003
    client.conversation.input_ended()
    assert client.connection.closed


def test_watching(client: Reader) -> None:
    """Each thing that happens comes with the row of the list."""
    (answer,) = client.asked("log.watch")
    assert answer["result"] == {"subscription": 1}
    watch = client.following.watches[0]
    watch.happen(Watched(WatchKind.OPENED, _status(LogState.OPEN, pipe=5)))
    watch.happen(Watched(WatchKind.STATE, _status(LogState.FAILING, error="no")))
    closed_at = datetime(2026, 11, 26, 9, 31, tzinfo=timezone.utc)
    watch.happen(Watched(WatchKind.CLOSED, _status(LogState.CLOSED, closed_at=closed_at)))
    told = client.turn()
    assert [one["method"] for one in told] == ["log.opened", "log.state", "log.closed"]
    rows = [one["params"]["log"] for one in told]
    assert [row["state"] for row in rows] == ["open", "failing", "closed"]
    assert rows[1]["error"] == "no"
    assert rows[2]["closed_at"] == "2026-11-26T09:31:00Z"
    assert "closed_at" not in rows[0]
    ended, _ = client.asked("log.unfollow", {"subscription": 1})
    assert ended == _end("unfollowed")
    assert watch.stopped


def test_one_that_does_not_read_costs_nothing(client: Reader) -> None:
    """Nothing is read for it; it goes on when the client does."""
    follower = client.follow()
    client.connection.congested = True
    before = len(follower.read_at)
    follower.write(b"x" * 1000)
    assert client.turn() == []
    assert len(follower.read_at) == before
    client.connection.congested = False
    client.conversation.output_drained()
    assert client.turn() == [_data("x" * 1000, 0, 1000)]


def test_nothing_waits_for_one_whose_socket_is_full(client: Reader) -> None:
    """His requests are answered all the same."""
    client.handler.answers["position"] = Position(1, 2)
    follower = client.follow()
    client.connection.has_room = False
    before = len(follower.read_at)
    follower.write(b"x" * 1000)
    assert client.turn() == []
    assert client.asked("log.position", {"path": "/a"})[-1]["result"]["inode"] == 1
    assert len(follower.read_at) == before
    client.connection.has_room = True
    client.conversation.output_drained()
    assert client.turn() == [_data("x" * 1000, 0, 1000)]


def test_requests_and_notifications_take_turns(client: Reader) -> None:
    """Neither a flood of requests nor one of bytes holds up the other."""
    client.handler.answers["position"] = Position(1, 2)
    follower = client.follow()
    follower.text = b"x" * (4 * PIECE_BYTES)
    requests = [_request("log.position", {"path": _LOG}, number) for number in range(4)]
    follower.write(b"")
    client.send(b"".join(map(msgspec.json.encode, requests)))
    kinds = [one.get("method", "answer") for one in client.turn()]
    assert sorted(kinds) == ["answer"] * 4 + ["log.data"] * 4
    assert all(one != other for one, other in pairwise(kinds))


def test_what_a_thread_reads_holds_up_nobody(client: Reader) -> None:
    """Others are told meanwhile, and requests are answered."""
    client.handler.answers["position"] = Position(1, 2)
    slow, quick = client.follow(), client.follow()
    slow.slow = True
    slow.write(b"late")
    quick.write(b"soon")
    assert client.turn() == [_data("soon", 0, 4, number=2)]
    (answer,) = client.asked("log.position", {"path": _LOG})
    assert "result" in answer
    slow.answer()
    slow.slow = False
    assert client.turn() == [_data("late", 0, 4)]


def test_a_request_that_waits_holds_up_no_notification(client: Reader) -> None:
    """As of a file system that does not answer."""
    waiting: Deferred[Position] = Deferred()
    client.handler.answers["position"] = lambda path: waiting
    follower = client.follow()
    assert client.asked("log.position", {"path": _LOG}) == []
    follower.write(b"x")
    assert client.turn() == [_data("x", 0, 1)]
    waiting.callback(Position(1, 2))
    (answer,) = client.turn()
    assert "result" in answer


def test_the_answer_comes_before_what_is_followed(client: Reader) -> None:
    """Also where the log has moved before the answer could be given."""
    client.following.slow = True
    assert client.asked("log.follow", {"path": _LOG}) == []
    client.following.followers[0].write(b"x")
    client.following.answer()
    answer, told = client.turn()
    assert answer["result"]["subscription"] == 1
    assert told == _data("x", 0, 1)


def test_a_follower_that_comes_too_late_is_stopped(client: Reader) -> None:
    """The client has gone while it was waited for."""
    client.following.slow = True
    client.asked("log.follow", {"path": _LOG})
    client.connection.abort()
    client.following.answer()
    assert client.following.followers[0].stopped


def test_subscriptions_end_with_the_connection(client: Reader) -> None:
    """Nothing is left."""
    follower = client.follow()
    client.asked("log.watch")
    client.connection.abort()
    assert follower.stopped
    assert client.following.watches[0].stopped


def test_a_half_closed_client_is_served_until_the_last_end(client: Reader) -> None:
    """As one that pipes its request into socat."""
    follower = client.follow(until="closed")
    client.conversation.input_ended()
    client.turn()
    assert not client.connection.closed
    assert client.connection.awaits_end
    follower.write(b"x")
    assert client.turn() == [_data("x", 0, 1)]
    follower.finish(EndReason.CLOSED)
    assert client.turn() == [_end("closed")]
    assert client.connection.closed


def test_the_end_of_the_daemon_is_told(client: Reader) -> None:
    """Before the connection is closed."""
    follower = client.follow()
    client.conversation.finish()
    assert client.news() == [_end("shutting down")]
    assert client.connection.closing == "when sent"
    assert follower.stopped


def test_nothing_stands_in_a_batch(client: Reader) -> None:
    """What happens while a batch is answered is told after it."""
    waiting: Deferred[Position] = Deferred()
    answers = [Position(1, 2), waiting]
    client.handler.answers["position"] = lambda path: answers.pop(0)
    follower = client.follow()
    batch = [_request("log.position", {"path": _LOG}, number) for number in range(2)]
    client.send(msgspec.json.encode(batch))
    follower.write(b"x")
    assert client.turn() == []
    waiting.callback(Position(1, 2))
    answer, told = client.turn()
    assert len(answer) == 2
    assert told == _data("x", 0, 1)


def test_an_end_that_a_long_batch_asks_for_comes_after_it(client: Reader) -> None:
    """A part of the batch's answer was sent already."""
    excerpt = Excerpt((b"x" * 100_000,), Position(1, 0), Position(1, 100_000), False, False)
    client.handler.answers["read"] = excerpt
    client.follow()
    read = _request("log.read", {"path": _LOG, "encoding": "base64"}, 5)
    batch = [read, _request("log.unfollow", {"subscription": 1}, 6), read]
    client.send(msgspec.json.encode(batch))
    answer, told = client.turn()
    assert [one["id"] for one in answer] == [5, 6, 5]
    assert told == _end("unfollowed")


def test_nothing_stands_in_a_long_answer(client: Reader) -> None:
    """An answer that is sent in pieces is one text."""
    excerpt = Excerpt((b"x" * 600_000,), Position(1, 0), Position(1, 600_000), False, False)
    client.handler.answers["read"] = excerpt
    follower = client.follow()
    client.connection.share_seconds = 0.0
    read = _request("log.read", {"path": _LOG, "encoding": "base64"}, 5)
    client.conversation.data_received(msgspec.json.encode(read))
    follower.write(b"y")
    answer, told = client.turn()
    assert answer["id"] == 5
    assert told == _data("y", 0, 1)


def test_headers(client: Reader) -> None:
    """Notifications have them where requests have."""
    text = msgspec.json.encode(_request("log.follow", {"path": _LOG}))
    client.conversation.data_received(b"Content-Length: %d\r\n\r\n%b" % (len(text), text))
    client.connection.take_turns()
    client.following.followers[0].write(b"x")
    client.connection.take_turns()
    last = client.connection.pieces[-1]
    head, body = last.split(b"\r\n\r\n")
    assert head.startswith(b"Content-Length: ")
    assert int(head.split()[1]) == len(body)
    assert msgspec.json.decode(body) == _data("x", 0, 1)


def test_not_over_http(client: Reader) -> None:
    """There is no stream."""
    text = msgspec.json.encode(_request("log.watch", {}))
    head = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    client.conversation.data_received(head % len(text) + text)
    assert b'"code":1012' in client.connection.output


def test_a_hand_over_keeps_subscriptions(client: Reader) -> None:
    """They go on where they were, by the same numbers; new ones have others."""
    follower = client.follow()
    client.asked("log.watch")
    client.asked("log.follow", {"path": _LOG, "encoding": "base64"})
    client.asked("log.unfollow", {"subscription": 3})
    follower.write(b"hello")
    client.turn()
    client.conversation.hold()
    follower.write(b"more")
    client.following.watches[0].happen(
        Watched(WatchKind.OPENED, _status(LogState.OPEN, path="/later.log"))
    )
    assert client.turn() == []
    state = client.conversation.suspended()
    after = Reader()
    conversation = after.conversation = JSONRPCConversation(after.services)
    conversation.resume(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state)))
    after.connection = FakeConnection(conversation)
    conversation.connection_made(after.connection)
    conversation.release()
    (second,) = after.following.followers
    assert second.position == Position(7, 5, "b")
    assert len(after.following.watches) == 1
    (opened,) = after.turn()
    assert (opened["method"], opened["params"]["subscription"]) == ("log.opened", 2)
    assert opened["params"]["log"]["path"] == "/later.log"
    second.write(b"more")
    assert after.turn() == [_data("more", 5, 9)]
    (answer,) = after.asked("log.follow", {"path": _LOG})
    assert answer["result"]["subscription"] == 4


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.binary(max_size=40)),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 3000),
)
def test_the_output_is_always_whole_texts(events: list[tuple[int, bytes]], congest: int) -> None:
    """Requests, batches and bytes in any order, to a client that reads now and then."""
    client = Reader(congest_at=congest)
    client.handler.answers["position"] = Position(1, 2)
    client.send(msgspec.json.encode(_request("log.follow", {"path": _LOG, "encoding": "base64"})))
    (follower,) = client.following.followers
    position = _request("log.position", {"path": _LOG}, 2)
    for kind, data in events:
        if kind == 0:
            follower.write(data)
        elif kind == 1:
            client.conversation.data_received(msgspec.json.encode(position))
        else:
            client.conversation.data_received(msgspec.json.encode([position, position]))
    client.connection.congest_at = None
    client.conversation.output_drained()
    told = client.turn()
    data = [one["params"]["data"] for one in told if isinstance(one, dict) and "params" in one]
    assert b"".join(map(base64.b64decode, data)) == follower.text
