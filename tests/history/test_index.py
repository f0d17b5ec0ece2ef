"""What is noted in any thread comes back, from the file or from memory."""

from __future__ import annotations

from tests.history.world import (
    FILE_SYSTEM,
    GUEST,
    PATH,
    World,
    at,
    kept,
    key,
    later,
    past,
)
from twisted_virtlog.history.moments import boot_of, ms_of
from twisted_virtlog.history.records import Opening
from twisted_virtlog.values import EventKind, LogEvent


def test_marks_come_back(any_world: World) -> None:
    index = any_world.start()
    file = index.begin_file(key(5), PATH)
    index.mark(file, 0, 100, 100)
    index.mark(file, 10, 200, 250)
    index.mark(file, 10, 300, 300)
    index.mark(file, 30, 400, 400)
    times = any_world.wait_for(index.times_of([kept(4, 10), kept(5, 30)]))
    assert len(times.marks[0]) == 0
    found = [(offset, ms_of(since), ms_of(until)) for offset, since, until in times.marks[1]]
    assert found == [(0, 100, 100), (10, 200, 300), (30, 400, 400)]
    assert {boot_of(since) for _, since, _ in times.marks[1]} == {boot_of(times.now)}
    assert abs(ms_of(times.now) - index.now_ms()) < 60_000


def test_openings_and_events_come_back(any_world: World) -> None:
    index = any_world.start()
    index.opened(PATH, "qemu", GUEST, at(5, 0), FILE_SYSTEM, later(0))
    outage = LogEvent(at(5, 7), later(1), EventKind.OUTAGE)
    dropped = LogEvent(at(5, 7), later(2), EventKind.DROPPED, 1 << 40)
    index.happened(PATH, outage, FILE_SYSTEM)
    index.happened(PATH, dropped, FILE_SYSTEM)
    index.closed(PATH, at(5, 9), FILE_SYSTEM, later(3))
    index.opened(PATH, "qemu", None, at(5, 9), FILE_SYSTEM, later(4))
    history = past(any_world.wait_for(index.history_of(PATH)))
    assert history.openings == [
        Opening(at(5, 0), FILE_SYSTEM, later(0), "qemu", GUEST, later(3), at(5, 9)),
        Opening(at(5, 9), FILE_SYSTEM, later(4), "qemu", None),
    ]
    assert history.events == [
        LogEvent(at(5, 0), later(0), EventKind.OPENED),
        outage,
        dropped,
        LogEvent(at(5, 9), later(3), EventKind.CLOSED),
        LogEvent(at(5, 9), later(4), EventKind.OPENED),
    ]


def test_it_says_how_it_fares(any_world: World) -> None:
    """Nothing waits once it has answered, and nothing is lost."""
    index = any_world.start()
    index.begin_file(key(5), PATH)
    any_world.wait_for(index.logs())
    figures = index.figures
    assert not figures.is_failing
    assert (figures.lost_notes, figures.waiting_notes) == (0, 0)
    assert figures.waited_s >= 0
