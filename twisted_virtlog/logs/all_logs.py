"""All logs, whichever thread they are in: those of file systems that may not answer have a lane.

A call goes to where its log is. Of a log that is not open the path is resolved first, up to the
mount that must not be touched from here, and the lane of that mount goes on with it. A lane belongs
to the open file: whatever its path leads to meanwhile, the log stays where it is until it is moved,
as at a hand-over from one thread to another.

Where no mount has a lane, every call is one of the reactor's own handler at once.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.errors import (
    LogError,
    NoSuchLog,
    NotWritten,
    SystemFailure,
)
from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import OpenLogState, Totals
from twisted_virtlog.interfaces import Answer, ILogHandler, InSlices
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.sums import summed
from twisted_virtlog.logs.bounds.usage import Usage
from twisted_virtlog.logs.consumers.consumers import Consumers
from twisted_virtlog.logs.files.cleaning import Found
from twisted_virtlog.logs.files.held import HELD_FILES
from twisted_virtlog.logs.files.inventory import close as close_files
from twisted_virtlog.logs.files.inventory import inventory
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import held_path
from twisted_virtlog.logs.files.places import Where
from twisted_virtlog.logs.files.roots import Roots
from twisted_virtlog.logs.handler import HUNG_SECONDS, LogHandler, LogSettings, Surroundings
from twisted_virtlog.logs.known import Known
from twisted_virtlog.logs.lanes.choice import Choice
from twisted_virtlog.logs.lanes.lane import Silent
from twisted_virtlog.logs.lanes.lane_logs import Explain, LaneLogs, explained, no_answer
from twisted_virtlog.logs.lanes.lanes import Lanes
from twisted_virtlog.logs.lanes.locks import LaneLocks
from twisted_virtlog.logs.lanes.mounts import Mount, Mounts
from twisted_virtlog.logs.lanes.places import LOOK_INTO, Places
from twisted_virtlog.logs.lanes.resolving import Resolving
from twisted_virtlog.logs.lanes.table import MountTable
from twisted_virtlog.logs.observing import (
    REACTOR_THREAD,
    LogObserver,
    LogThread,
    ObserverOf,
    nobody,
)
from twisted_virtlog.logs.packing.steps import FilesOfLog
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.logs.pipes.making import Pipes
from twisted_virtlog.logs.pipes.mover import Mover
from twisted_virtlog.logs.pipes.sources import PipeSource
from twisted_virtlog.logs.spaces import Spaces
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.guest_pipes import SLOW_SECONDS
from twisted_virtlog.loop.guest_watches import Watch
from twisted_virtlog.loop.slices import AT_ONCE, at_once, sorted_in_slices
from twisted_virtlog.loop.threads import InThread
from twisted_virtlog.syscalls import bytes_waiting, mount_number, pipe_number
from twisted_virtlog.values import (
    ByteSums,
    Closed,
    ConsumerStatus,
    Counts,
    DiskUse,
    Domain,
    DropReason,
    Excerpt,
    FileThreads,
    HeldUse,
    KeptFile,
    Ledger,
    LeftDescriptor,
    LogStatus,
    MountThread,
    Opened,
    OpenedFiles,
    PolicyWord,
    Position,
    Removed,
    Space,
)

T = TypeVar("T")

#: A lane that nobody has used for so long ends; and how often it is looked whether logs may leave.
_IDLE_SECONDS = 60.0

#: When a log that cannot be moved now is tried again.
_AGAIN_SECONDS = 1.0

#: How long lanes have to write what their pipes hold, at the end; and how long they have if they
#: get on.
_FINISH_SECONDS = 4.0
_LONGEST_FINISH_SECONDS = 30.0

#: How soon it is known whether a pipe was slow, and not the file system.
_DOUBT_SECONDS = 0.3

#: So many logs are looked at before others are served.
_LOGS_AT_ONCE = 32

#: Stands for the device of a mount that is not there any more.
_GONE = "?"

#: Stands for the device of a log that has a lane for itself.
_ALONE = "pipe of "


class LaneSettings(Struct, frozen=True):
    """What the configuration says of lanes.

    :ivar threads: ``file_threads``, see Choice.
    :ivar timeout: ``file_timeout`` in seconds; 0 for no limit.
    """

    threads: str | tuple[str, ...] = "auto"
    timeout: int = 5

    @property
    def timeout_seconds(self) -> float:
        """The time after which a file system is said not to answer; infinite for never."""
        return self.timeout or math.inf


#: Of a configuration that says nothing of lanes.
USUAL_LANES = LaneSettings()


def _do_nothing() -> None:
    """Do nothing."""


class _Further:
    """What a lane returns in place of an answer: the path leads to another mount."""


_FURTHER = _Further()

#: Asks a handler about a log, by a path.
_Call = Callable[[LogHandler, str], "Answer[T]"]


@implementer(ILogHandler)
class AllLogs:
    """The one log handler behind all protocols."""

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: Clock,
        in_thread: InThread,
        watch: Watch,
        pipes: Pipes,
        settings: LogSettings,
        keeper: Keeper = NO_KEEPER,
        in_slices: InSlices = at_once,
        lane_settings: LaneSettings = USUAL_LANES,
        lane_directory: str | None = None,
        observer_of: ObserverOf = nobody,
        followed: Callable[[], tuple[int, int]] = lambda: (0, 0),
        accounts: Accounts | None = None,
        consumers: Consumers | None = None,
        served: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take over ``watch``, which :meth:`close` closes; the others as in LogHandler.

        :param lane_directory: of the locks of lanes; None for no locks.
        :param observer_of: makes what is told of the logs of each thread.
        :param accounts: of all logs; by default, what is counted ends with the process.
        :param followed: returns how many logs are followed, and how many files are kept for that.
        :param consumers: of all logs; by default, what they have ends with the process.
        :param served: returns how many times clients were served, so that it is known whether
            anybody waits for a flood.
        """
        self.clock = clock
        self.keeper = keeper
        self.pipes = pipes
        self.settings = settings
        self.accounts = accounts or Accounts()
        self.drops = Drops(self.accounts, keeper)
        # (the keeper is to have the pipe by the time that something is dropped)
        self.drops.prepare()
        self._in_slices = in_slices
        self._observer_of = observer_of
        self._followed = followed
        #: What all logs take up, as far as that is to be known.
        self.usage = Usage(threading.Lock())
        self.usage.set(settings.bounds)
        #: What consumers have of all logs.
        self.consumers = consumers or Consumers()
        self.consumers.settings = settings.holds
        #: Is called when a log may not grow, by what is known of the files of others.
        self.refused: Callable[[], object] = _do_nothing
        self._in_thread = in_thread
        self._lane_settings = lane_settings
        table = self._table = MountTable(reactor)
        self._choice = Choice(lane_settings.threads)
        self._locks = LaneLocks(lane_directory, table, self._may_wait)
        self._threads = Lanes(reactor, clock, lambda: self._lane_settings.timeout_seconds)
        self._inline = LogHandler(
            clock,
            in_thread,
            watch,
            pipes,
            settings,
            keeper,
            in_slices,
            self._threads,
            PipeSource(self.drops),
            surroundings=_Inline(self),
            observer=observer_of(REACTOR_THREAD),
            accounts=self.accounts,
            usage=self.usage,
            consumers=self.consumers,
            mover=Mover(reactor),
            served=served,
        )
        self._allow_lending()
        self._spaces = Spaces(clock, self._look_at_space)
        # By the devices of their mounts.
        self._lanes: dict[str, LaneLogs] = {}
        # Logs of which files are being removed.
        self._trimmed: set[str] = set()
        # Logs between two threads, by path and real path.
        self._moving: dict[str, _Move] = {}
        # What was last known of those, by path.
        self._between: dict[str, LogStatus] = {}
        self._stopping = False
        self._paused = False
        self._lane_ended_at = -math.inf
        self._tick: IDelayedCall | None = None
        self._rearranging: IDelayedCall | None = None
        # The paths of logs whose guests have kept their pipes locked.
        self._suspects: set[str] = set()
        # The paths of logs whose files are on other file systems than the ones before.
        self._strays: set[str] = set()
        # Of the file systems that have a lane.
        self._devices: frozenset[str] = frozenset()
        # The mounts by which these were found.
        self._seen: Mounts | None = None
        # Whether any log is, or may have to be, elsewhere than inline.
        self._spread = False
        self._table.observe(self._mounts_changed)
        self._see_mounts()
        self._resolve_roots()

    # ILogHandler.

    def open(self, path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        if not self._spread:
            return self._inline.open(path, driver, domain, truncate)

        def abandon(logs: LogHandler, opened: Opened) -> None:
            logs.abandon(path, opened, truncate)

        return self._ask(
            path,
            lambda logs, path: logs.open(path, driver, domain, truncate),
            partial(no_answer, f"Unable to open file: {path}", path),
            abandon,
            follow_last=not truncate,
        )

    def close_log(self, path: str) -> Answer[Closed]:
        return self._ask_open(path, lambda logs, path: logs.close_log(path))

    def position(self, path: str) -> Answer[Position]:
        # (the second is what _ask would find out, without what only a lane needs)
        if not self._spread or (path not in self._moving and self._inline.has(path)):
            return self._inline.position(path)
        return self._ask_open(path, lambda logs, path: logs.position(path))

    def read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        if not self._spread:
            return self._inline.read(path, position, max_bytes)
        return self._ask(
            path,
            lambda logs, path: logs.read(path, position, max_bytes),
            partial(no_answer, f"Unable to read from file {path}", path),
        )

    def kept_files(self, path: str) -> Answer[Sequence[KeptFile]]:
        if not self._spread:
            return self._inline.kept_files(path)
        return self._ask(
            path,
            lambda logs, path: logs.kept_files(path),
            partial(no_answer, f"Unable to read from file {path}", path),
        )

    def real_path(self, path: str) -> Answer[str]:
        """Return the path of a log without symbolic links; one that leads nowhere is its own."""
        if not self._spread or self.settings.roots:
            return self._inline.real_path(path)

        def real(resolved: Resolving) -> str:
            return resolved.real

        def nowhere(failure: Failure) -> str:
            failure.trap(OSError, ValueError)
            return path

        try:
            resolved = self._resolved(path, f"Unable to read from file {path}")
        except (OSError, ValueError):
            return path
        if isinstance(resolved, Deferred):
            return resolved.addCallbacks(real, nowhere)
        return real(resolved)

    def find_files(self, path: str) -> Deferred[Sequence[KeptFile] | None]:
        """Return the files of a log that may not be open, looked for in a thread.

        :param path: without symbolic links.
        :returns: none if there are none; None where that is not known, as nobody is to wait for
            its file system, or the log is open.
        """
        mount = self._table.now().of(path)
        if self.has(path) or mount is None or not self._is_inline(mount):
            return succeed(None)
        limits = self.settings.policy_of(path, *self.known.opener(path)).limits
        directory = self.settings.roots.directory_of(path)
        has_consumers = self.consumers.of(path) is not None

        def find() -> Sequence[KeptFile]:
            held = HELD_FILES.find(directory, path) if has_consumers else ()
            names = [held_path(path, one.number) for one in reversed(held)]
            return inventory(path, limits, None, directory, names)

        found: Deferred[Sequence[KeptFile] | None] = self._in_thread(find)

        def missing(failure: Failure) -> Sequence[KeptFile] | None:
            # (opened meanwhile, it may be in the middle of anything)
            return () if failure.check(NoSuchLog) and not self.has(path) else None

        return found.addErrback(missing)

    def files(self, path: str, start: Position | None) -> Answer[OpenedFiles]:
        if not self._spread:
            return self._inline.files(path, start)
        return self._ask(
            path,
            lambda logs, path: logs.files(path, start),
            partial(no_answer, f"Unable to read from file {path}", path),
            lambda _, opened: close_files(opened),
        )

    def append(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Answer[Position]:
        if not self._spread:
            return self._inline.append(path, message, driver, domain)
        return self._ask(
            path,
            lambda logs, path: logs.append(path, message, driver, domain),
            partial(self._not_appended, path),
        )

    def remove(self, path: str) -> Answer[Removed]:
        if not self._spread:
            return self._inline.remove(path)
        return self._ask(
            path,
            lambda logs, path: logs.remove(path),
            partial(no_answer, f"Unable to remove the files of {path}", path),
        )

    def ledger(self, path: str | None) -> Answer[Ledger]:
        if path is not None:
            return self._ask_open(path, lambda logs, path: logs.ledger(path))
        found = self._inline.ledger(None)
        if not self._lanes:
            return found
        return Deferred.fromCoroutine(self._with_ledgers_of_lanes(found))

    async def _with_ledgers_of_lanes(self, inline: Answer[Ledger]) -> Ledger:
        found = await inline if isinstance(inline, Deferred) else inline
        # (all are asked at once, as each may take as long as a file system may be silent)
        for asked in [lane.ledger() for lane in list(self._lanes.values())]:
            found = found.with_files_of(await asked)
        return found

    def directory_of(self, path: str) -> LogDirectory:
        """Return what reaches the files of a log that is not open, by the settings of the moment.

        :param path: of the log, without symbolic links; any thread may ask.
        """
        return self.settings.roots.directory_of(path)

    def look_at_files(self) -> None:
        """Have it looked what the files of open logs take up, each in its thread."""
        self._inline.look_at_files()
        for lane in self._lanes.values():
            lane.look_at_files()

    def trim(self, path: str) -> bool:
        """Have the oldest backup of a log removed, as its guest needs room for another one.

        :param path: of the log, without symbolic links.
        :returns: whether that is done already.
        """
        return self._have_removed(path, lambda logs, path: logs.trim(path))

    def _have_removed(self, path: str, remove: _Call[bool]) -> bool:
        """Have a file of a log removed where the log is; return whether that is done already."""
        if path in self._trimmed:
            return False
        try:
            answer = self.ask_where_it_is(path, remove, f"Unable to remove a file of {path}")
        except (OSError, ValueError, LogError):
            return False
        if not isinstance(answer, Deferred):
            return answer
        self._trimmed.add(path)

        def end(result: object) -> None:
            self._trimmed.discard(path)
            if isinstance(result, Failure) and not result.check(OSError, ValueError, LogError):
                self._logger.failure("{path}: removing a file failed", result, path=path)

        answer.addBoth(end)
        return False

    # For consumers; see logs.consumers.

    def acknowledge(
        self, path: str, consumer: str, position: Position, at: datetime
    ) -> Answer[None]:
        """Take note that a consumer has read a log up to a position, where the log is."""
        return self.ask_where_it_is(
            path,
            lambda logs, path: logs.acknowledge(path, consumer, position, at),
            f"Unable to note what {consumer} has read of {path}",
        )

    def forget_consumer(self, path: str, consumer: str) -> Answer[None]:
        """Forget what a consumer has of a log, where the log is; its holds end."""
        return self.ask_where_it_is(
            path,
            lambda logs, path: logs.forget_consumer(path, consumer),
            f"Unable to forget what {consumer} has read of {path}",
        )

    def consumed(self, path: str, now: datetime) -> Answer[Sequence[ConsumerStatus]]:
        """Return what each consumer has of a log."""
        return self.ask_where_it_is(
            path,
            lambda logs, path: logs.consumed(path, now),
            f"Unable to look at the files of {path}",
        )

    def settle(self, path: str) -> Answer[None]:
        """Remove the held files of a log that nobody has yet to read, where the log is."""
        return self.ask_where_it_is(
            path,
            lambda logs, path: logs.settle(path),
            f"Unable to remove held files of {path}",
        )

    def settle_all(self) -> None:
        """Do the same for all open logs, each in its thread."""
        self._inline.settle_all()
        for lane in self._lanes.values():
            lane.settle_all()

    def drop_held(self, path: str) -> bool:
        """Have the oldest held file of a log removed, as all take up more than they may.

        :param path: of the log, without symbolic links.
        :returns: whether that is done already.
        """
        return self._have_removed(path, lambda logs, path: logs.drop_held(path))

    def policy(self, path: str) -> Answer[Mapping[str, PolicyWord]]:
        real_path = self.real_path(path)
        if not isinstance(real_path, Deferred):
            return self._inline.policy_at(real_path)
        return real_path.addCallback(self._inline.policy_at)

    def logs(self) -> Answer[Sequence[LogStatus]]:
        found = self._inline.logs()
        if not self._lanes:
            return found
        if isinstance(found, Deferred):
            return found.addCallback(self._with_lanes)
        return self._with_lanes(found)

    def _with_lanes(self, found: Sequence[LogStatus]) -> Answer[Sequence[LogStatus]]:
        return self._in_slices(self._merged(found))

    def _merged(self, found: Sequence[LogStatus]) -> Generator[None, None, Sequence[LogStatus]]:
        by_path = {status.path: status for status in self._between.values()}
        for start in range(0, len(found), AT_ONCE):
            by_path.update((one.path, one) for one in found[start : start + AT_ONCE])
            yield
        for lane in list(self._lanes.values()):
            by_path.update((status.path, status) for status in lane.statuses())
            yield
        paths = yield from sorted_in_slices(list(by_path))
        return [by_path[path] for path in paths]

    def may_be_read(self, path: str) -> bool:
        """Return whether ``log_roots`` allows a path; no file is asked."""
        roots = self.settings.roots
        return not roots or roots.real_path(path) is not None

    def is_known(self, path: str) -> Answer[bool]:
        if not self._spread:
            return self._inline.is_known(path)
        roots = self.settings.roots
        if roots:
            real_path = roots.real_path(path)
            return real_path is not None and (
                real_path in self.known or self._is_open(path) or self._is_open(real_path)
            )
        if self._is_open(path):
            return True
        try:
            resolved = self._resolved(path, f"Unable to read from file {path}")
        except (OSError, ValueError):
            return False
        if not isinstance(resolved, Deferred):
            return self._is_known(resolved)

        def nowhere(failure: Failure) -> bool:
            failure.trap(OSError, ValueError)
            return False

        return resolved.addCallback(self._is_known).addErrback(nowhere)

    def _is_known(self, resolved: Resolving) -> bool:
        return resolved.real in self.known or self._is_open(resolved.real)

    def _resolved(
        self, path: str, action: str, resolving: Resolving | None = None
    ) -> Answer[Resolving]:
        """Resolve a path, wherever its links lead.

        :param action: what is tried, in the words of SystemFailure, if a lane does not answer.
        :param resolving: what is done of it.
        :raises OSError: it cannot be resolved.
        :raises ValueError: no file's name can be so.
        """
        found = resolving or Resolving(path, self._table)
        mount = found.advance(self._is_inline)
        if mount is None:
            return found
        lane = self._lane_of(mount)
        later = lane.ask(path, lambda _: found.advance(partial(self._is_served_by, lane)))
        explain = partial(no_answer, action, path)
        going_on: Deferred[Any] = later.addErrback(explained, lane, path, explain)
        return going_on.addCallback(lambda _: self._resolved(path, action, found))

    def _resolve_roots(self) -> None:
        """Find out where roots lead, each in the thread in which its files are served."""
        roots = self.settings.roots
        for name in roots.names:
            found: Deferred[Any] = maybeDeferred(self._resolved, name, LOOK_INTO)
            # (one that cannot be resolved is where it was, or as it is written)
            found.addCallbacks(partial(_note_root, roots, name), lambda _: None)

    def _check_directory(self, path: str) -> None:
        self.settings.roots.check_directory(path)

    def _is_open(self, path: str) -> bool:
        """Return whether a log is open, by a name that is known."""
        return self._inline.has_open(path) or any(
            lane.has_open(path) for lane in self._lanes.values()
        )

    def counts(self) -> Counts:
        logs, files = self._followed()
        counts = msgspec.structs.replace(
            self._inline.counts(), followed_logs=logs, followed_files=files
        )
        lanes = self._lanes
        if not lanes:
            return counts
        totals = sum((lane.totals() for lane in lanes.values()), Totals.of(counts))
        return msgspec.structs.replace(
            counts,
            open_logs=counts.open_logs
            + sum(lane.count() for lane in lanes.values())
            + self._count_between(),
            failing_logs=counts.failing_logs + sum(lane.failing() for lane in lanes.values()),
            opened_logs=totals.opened_logs,
            bytes_written=totals.bytes_written,
            bytes_lost=totals.bytes_lost,
            rollovers=totals.rollovers,
            lanes=len(lanes),
            lane_oldest_s=max(lane.lane.busy_seconds() for lane in lanes.values()),
        )

    # For those who watch over it.

    def disk_use(self) -> DiskUse | None:
        """Return what all logs take up on disk; None if that is not counted."""
        usage, bounds = self.usage, self.settings.bounds
        return DiskUse(usage.used, bounds.max_use) if bounds.counts else None

    def held_use(self) -> HeldUse | None:
        """Return what held files take up, and what consumers have; None if there are none."""
        return self.consumers.use()

    def byte_sums(self) -> Generator[None, None, ByteSums]:
        """Return what all logs have written and lost, also those that are closed."""
        return summed(self.accounts)

    def mount_threads(self) -> Sequence[MountThread]:
        """Return the threads of file systems, one for each mount, by mount.

        Those that only read what is not in memory are among them, if nothing is written there. That
        of a log whose guest locks its pipe is not: what it waits for says nothing of the mount.
        """
        logs: Counter[str] = Counter()
        waited = dict(self._threads.waited())
        for lane in self._lanes.values():
            if not lane.asks_pipes:
                continue
            point = lane.mount.point
            logs[point] += lane.count()
            waited[point] = max(waited.get(point, 0.0), lane.lane.busy_seconds())
        return [MountThread(point, logs[point], waited[point]) for point in sorted(waited)]

    def spaces(self) -> Answer[Sequence[Space]]:
        """Return how much room is on the file systems with open logs, as far as they answer."""
        mounts = self._in_slices(self._mounts_of_logs())
        if isinstance(mounts, Deferred):
            return mounts.addCallback(self._spaces.of)
        return self._spaces.of(mounts)

    def _mounts_of_logs(self) -> Generator[None, None, Sequence[Mount]]:
        """Return a mount of each file system with open logs; no path is touched."""
        mounts = self._table.now()
        found: dict[str, Mount] = {}
        directories: set[str] = set()
        names: list[list[str]] = [[log.real_path for log in self._inline.open_logs()]]
        names += [[real for _, real in lane.names()] for lane in self._lanes.values()]
        for paths in names:
            for number, path in enumerate(paths, 1):
                directory = path.rpartition("/")[0]
                if directory not in directories:
                    directories.add(directory)
                    mount = mounts.of(path)
                    if mount is not None:
                        found.setdefault(mount.device, mount)
                if not number % _LOGS_AT_ONCE:
                    yield
        return list(found.values())

    def _look_at_space(self, mount: Mount) -> Deferred[os.statvfs_result]:
        call = partial(os.statvfs, mount.point)
        server = self._server_of(mount)
        if server is not None:
            return self._own_lane_of(server).lane.call(call)
        return self._threads.call(
            os.makedev(*map(int, mount.device.split(":"))),
            mount.point,
            f"Unable to look at {mount.point}",
            call,
            lambda: None,
        )

    # For the service.

    @property
    def known(self) -> Known:
        """The logs that are known, closed ones too."""
        return self._inline.known

    @property
    def idle_since(self) -> float | None:
        """When the last open log was closed, by the handler's clock; None while one is open."""
        if any(not lane.is_idle for lane in self._lanes.values()):
            return None
        since = self._inline.idle_since
        if since is None:
            return None
        return max(since, self._lane_ended_at, *(lane.ended_at for lane in self._lanes.values()))

    def has(self, path: str) -> bool:
        """Return whether a log is open by this name, or has this real path; asks no file.

        Any thread may ask.
        """
        return path in self._moving or self._place(path) is not None

    def places(self, is_in_use: Callable[[str], bool]) -> Where:
        """Return what finds where a directory's files are served, for who removes old ones.

        One that is not below a root is not found.

        :param is_in_use: whether a file must stay though no log of that path is open; the path is
            without links, and any thread may ask.
        """
        return Places(
            lambda path: self._resolved(path, LOOK_INTO),
            self._is_inline,
            self._lane_of,
            self._in_thread,
            lambda path: self.has(path) or is_in_use(path),
            self._check_directory,
        )

    def ask_where_it_is(self, path: str, call: _Call[T], action: str) -> Answer[T]:
        """Ask the handler of the thread in which a log is, or would be opened, in that thread.

        :param call: gets the handler, and the log's path.
        :param action: what is tried, in the words of SystemFailure, if a lane does not answer.
        """
        if not self._spread:
            return call(self._inline, path)
        return self._ask(path, call, partial(no_answer, action, path))

    def with_files(
        self,
        path: str,
        do: Callable[[FilesOfLog], T],
        undo: Callable[[T], object] | None = None,
    ) -> Answer[T]:
        """Do something short with the files of a log in its thread, when nothing else is done.

        :param path: without symbolic links.
        :param undo: called with the result, in any thread, when nobody waits for it any more.
        """
        if not self._spread:
            return self._inline.with_files(path, do)

        def undo_it(_: LogHandler, result: T) -> None:
            if undo is not None:
                undo(result)

        action = f"Unable to compress the backups of {path}"
        return self._ask(
            path,
            lambda logs, path: logs.with_files(path, do),
            partial(no_answer, action, path),
            undo_it,
        )

    def is_slow(self, path: str) -> bool:
        """Return whether the file system of a log does not answer now, or was slow lately.

        :param path: without symbolic links.
        """
        mount = self._table.now().of(path)
        if mount is None:
            return True
        lane = self._lanes.get((self._server_of(mount) or mount).device)
        if lane is not None and (lane.lane.is_silent or lane.lane.busy_seconds() > SLOW_SECONDS):
            return True
        return self._choice.is_slow(mount, self.clock.seconds())

    def close_files(self, path: str, close: Callable[[], None]) -> None:
        """Close files of a log where nobody waits for that.

        :param path: without symbolic links.
        """
        if self._stopping:
            close()
            return
        mount = self._table.now().of(path)
        server = None if mount is None else self._server_of(mount)
        if server is None:
            self._inline.end_with_files(close)
        else:
            self._own_lane_of(server).lane.tell(close)

    def packs(self, path: str) -> bool:
        """Return whether the backups of a log are to be packed.

        :param path: without symbolic links.
        """
        policy = self.settings.policy_of(path, *self.known.opener(path))
        return policy.pack_from is not None

    def remove_unused(
        self, path: str, may_go: Callable[[Sequence[Found]], bool]
    ) -> Answer[Removed | None]:
        """Remove all files of a log that nobody uses, where it would be opened; see LogHandler.

        :param may_go: called in any thread.
        """

        def remove(logs: LogHandler, found: str) -> Answer[Removed | None]:
            # (on the way, links may have led elsewhere)
            return logs.remove_unused(path, may_go) if found == path else None

        return self.ask_where_it_is(path, remove, f"Unable to remove the files of {path}")

    def max_backups_of(self, path: str, driver: str | None, domain: Domain | None) -> int:
        """Return how many backups a log may have.

        :param path: without symbolic links.
        :param driver: who opened it last; None if nobody knows.
        """
        return self.settings.policy_of(path, driver, domain).limits.max_backups

    def reload(self, settings: LogSettings, pipe_size: int, lane_settings: LaneSettings) -> None:
        """Apply other settings, to open logs too.

        :param pipe_size: of pipes that are made from now on, in bytes.
        """
        self.settings = settings
        self.usage.set(settings.bounds)
        self.consumers.settings = settings.holds
        self._resolve_roots()
        self._inline.reload(settings, pipe_size)
        for lane in self._lanes.values():
            lane.reload(settings, pipe_size)
        if lane_settings.threads != self._lane_settings.threads:
            self._choice = Choice(lane_settings.threads)
        self._lane_settings = lane_settings
        self._allow_lending()
        for lane in list(self._lanes.values()):
            lane.lane.timeout_changed()
        self._mounts_changed()

    def _allow_lending(self) -> None:
        """Have logs that are flooded lent to another thread, unless no thread is to write files."""
        self._inline.flooding.is_allowed = self._lane_settings.threads != FileThreads.NEVER.value

    def suspended(self) -> tuple[OpenLogState, ...]:
        """Return what the daemon's next image needs to go on with the open logs."""
        found = self._inline.suspended()
        for lane in self._lanes.values():
            found += lane.snapshot()
        return found

    def pause(self) -> Deferred[None]:
        """Have all lanes close their files, and do nothing until :meth:`go_on`.

        :returns: fires when that is so.
        """
        self._paused = True
        waits = DeferredList([lane.pause() for lane in self._lanes.values()])
        return waits.addCallback(lambda _: None)

    def go_on(self) -> None:
        """Let the lanes go on after :meth:`pause`, or instead."""
        self._paused = False
        for lane in self._lanes.values():
            lane.go_on()

    def hung(self) -> Sequence[str]:
        """Return why threads do not end, in words: pipes that stay locked, and file systems."""
        return [
            *self._inline.hung(),
            *(
                f"the file system at {lane.mount.point} does not answer"
                if lane.asks_pipes
                else f"the thread for the {lane.mount.device} waits"
                for lane in self._lanes.values()
                if lane.lane.busy_seconds() >= HUNG_SECONDS
            ),
        ]

    def totals(self) -> Totals:
        """Return what was counted for logs that are closed."""
        closed = (lane.closed_totals() for lane in self._lanes.values())
        return sum(closed, self._inline.totals())

    def add_totals(self, totals: Totals) -> None:
        """Count on from where the daemon's former image stopped."""
        self._inline.add_totals(totals)

    def adopt(self, state: OpenLogState, former: Sequence[OpenLogState] = ()) -> None:
        """Go on with a log whose pipe was taken over; see LogHandler."""
        self._adopt([*former, state], lambda logs, states: logs.adopt(states[-1], states[:-1]))

    def restore(self, state: OpenLogState, former: Sequence[OpenLogState] = ()) -> None:
        """Go on with a log of a daemon that was killed; see LogHandler."""
        self._adopt([*former, state], lambda logs, states: logs.restore(states[-1], states[:-1]))

    def _adopt(
        self,
        states: list[OpenLogState],
        adopt: Callable[[LogHandler, Sequence[OpenLogState]], None],
    ) -> None:
        lane = self._lane_for(states)
        if lane is None:
            adopt(self._inline, states)
        else:
            lane.adopt(states, adopt)
            self._look_again(0.0)

    def _lane_for(self, states: Sequence[OpenLogState]) -> LaneLogs | None:
        """Return the lane that is to go on with a log; None if the reactor's thread is.

        A log that was in a lane is in one again: its former process may still be in its file.
        """
        for state in states:
            details = state.details
            if details is not None and details.lane is not None:
                return self._lane_at(details.lane)
        if not self._spread:
            return None
        state = states[-1]
        path = state.log if state.details is None else state.details.file
        resolving = Resolving(path, self._table)
        try:
            mount = resolving.advance(self._is_inline) or resolving.mount
        except (OSError, ValueError):
            return None
        return None if self._is_inline(mount) else self._lane_of(mount)

    def write_former(self) -> None:
        """Write what the former guests of logs that were taken over left in their pipes."""
        self._inline.write_former()
        for lane in self._lanes.values():
            lane.write_former()

    def refuse_opens(self) -> None:
        """Open no more logs: the daemon is stopping."""
        self._stopping = True
        self._inline.refuse_opens()
        for lane in self._lanes.values():
            lane.refuse_opens()

    def finish(self) -> Deferred[None]:
        """Write what is in the pipes, and close all logs, while others are served.

        :returns: fires when all is written, but for the logs of file systems that do not answer
            after some seconds, or are so slow that it would take too long.
        """
        self._stop_looking()
        # (no log changes its thread any more: one that is nowhere would not be written)
        self._stopping = True
        waits = [lane.finish().addErrback(lambda _: None) for lane in self._lanes.values()]
        written: Deferred[None] = Deferred()
        begun = self.clock.seconds()

        def look() -> None:
            lanes = self._lanes.values()
            hung = all(lane.lane.busy_seconds() >= HUNG_SECONDS for lane in lanes if lane.is_open)
            if hung or self.clock.seconds() - begun >= _LONGEST_FINISH_SECONDS:
                written.callback(None)
                return
            # (one that is slow gets on)
            looks.append(self.clock.callLater(_AGAIN_SECONDS, look))

        looks = [self.clock.callLater(_FINISH_SECONDS, look)]

        def end(result: object) -> None:
            if not written.called:
                looks[-1].cancel()
                written.callback(None)

        DeferredList(waits).addCallback(end)
        return self._inline.finish().addCallback(lambda _: written)

    def close(self) -> None:
        """Write what is in the pipes, and close all logs and the handler's own descriptors."""
        self._stop_looking()
        self._stopping = True
        for lane in self._lanes.values():
            self._give_up(lane)
            lane.close()
        self._lanes.clear()
        self._inline.close()
        self._table.close()

    def _give_up(self, lane: LaneLogs) -> None:
        """Let go of the pipes of a lane that hangs, as the process ends."""
        for path, pipe in lane.give_up():
            waiting = bytes_waiting(pipe) if lane.asks_pipes else 0
            number = pipe_number(pipe)
            if waiting and not self.keeper.keeps(number):
                self.accounts.drop_elsewhere(number, waiting, DropReason.STOPPED)
                self._logger.error(
                    "{path}: {lost} bytes lost, as the daemon ends while the file system at {mount}"
                    " does not answer",
                    path=path,
                    lost=waiting,
                    mount=lane.mount.point,
                )
            with contextlib.suppress(OSError):
                # (a thread that does not hang may have closed it just now)
                self.pipes.give_up(pipe)

    def _stop_looking(self) -> None:
        for call in (self._tick, self._rearranging):
            if call is not None and call.active():
                call.cancel()
        self._tick = self._rearranging = None

    def close_in_lane(self, mount: Mount, descriptor: int) -> None:
        """Close a file's descriptor in the thread of its file system, whenever that answers.

        At the end of the daemon, that of the process closes it.
        """
        if not self._stopping:
            self._own_lane_of(mount).lane.tell(partial(os.close, descriptor))

    # Where a log is.

    def _place(self, path: str) -> LogHandler | LaneLogs | None:
        """Return who has a log, by a name that is known; None if nobody has."""
        if self._inline.has(path):
            return self._inline
        return self._in_lane(path)

    def _in_lane(self, path: str) -> LaneLogs | None:
        # (a lane's thread may ask, while the reactor makes another lane)
        for lane in list(self._lanes.values()):
            if lane.has(path):
                return lane
        return None

    def _is_inline(self, mount: Mount) -> bool:
        return self._server_of(mount) is None

    def _server_of(self, mount: Mount) -> Mount | None:
        """Return the mount in whose lane files are opened; None for the reactor's thread.

        To open one, the mounts that lead to its own are passed. So a mount that needs no lane is
        served in that of the last of those that has one.
        """
        now = self.clock.seconds()
        for one in reversed(self._table.now().leading_to(mount)):
            # (a file system has one lane, by whichever of its mounts it is found)
            device = one.device
            if device in self._devices or device.startswith(_ALONE):
                return one
            if self._choice.has_lane(one, now):
                return one
            lane = self._lanes.get(device)
            if lane is not None and lane.lane.busy_seconds() > SLOW_SECONDS:
                # (it may not answer, and is not to be touched from here, whatever is chosen)
                return one
        return None

    def _may_wait(self, mount: Mount) -> bool:
        return self._choice.may_wait(mount)

    def _is_served_by(self, lane: LaneLogs, mount: Mount) -> bool:
        server = self._server_of(mount)
        return server is not None and server.device == lane.mount.device

    def _mount_of(self, path: str, real_path: str) -> Mount | None:
        """Return what decides where an open log belongs: its mount, or what stands for its pipe."""
        mount = self._table.now().of(real_path)
        if path not in self._suspects or mount is None or not self._is_inline(mount):
            # (a lane of its file system does for its pipe, too, and has the lock of that)
            return mount
        return Mount(-1, -1, f"{_ALONE}{path}", mount.point, "", "")

    def _lane_of(self, mount: Mount) -> LaneLogs:
        """Return the lane in which files on a mount are opened."""
        return self._own_lane_of(self._server_of(mount) or mount)

    def _own_lane_of(self, mount: Mount) -> LaneLogs:
        lane = self._lanes.get(mount.device)
        if lane is None:
            alone = mount.device.startswith(_ALONE)
            lane = LaneLogs(
                self._threads.make(mount.device if alone else mount.point),
                mount,
                None if alone else self._locks.of(mount),
                self,
                asks_pipes=not alone,
            )
            self._lanes[mount.device] = lane
            self._spread = True
            if self._stopping:
                lane.refuse_opens()
            if self._paused:
                lane.pause()
            if self._tick is None:
                self._tick = self.clock.callLater(_IDLE_SECONDS, self._look_after)
        return lane

    def _lane_at(self, point: str) -> LaneLogs:
        """Return the lane of what is, or was, mounted somewhere."""
        mount = self._table.now().of(point)
        if mount is None or mount.point != point:
            mount = Mount(-1, -1, f"{_GONE}{point}", point, "", "")
        # (its lock is the one that a former process has)
        return self._own_lane_of(mount)

    def surroundings_of(self, lane: LaneLogs) -> Surroundings:
        """See lane_logs.Common."""
        return _InLane(self, lane)

    def observer_of(self, thread: LogThread) -> LogObserver:
        """See lane_logs.Common."""
        return self._observer_of(thread)

    # To ask.

    def _ask(
        self,
        path: str,
        call: _Call[T],
        explain: Explain,
        undo: Callable[[LogHandler, T], object] | None = None,
        follow_last: bool = True,
    ) -> Answer[T]:
        """Ask for something, where the log is."""
        moving = self._moving.get(path)
        if moving is not None:
            return moving.ask(lambda: self._ask(path, call, explain, undo, follow_last), explain)
        place = self._place(path)
        if place is self._inline or not self._spread:
            return call(self._inline, path)
        resolving = Resolving(path, self._table, follow_last)
        if isinstance(place, LaneLogs):
            if place.has_open(path):
                answer = place.ask(path, lambda logs: call(logs, path), undo)
                return answer.addErrback(explained, place, path, explain)
            # What is under way there about the name may yet lead elsewhere.
            done: Deferred[Any] = place.after_that()
            done.addErrback(explained, place, path, explain)
            return done.addCallback(
                lambda _: self._resolve(resolving, path, call, explain, undo, False)
            )
        return self._resolve(resolving, path, call, explain, undo, False)

    def _ask_open(self, path: str, call: _Call[T]) -> Answer[T]:
        """Ask for something of a log that has to be open."""
        try:
            return self._ask(path, call, partial(self._not_written, path))
        except NotWritten:
            raise
        except SystemFailure as failure:
            # (what no path can be resolved to is not open)
            raise NoSuchLog(f"No open log file {path}", path) from failure

    def _resolve(
        self,
        resolving: Resolving,
        path: str,
        call: _Call[T],
        explain: Explain,
        undo: Callable[[LogHandler, T], object] | None,
        was_in_lane: bool,
    ) -> Answer[T]:
        roots = self.settings.roots
        if roots and roots.real_path(path) is None:
            # (which refuses it, and touches nothing)
            return call(self._inline, path)
        try:
            mount = resolving.advance(self._is_inline)
        except (OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else errno.EINVAL
            raise SystemFailure(
                f"Unable to open file: {path}", number or errno.EIO, path
            ) from error
        if mount is None:
            real = resolving.real
            if roots and real != roots.real_path(path):
                raise roots.link(path)
            if real in self._moving or self._in_lane(real) is not None:
                return self._ask(real, call, explain, undo)
            if self._is_inline(resolving.mount):
                # (what led there may be a mount that must not be touched from here)
                return call(self._inline, real if was_in_lane else path)
            mount = resolving.mount
        lane = self._lane_of(mount)

        def go_on(logs: LogHandler) -> Answer[Any]:
            try:
                following = resolving.advance(partial(self._is_served_by, lane))
            except (OSError, ValueError):
                # (the handler says what is wrong)
                return call(logs, path)
            if following is not None or not self._is_served_by(lane, resolving.mount):
                return _FURTHER
            return call(logs, path)

        def undo_it(logs: LogHandler, result: Any) -> None:
            if undo is not None and result is not _FURTHER:
                undo(logs, result)

        def arrive(result: Any) -> Any:
            if result is _FURTHER:
                return self._resolve(resolving, path, call, explain, undo, True)
            return result

        answer: Deferred[Any] = lane.ask(path, go_on, undo_it)
        answer.addErrback(explained, lane, path, explain)
        return answer.addCallback(arrive)

    def _not_written(self, path: str, lane: LaneLogs, begun: bool) -> LogError:
        return self._not_done(path, lane, maybe_written=False)

    def _not_appended(self, path: str, lane: LaneLogs, begun: bool) -> LogError:
        return self._not_done(path, lane, maybe_written=begun)

    @staticmethod
    def _not_done(path: str, lane: LaneLogs, *, maybe_written: bool) -> NotWritten:
        # (a guest that keeps its pipe locked says nothing of the mount)
        mount = lane.mount.point if lane.asks_pipes else None
        action = f"Unable to write to file {path}"
        return NotWritten(action, errno.ETIMEDOUT, path, lane.pending(path), mount, maybe_written)

    # Logs change their threads.

    def slow(self, path: str, real_path: str) -> None:
        """Take note that the file system of a log was slow to answer, or so it seems."""
        self.clock.callLater(_DOUBT_SECONDS, self._note_slow, path, real_path)

    def _note_slow(self, path: str, real_path: str) -> None:
        mount = self._table.now().of(real_path)
        # (it may have been the pipe, as is known by now)
        if mount is not None and path not in self._suspects and not self._stopping:
            self._choice.slow(mount, self.clock.seconds())
            self._mounts_changed()

    def pipe_locked(self, path: str) -> None:
        """Give a log a lane for itself: its guest has kept its pipe locked, and may do so again.

        :param path: by which it was opened.
        """
        if self._lane_settings.threads != FileThreads.NEVER.value:
            self._suspects.add(path)
            self._look_again(0.0)

    def slow_lane(self, lane: LaneLogs) -> None:
        """Take note that the file system of a lane was slow to answer."""
        self._choice.slow(lane.mount, self.clock.seconds())

    def leads_away(self, real_path: str, file: int) -> bool | None:
        """Return whether a path leads to where the reactor must not look; see Writer.

        Something may have been mounted over a log's directory, and the log is still here.
        """
        mounts = self._table.now()
        if mounts is self._seen and not self._devices:
            return None
        mount = mounts.of(real_path)
        if mount is None or self._is_inline(mount):
            return None
        return file < 0 or mount_number(file) != mount.number

    def look_again(self) -> None:
        """Have it looked soon which logs are to be elsewhere."""
        self._look_again(0.0)

    def moved_away(self, path: str) -> None:
        """Take note that an open log's file is on another file system than the one before."""
        self._strays.add(path)
        self._look_again(0.0)

    def count_others(self, lane: LaneLogs | None) -> int:
        """Return how many logs are open elsewhere; any thread may ask.

        :param lane: who asks; None for the reactor's.
        """
        count = sum(one.count() for one in list(self._lanes.values()) if one is not lane)
        if lane is not None:
            count += len(self._inline.open_logs())
        return count + self._count_between()

    def _count_between(self) -> int:
        """Return how many logs no thread has now, as they change sides; any thread may ask."""
        moves = list(self._moving.values())
        return sum(not self._is_open(path) for path in {move.path for move in moves})

    def _mounts_changed(self) -> None:
        self._see_mounts()
        self._resolve_roots()
        if self._spread:
            self._look_again(0.0)

    def _see_mounts(self) -> None:
        now, choice = self.clock.seconds(), self._choice
        self._seen = self._table.now()
        self._devices = frozenset(
            mount.device for mount in self._seen.all if choice.has_lane(mount, now)
        )
        self._spread = bool(self._lanes or self._devices)

    def _look_again(self, seconds: float) -> None:
        self._spread = True
        if self._rearranging is None and not self._stopping:
            self._rearranging = self.clock.callLater(seconds, self._rearrange)

    def _look_after(self) -> None:
        """End lanes that nobody needs, and see which logs may leave theirs."""
        now = self.clock.seconds()
        self._tick = None
        for device, lane in list(self._lanes.items()):
            if lane.lane.busy_seconds() > SLOW_SECONDS:
                # (it is slow again, if it answers at all)
                self.slow_lane(lane)
            if lane.is_idle and not lane.lane.is_busy and now - lane.lane.used_at >= _IDLE_SECONDS:
                self._inline.add_totals(lane.closed_totals())
                del self._lanes[device]
                lane.end()
                self._lane_ended_at = now
        self._suspects = {path for path in self._suspects if self._place(path) is not None}
        self._strays = {path for path in self._strays if self._place(path) is not None}
        if self._lanes:
            self._tick = self.clock.callLater(_IDLE_SECONDS, self._look_after)
        self._mounts_changed()

    def _rearrange(self) -> None:
        self._rearranging = None
        if self._paused:
            self._look_again(_AGAIN_SECONDS)
            return
        rest = self._in_slices(self._rearrange_all())
        if isinstance(rest, Deferred):
            rest.addErrback(lambda failure: self._logger.failure("moving logs failed", failure))

    def _rearrange_all(self) -> Generator[None, None, None]:
        """Move each log to where it belongs."""
        again = False
        for number, log in enumerate(self._inline.open_logs(), 1):
            if self._stopping:
                return
            mount = self._mount_of(log.path, log.real_path)
            if mount is not None and not self._is_inline(mount):
                again |= not self._move_in(log.path, mount)
            if not number % _LOGS_AT_ONCE:
                yield
        for lane in list(self._lanes.values()):
            if self._stopping:
                return
            for path, real_path in lane.names():
                mount = self._mount_of(path, real_path)
                if mount is None or self._is_served_by(lane, mount):
                    continue
                # (a log stays with its open file, wherever its path leads meanwhile)
                if path in self._strays or path in self._suspects:
                    self._move_out(path, real_path, lane)
            if self._is_inline(lane.mount):
                for path, real_path in lane.names():
                    self._move_out(path, real_path, lane)
            yield
        if again:
            self._look_again(_AGAIN_SECONDS)

    def _move_in(self, path: str, mount: Mount) -> bool:
        """Move a log from the reactor's thread into a lane; return whether that is done."""
        state = self._inline.leave(path)
        if state is None:
            return False
        lane = self._lane_of(mount)
        self._put(state, lane)
        return True

    def _put(self, state: OpenLogState, lane: LaneLogs | None) -> None:
        """Have another thread go on with a log; None for the reactor's."""
        if state.details is not None:
            point = None if lane is None else lane.mount.point
            details = msgspec.structs.replace(state.details, lane=point, staged=None)
            state = msgspec.structs.replace(state, details=details)
        self.keeper.outage(state)
        if lane is not None:
            lane.adopt([state], lambda logs, states: logs.adopt(states[-1], states[:-1]))
            return
        try:
            self._inline.adopt(state)
        except LogError as error:
            self._logger.error(
                "{path}: this log cannot be taken over: {error}", path=state.log, error=error
            )

    def _move_out(self, path: str, real_path: str, lane: LaneLogs) -> None:
        """Move a log out of a lane, to where its path leads now."""
        if path in self._moving or lane.lane.is_silent:
            return
        moving = _Move(path, lane)
        names = {path, real_path}
        for name in names:
            self._moving[name] = moving
        self._between.update((one.path, one) for one in lane.statuses() if one.path == path)

        def arrive(state: OpenLogState | None) -> None:
            try:
                if state is None:
                    self._look_again(_AGAIN_SECONDS)
                    return
                mount = self._mount_of(path, real_path)
                # (a lane may have finished already)
                inline = mount is None or self._is_inline(mount) or self._stopping
                self._put(state, None if inline or mount is None else self._lane_of(mount))
            finally:
                end()

        def end() -> None:
            if self._moving.get(path) is not moving:
                return
            for name in names:
                del self._moving[name]
            self._between.pop(path, None)
            moving.end()

        def leave(logs: LogHandler) -> OpenLogState | None:
            try:
                return None if self._stopping else logs.leave(path)
            except BaseException:
                # (whoever waited may have given up)
                lane.lane.later_in_reactor(end)
                raise

        def fail(failure: Failure) -> None:
            error = failure.value
            if isinstance(error, Silent) and error.begun:
                # (it is on its way, and arrives when the file system answers)
                moving.give_up()
                return
            end()
            if not isinstance(error, Silent):
                self._logger.failure("{path}: moving failed", failure, path=path)

        def arrive_late(state: OpenLogState | None) -> None:
            lane.lane.later_in_reactor(lambda: arrive(state))

        left = lane.ask(path, leave, lambda logs, state: arrive_late(state))
        left.addCallbacks(arrive, fail).addErrback(
            lambda failure: self._logger.failure("{path}: moving failed", failure, path=path)
        )


def _note_root(roots: Roots, name: str, resolved: Resolving) -> None:
    roots.leads_to(name, resolved.real)


class _Move:
    """A log that leaves a lane, and who waits for its arrival elsewhere.

    :ivar lane: the one that it leaves.
    """

    def __init__(self, path: str, lane: LaneLogs) -> None:
        """:param path: of the log."""
        self.path = path
        self.lane = lane
        self._waiting: list[Deferred[None]] = []

    def ask(self, again: Callable[[], Answer[T]], explain: Explain) -> Deferred[T]:
        """Ask for something after the arrival; fail if the lane falls silent before."""
        later: Deferred[Any] = Deferred()
        if self.lane.lane.is_silent:
            later.errback(Silent(begun=False))
        else:
            self._waiting.append(later)
        later.addErrback(explained, self.lane, self.path, explain)
        return later.addCallback(lambda _: again())

    def give_up(self) -> None:
        """Tell all who wait that the lane is silent."""
        waiting, self._waiting = self._waiting, []
        for later in waiting:
            later.errback(Silent(begun=False))

    def end(self) -> None:
        """Let all go on who wait."""
        waiting, self._waiting = self._waiting, []
        for later in waiting:
            later.callback(None)


class _Inline:
    """What the reactor's handler tells."""

    def __init__(self, logs: AllLogs) -> None:
        self._logs = logs

    def others(self) -> int:
        return self._logs.count_others(None)

    def slow(self, path: str, real_path: str) -> None:
        self._logs.slow(path, real_path)

    def pipe_locked(self, path: str) -> None:
        self._logs.pipe_locked(path)

    def moved_away(self, path: str) -> None:
        self._logs.moved_away(path)

    def leads_away(self, real_path: str, file: int) -> bool | None:
        return self._logs.leads_away(real_path, file)

    def given(self, descriptor: int) -> int:
        return descriptor

    def trim(self, path: str) -> bool:
        return self._logs.trim(path)

    def refused(self) -> None:
        self._logs.refused()

    def drop_held(self, path: str) -> bool:
        return self._logs.drop_held(path)


class _InLane:
    """What a lane's handler tells, in the lane's thread."""

    def __init__(self, logs: AllLogs, lane: LaneLogs) -> None:
        self._logs = logs
        self._lane = lane

    def others(self) -> int:
        return self._logs.count_others(self._lane)

    def slow(self, path: str, real_path: str) -> None:
        self._lane.lane.later_in_reactor(lambda: self._logs.slow_lane(self._lane))

    def pipe_locked(self, path: str) -> None:
        self._lane.lane.later_in_reactor(lambda: self._logs.pipe_locked(path))

    def moved_away(self, path: str) -> None:
        self._lane.lane.later_in_reactor(lambda: self._logs.moved_away(path))

    def leads_away(self, real_path: str, file: int) -> bool | None:
        # (what its path leads to holds up nobody but this lane)
        return None

    def given(self, descriptor: int) -> int:
        left = LeftDescriptor(descriptor)
        left.leave = partial(self._logs.close_in_lane, self._lane.mount, descriptor)
        return left

    def trim(self, path: str) -> bool:
        self._lane.lane.later_in_reactor(lambda: self._logs.trim(path))
        return False

    def refused(self) -> None:
        self._lane.lane.later_in_reactor(self._logs.refused)

    def drop_held(self, path: str) -> bool:
        self._lane.lane.later_in_reactor(lambda: self._logs.drop_held(path))
        return False
