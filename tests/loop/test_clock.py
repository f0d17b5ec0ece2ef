"""Timers fire in order, on time and in spite of one another, whatever the wall clock does."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface.verify import verifyObject

from tests.fakes.reactor import FakeReactor
from tests.sockets.fakes import PATIENCE, descriptors_open
from twisted_virtlog.loop.clock import MonotonicClock

#: The farthest future: no test waits for it.
FAR = 1e6


@pytest.fixture
def reactor() -> FakeReactor:
    """A reactor that the test turns."""
    return FakeReactor()


@pytest.fixture
def clock(reactor: FakeReactor) -> Iterator[MonotonicClock]:
    """A clock on that reactor."""
    clock = MonotonicClock(reactor)
    yield clock
    clock.close()


def turn(clock: MonotonicClock) -> None:
    """Wait for the timer, as a reactor does, and read it."""
    assert select.select([clock.fileno()], [], [], PATIENCE)[0], "the timer does not fire"
    clock.doRead()


def turn_until(clock: MonotonicClock, made: list[str], count: int) -> None:
    """Turn until so many calls were made."""
    while len(made) < count:
        turn(clock)


def is_quiet(clock: MonotonicClock) -> bool:
    """Report that the timer has not fired."""
    return not select.select([clock.fileno()], [], [], 0)[0]


def test_interfaces(clock: MonotonicClock, reactor: FakeReactor) -> None:
    """The reactor watches the clock, and its calls are like the reactor's own."""
    assert verifyObject(IReadDescriptor, clock)
    assert reactor.getReaders() == [clock]
    assert verifyObject(IDelayedCall, clock.callLater(FAR, print))
    assert isinstance(clock.logPrefix(), str)


