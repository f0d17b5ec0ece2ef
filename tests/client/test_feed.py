"""A feed against a daemon on a real UNIX socket."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, LOG, FakeDaemon, Refusal
from tests.client.peer import Peer
from twisted_virtlog.client import BadAnswer, Disconnected, Position, RemoteError, TimedOut
from twisted_virtlog.client.feed import Feed, FeedData, FeedEnd, FeedLog

NOON = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)


@pytest.fixture
def feed(daemon: FakeDaemon) -> Iterator[Feed]:
    """Connect to the daemon."""
    with Feed(str(daemon.path), timeout=30) as feed:
        yield feed


def test_what_is_written_comes_with_its_place(daemon: FakeDaemon, feed: Feed) -> None:
    """From the call on, byte by byte, with the subscription that it belongs to."""
    daemon.logs["/a"] = b"before"
    first, second = feed.follow("/a"), feed.follow("/b", Position(INODE, 0))
    assert (feed.beginning(first), feed.beginning(second)) == (Position(INODE, 6), Position(0, 0))
    daemon.write("/b", bytes(range(256)))
    daemon.write("/a", b"after")
    assert feed.next() == FeedData(
        second, bytes(range(256)), Position(INODE, 0), Position(INODE, 256)
    )
    assert feed.next() == FeedData(first, b"after", Position(INODE, 6), Position(INODE, 11))
    assert feed.next(0) is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"position": Position(5, 6)}, {"position": {"inode": 5, "offset": 6}}),
        (
            {"position": Position(5, 6, "h1.a"), "until_closed": True},
            {"position": {"inode": 5, "offset": 6, "birth": "h1.a"}, "until": "closed"},
        ),
        ({"since": NOON}, {"since": "2024-02-29T12:00:00Z"}),
        (
            {"since": NOON.astimezone(timezone(timedelta(hours=9)))},
            {"since": "2024-02-29T12:00:00Z"},
        ),
    ],
)
def test_where_it_begins_is_asked_for(
    daemon: FakeDaemon, feed: Feed, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Only what is wanted is sent, and bytes are always exact."""
    feed.follow("/a", **given)
    assert daemon.requests[-1]["params"] == {"path": "/a", "encoding": "base64", **sent}


@pytest.mark.parametrize(
    "given", [{"since": datetime(2024, 2, 29)}, {"position": Position(5, 6), "since": NOON}]
)
def test_what_makes_no_sense_is_not_asked(
    daemon: FakeDaemon, feed: Feed, given: dict[str, Any]
) -> None:
    """A time that nobody knows, or two beginnings."""
    with pytest.raises(ValueError, match=r"zone|not from both"):
        feed.follow("/a", **given)
    assert daemon.requests == []


def test_its_end_is_the_last_of_a_subscription(daemon: FakeDaemon, feed: Feed) -> None:
    """Whoever ends it, what came before is there before it."""
    daemon.logs["/a"] = b"old"
    number = feed.follow("/a", Position(INODE, 0))
    feed.unfollow(number)
    assert feed.next() == FeedData(number, b"old", Position(INODE, 0), Position(INODE, 3))
    assert feed.next() == FeedEnd(number, "unfollowed")
    with pytest.raises(KeyError):
        feed.beginning(number)
    number = feed.follow("/a")
    daemon.end("/a", "failed", error={"errno": "EIO"})
    assert feed.next() == FeedEnd(number, "failed", {"errno": "EIO"})


def test_what_happens_to_logs_is_told(daemon: FakeDaemon, feed: Feed) -> None:
    """Each change with the log as it is since then."""
    number = feed.watch()
    for kind in ("opened", "state", "closed"):
        daemon.notify(number, f"log.{kind}", log=LOG)
    told = [feed.next() for _ in range(3)]
    daemon.answers["log.list"] = lambda _params: [LOG]
    (row,) = feed.list()
    assert told == [FeedLog(number, kind, row) for kind in ("opened", "state", "closed")]


def test_what_comes_before_an_answer_is_kept_in_order(daemon: FakeDaemon, feed: Feed) -> None:
    """A call in between takes nothing away."""
    number = feed.follow("/a")
    for text in (b"one", b"two"):
        daemon.write("/a", text)
    assert feed.info().pid == 42
    daemon.write("/a", b"three")
    assert feed.next(0) == FeedData(number, b"one", Position(INODE, 0), Position(INODE, 3))
    assert feed.info().pid == 42
    told = [feed.next() for _ in range(2)]
    assert [one.data for one in told if isinstance(one, FeedData)] == [b"two", b"three"]


def test_an_answer_and_what_follows_come_at_once(tmp_path: Path) -> None:
    """Nothing is lost of what is read together with an answer."""
    peer = Peer(tmp_path / "sock")
    serving = peer.serve(
        b'{"id":1,"result":{"subscription":7,"position":{"inode":5,"offset":0}}}\n'
        b'{"method":"log.end","params":{"subscription":7,"reason":"closed"}}\n'
        b'{"method":"log.e'
    )
    with Feed(peer.path, timeout=30) as feed:
        number = feed.follow("/a")
        assert feed.next() == FeedEnd(number, "closed")
        assert feed.next(0) is None
        peer.connection.sendall(b'nd","params":{"subscription":8,"reason":"closed"}}\n')
        assert feed.next() == FeedEnd(8, "closed")
    serving.join()
    peer.close()


