"""Guests, threads, and log handlers on a reactor that turns by hand."""

from __future__ import annotations

import fcntl
import itertools
import os
import select
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.fakes.reactor import FakeReactor
from tests.fakes.slices import Slices
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.log_directory import BY_PATH
from twisted_virtlog.logs.files.names import oldest_first, packed_path
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.standing import standing_packed
from twisted_virtlog.logs.handler import LogHandler, LogSettings
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.logs.pipes.mover import Mover
from twisted_virtlog.logs.pipes.staging import StagedSource
from twisted_virtlog.logs.policy import Policy, one_for_all
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.loop.guest_pipes import PipeWatch
from twisted_virtlog.packed.reading import read_packed
from twisted_virtlog.values import Domain, Excerpt, LogStatus, OnWriteError, Opened, Position

T = TypeVar("T")

DRIVER = "qemu"
DOMAIN = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
STRANGER = Domain("11111111-2222-3333-4444-555555555555", "another")
KIB = 1024

#: Whether bytes go by way of a staging pipe, as they do in the thread of a slow file system; all
#: tests of logs are run once like this, too.
STAGED = bool(os.environ.get("TWISTED_VIRTLOG_TEST_STAGED"))

#: Of a test that counts what is in a guest's pipe, or in a process's descriptors.
of_the_direct_way = pytest.mark.skipif(
    STAGED, reason="some of what its file does not take is in the staging pipe here"
)


def copied(state: OpenLogState) -> OpenLogState:
    """Return what another image gets as an exec leaves it; the former image goes on here."""
    state = msgspec.structs.replace(state, pipe=os.dup(state.pipe))
    details = state.details
    if details is None or details.staged is None:
        return state
    details = msgspec.structs.replace(details, staged=os.dup(details.staged))
    return msgspec.structs.replace(state, details=details)


class Threads:
    """A thread pool that runs calls at once, or when told to.

    :ivar waiting: calls not run yet, if ``held``.
    """

    def __init__(self) -> None:
        self.held = False
        self.used = 0
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, call: Callable[[], T]) -> Deferred[T]:
        """Run a call."""
        self.used += 1
        if not self.held:
            return execute(call)
        later: Deferred[T] = Deferred()
        self.waiting.append(lambda: later.callback(call()))
        return later

    def run(self) -> None:
        """Run what waits."""
        for call in self.waiting:
            call()
        self.waiting.clear()


#: For what comes soon, or never.
_PATIENCE_SECONDS = 60.0


class Guest:
    """Has the write end of a log's pipe.

    :ivar position: where its output begins.
    """

    def __init__(self, opened: Opened) -> None:
        self.position = opened.position
        self.write_end = opened.write_end

    def write(self, data: bytes) -> None:
        """Write all; blocks when the pipe is full, but not for ever where it is too small for it.

        (The system gives small ones to a user who has many.)

        :raises TimeoutError: nobody empties the pipe.
        """
        capacity = fcntl.fcntl(self.write_end, fcntl.F_GETPIPE_SZ)
        is_short = len(data) > capacity
        most = select.PIPE_BUF if is_short else len(data)
        while data:
            if is_short and not select.select([], [self.write_end], [], _PATIENCE_SECONDS)[1]:
                raise TimeoutError(f"nobody empties a pipe of {capacity} bytes")
            data = data[os.write(self.write_end, data[:most]) :]

    def write_without_blocking(self, data: bytes) -> int:
        """Write what fits into the pipe; tell how much."""
        os.set_blocking(self.write_end, False)
        taken = 0
        try:
            while taken < len(data):
                taken += os.write(self.write_end, data[taken : taken + 4 * KIB])
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self.write_end, True)
        return taken

    def end(self) -> None:
        """Close the write end, once."""
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1


def log_settings(
    max_size: int,
    max_backups: int,
    *,
    drops: bool = True,
    max_open_logs: int = 0,
    rate: Rate | None = None,
    pack_from: int | None = None,
) -> LogSettings:
    """Return settings by which all logs have the same policy."""
    on_write_error = OnWriteError.DROP if drops else OnWriteError.BLOCK
    limits = Limits(max_size, max_backups)
    policy = Policy(limits, on_write_error, rate=rate, pack_from=pack_from)
    return LogSettings(one_for_all(policy), max_open_logs)


