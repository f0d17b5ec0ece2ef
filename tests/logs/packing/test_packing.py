"""When backups are packed, and of which logs; the process that packs is there in name only."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.observing import REACTOR_THREAD
from twisted_virtlog.logs.packing import steps
from twisted_virtlog.logs.packing.packing import AGAIN_SECONDS, Packing
from twisted_virtlog.logs.packing.process import PackerGone
from twisted_virtlog.logs.packing.steps import FilesOfLog
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.making import pack
from twisted_virtlog.values import PackingFigures

T = TypeVar("T")
SIZE = 8 * 1024
DELAY = 60


class FakeProcess:
    """Packs at once, or fails, or waits.

    :ivar result: makes what comes of it; None for what there is.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.begun = 0
        self.result: Callable[[], Deferred[int]] | None = None
        self.asked = 0
        self.packed_bytes = 0

    def begin(self) -> None:
        self.begun += 1
        self.is_ready = True

    def close(self) -> None:
        self.is_ready = False

    def pack(self, source: int, target: int, origin: Origin) -> Deferred[int]:
        self.asked += 1
        if self.result is not None:
            return self.result()
        for _ in pack(source, target, origin):
            pass
        self.packed_bytes += origin.size
        return succeed(os.fstat(target).st_size)

    def sync(self, target: int) -> Deferred[int]:
        return succeed(1)


class Room(World):
    """A log handler whose backups are packed."""

    def make_handler(self, *arguments: Any, **more: Any) -> LogHandler:
        self.process = FakeProcess()
        self.slow = False
        self.packing = Packing(
            self.clock,  # type: ignore[arg-type]
            self.process,
            at_once,
            lambda: self.now_ns,
        )
        self.now_ns = 0
        self.seen_handler = LogHandler(
            *arguments, observer=self.packing.observer_of(REACTOR_THREAD), **more
        )
        self.packing.begin(self)
        return self.seen_handler

    # See packing.Logs.

    @property
    def known(self) -> Any:
        return self.handler.known

    def packs(self, path: str) -> bool:
        return True

    def is_slow(self, path: str) -> bool:
        return self.slow

    def close_files(self, path: str, close: Callable[[], None]) -> None:
        close()

    def with_files(
        self,
        path: str,
        do: Callable[[FilesOfLog], T],
        undo: Callable[[T], object] | None = None,
    ) -> Any:
        return self.handler.with_files(path, do)

    # What a test does.

    def wait(self, seconds: float) -> None:
        """Let time pass, by both clocks."""
        for _ in range(int(seconds)):
            self.now_ns += 10**9
            self.clock.advance(1)

    def write(self, count: int) -> None:
        """Fill so many files, now."""
        for _ in range(count):
            self._guests[0].write(b"a line of a guest\n" * 455)
            self.reactor.run()
            for name in (self.path, f"{self.path}.0"):
                if os.path.exists(name):
                    os.utime(name, ns=(self.now_ns, self.now_ns))

    @property
    def raw(self) -> list[str]:
        return [one for one in sorted(os.listdir(self.directory)) if not one.endswith(".zst")]

    @property
    def packed(self) -> list[str]:
        return [one for one in sorted(os.listdir(self.directory)) if one.endswith(".zst")]


@pytest.fixture
def room(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Room]:
    """A log with a guest; its backups are packed a minute after their roll-over."""
    monkeypatch.setattr(steps, "_SMALL_BYTES", -1)
    room = Room(tmp_path, SIZE, 3, pack_from=0)
    room.now_ns = 10**18
    room.packing.set(DELAY, True)
    room.open()
    yield room
    room.packing.stop()
    room.close()


def test_a_backup_is_packed_a_minute_after_its_roll_over(room: Room) -> None:
    room.write(2)
    room.wait(DELAY - 1)
    assert room.packed == []
    room.wait(2)
    assert room.packed == ["guest.log.0.zst"]
    assert room.process.begun == 1
    size = os.path.getsize(os.path.join(room.directory, "guest.log.0.zst"))
    assert room.packing.figures == PackingFigures(1, room.process.packed_bytes, size, 0)


def test_the_next_one_a_minute_after_its_own(room: Room) -> None:
    room.write(2)
    room.wait(30)
    room.write(1)
    room.wait(31)
    assert room.packed == ["guest.log.1.zst"]
    room.wait(30)
    assert room.packed == ["guest.log.0.zst", "guest.log.1.zst"]


def test_a_log_that_is_closed_meanwhile(room: Room) -> None:
    room.write(3)
    room._guests[0].end()
    room.reactor.run()
    assert not room.is_open()
    room.wait(DELAY + 2)
    assert len(room.packed) == 2


def test_backups_that_were_there_before(room: Room) -> None:
    """Of logs that are known, when the daemon starts, or is told so."""
    room.write(3)
    room.packing.set(DELAY, False)
    room.wait(2 * DELAY)
    assert room.packed == []
    assert not room.process.is_ready
    room.packing.set(DELAY, True)
    room.wait(DELAY + 2)
    assert len(room.packed) == 2


def test_a_message_that_begins_a_file(room: Room) -> None:
    room.append(b"x" * 3 * SIZE, str(room.directory / "other.log"))
    for name in room.raw:
        os.utime(room.directory / name, ns=(room.now_ns, room.now_ns))
    room.wait(DELAY + 2)
    assert room.packed == ["other.log.0.zst", "other.log.1.zst"]


@pytest.mark.parametrize("why", ["slow", "no process"])
def test_not_now(room: Room, why: str) -> None:
    """While the mount is slow, or the process is not there."""
    room.write(2)
    if why == "slow":
        room.slow = True
    else:
        room.process.is_ready = False
    room.wait(DELAY + 10)
    assert room.packed == []
    room.slow, room.process.is_ready = False, True
    room.wait(AGAIN_SECONDS)
    assert room.packed == ["guest.log.0.zst"]


def test_a_process_that_ends_is_no_fault_of_the_file(room: Room) -> None:
    room.write(2)
    room.process.result = lambda: fail(PackerGone("it has ended"))
    room.wait(DELAY + 2)
    assert room.packed == []
    assert room.process.asked
    room.process.result = None
    room.wait(3)
    assert room.packed == ["guest.log.0.zst"]


def test_what_fails_is_told_once_and_left(room: Room, logged: Callable[[], str]) -> None:
    room.write(2)
    room.process.result = lambda: fail(OSError(errno.EIO, os.strerror(errno.EIO)))
    room.wait(DELAY + 5 * AGAIN_SECONDS)
    assert room.process.asked == 1
    assert logged().count("cannot be compressed: Input/output error") == 1
    room.process.result = None
    room.write(1)
    room.wait(DELAY + AGAIN_SECONDS)
    assert room.packed == ["guest.log.0.zst"]


def test_what_does_not_become_smaller_is_left(room: Room) -> None:
    room._guests[0].write(os.urandom(SIZE))
    room.write(1)
    room.wait(DELAY + 5 * AGAIN_SECONDS)
    assert room.packed == []
    assert room.process.asked == 1


def test_one_under_way_is_given_up_at_the_end(room: Room) -> None:
    room.write(2)
    waiting: Deferred[int] = Deferred()
    room.process.result = lambda: waiting
    room.wait(DELAY + 1)
    room.packing.stop()
    waiting.errback(PackerGone("it has ended"))
    assert room.packed == []
    assert room.clock.getDelayedCalls() == []


def test_another_delay_holds_at_once(room: Room) -> None:
    room.write(2)
    room.wait(1)
    room.packing.set(5, True)
    room.wait(8)
    assert room.packed == ["guest.log.0.zst"]
