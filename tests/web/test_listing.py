"""The list is asked for while somebody looks, and told together to all who do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from typing import cast

import pytest
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.task import Clock

from twisted_virtlog.client import Disconnected, FeedLog, LogInfo
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.daemon import Daemon
from twisted_virtlog.web.listing import Listing
from twisted_virtlog.web.rows import Wanted

T = datetime(2026, 3, 1, tzinfo=timezone.utc)


def log(path: str, count: int = 0) -> LogInfo:
    """Make a log."""
    return LogInfo(path, "qemu", None, None, T, count, 0, "open")


class FakeDaemon:
    """Has one log, which grows by 100 bytes from list to list.

    :ivar asked: for each list whether closed logs were asked for, too.
    :ivar told: what is yet to be told to whoever watches.
    :ivar fails: is raised instead of a list.
    """

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.told: DeferredQueue[FeedLog] = DeferredQueue()
        self.fails: Exception | None = None

    async def client(self) -> FakeDaemon:
        return self

    async def list(self, closed: bool) -> list[LogInfo]:
        self.asked.append(closed)
        if self.fails is not None:
            raise self.fails
        return [log("/a", 100 * len(self.asked))]

    async def watch(self) -> AsyncIterator[FeedLog]:
        while True:
            yield await self.told.get()


class Looker:
    """Waits for what is new again and again, as a browser does."""

    def __init__(self, listing: Listing, act: Callable[[], object] = lambda: None) -> None:
        self.times = 0
        self._listing = listing
        self._act = act
        self._looking = Deferred.fromCoroutine(self._look())
        self._looking.addErrback(lambda _cancelled: None)

    def leave(self) -> None:
        """Look no more."""
        self._looking.cancel()

    async def _look(self) -> None:
        with self._listing.looking():
            while True:
                await self._listing.change()
                self.times += 1
                self._act()


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock()


@pytest.fixture
def daemon() -> FakeDaemon:
    """A daemon that answers at once."""
    return FakeDaemon()


@pytest.fixture
def listing(daemon: FakeDaemon, clock: Clock) -> Listing:
    """A list that nobody looks at yet."""
    return Listing(cast(Daemon[Client], daemon), clock)


def rates(listing: Listing) -> list[int]:
    """Return the rates of the log."""
    return list(listing.rows.rates(["/a"]).get("/a", []))


def test_who_comes_again_soon_finds_what_was_known(
    listing: Listing, daemon: FakeDaemon, clock: Clock
) -> None:
    """As who turns to the next part does, or types one more letter."""
    first = Looker(listing)
    clock.pump([0.5, 2, 2])
    assert len(rates(listing)) == 3
    first.leave()
    clock.advance(1)
    again = Looker(listing)
    assert listing.is_known
    clock.pump([1, 2])
    assert len(rates(listing)) == 5
    assert daemon.asked.count(True) == 1
    again.leave()


def test_nothing_is_asked_once_nobody_looks(
    listing: Listing, daemon: FakeDaemon, clock: Clock
) -> None:
    one, other = Looker(listing), Looker(listing)
    one.leave()
    clock.pump([2] * 10)
    assert len(daemon.asked) > 5
    other.leave()
    clock.pump([2] * 10)
    asked = len(daemon.asked)
    clock.pump([2] * 10)
    assert (len(daemon.asked), clock.getDelayedCalls()) == (asked, [])
    assert not listing.is_known
    # Who comes then waits for all of it.
    late = Looker(listing)
    assert daemon.asked[asked:] == [True]
    late.leave()


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_nothing_is_left_of_one_that_is_closed(
    listing: Listing, clock: Clock, is_looked_at: bool
) -> None:
    looker = Looker(listing)
    clock.advance(0.5)
    if not is_looked_at:
        looker.leave()
    listing.close()
    assert clock.getDelayedCalls() == []
    looker.leave()
    assert clock.getDelayedCalls() == []


def test_many_changes_are_told_together(listing: Listing, daemon: FakeDaemon, clock: Clock) -> None:
    """Once in a while, with the last of them, and what comes alone is told at once."""
    looker = Looker(listing)
    clock.pump([0.5, 0.5])
    before = looker.times
    for number in range(1000):
        daemon.told.put(FeedLog(1, "opened", log(f"/{number}")))
        clock.advance(0.001)
    assert 9 <= looker.times - before <= 12
    clock.advance(0.1)
    assert listing.rows.page(Wanted()).logs == 1001
    looker.leave()


def test_where_pages_are_dear_they_are_told_less_often(
    listing: Listing, daemon: FakeDaemon, clock: Clock
) -> None:
    """A tenth of the time at most goes into them."""

    def take_time() -> None:
        clock.rightNow += 0.05

    lookers = [Looker(listing, take_time) for _ in range(4)]
    clock.pump([0.5])
    before, began = lookers[0].times, clock.seconds()
    for number in range(1000):
        daemon.told.put(FeedLog(1, "opened", log(f"/{number}")))
        clock.advance(0.01)
    told = lookers[0].times - before
    assert 0 < told * 4 * 0.05 <= 0.1 * (clock.seconds() - began) + 0.2
    for looker in lookers:
        looker.leave()


def test_a_daemon_that_is_gone_is_said(listing: Listing, daemon: FakeDaemon, clock: Clock) -> None:
    looker = Looker(listing)
    clock.advance(0)
    daemon.fails = Disconnected("it has gone")
    clock.advance(0.5)
    assert listing.lost == "it has gone"
    daemon.fails = None
    clock.advance(1)
    assert listing.lost is None
    looker.leave()


def test_a_mistake_is_said_and_is_not_the_end(
    listing: Listing, daemon: FakeDaemon, clock: Clock, expected_failures: list[str]
) -> None:
    expected_failures.append("nobody has thought of that")
    looker = Looker(listing)
    clock.advance(0)
    daemon.fails = KeyError("nobody has thought of that")
    told = looker.times
    clock.pump([0.5, 0.1])
    assert looker.times > told
    assert listing.lost is not None
    daemon.fails = None
    clock.pump([1, 0.5, 0.5])
    assert listing.lost is None
    assert rates(listing)
    looker.leave()
