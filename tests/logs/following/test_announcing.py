"""Who follows a log is woken soon, and with all others at most once a millisecond."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twisted_virtlog.logs.following.announcing import REST_SECONDS, Announcements
from twisted_virtlog.logs.following.reading import Reader
from twisted_virtlog.loop.shares import SHARE_SECONDS


class Room:
    """Announcements, with turns that a test gives.

    :ivar pace: how long it takes to wake somebody, in seconds.
    """

    def __init__(self) -> None:
        self.now = 1.0
        self.pace = 0.0
        self.woken: list[int] = []
        self.turns: list[Callable[[], object]] = []
        self.rests: list[tuple[float, Callable[[], object]]] = []
        self.announcements = Announcements(
            self.turns.append, lambda seconds, work: self.rests.append((seconds, work)), self.time
        )

    def time(self) -> float:
        """Return the time."""
        return self.now

    def reader(self, number: int) -> Reader:
        """Return one who notes that he was woken."""

        def wake() -> None:
            self.now += self.pace
            self.woken.append(number)

        return Reader(wake, until_closed=False, wants_opening=False)

    def turn(self) -> None:
        """Give a turn to whoever asked for one."""
        turns, self.turns[:] = list(self.turns), []
        for turn in turns:
            turn()

    def rest(self) -> float:
        """Let the rest pass; return how long it was."""
        ((seconds, work),) = self.rests
        self.rests.clear()
        self.now += seconds
        work()
        return seconds


@pytest.fixture
def room() -> Room:
    """Nobody waits."""
    return Room()


def test_after_a_quiet_time_somebody_is_woken_at_once(room: Room) -> None:
    """In the next turn; once, however often his log moved."""
    reader = room.reader(1)
    room.announcements.add([reader])
    room.announcements.add([reader])
    room.turn()
    assert room.woken == [1]
    assert (room.turns, room.rests) == ([], [])


def test_then_all_rest(room: Room) -> None:
    """And are woken together."""
    readers = [room.reader(number) for number in range(3)]
    room.announcements.add(readers[:1])
    room.turn()
    room.now += REST_SECONDS / 4
    for reader in readers:
        room.announcements.add([reader])
    assert room.turns == []
    assert room.rest() == pytest.approx(REST_SECONDS * 3 / 4)
    assert room.woken == [0, 0, 1, 2]


def test_many_are_woken_in_several_turns(room: Room) -> None:
    """Nobody else waits for all of them; and none of them rests because of that."""
    room.pace = SHARE_SECONDS * 0.6
    room.announcements.add([room.reader(number) for number in range(4)])
    room.turn()
    assert room.woken == [0, 1]
    room.turn()
    assert room.woken == [0, 1, 2, 3]
    assert room.rests == []


def test_one_who_left_is_not_woken(room: Room) -> None:
    """He may not even be there any more."""
    reader, other = room.reader(1), room.reader(2)
    room.announcements.add([reader, other])
    room.announcements.remove(reader)
    room.turn()
    assert room.woken == [2]
