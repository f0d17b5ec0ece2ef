"""When the index's thread writes what was noted."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.internet.task import Clock

from twisted_virtlog.history.boot_clock import BootClock
from twisted_virtlog.history.deeds import FilesGone
from twisted_virtlog.history.failures import CannotKeep
from twisted_virtlog.history.keeping import REST_SECONDS, ROW_SECONDS, WRITE_SECONDS, Keeping
from twisted_virtlog.history.notes import Haste, Notes
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.loop.thread_loop import ThreadLoop


class Writing:
    """What the index's thread would write, and when."""

    def __init__(self) -> None:
        self.clock = clock = Clock()
        self.notes = notes = Notes(lambda _haste: None)
        self.writes: list[tuple[float, int]] = []
        writes = self.writes

        class Counting(Keeping):
            def _take(self) -> None:
                writes.append((clock.seconds(), notes.waiting))
                notes.take()

        self.keeping = Counting(None, "boot", notes, cast(BootClock, None), cast(ThreadLoop, None))
        self.keeping._timer = cast(MonotonicClock, clock)
        # (nothing is written to any file)
        self.keeping._is_paused = True

    def note(self, count: int = 1) -> None:
        """Note that files were removed, as many."""
        for _ in range(count):
            self.notes.add(FilesGone(()), Haste.AFTER_ROW)

    @property
    def times(self) -> list[float]:
        """Return when something was written."""
        return [time for time, _ in self.writes]


@pytest.fixture
def writing() -> Writing:
    return Writing()


@pytest.mark.parametrize("haste", [Haste.SOON, Haste.AFTER_ROW])
def test_what_happens_together_is_written_together(writing: Writing, haste: Haste) -> None:
    """The first at once, and the rest after a while; what is in no hurry waits longer."""
    keeping, clock = writing.keeping, writing.clock
    keeping.wake(haste)
    assert writing.times == [0.0]
    for _ in range(3):
        keeping.wake(haste)
    clock.advance(REST_SECONDS)
    assert writing.times == [0.0, REST_SECONDS]
    keeping.wake(Haste.NONE)
    clock.advance(WRITE_SECONDS / 2)
    assert len(writing.writes) == 2
    keeping.wake(haste)
    assert len(writing.writes) == 3
    assert not clock.getDelayedCalls()


def test_a_row_of_openings_is_written_once_it_is_over(writing: Writing) -> None:
    writing.keeping.wake(Haste.AFTER_ROW)
    writing.keeping.wake(Haste.AFTER_ROW)
    for _ in range(5):
        writing.note(20)
        writing.clock.advance(REST_SECONDS)
    assert writing.writes == [(0.0, 0)]
    writing.note(3)
    writing.clock.advance(REST_SECONDS)
    assert writing.writes == [(0.0, 0), (pytest.approx(6 * REST_SECONDS), 103)]
    assert not writing.clock.getDelayedCalls()


def test_a_row_that_does_not_end_is_written_all_the_same(writing: Writing) -> None:
    writing.keeping.wake(Haste.AFTER_ROW)
    writing.keeping.wake(Haste.AFTER_ROW)
    while len(writing.writes) < 2:
        writing.note(20)
        writing.clock.advance(REST_SECONDS)
    assert writing.times[1] == pytest.approx(ROW_SECONDS, abs=2 * REST_SECONDS)


def test_a_long_row_is_written_before_notes_are_lost(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twisted_virtlog.history.keeping._MOST_OF_ROW", 50)
    writing.keeping.wake(Haste.AFTER_ROW)
    writing.keeping.wake(Haste.AFTER_ROW)
    for _ in range(3):
        writing.note(20)
        writing.clock.advance(REST_SECONDS)
    assert writing.writes[1] == (pytest.approx(3 * REST_SECONDS), 60)


def test_what_is_not_to_wait_ends_the_rest_of_a_row(writing: Writing) -> None:
    """Also if more are opened meanwhile."""
    writing.keeping.wake(Haste.AFTER_ROW)
    writing.keeping.wake(Haste.AFTER_ROW)
    writing.note(20)
    writing.keeping.wake(Haste.SOON)
    writing.note(20)
    writing.clock.advance(REST_SECONDS)
    assert writing.writes[1:] == [(REST_SECONDS, 40)]
    # Later it need not rest at all.
    writing.keeping.wake(Haste.AFTER_ROW)
    writing.note(20)
    writing.clock.advance(REST_SECONDS)
    writing.note(20)
    writing.keeping.wake(Haste.SOON)
    assert writing.times[2:] == [2 * REST_SECONDS]


def test_it_says_how_it_fares() -> None:
    """Whether the file can be used, and how much was forgotten."""
    clock = Clock()
    notes = Notes(lambda _haste: None)
    keeping = Keeping("/a", "boot", notes, cast(BootClock, None), cast(ThreadLoop, None))
    keeping._timer = cast(MonotonicClock, clock)
    assert not keeping.is_failing
    keeping._fail(CannotKeep("it is full", is_full=True))
    assert keeping.is_failing
    keeping._say_that_it_goes_on()
    assert not keeping.is_failing
    keeping._lost(3)
    keeping._lost(0)
    assert keeping.lost == 3
    notes.mark(1, 2, 3, 4)
    notes.cut(1)
    notes.add(FilesGone(()), Haste.NONE)
    assert notes.waiting == 3
    notes.take()
    assert notes.waiting == 0
