"""Reads that wait for a disk do so in the thread of its file system."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import KIB, Threads, log_settings
from tests.logs.lanes.test_lane import Gate
from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.jsonrpc.codes import Code, error_object
from twisted_virtlog.logs.files import reader
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.lanes.lanes import TIMEOUT_SECONDS, Lanes
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.loop.guest_pipes import PipeWatch
from twisted_virtlog.values import Excerpt


class Room:
    """A handler with lanes, one log that is in no cache, and a disk that a test may stop.

    :ivar threads: those that read.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = str(directory / "a.log")
        Path(self.path).write_bytes(b"x" * 300_000)
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.pool = Threads()
        self.handler = LogHandler(
            self.clock,
            self.pool,
            PipeWatch(self.reactor, rest_seconds=0),
            Pipes(64 * KIB, PipeLimits(1024 * KIB, None)),
            log_settings(0, 3),
            lanes=Lanes(self.reactor, self.clock),
        )
        self.threads: list[int] = []
        self.gate: Gate | None = None
        preadv, pread = os.preadv, os.pread

        def uncached(file: int, buffers: Any, offset: int, flags: int = 0) -> int:
            if flags & os.RWF_NOWAIT:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return preadv(file, buffers, offset, flags)

        def slow(file: int, count: int, offset: int) -> bytes:
            self.threads.append(threading.get_ident())
            if self.gate is not None:
                self.gate()
            return pread(file, count, offset)

        monkeypatch.setattr(reader.os, "preadv", uncached)
        monkeypatch.setattr(reader.os, "pread", slow)

    def ask(self, max_bytes: int = 1024 * KIB) -> Deferred[Any]:
        """Read; the answer comes later."""
        later = self.handler.read(self.path, None, max_bytes)
        assert isinstance(later, Deferred)
        return later

    def result(self, later: Deferred[Any]) -> Any:
        """Turn the reactor until a result is there; failures are returned."""
        return self.reactor.result(later)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A log that is closed."""
    room = Room(tmp_path, monkeypatch)
    yield room
    if room.gate is not None:
        room.gate.let_go()
    threads = [one for one in threading.enumerate() if one.name.startswith("lane ")]
    room.handler.close()
    for thread in threads:
        thread.join(60)
    del room.handler


@pytest.mark.parametrize("max_bytes", [100, 1024 * KIB])
def test_it_is_no_thread_of_the_pool(room: Room, max_bytes: int) -> None:
    """Which would be empty after as many reads of a dead disk as it has threads."""
    excerpt = room.result(room.ask(max_bytes))
    assert isinstance(excerpt, Excerpt)
    assert excerpt.data == b"x" * min(max_bytes, 300_000)
    assert room.pool.used == 0
    (thread,) = set(room.threads)
    assert thread != threading.get_ident()
    assert room.handler.hung() == []


def test_a_disk_that_does_not_answer_is_told(room: Room) -> None:
    """Clients do not wait for ever, nor does a hand-over begin; and all goes on when it answers."""
    room.gate = Gate()
    before = len(os.listdir("/proc/self/fd"))
    reads = [room.ask(), room.ask(100)]
    room.gate.wait_until_entered()
    assert room.handler.hung() == []
    stopped = room.handler._lanes
    assert stopped is not None
    (lane,) = stopped._lanes.values()
    lane.loop.since -= TIMEOUT_SECONDS
    room.clock.advance(TIMEOUT_SECONDS)
    (hung,) = room.handler.hung()
    assert "does not answer" in hung
    for later in [*reads, room.ask()]:
        failure = room.result(later)
        assert isinstance(failure, Failure)
        assert isinstance(failure.value, NoAnswer)
        told = error_object(failure.value)
        assert told.code == Code.SYSTEM_ERROR
        assert isinstance(told.data, dict)
        assert told.data["errno"] == "ETIMEDOUT"
        assert told.data["mount"] == lane.name
        assert told.data["path"] == room.path
    room.gate.let_go()
    excerpt = None
    while not isinstance(excerpt, Excerpt):
        excerpt = room.result(room.ask())
    assert excerpt.data == b"x" * 300_000
    assert room.handler.hung() == []
    while len(os.listdir("/proc/self/fd")) > before + 2:
        room.reactor.turn()
