"""A lane's thread: its calls in order, and nobody who waits for ever."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.logs.lanes import lane as module
from twisted_virtlog.logs.lanes.lane import Lane, LaneAnswers, Silent
from twisted_virtlog.loop.shares import TOGETHER_SECONDS

TIMEOUT = 5.0


class Gate:
    """A call that lasts until it is let go, as one of a mount that does not answer.

    :ivar passed: whether it has ended.
    """

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()
        self.passed = False

    def __call__(self) -> str:
        self._entered.set()
        self._open.wait()
        self.passed = True
        return "passed"

    def wait_until_entered(self) -> None:
        """Wait until a thread is in it."""
        assert self._entered.wait(60)

    def let_go(self) -> None:
        """Let it end."""
        self._open.set()


class Room:
    """A lane on a turned reactor, with a time that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reactor = FakeReactor()
        self.clock = Clock()
        monkeypatch.setattr(module.time, "monotonic", self.clock.seconds)
        self.answers = LaneAnswers(self.reactor)
        self.timeout = TIMEOUT
        self.lane = Lane("/srv", self.answers, self.clock, lambda: self.timeout)
        self.gates: list[Gate] = []

    def gate(self) -> Gate:
        """Make a gate, which is open in the end."""
        gate = Gate()
        self.gates.append(gate)
        return gate

    def result(self, later: Deferred[Any]) -> Any:
        """Turn the reactor until a result is there; failures are returned."""
        return self.reactor.result(later)

    def close(self) -> None:
        """End the thread."""
        for gate in self.gates:
            gate.let_go()
        self.lane.close()
        self.lane._thread.join(60)
        assert not self.lane._thread.is_alive()
        self.answers.close()
        # (their events are closed with them, and pytest keeps this object)
        del self.lane, self.answers


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A lane that has done nothing."""
    room = Room(monkeypatch)
    yield room
    room.close()


def begun(failure: Any) -> bool:
    """Return what a failure says of the call."""
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, Silent)
    return failure.value.begun


def test_calls_are_made_in_their_order_in_one_thread(room: Room) -> None:
    """Which is not the reactor's."""
    order: list[tuple[int, int]] = []

    def note(number: int) -> int:
        order.append((number, threading.get_ident()))
        return number

    calls = [room.lane.call(lambda number=number: note(number)) for number in range(20)]
    assert [room.result(call) for call in calls] == list(range(20))
    assert [number for number, _ in order] == list(range(20))
    threads = {thread for _, thread in order}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_a_call_raises_is_its_result(room: Room) -> None:
    """And the lane goes on."""
    failure = room.result(room.lane.call(lambda: 1 / 0))
    assert failure.type is ZeroDivisionError
    assert room.result(room.lane.call(lambda: 1)) == 1


def test_it_is_busy_while_it_does_something(room: Room) -> None:
    """It says for how long."""
    gate = room.gate()
    assert not room.lane.is_busy
    later = room.lane.call(gate)
    gate.wait_until_entered()
    room.clock.advance(2.0)
    assert room.lane.is_busy
    assert room.lane.busy_seconds() == 2.0
    assert room.lane.silent_seconds() is None
    gate.let_go()
    assert room.result(later) == "passed"
    assert not room.lane.is_busy


def test_nobody_waits_longer_than_the_timeout(room: Room) -> None:
    """What has not begun never happens; what comes next is refused at once."""
    gate, happened = room.gate(), []
    first = room.lane.call(gate)
    gate.wait_until_entered()
    second = room.lane.call(lambda: happened.append("second"))
    with capturedLogs() as events:
        room.clock.advance(TIMEOUT)
        assert begun(room.result(first)) is True
        assert begun(room.result(second)) is False
        assert begun(room.result(room.lane.call(lambda: happened.append("third")))) is False
        gate.let_go()
        # (refused until it is known that the file system answers)
        while room.lane._is_silent:
            room.reactor.turn()
    assert room.result(room.lane.call(lambda: "answers")) == "answers"
    assert happened == []
    said = [event["log_format"] for event in events if event["log_namespace"] == module.__name__]
    assert len(said) == 2
    assert "answers again" in said[1]


def test_the_time_of_each_call_counts_for_itself(room: Room) -> None:
    """A lane with much to do is not silent."""
    gates = [room.gate() for _ in range(4)]
    calls = [room.lane.call(gate) for gate in gates]
    for gate in gates:
        gate.wait_until_entered()
        room.clock.advance(TIMEOUT * 0.75)
        gate.let_go()
        assert room.result(calls.pop(0)) == "passed"


