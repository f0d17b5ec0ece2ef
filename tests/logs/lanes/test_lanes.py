"""Which lane does what, and for how long there is one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.fakes.reactor import FakeReactor
from tests.logs.lanes.test_lane import Gate
from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.logs.lanes import lane as module
from twisted_virtlog.logs.lanes.lanes import IDLE_SECONDS, TIMEOUT_SECONDS, Lanes


class Room:
    """Lanes on a turned reactor, with a time that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reactor = FakeReactor()
        self.clock = Clock()
        monkeypatch.setattr(module.time, "monotonic", self.clock.seconds)
        self.lanes = Lanes(self.reactor, self.clock)
        self.released: list[int] = []
        self.gates: list[Gate] = []

    def gate(self) -> Gate:
        """Make a gate, which is open in the end."""
        self.gates.append(Gate())
        return self.gates[-1]

    def call(self, device: int, call: Any) -> Deferred[Any]:
        """Call something in a lane."""
        return self.lanes.call(
            device, "/proc/a.log", "Unable to read", call, lambda: self.released.append(device)
        )

    def result(self, later: Deferred[Any]) -> Any:
        """Turn the reactor until a result is there; failures are returned."""
        return self.reactor.result(later)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """No lane yet."""
    room = Room(monkeypatch)
    yield room
    for gate in room.gates:
        gate.let_go()
    threads = [one for one in threading.enumerate() if one.name.startswith("lane ")]
    room.lanes.close()
    for thread in threads:
        thread.join(60)
    # (its descriptors are closed with it, and pytest keeps the room)
    del room.lanes


def test_each_file_system_has_a_lane(room: Room) -> None:
    """One that hangs holds up no other."""
    gate = room.gate()
    hanging = room.call(1, gate)
    gate.wait_until_entered()
    assert room.result(room.call(2, threading.get_ident)) != threading.get_ident()
    assert not hanging.called
    assert len(room.lanes) == 2
    room.clock.advance(2.0)
    assert room.lanes.busy_for(1.0) == ["/proc"]
    assert room.lanes.busy_for(3.0) == []
    gate.let_go()
    assert room.result(hanging) == "passed"


def test_one_that_does_not_answer_is_said_to_hang(room: Room) -> None:
    """What has not begun is released once it answers, in the lane."""
    gate, happened = room.gate(), []
    first = room.call(1, gate)
    gate.wait_until_entered()
    second = room.call(1, lambda: happened.append("second"))
    room.clock.advance(TIMEOUT_SECONDS)
    third = room.call(1, lambda: happened.append("third"))
    for later in (first, second, third):
        failure = room.result(later)
        assert isinstance(failure, Failure)
        assert isinstance(failure.value, NoAnswer)
        assert failure.value.mount == "/proc"
        assert failure.value.path == "/proc/a.log"
        assert str(failure.value) == (
            "Unable to read: the file system on /proc does not answer: Connection timed out"
        )
    assert room.released == []
    gate.let_go()
    while room.released != [1, 1]:
        room.reactor.turn()
    assert happened == []


def test_errors_of_the_call_are_told_as_they_are(room: Room) -> None:
    """They are no silence."""
    assert room.result(room.call(1, lambda: 1 / 0)).type is ZeroDivisionError


def test_a_lane_ends_when_nobody_has_used_it(room: Room) -> None:
    """After a minute; and begins again."""
    assert room.result(room.call(1, lambda: 1)) == 1
    (thread,) = [one for one in threading.enumerate() if one.name.startswith("lane ")]
    room.clock.advance(IDLE_SECONDS / 2)
    assert room.result(room.call(1, threading.get_ident)) == thread.ident
    room.clock.advance(IDLE_SECONDS / 2)
    assert len(room.lanes) == 1
    room.clock.advance(IDLE_SECONDS)
    assert len(room.lanes) == 0
    thread.join(60)
    assert not thread.is_alive()
    assert room.clock.getDelayedCalls() == []
    assert room.result(room.call(1, lambda: 2)) == 2


def test_a_lane_that_hangs_does_not_end(room: Room) -> None:
    """There is never a second one for its file system."""
    gate = room.gate()
    room.call(1, gate).addErrback(lambda _: None)
    gate.wait_until_entered()
    for _ in range(3):
        room.clock.advance(IDLE_SECONDS)
    assert len(room.lanes) == 1
