"""When the index's thread writes what was noted."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock

from twisted_virtlog.history.boot_clock import BootClock
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
