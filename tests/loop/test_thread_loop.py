"""A thread's own event loop: calls in their order, readers, and what it is said to be doing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from twisted_virtlog.loop.thread_loop import IDLE, ThreadLoop


class Reader:
    """Reads a byte at a time from a pipe."""

    def __init__(self, loop: ThreadLoop) -> None:
        self.read_end, self.write_end = os.pipe()
        self.got: list[bytes] = []
        self.enough = threading.Event()
        self._loop = loop

    def fileno(self) -> int:
        return self.read_end

    def doRead(self) -> None:
        """Take a byte; "x" ends reading."""
        self.got.append(os.read(self.read_end, 1))
        if self.got[-1] == b"x":
            self._loop.removeReader(self)
            self.enough.set()

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


@pytest.fixture
def loop() -> Iterator[ThreadLoop]:
    """A loop that runs in a thread."""
    loop = ThreadLoop()
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield loop
    loop.call(loop.end)
    thread.join(60)
    assert not thread.is_alive()


def wait(loop: ThreadLoop) -> None:
    """Wait until all that was asked for before is done."""
    done = threading.Event()
    loop.call(done.set)
    assert done.wait(60)


def test_it_has_the_interface_of_a_reactor() -> None:
    """As far as readers need it."""
    loop = ThreadLoop()
    assert verifyObject(IReactorFDSet, loop)
    assert loop.removeAll() == loop.getWriters() == []
    with pytest.raises(NotImplementedError):
        loop.addWriter(None)


def test_calls_are_made_in_order(loop: ThreadLoop) -> None:
    """One that is to be first comes before those that wait."""
    order: list[str] = []
    held = threading.Event()
    loop.call(held.wait)
    loop.call(lambda: order.append("second"))
    loop.call(lambda: order.append("first"), first=True)
    held.set()
    wait(loop)
    assert order == ["first", "second"]


def test_readers_are_served_until_they_are_removed(loop: ThreadLoop) -> None:
    """Between calls."""
    reader = Reader(loop)
    loop.call(lambda: loop.addReader(reader))  # type: ignore[arg-type]  # (a part of one)
    os.write(reader.write_end, b"abx")
    assert reader.enough.wait(60)
    os.write(reader.write_end, b"c")
    wait(loop)
    assert reader.got == [b"a", b"b", b"x"]
    assert loop.getReaders() == []
    reader.close()


def test_what_fails_is_logged_and_the_rest_goes_on(
    loop: ThreadLoop, expected_failures: list[str]
) -> None:
    """A mistake in one call is not another's."""
    expected_failures.append("ZeroDivisionError")
    with capturedLogs() as events:
        loop.call(lambda: 1 / 0)
        wait(loop)
    assert [event["log_format"] for event in events] == ["something in a thread failed"]


def run_here(loop: ThreadLoop) -> None:
    """Run a loop in this thread until all that waits is done."""
    loop.call(loop.end)
    loop.run()


def test_it_says_since_when_it_does_something() -> None:
    """It says so for each call by itself; and rest is no work."""
    clock = Clock()
    loop = ThreadLoop(clock.seconds)
    seen: list[float] = []

    def work() -> None:
        clock.advance(1.0)
        seen.append(loop.since)
        loop.get_on()
        seen.append(loop.since)
        loop.rest(lambda: seen.append(loop.since))
        clock.advance(1.0)
        seen.append(loop.since)

    loop.call(work)
    loop.call(lambda: seen.append(loop.since))
    assert loop.since == IDLE
    run_here(loop)
    assert seen == [0.0, 1.0, IDLE, 1.0, 2.0]
    assert loop.since == IDLE


def test_who_takes_long_lets_others_in_but_not_without_a_bound() -> None:
    """Those who are let in by a call let nobody in; the time counts from their end."""
    clock = Clock()
    loop = ThreadLoop(clock.seconds)
    depth = deepest = 0

    def nest() -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if deepest < 10:
            loop.call(nest)
            loop.serve()
        depth -= 1
        clock.advance(1.0)

    def first() -> None:
        loop.call(nest)
        loop.serve()
        assert loop.since == clock.seconds()
        loop.end()

    loop.call(first)
    loop.run()
    assert deepest == 1


def test_what_comes_after_the_end_is_not_called() -> None:
    """And wakes nobody."""
    loop = ThreadLoop()
    run_here(loop)
    called: list[int] = []
    loop.call(lambda: called.append(1))
    loop.serve()
    assert not called


def test_it_reads_nothing_once_it_has_ended() -> None:
    """It may be told to while it serves a reader: then its event is closed, and not to be read."""
    loop = ThreadLoop()
    reader = Reader(loop)
    loop.addReader(reader)
    os.write(reader.write_end, b"a")
    loop.call(loop.end)
    after: list[str] = []
    loop.call_after(lambda: after.append("called"))
    # (the reader and the event are ready at once, whichever comes first)
    loop.run()
    assert (reader.got, after) == ([], ["called"])
    reader.close()


def test_it_ends_though_a_reader_is_ready_before_its_event() -> None:
    """Likewise, in the other order."""
    loop = ThreadLoop()
    reader = Reader(loop)
    os.write(reader.write_end, b"a")
    loop.addReader(reader)
    loop.call(loop.end)
    loop.run()
    assert reader.got == []
    reader.close()
