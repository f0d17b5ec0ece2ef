"""Twisted's feed against a daemon on a real UNIX socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, FakeDaemon, Refusal
from tests.client.followers import DeferredDriver, as_coroutine
from twisted_virtlog.client import Disconnected, Position, RemoteError
from twisted_virtlog.client.deferred_feed import DISCONNECTED, DeferredFeed, FeedData, FeedEnd


class Reading:
    """A feed, and what is told on it."""

    def __init__(self, driver: DeferredDriver, rest_seconds: float = 0.0) -> None:
        self.driver = driver
        self.told: list[Any] = []
        self.feed: DeferredFeed = self.run(driver.client.feed(rest_seconds))

    def run(self, deferred: Any) -> Any:
        """Return what comes of a Deferred."""
        return self.driver.run(as_coroutine(deferred))

    def follow(self, path: str, position: Position | None = None) -> int:
        """Follow a log; return the number of the subscription."""
        followed = self.run(self.feed.follow(path, self.told.append, position))
        return int(followed.subscription)

    def take(self, count: int) -> list[Any]:
        """Wait until so much was told; return it."""
        while len(self.told) < count:
            self.driver.turn()
        taken, self.told[:] = self.told[:], []
        return taken


@pytest.fixture
def reading(daemon: FakeDaemon) -> Iterator[Reading]:
    """Connect to the daemon."""
    driver = DeferredDriver(str(daemon.path))
    reading = Reading(driver)
    yield reading
    reading.run(reading.feed.close())
    driver.close()


def data(number: int, start: int, text: bytes) -> FeedData:
    """Return what comes of a fake log."""
    return FeedData(number, text, Position(INODE, start), Position(INODE, start + len(text)))


def test_many_logs_come_over_one_connection(daemon: FakeDaemon, reading: Reading) -> None:
    daemon.logs |= {"/a": b"before", "/b": b"xyz"}
    first, second = reading.follow("/a"), reading.follow("/b", Position(INODE, 1))
    assert reading.take(1) == [data(second, 1, b"yz")]
    daemon.write("/b", bytes(range(256)))
    daemon.write("/a", b"after")
    assert reading.take(2) == [data(second, 3, bytes(range(256))), data(first, 6, b"after")]
    # (the other one is the client's)
    assert daemon.accepted == 2


def test_what_comes_while_it_rests_comes_afterwards(daemon: FakeDaemon) -> None:
    driver = DeferredDriver(str(daemon.path))
    reading = Reading(driver, rest_seconds=0.001)
    daemon.logs["/a"] = b""
    number = reading.follow("/a")
    for at in range(3):
        daemon.write("/a", b"%d" % at)
    told = reading.take(3)
    assert told == [data(number, at, b"%d" % at) for at in range(3)]
    reading.run(reading.feed.close())
    driver.close()


def test_nothing_is_told_of_what_is_followed_no_more(daemon: FakeDaemon, reading: Reading) -> None:
    daemon.logs |= {"/a": b"", "/b": b""}
    first, second = reading.follow("/a"), reading.follow("/b")
    reading.feed.unfollow(first)
    reading.feed.unfollow(first)
    daemon.write("/a", b"1")
    daemon.write("/b", b"2")
    assert reading.take(1) == [data(second, 0, b"2")]
    daemon.wait_for(lambda daemon: list(daemon.subscriptions) == [second])


def test_what_is_given_up_before_it_began_is_ended(daemon: FakeDaemon, reading: Reading) -> None:
    daemon.logs["/a"] = b"x"
    asked = reading.feed.follow("/a", reading.told.append, Position(INODE, 0))
    asked.addErrback(lambda _: None)
    asked.cancel()
    others = [reading.follow("/a"), reading.follow("/a")]
    daemon.wait_for(lambda daemon: list(daemon.subscriptions) == others)
    assert reading.told == []


def test_who_is_refused_is_told_so(daemon: FakeDaemon, reading: Reading) -> None:
    def refuse(_params: Any) -> Any:
        raise Refusal(1011, "no")

    daemon.answers["log.follow"] = refuse
    with pytest.raises(RemoteError, match="no"):
        reading.follow("/a")


def test_the_end_is_told_to_all(daemon: FakeDaemon, reading: Reading) -> None:
    daemon.logs |= {"/a": b"", "/b": b""}
    first, second = reading.follow("/a"), reading.follow("/b")
    daemon.end("/a", "shutting down")
    assert reading.take(1) == [FeedEnd(first, "shutting down")]
    gone = reading.feed.when_gone()
    asked = reading.feed.follow("/c", reading.told.append)
    daemon.crash()
    reading.run(gone)
    assert reading.take(1) == [FeedEnd(second, DISCONNECTED)]
    with pytest.raises(Disconnected):
        # (whether it was answered before the end or not)
        reading.run(asked.addCallback(lambda _: reading.feed.follow("/d", reading.told.append)))
    reading.feed.unfollow(second)
    reading.run(reading.feed.when_gone())