def test_tells_monotonic_time(clock: MonotonicClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock has no say."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    before = time.monotonic()
    assert before <= clock.seconds() <= time.monotonic()


def test_calls_are_made_in_the_order_of_their_times(clock: MonotonicClock) -> None:
    """Calls come in the order of their times, not of their making, with their arguments."""
    made: list[str] = []
    clock.callLater(0.02, made.append, "third")
    clock.callLater(0.01, made.append, "second")
    clock.callLater(0, made.append, "first")
    clock.callLater(FAR, made.append, "never")
    began = clock.seconds()
    clock.callLater(0.03, lambda *, name: made.append(name), name="last")
    turn_until(clock, made, 4)
    assert made == ["first", "second", "third", "last"]
    assert clock.seconds() >= began + 0.03
    assert is_quiet(clock)


def test_calls_that_are_due_together(clock: MonotonicClock) -> None:
    """Calls that a busy reactor makes in one turn come in the order of their times."""
    made: list[str] = []
    for name, when in [("third", -1), ("first", -3), ("second", -2), ("fourth", -1)]:
        clock.callLater(when, made.append, name)
    turn(clock)
    assert made == ["first", "second", "third", "fourth"]


def test_a_later_call_does_not_put_off_an_earlier_one(clock: MonotonicClock) -> None:
    """The timer is set for the first call, whichever was made last."""
    made: list[str] = []
    clock.callLater(0.01, made.append, "soon")
    clock.callLater(FAR, made.append, "far")
    turn_until(clock, made, 1)
    assert made == ["soon"]


def test_a_call_in_the_past_is_made(clock: MonotonicClock) -> None:
    """A time that has passed is due at once, even before the machine started."""
    made: list[str] = []
    clock.callLater(-FAR * 1000, made.append, "due")
    turn(clock)
    assert made == ["due"]


def test_a_call_that_is_cancelled_is_not_made(clock: MonotonicClock) -> None:
    """Cancelling one call leaves the others."""
    made: list[str] = []
    cancelled = clock.callLater(0, made.append, "cancelled")
    call = clock.callLater(0.01, made.append, "made")
    cancelled.cancel()
    assert not cancelled.active()
    turn_until(clock, made, 1)
    assert made == ["made"]
    with pytest.raises(AlreadyCancelled):
        cancelled.cancel()
    with pytest.raises(AlreadyCalled):
        call.cancel()


def test_a_call_may_cancel_another_that_is_due(clock: MonotonicClock) -> None:
    """The first of two calls that are due at once may cancel the second."""
    made: list[str] = []

    def first() -> None:
        made.append("first")
        second.cancel()

    clock.callLater(-2, first)
    second = clock.callLater(-1, made.append, "second")
    turn(clock)
    assert made == ["first"]
    assert is_quiet(clock)


def test_a_call_may_make_others(clock: MonotonicClock) -> None:
    """A repeated call goes on, also if it began the next one while it ran."""
    made: list[str] = []

    def again() -> None:
        made.append("again")
        if len(made) < 3:
            clock.callLater(0.001, again)

    clock.callLater(0, again)
    turn_until(clock, made, 3)
    assert is_quiet(clock)


def test_a_call_that_repeats_at_once_leaves_the_reactor_its_turns(clock: MonotonicClock) -> None:
    """A call that is made again without delay does not keep the reactor from others."""
    made: list[str] = []

    def again() -> None:
        assert len(made) < 10, "the reactor never turns"
        made.append("again")
        clock.callLater(0, again)

    clock.callLater(0, again)
    turn(clock)
    turn(clock)
    assert 2 <= len(made) <= 4


def test_a_call_may_be_moved(clock: MonotonicClock) -> None:
    """A call that is reset to an earlier time is made then, and a later one later."""
    made: list[str] = []
    earlier = clock.callLater(FAR, made.append, "earlier")
    later = clock.callLater(0.01, made.append, "later")
    earlier.reset(0)
    later.delay(0.01)
    turn_until(clock, made, 2)
    assert made == ["earlier", "later"]
    moved = clock.callLater(FAR, made.append, "moved")
    moved.delay(-FAR)
    turn_until(clock, made, 3)
    assert made[-1] == "moved"


def test_a_call_that_fails_stops_no_other(
    clock: MonotonicClock, expected_failures: list[str]
) -> None:
    """A call that raises is logged, and those due with it and after it are made."""
    expected_failures.append("ZeroDivisionError")
    made: list[str] = []
    clock.callLater(-3, made.append, "before")
    clock.callLater(-2, lambda: 1 / 0)
    clock.callLater(-1, made.append, "with it")
    clock.callLater(0.01, made.append, "after")
    turn_until(clock, made, 3)
    assert made == ["before", "with it", "after"]


def test_readiness_that_finds_nothing(clock: MonotonicClock) -> None:
    """An event that is stale makes no call."""
    made: list[str] = []
    clock.callLater(FAR, made.append, "never")
    clock.doRead()
    assert made == []


def test_a_closed_clock(reactor: FakeReactor) -> None:
    """A closed clock makes no call, leaves no descriptor, and touches nobody else's."""
    before = descriptors_open()
    clock = MonotonicClock(reactor)
    made: list[str] = []
    call = clock.callLater(0, made.append, "never")
    clock.close()
    assert descriptors_open() == before
    assert not reactor.readers
    assert clock.fileno() == -1
    assert not call.active()
    with open(os.devnull) as other:
        clock.close()
        clock.doRead()
        clock.callLater(0, made.append, "never")
        os.fstat(other.fileno())
    assert made == []


_STEP_BACK = """
import sys, time
wall = time.time
step = 0.0
time.time = lambda: wall() + step
from twisted.internet import {reactor}
{reactor}.install()
from twisted.internet import reactor
reactor.seconds = time.time
from twisted_virtlog.loop.clock import MonotonicClock

clock = MonotonicClock(reactor)
made = []

def step_back():
    global step
    step = -3600.0
    made.append("step")

def end():
    made.append("end")
    clock.close()
    reactor.stop()

def fail():
    made.append("fail")
    1 / 0

# (the step comes before the reactor's own call also where the machine is busy)
clock.callLater(0.5, end)
clock.callLater(0.45, made.append, "late")
clock.callLater(0.01, fail)
clock.callLater(0, step_back)
still = reactor.callLater(0.4, made.append, "the reactor's own")
reactor.run()
print(*made, still.active())
"""


@pytest.mark.lengthy
@pytest.mark.parametrize("reactor", ["epollreactor", "pollreactor", "selectreactor"])
def test_the_wall_clock_steps_back(reactor: str) -> None:
    """On any reactor calls are made in time although its own wait for an hour."""
    ran = subprocess.run(
        [sys.executable, "-c", _STEP_BACK.format(reactor=reactor)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split() == ["step", "fail", "late", "end", "True"]