def test_a_program_can_wait_for_several_things(daemon: FakeDaemon, feed: Feed) -> None:
    """Its descriptor is readable when something comes."""
    poll = select.poll()
    poll.register(feed, select.POLLIN)
    feed.follow("/a")
    assert feed.next(0) is None
    assert poll.poll(0) == []
    daemon.write("/a", b"x")
    assert poll.poll(60_000) == [(feed.fileno(), select.POLLIN)]
    assert isinstance(feed.next(0), FeedData)


def test_nobody_waits_longer_than_told(daemon: FakeDaemon, feed: Feed) -> None:
    """No news in time is no error, and what comes later is not lost."""
    feed.follow("/a")
    assert feed.next(0.01) is None
    daemon.write("/a", b"x")
    assert isinstance(feed.next(60), FeedData)


def fill(connection: socket.socket) -> int:
    """Send notifications while they are taken; return how many bytes were."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            # (of one byte, so that they are whole wherever it stops)
            sent += connection.send(b"\n" * 4096)
    return sent


def test_nothing_is_read_before_it_is_wanted(tmp_path: Path) -> None:
    """Who takes little holds little: the rest waits at the daemon."""
    peer = Peer(tmp_path / "sock")
    end = b'{"method":"log.end","params":{"subscription":7,"reason":"closed"}}\n'
    serving = peer.serve(b'{"id":1,"result":{"subscription":7}}\n' + end)
    with Feed(peer.path, timeout=30) as feed:
        feed.watch()
        serving.join()
        peer.connection.setblocking(False)
        fill(peer.connection)
        assert fill(peer.connection) == 0
        # It had come with the answer.
        assert feed.next() == FeedEnd(7, "closed")
        assert fill(peer.connection) == 0
        assert feed.next(0) is None
        assert fill(peer.connection) > 0
    peer.close()


def test_the_end_of_the_connection_is_told_last(daemon: FakeDaemon, feed: Feed) -> None:
    """All that came before is there before the error, and every later question is one."""
    number = feed.follow("/a")
    daemon.write("/a", b"x")
    daemon.crash()
    assert feed.next() == FeedData(number, b"x", Position(INODE, 0), Position(INODE, 1))
    for _ in range(2):
        with pytest.raises(Disconnected, match="the daemon closed the connection"):
            feed.next()
    with pytest.raises(Disconnected, match=r"log\.follow cannot be asked"):
        feed.follow("/a")
    assert feed.fileno() == -1


def test_what_came_before_a_failed_question_is_there_still(daemon: FakeDaemon, feed: Feed) -> None:
    """A daemon that goes instead of an answer takes nothing back."""
    number = feed.follow("/a")
    daemon.write("/a", b"x")

    def hang_up(_params: Any) -> Any:
        raise ConnectionAbortedError

    daemon.answers["daemon.info"] = hang_up
    with pytest.raises(Disconnected):
        feed.info()
    assert feed.next() == FeedData(number, b"x", Position(INODE, 0), Position(INODE, 1))
    with pytest.raises(Disconnected):
        feed.next()


def test_a_closed_feed_tells_nothing(daemon: FakeDaemon, feed: Feed) -> None:
    """Not even what had come."""
    feed.follow("/a")
    daemon.write("/a", b"x")
    feed.info()
    feed.close()
    with pytest.raises(Disconnected, match="was closed"):
        feed.next()
    daemon.wait_for(lambda daemon: not daemon.connections)


def test_refusals_leave_it_usable(daemon: FakeDaemon, feed: Feed) -> None:
    """An error of a call is raised there, and the rest goes on."""

    def refuse(_params: Any) -> Any:
        raise Refusal(1011, "not below log_roots")

    number = feed.follow("/a")
    daemon.answers["log.follow"] = refuse
    with pytest.raises(RemoteError, match="log_roots"):
        feed.follow("/b")
    daemon.write("/a", b"x")
    assert feed.next() == FeedData(number, b"x", Position(INODE, 0), Position(INODE, 1))


def test_nonsense_ends_it(tmp_path: Path) -> None:
    """Nothing is believed after it."""
    peer = Peer(tmp_path / "sock")
    serving = peer.serve(b'{"id":1,"result":{"subscription":7}}\nnonsense\n')
    with Feed(peer.path, timeout=30) as feed:
        feed.watch()
        with pytest.raises(BadAnswer):
            feed.next()
        with pytest.raises(Disconnected, match="nonsense"):
            feed.next()
    serving.join()
    peer.close()


def test_an_answer_that_does_not_come_in_time(daemon: FakeDaemon) -> None:
    """It would be taken for that of another question, so the feed ends."""
    released = threading.Event()
    daemon.answers["log.watch"] = lambda _params: released.wait()
    with Feed(str(daemon.path), timeout=0.05) as feed:
        with pytest.raises(TimedOut):
            feed.watch()
        with pytest.raises(Disconnected):
            feed.next(0)
    released.set()


def test_a_reset_connection_is_an_end(tmp_path: Path) -> None:
    """A daemon that is killed with unread requests resets its connections."""
    peer = Peer(tmp_path / "sock")
    with Feed(peer.path, timeout=30) as feed:
        connection, _address = peer.listener.accept()
        feed._connection._socket.send(b"unread")
        assert connection.recv(1, socket.MSG_PEEK)
        connection.close()
        with pytest.raises(Disconnected, match="the connection was lost: Connection reset"):
            feed.next()
    peer.close()