def test_a_call_that_is_asked_for_late_finds_out_at_once(room: Room) -> None:
    """Even if the reactor has not come to look."""
    gate = room.gate()
    room.lane.call(gate).addErrback(lambda _: None)
    gate.wait_until_entered()
    room.clock.rightNow += TIMEOUT
    assert begun(room.result(room.lane.call(lambda: None))) is False


def test_another_timeout_holds_for_who_waits_already(room: Room) -> None:
    """As an operator who finds that a mount hangs would have it."""
    room.timeout = 3600.0
    gate = room.gate()
    later = room.lane.call(gate)
    gate.wait_until_entered()
    room.clock.advance(TIMEOUT)
    room.lane.timeout_changed()
    assert not later.called
    room.timeout = TIMEOUT
    room.lane.timeout_changed()
    assert room.result(later).check(Silent)


def test_who_asks_as_soon_as_it_answers_is_served(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is silent no more when the reactor is told, whatever the thread still has to do."""
    seen: list[float | None] = []
    add = room.answers.add

    def look(call: Any) -> bool:
        seen.append(room.lane.silent_seconds())
        return add(call)

    monkeypatch.setattr(room.answers, "add", look)
    gate = room.gate()
    later = room.lane.call(gate)
    gate.wait_until_entered()
    room.clock.advance(TIMEOUT)
    assert room.result(later).check(Silent)
    gate.let_go()
    while room.lane.is_silent:
        room.reactor.turn()
    assert seen[0] is None


def test_what_was_given_up_is_undone_when_it_ends(room: Room) -> None:
    """In the lane, too."""
    gate, undone = room.gate(), []
    later = room.lane.call(gate, lambda result: undone.append((result, threading.get_ident())))
    gate.wait_until_entered()
    room.clock.advance(TIMEOUT)
    assert begun(room.result(later)) is True
    gate.let_go()
    while not undone:
        room.reactor.turn()
    ((result, thread),) = undone
    assert result == "passed"
    assert thread == room.lane._thread.ident


def test_what_somebody_has_got_is_not_undone(room: Room) -> None:
    """Nor what has failed."""
    undone: list[Any] = []
    assert room.result(room.lane.call(lambda: 1, undone.append)) == 1
    gate = room.gate()

    def fail() -> None:
        gate()
        raise OSError

    later = room.lane.call(fail, undone.append)
    gate.wait_until_entered()
    room.clock.advance(TIMEOUT)
    assert begun(room.result(later)) is True
    gate.let_go()
    while room.lane.is_busy or room.lane._is_silent:
        room.reactor.turn()
    assert room.result(room.lane.call(lambda: 2)) == 2
    assert undone == []


def test_without_a_timeout_everybody_waits(room: Room) -> None:
    """As long as it takes."""
    room.timeout = float("inf")
    gate = room.gate()
    later = room.lane.call(gate)
    gate.wait_until_entered()
    room.clock.advance(1e6)
    assert not later.called
    gate.let_go()
    assert room.result(later) == "passed"


def test_a_lane_that_is_closed_while_it_hangs_harms_nobody(room: Room) -> None:
    """Its thread ends when the file system answers, and writes to nothing that is not its own."""
    gate = room.gate()
    room.lane.call(gate).addErrback(lambda _: None)
    gate.wait_until_entered()
    never = room.lane.call(lambda: None)
    room.lane.close()
    assert begun(room.result(never)) is False
    room.answers.close()
    read_end, write_end = os.pipe()
    gate.let_go()
    room.lane._thread.join(60)
    os.set_blocking(read_end, False)
    with pytest.raises(BlockingIOError):
        os.read(read_end, 1)
    os.close(read_end)
    os.close(write_end)


def test_a_thousand_lanes_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither threads nor descriptors."""

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before, others = descriptors(), set(threading.enumerate())
    for _ in range(50):
        room = Room(monkeypatch)
        assert room.result(room.lane.call(lambda: 1)) == 1
        room.close()
        del room
    # They were told to end, for which nobody waits.
    for thread in set(threading.enumerate()) - others:
        thread.join()
    assert descriptors() <= before


def test_many_answers_are_told_in_several_turns(room: Room) -> None:
    """Whoever waits for the reactor waits for no more than a share of them."""
    told: list[int] = []

    def tell(number: int) -> None:
        told.append(number)
        room.clock.rightNow += TOGETHER_SECONDS

    for number in range(3):
        room.answers.add(lambda number=number: tell(number))
    turns = 0
    while len(told) < 3:
        turns += room.reactor.turn()
    assert told == [0, 1, 2]
    assert turns == 3
