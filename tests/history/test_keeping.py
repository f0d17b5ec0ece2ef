"""When the index's thread writes what was noted."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock

from twisted_virtlog.history.boot_clock import BootClock
from twisted_virtlog.history.deeds import FilesGone
from twisted_virtlog.history.failures import CannotKeep
from twisted_virtlog.history.keeping import REST_SECONDS, WRITE_SECONDS, Keeping
from twisted_virtlog.history.notes import Notes
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.loop.thread_loop import ThreadLoop


def test_what_happens_in_a_row_is_written_together() -> None:
    """The first at once, and the rest after a while; what is in no hurry waits longer."""
    writes: list[float] = []
    clock = Clock()

    class Counting(Keeping):
        def _take(self) -> None:
            writes.append(clock.seconds())

    keeping = Counting(
        None, "boot", Notes(lambda _soon: None), cast(BootClock, None), cast(ThreadLoop, None)
    )
    keeping._timer = cast(MonotonicClock, clock)
    # (nothing is written to any file)
    keeping._is_paused = True
    keeping.wake(soon=True)
    assert writes == [0.0]
    for _ in range(3):
        keeping.wake(soon=True)
    clock.advance(REST_SECONDS)
    assert writes == [0.0, REST_SECONDS]
    keeping.wake(soon=False)
    clock.advance(WRITE_SECONDS / 2)
    assert len(writes) == 2
    keeping.wake(soon=True)
    assert len(writes) == 3
    assert not clock.getDelayedCalls()


def test_it_says_how_it_fares() -> None:
    """Whether the file can be used, and how much was forgotten."""
    clock = Clock()
    notes = Notes(lambda _soon: None)
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
    notes.add(FilesGone(()), soon=False)
    assert notes.waiting == 3
    notes.take()
    assert notes.waiting == 0
