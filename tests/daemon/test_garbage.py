"""What has survived a search for garbage is set aside, and nothing is forgotten for good."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from twisted_virtlog.daemon.garbage import EVERY_SECONDS, Garbage


class Thing:
    """May be a part of a circle."""

    def __init__(self) -> None:
        self.other: Thing | None = None


@pytest.fixture
def clock() -> Clock:
    """A time that a test sets."""
    return Clock()


@pytest.fixture
def garbage(clock: Clock) -> Iterator[Garbage]:
    """One that is ended in any case, as it is about this whole process."""
    garbage = Garbage(clock)
    yield garbage
    garbage.end()


def circle() -> weakref.ref[Thing]:
    """Make a circle that nobody refers to."""
    one, other = Thing(), Thing()
    one.other, other.other = other, one
    return weakref.ref(one)


def test_a_search_looks_only_at_what_came_since_the_last(garbage: Garbage) -> None:
    """All that was there before is set aside, and so is what survives the next one."""
    garbage.begin()
    assert gc.get_freeze_count() > 1000
    assert len(gc.get_objects(generation=2)) < 1000
    kept = [Thing() for _ in range(100_000)]
    grown = sum(len(gc.get_objects(generation=number)) for number in range(3))
    assert grown < 20_000
    assert len(kept) == 100_000


def test_what_is_set_aside_is_freed_when_nobody_refers_to_it(garbage: Garbage) -> None:
    """Without a search."""
    thing = Thing()
    garbage.begin()
    gone = weakref.ref(thing)
    del thing
    assert gone() is None


def test_new_circles_are_found_as_ever(garbage: Garbage) -> None:
    """They are not set aside."""
    garbage.begin()
    gone = circle()
    gc.collect(0)
    assert gone() is None


def test_a_circle_of_what_was_set_aside_is_found_once_a_day(garbage: Garbage, clock: Clock) -> None:
    """Nothing is lost for good."""
    one, other = Thing(), Thing()
    garbage.begin()
    one.other, other.other = other, one
    gone = weakref.ref(one)
    del one, other
    gc.collect()
    assert gone() is not None
    clock.advance(EVERY_SECONDS)
    assert gone() is None
    clock.advance(EVERY_SECONDS)
    assert len(clock.getDelayedCalls()) == 1


def test_it_leaves_no_trace(garbage: Garbage, clock: Clock) -> None:
    """A process that goes on without the daemon is as it was."""
    before = list(gc.callbacks)
    garbage.begin()
    garbage.end()
    garbage.end()
    assert gc.callbacks == before
    assert gc.get_freeze_count() == 0
    assert clock.getDelayedCalls() == []
