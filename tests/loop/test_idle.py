"""When a daemon that nobody needs ends."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock as FakeClock

from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.idle import IdleTimeout


class Daemon:
    """One whose clients come and go."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.busy = False
        self.idle_since = 0.0
        self.ended_at: list[float] = []
        self.timeout = IdleTimeout(
            cast(Clock, self.clock),
            lambda: None if self.busy else self.idle_since,
            lambda: self.ended_at.append(self.clock.seconds()),
        )

    def leave(self) -> None:
        self.busy = False
        self.idle_since = self.clock.seconds()


def test_it_ends_after_the_timeout() -> None:
    """Once."""
    daemon = Daemon()
    daemon.timeout.set(5)
    daemon.clock.pump([1] * 20)
    assert daemon.ended_at == [5]


def test_without_a_timeout_it_stays() -> None:
    """Also when one was set before."""
    daemon = Daemon()
    daemon.timeout.set(5)
    daemon.clock.advance(4)
    daemon.timeout.set(0)
    daemon.clock.advance(100)
    assert daemon.ended_at == []
    assert daemon.clock.getDelayedCalls() == []


def test_another_timeout_counts_from_when_it_was_set() -> None:
    """However long it was idle before."""
    daemon = Daemon()
    daemon.clock.advance(100)
    daemon.timeout.set(5)
    daemon.clock.advance(4)
    daemon.timeout.set(3)
    daemon.clock.pump([1] * 10)
    assert daemon.ended_at == [107]


def test_it_wakes_no_more_often_than_the_timeout() -> None:
    """Clients who come and go cost nothing."""
    daemon = Daemon()
    daemon.timeout.set(5)
    for _ in range(100):
        daemon.busy = True
        daemon.leave()
        (call,) = daemon.clock.getDelayedCalls()
        assert call.getTime() == 5
    daemon.busy = True
    for due in (10, 15, 20):
        daemon.clock.advance(5)
        (call,) = daemon.clock.getDelayedCalls()
        assert call.getTime() == due


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), max_size=8),
)
def test_it_ends_when_it_was_idle_for_exactly_the_timeout(
    timeout: int, visits: list[tuple[int, int]]
) -> None:
    """Whenever clients come and however long they stay."""
    daemon = Daemon()
    daemon.timeout.set(timeout)
    expected = None
    idle_since = 0
    for pause, stay in visits:
        daemon.clock.pump([1] * pause)
        if expected is None and pause >= timeout:
            expected = idle_since + timeout
        daemon.busy = True
        daemon.clock.pump([1] * stay)
        daemon.leave()
        idle_since = int(daemon.clock.seconds())
    daemon.clock.pump([1] * 60)
    assert daemon.ended_at == [idle_since + timeout if expected is None else expected]
