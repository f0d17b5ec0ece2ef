"""What is a stall, by values and a time of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.loop.stalls import (
    LOOK_SECONDS,
    STALL_SECONDS,
    Judge,
    Look,
    Stall,
    StallCounts,
)


@dataclass
class World:
    """A reactor and its process, and who looks at it.

    :ivar stuck: the reactor is in a call that does not return.
    :ivar turned_at: when it gave the sign that it was asked for.
    """

    now: float = 100.0
    processor: float = 0.0
    queued: float = 0.0
    stuck: bool = False
    turned_at: float | None = None
    told: list[Stall] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.judge = Judge(self.seen())

    def seen(self) -> Look:
        turned_at, self.turned_at = self.turned_at, None
        return Look(self.now, self.processor, self.queued, self.stuck, turned_at)

    def look(self, late: float = 0.0) -> Stall | None:
        """Let time pass until the next look, and look."""
        self.now += self.judge.due + late
        found = self.judge.judge(self.seen())
        if found is not None:
            self.told.append(found)
        return found

    def turn(self, after: float = 0.0) -> None:
        """Return from the call some time after the last look, and give the sign."""
        self.stuck = False
        if self.judge.wants_sign:
            self.turned_at = self.now + after


def test_a_stall_is_told_once_and_when_it_is_over() -> None:
    world = World()
    assert world.look() is None
    world.stuck = True
    # The first look finds it at work and asks for a sign, for which 250 ms are waited.
    assert [world.look() for _ in range(3)] == [None] * 3
    assert world.judge.due == pytest.approx(0.05)
    begun = world.look()
    assert begun is not None
    assert not begun.is_over
    assert begun.seconds == pytest.approx(STALL_SECONDS)
    assert world.judge.counts == StallCounts(1, 0.0, 0.0)
    assert [world.look() for _ in range(57)] == [None] * 57
    world.turn(after=0.04)
    ended = world.look()
    assert ended is not None
    assert ended.is_over
    assert ended.seconds == pytest.approx(0.25 + 5.7 + 0.04)
    assert world.judge.counts == StallCounts(1, ended.seconds, ended.seconds)
    assert not world.judge.wants_sign


def test_the_next_stall_is_another() -> None:
    """Also if the reactor is stuck again by the next look; the longest is kept."""
    world = World(stuck=True)
    for looks in (40, 20):
        for _ in range(looks):
            world.look()
        world.turn(after=0.01)
        world.stuck = True
    world.look()
    assert [stall.is_over for stall in world.told] == [False, True, False, True]
    first, second = world.told[1].seconds, world.told[3].seconds
    assert first > second
    assert world.judge.counts == StallCounts(2, first + second, first)


def test_a_reactor_that_works_and_turns_does_not_stand_still() -> None:
    """Each look finds it in the middle of something, after it turned."""
    world = World(stuck=True)
    for _ in range(100):
        world.turn(after=0.09)
        world.stuck = True
        world.processor += 0.1
        assert world.look() is None
        # (and asks for the next sign at once)
        assert world.judge.wants_sign
    assert world.judge.counts == StallCounts()


def test_a_reactor_that_waits_does_not_stand_still() -> None:
    """It is not asked for a sign, and a sign that comes late changes nothing."""
    world = World()
    for _ in range(100):
        world.look()
        assert not world.judge.wants_sign
    world.turned_at = world.now
    assert world.look() is None


def test_a_process_that_is_stopped_does_not_stand_still() -> None:
    """Nor does one on a machine that sleeps; it may be in the middle of a call or wait."""
    world = World()
    world.look(late=3600)
    world.stuck = True
    world.look()
    world.look(late=3600)
    world.turn(after=0.001)
    world.look()
    assert world.told == []


def test_a_stop_in_the_middle_of_a_stall_is_left_out() -> None:
    world = World(stuck=True)
    for _ in range(10):
        world.look()
    world.look(late=3600)
    world.turn(after=0.05)
    ended = world.look()
    assert ended is not None
    # (the first look asks for the sign, the look at 250 ms is one more)
    assert ended.seconds == pytest.approx(0.25 + 6 * 0.1 + 0.1 + 0.05)


def test_a_thread_that_gets_no_processor_does_not_stand_still() -> None:
    """It is at work, and would turn; the looks are in time."""
    world = World(stuck=True)
    for _ in range(100):
        world.queued += 0.095
        assert world.look() is None
    world.queued += 0.1
    world.turn(after=0.1)
    assert world.look() is None


def test_a_step_that_holds_the_interpreter_is_told_by_the_first_look_after_it() -> None:
    """No look was possible in between, but the thread worked all the time."""
    world = World()
    world.look()
    world.stuck = True
    world.processor += 1.5
    begun = world.look(late=1.45)
    assert begun == Stall(pytest.approx(1.45), is_over=False)  # type: ignore[arg-type]
    world.turn(after=0.01)
    ended = world.look()
    assert ended == Stall(pytest.approx(1.46), is_over=True)  # type: ignore[arg-type]


def test_such_a_step_counts_while_a_sign_is_waited_for() -> None:
    world = World(stuck=True)
    world.look()
    world.processor += 1.0
    begun = world.look(late=0.9)
    assert begun == Stall(pytest.approx(1.0), is_over=False)  # type: ignore[arg-type]


def test_a_kernel_that_does_not_say_who_waited_for_a_processor_hides_no_stall() -> None:
    world = World(stuck=True, queued=0.0)
    for _ in range(4):
        world.look()
    assert len(world.told) == 1


_late = st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 100))


@given(
    st.lists(
        st.tuples(
            st.booleans(), _late, st.floats(0, 0.1), st.floats(0, 0.1), st.none() | st.floats(0, 1)
        ),
        max_size=60,
    )
)
def test_whatever_is_seen_stalls_begin_and_end_in_turns(
    looks: list[tuple[bool, float, float, float, float | None]],
) -> None:
    """None is told before its time, none takes longer than it can have, and the counts agree."""
    world = World()
    begun_at = 0.0
    turned_at = world.now
    for stuck, late, processor, queued, turn in looks:
        if turn is not None and world.judge.wants_sign:
            world.turn(after=turn * world.judge.due)
            turned_at = world.turned_at or world.now
        world.stuck = stuck
        world.processor += processor
        world.queued += queued
        before = len(world.told)
        last = world.now
        stall = world.look(late)
        assert len(world.told) - before in {0, 1}
        assert 0 < world.judge.due <= LOOK_SECONDS
        if stall is None:
            pass
        elif stall.is_over:
            assert stall.seconds >= STALL_SECONDS
            assert stall.seconds <= world.now - begun_at + 1e-6
        else:
            assert stall.seconds >= STALL_SECONDS
            # Since it is known that it turned.
            assert stall.seconds <= world.now - turned_at + 1e-6
            begun_at = turned_at
        if not stuck:
            turned_at = world.now
        assert last <= world.now
    assert [stall.is_over for stall in world.told] == [
        bool(number % 2) for number in range(len(world.told))
    ]
    counts = world.judge.counts
    over = [stall.seconds for stall in world.told if stall.is_over]
    assert counts.stalls == (len(world.told) + 1) // 2
    assert counts.seconds == pytest.approx(sum(over))
    assert counts.longest == max(over, default=0.0)


@given(st.floats(0, 0.1), st.floats(0.001, 10))
def test_a_stall_of_a_known_length(phase: float, length: float) -> None:
    """It is told for sure if it takes 350 ms and never if it takes less than 250 ms."""
    world = World()
    world.look()
    begins = world.now + phase
    ends = begins + length
    while world.now <= ends:
        following = world.now + world.judge.due
        world.stuck = begins <= following < ends
        if world.judge.wants_sign and following >= ends:
            world.turned_at = ends
        world.look()
    if length >= 0.36:
        assert len(world.told) == 2
    if length < 0.249:
        assert world.told == []
    if world.told:
        begun, ended = world.told
        assert begun.seconds <= ended.seconds <= length + 1e-6
        assert ended.seconds >= length - 0.1 - 1e-6


def test_each_turn_that_was_waited_for_is_counted() -> None:
    """From the look on at which the reactor was at work, whether that was a stall or not."""
    world = World()
    for late in (0.01, 0.03):
        world.stuck = True
        world.look()
        world.turn(after=late)
        world.look()
    assert sum(world.judge.turns.counts) == 2
    assert world.judge.turns.seconds == pytest.approx(0.04)
    assert world.told == []
    world.look()
    assert sum(world.judge.turns.counts) == 2
