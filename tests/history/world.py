"""An index with its thread, on a reactor that turns when a test says so."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar, final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.history.index import FILE_NAME, THREAD_NAME, Index
from twisted_virtlog.history.records import FileKey, LogHistory
from twisted_virtlog.values import Domain, KeptFile, Position

T = TypeVar("T")

_PATIENCE_MS = 60_000

GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "guest")
PATH = "/var/log/libvirt/qemu/guest.log"
FILE_SYSTEM = "u.1"
TIME = datetime(2026, 11, 27, 18, 0, tzinfo=timezone.utc)


def later(seconds: float) -> datetime:
    """Return a time after TIME."""
    return TIME + timedelta(seconds=seconds)


def birth(inode: int) -> str:
    """Return the birth of a file."""
    return f"h1.{inode}"


def key(inode: int) -> FileKey:
    """Return the key of a file."""
    return FileKey(FILE_SYSTEM, birth(inode))


def at(inode: int, offset: int) -> Position:
    """Return a position in a file."""
    return Position(inode, offset, birth(inode))


def kept(inode: int, size: int, modified: datetime = TIME) -> KeptFile:
    """Return a file of a log."""
    return KeptFile(inode, birth(inode), size, modified, FILE_SYSTEM)


class ThreadsReactor(FakeReactor):
    """A reactor that other threads call."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: deque[Callable[[], object]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.addReader(self)  # type: ignore[arg-type]

    def fileno(self) -> int:
        return self._wake

    def doRead(self) -> None:
        os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()

    def callFromThread(self, call: Callable[..., Any], *arguments: object) -> None:
        self._calls.append(lambda: call(*arguments))
        os.eventfd_write(self._wake, 1)

    def wait_for(self, later: Deferred[T]) -> T:
        """Turn until a result is there."""
        found: list[Any] = []
        later.addBoth(found.append)
        while not found:
            poll = select.poll()
            for reader in self.readers:
                poll.register(reader.fileno(), select.POLLIN)
            assert poll.poll(_PATIENCE_MS), "nothing happens"
            self.turn()
        if isinstance(found[0], Failure):
            found[0].raiseException()
        result: T = found[0]
        return result

    def close(self) -> None:
        self.removeReader(self)  # type: ignore[arg-type]
        os.close(self._wake)


@final
class World:
    """A reactor and its indexes, which end with it.

    :ivar clock: of the reactor's thread.
    """

    def __init__(self, directory: Path | None) -> None:
        self.reactor = ThreadsReactor()
        self.clock = Clock()
        self.directory = directory
        self._indexes: list[Index] = []

    @property
    def file(self) -> Path:
        assert self.directory is not None
        return self.directory / FILE_NAME

    def start(self) -> Index:
        """Start an index, as a process would."""
        directory = None if self.directory is None else str(self.directory)
        index = Index(self.reactor, self.clock, directory, lambda path: "/state")
        index.start()
        self._indexes.append(index)
        return index

    def end(self, index: Index) -> None:
        """End one, with everything written."""
        self._indexes.remove(index)
        self.wait_for(index.close())

    def restart(self, index: Index) -> Index:
        """End one, and start another."""
        self.end(index)
        return self.start()

    def wait_for(self, later: Deferred[T]) -> T:
        """Turn until a result is there."""
        return self.reactor.wait_for(later)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for index in list(self._indexes):
            self.end(index)
        # (one may have ended while its thread was held up)
        for thread in threading.enumerate():
            if thread.name == THREAD_NAME:
                thread.join(_PATIENCE_MS / 1000)
                assert not thread.is_alive()
        self.reactor.close()


def past(history: LogHistory | None) -> LogHistory:
    """Return what happened to a log, as the index has answered."""
    assert history is not None
    return history
