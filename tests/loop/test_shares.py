"""Shares of time: who goes on when, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.loop.shares import SHARE_SECONDS, TOGETHER_SECONDS, Shares


class Room:
    """Shares on a turned reactor, with a time that a test sets; notes who was served."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.now = 100.0
        self.order: list[str] = []
        self.between: Callable[[], object] = lambda: None
        self.shares = Shares(self.reactor, self._serve_others, lambda: self.now)

    def _serve_others(self) -> None:
        self.between()

    def greedy(self, name: str, shares: int) -> None:
        """Add somebody who uses up a number of shares."""

        def work() -> None:
            nonlocal shares
            self.order.append(name)
            self.now += SHARE_SECONDS
            shares -= 1
            if shares:
                self.shares.later(work)

        self.shares.later(work)

    def slices(self, number: int, seconds: float) -> Generator[None, None, str]:
        """Take a number of steps, each of which lasts some seconds."""
        for _ in range(number):
            self.now += seconds
            self.order.append("slice")
            yield
        return "done"


@pytest.fixture
def room() -> Iterator[Room]:
    """Shares of which none is used."""
    room = Room()
    yield room
    if room.shares.fileno() != -1:
        room.shares.close()


def test_who_waits_has_his_turn_and_then_nobody_is_called(room: Room) -> None:
    """The reactor sleeps afterwards."""
    room.greedy("a", 1)
    assert room.order == []
    assert not room.shares.is_idle
    assert room.reactor.turn()
    assert room.order == ["a"]
    assert room.shares.is_idle
    assert not room.reactor.turn()


def test_they_take_turns(room: Room) -> None:
    """Whoever asks again comes after the others."""
    room.greedy("a", 3)
    room.greedy("b", 2)
    room.reactor.run()
    assert room.order == ["a", "b", "a", "b", "a"]


def test_all_of_them_leave_the_reactor_to_others(room: Room) -> None:
    """They have so much time together in a turn, and go on in the next one."""
    room.greedy("a", 1000)
    room.reactor.turn()
    together = TOGETHER_SECONDS / SHARE_SECONDS
    assert together <= len(room.order) <= together + 1
    room.reactor.turn()
    assert 2 * together <= len(room.order) <= 2 * together + 2


def test_those_who_were_quiet_are_served_after_each_share(room: Room) -> None:
    """They wait for one, and not for all."""
    room.greedy("a", 3)
    room.between = lambda: room.order.append("quiet")
    room.reactor.turn()
    assert room.order == ["a", "quiet"] * 3


def test_one_that_fails_costs_the_others_nothing(room: Room, expected_failures: list[str]) -> None:
    """It is told in the log."""

    expected_failures.append("ZeroDivisionError")

    def fail() -> None:
        raise ZeroDivisionError

    room.shares.later(fail)
    room.greedy("a", 1)
    with capturedLogs() as events:
        room.reactor.turn()
    assert room.order == ["a"]
    assert len(events) == 1


def test_who_rests_is_not_called_before(room: Room) -> None:
    """However often others are; those who rest for a shorter time come first."""
    room.shares.rest(2.0, lambda: room.order.append("two"))
    room.shares.rest(1.0, lambda: room.order.append("one"))
    room.greedy("a", 2)
    assert room.shares.is_idle is False
    room.reactor.run()
    assert room.order == ["a", "a"]
    room.now += 1.5
    room.greedy("b", 1)
    room.reactor.run()
    assert room.order == ["a", "a", "b", "one"]
    room.now += 1.0
    room.greedy("c", 1)
    room.reactor.run()
    assert room.order == ["a", "a", "b", "one", "c", "two"]


def test_the_reactor_is_woken_after_a_rest() -> None:
    """Nobody else need ask for it; here the time is the real one."""
    reactor, order = FakeReactor(), []
    shares = Shares(reactor)
    shares.rest(0.001, lambda: order.append("rested"))
    while not order:
        reactor.turn()
    assert not reactor.turn()
    shares.close()


def test_what_is_short_is_done_at_once(room: Room) -> None:
    """Without a Deferred, which would cost more than the work."""
    assert room.shares.in_slices(room.slices(3, SHARE_SECONDS / 10)) == "done"
    assert room.shares.is_idle


def test_what_is_long_goes_on_in_later_turns(room: Room) -> None:
    """A share in each."""
    later = room.shares.in_slices(room.slices(10, SHARE_SECONDS / 2))
    assert isinstance(later, Deferred)
    assert room.order == ["slice"] * 2
    results: list[str] = []
    later.addCallback(results.append)
    room.between = lambda: room.order.append("quiet")
    room.reactor.run()
    assert room.order[:6] == ["slice", "slice", "slice", "slice", "quiet", "slice"]
    assert room.order.count("slice") == 10
    assert results == ["done"]


def test_an_error_is_raised_or_comes_later(room: Room) -> None:
    """As it happens within the first share, or after it."""

    def slices(number: int) -> Generator[None, None, None]:
        yield from room.slices(number, SHARE_SECONDS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        room.shares.in_slices(slices(0))
    later = room.shares.in_slices(slices(2))
    assert isinstance(later, Deferred)
    failures: list[object] = []
    later.addErrback(lambda failure: failures.append(failure.type))
    room.reactor.run()
    assert failures == [ZeroDivisionError]


def test_who_is_cancelled_goes_on_no_more(room: Room) -> None:
    """And frees at once what the work holds."""
    freed: list[bool] = []

    def slices() -> Generator[None, None, None]:
        try:
            yield from room.slices(100, SHARE_SECONDS)
        finally:
            freed.append(True)

    later = room.shares.in_slices(slices())
    assert isinstance(later, Deferred)
    later.addErrback(lambda _: None)
    later.cancel()
    assert freed == [True]
    room.reactor.run()
    assert room.order == ["slice"]


def test_it_may_be_closed_from_within(room: Room) -> None:
    """As when the last client's request ends the daemon."""
    room.shares.later(room.shares.close)
    room.greedy("a", 1)
    room.reactor.turn()
    assert room.order == []
    assert room.reactor.getReaders() == []


@given(st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=8))
def test_nobody_is_forgotten_and_nobody_has_more_than_others(needs: list[int]) -> None:
    """Whatever each needs, nobody gets his next share before all who wait had theirs."""
    room = Room()
    for number, need in enumerate(needs):
        room.greedy(str(number), need)
    room.reactor.run()
    room.shares.close()
    for number, need in enumerate(needs):
        assert room.order.count(str(number)) == need
    for stop in range(len(room.order)):
        had = [room.order[:stop].count(str(number)) for number in range(len(needs))]
        unfinished = [one for one, need in zip(had, needs, strict=True) if one < need]
        assert not unfinished or max(had) - min(unfinished) <= 1