class World:
    """A log handler, all that it runs on, and the directory of its logs."""

    def __init__(
        self,
        directory: Path,
        max_size: int = 0,
        max_backups: int = 3,
        *,
        pipe_size: int = 64 * KIB,
        drops: bool = True,
        max_open_logs: int = 0,
        rate: Rate | None = None,
        pack_from: int | None = None,
        lends: bool = False,
    ) -> None:
        """Make the handler.

        :param drops: bytes, while a file cannot be written, and does not let its guest wait.
        :param lends: logs that are flooded to another thread.
        """
        self.directory = directory
        self.path = str(directory / "guest.log")
        self.max_backups = max_backups
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.threads = Threads()
        self.slices = Slices()
        pipes = Pipes(pipe_size, PipeLimits(1024 * KIB, None))
        # (a turn ends by its bytes alone)
        self.watch = PipeWatch(self.reactor, rest_seconds=0, seconds=lambda: 0.0)
        self.handler = self.make_handler(
            self.clock,
            self.threads,
            self.watch,
            pipes,
            log_settings(
                max_size,
                max_backups,
                drops=drops,
                max_open_logs=max_open_logs,
                rate=rate,
                pack_from=pack_from,
            ),
            in_slices=self.slices,
            source=StagedSource() if STAGED else None,
            lane="/" if STAGED else None,
            mover=Mover(self.reactor) if lends else None,
            served=itertools.count().__next__,
        )
        self._guests: list[Guest] = []
        self._closed = False

    def make_handler(self, *arguments: Any, **more: Any) -> LogHandler:
        """Make the handler."""
        return LogHandler(*arguments, **more)

    def open(
        self,
        path: str | None = None,
        truncate: bool = False,
        domain: Domain | None = DOMAIN,
    ) -> Guest:
        """Open a log."""
        guest = Guest(self.handler.open(self._named(path), DRIVER, domain, truncate))
        self._guests.append(guest)
        return guest

    def position(self, path: str | None = None) -> Position:
        """Ask for a position."""
        return self.handler.position(self._named(path))

    def append(self, message: bytes, path: str | None = None) -> Position:
        """Append a message."""
        return self.handler.append(self._named(path), message, DRIVER, DOMAIN)

    def read(
        self, position: Position | None = None, max_bytes: int = 1 << 20, path: str | None = None
    ) -> Excerpt:
        """Read, in the thread pool if need be."""
        answer = self.handler.read(self._named(path), position, max_bytes)
        if isinstance(answer, Excerpt):
            return answer
        results: list[Excerpt | Failure] = []
        answer.addBoth(results.append)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def logs(self) -> Sequence[LogStatus]:
        """Return all open logs."""
        logs = self.handler.logs()
        assert not isinstance(logs, Deferred)
        return logs

    def status(self, path: str | None = None) -> LogStatus:
        """Return the state of an open log."""
        return next(log for log in self.logs() if log.path == (self._named(path)))

    def is_open(self, path: str | None = None) -> bool:
        """Return whether a log is open."""
        return any(log.path == (self._named(path)) for log in self.logs())

    def _named(self, path: str | None) -> str:
        return self.path if path is None else path

    def text(self, path: str | None = None) -> bytes:
        """Return a log's current file."""
        return Path(self._named(path)).read_bytes()

    def files(self, path: str | None = None) -> dict[str, bytes]:
        """Return what is in a log's files, packed or not, by what is added to the log's path.

        Those that exist, oldest first.
        """
        log = self._named(path)
        found = {name: content_of(name) for name in oldest_first(log, self.max_backups)}
        return {name[len(log) :]: data for name, data in found.items() if data is not None}

    def whole(self, path: str | None = None) -> bytes:
        """Put the files of a log together, oldest first."""
        return b"".join(self.files(path).values())

    def close_pipes(self) -> None:
        """Wait until pipes are closed that were given back while guests had them."""
        assert not self.handler.pipes.finish(30)

    def check_ledgers(self) -> None:
        """See that every byte of the logs that are open is accounted for."""
        for log in self.handler.open_logs():
            ledger = log.ledger()
            assert (ledger.intake_gap, ledger.storage_gap) == (0, 0), (log.path, ledger)

    def close(self) -> None:
        """Stop the daemon, once, and all guests."""
        if not self._closed:
            self.check_ledgers()
            self.handler.close()
        self._closed = True
        for guest in self._guests:
            guest.end()


def content_of(name: str) -> bytes | None:
    """Return what is in a file of a log, or in the packed one that stands for it."""
    if os.path.exists(name):
        return Path(name).read_bytes()
    if not os.path.exists(packed_path(name)):
        return None
    file, data = os.open(packed_path(name), os.O_RDONLY), b""
    try:
        while more := read_packed(file, len(data), 1 << 20):
            data += more
    finally:
        os.close(file)
    return data


def place(path: str, offset: int) -> Position:
    """Return the position at an offset of a file, as the daemon says it."""
    if not os.path.exists(path):
        found = standing_packed(BY_PATH, path)
        assert found is not None
        assert found.origin is not None
        return Position(found.origin.inode, offset, found.origin.birth)
    file = os.open(path, os.O_RDONLY)
    try:
        return Position(os.fstat(file).st_ino, offset, identity.birth(file))
    finally:
        os.close(file)


def descriptors() -> dict[str, str]:
    """Return which descriptors this process has open, and of what."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # that of the directory itself
    return found
