"""The one log handler behind all protocols: which logs are open, and what callers ask of them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.errors import (
    BoundReached,
    LimitReached,
    LogBusy,
    NoSuchLog,
    NotWritten,
    ShuttingDown,
    SystemFailure,
    UnsupportedBackups,
)
from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import FilesState, OpenLogState, Totals
from twisted_virtlog.interfaces import Answer, ILogHandler, InSlices
from twisted_virtlog.logs.accounts.account import Account
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.sums import summed
from twisted_virtlog.logs.bounds.bounds import Bounds
from twisted_virtlog.logs.bounds.usage import Usage
from twisted_virtlog.logs.consumers.consumers import NO_HOLDS, Consumers, HoldSettings
from twisted_virtlog.logs.consumers.holding import Holds
from twisted_virtlog.logs.failing import FailingLogs
from twisted_virtlog.logs.files.attributes import Attributes
from twisted_virtlog.logs.files.cleaning import Found
from twisted_virtlog.logs.files.directory import Directory
from twisted_virtlog.logs.files.inventory import inventory, opened
from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory
from twisted_virtlog.logs.files.opening import link_target
from twisted_virtlog.logs.files.placeholders import placeholders
from twisted_virtlog.logs.files.reader import Reading, WouldBlock, read_at_once
from twisted_virtlog.logs.files.removal import Remover
from twisted_virtlog.logs.files.roots import ANYWHERE, Roots
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer, interrupted_rollover
from twisted_virtlog.logs.flooding import LEDGER_SECONDS, Flooding
from twisted_virtlog.logs.former import FormerPipe, resumed
from twisted_virtlog.logs.in_order import InOrder, Slices
from twisted_virtlog.logs.known import NOBODY, Known, KnownLogs, Opener
from twisted_virtlog.logs.lanes.lanes import Lanes
from twisted_virtlog.logs.limiting import Limiting
from twisted_virtlog.logs.observing import (
    NO_OBSERVER,
    REACTOR_THREAD,
    LogObserver,
    LogThread,
)
from twisted_virtlog.logs.open_log import NOTHING, OpenLog
from twisted_virtlog.logs.packing.steps import FilesOfLog
from twisted_virtlog.logs.pipes.making import NewPipe, Pipes
from twisted_virtlog.logs.pipes.mover import Mover
from twisted_virtlog.logs.pipes.sources import GuestSource, PipeSource
from twisted_virtlog.logs.policy import (
    NO_BOUNDS,
    Explain,
    HostBounds,
    Policy,
    PolicyOf,
    unexplained,
)
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.concern import Concern
from twisted_virtlog.loop.guest_pipes import SLOW_SECONDS
from twisted_virtlog.loop.guest_watches import Watch
from twisted_virtlog.loop.slices import AT_ONCE, at_once, sorted_in_slices, timed
from twisted_virtlog.loop.threads import InThread
from twisted_virtlog.syscalls import pipe_number
from twisted_virtlog.values import (
    Closed,
    ConsumerStatus,
    Counts,
    Domain,
    Excerpt,
    KeptFile,
    Ledger,
    LogStatus,
    Opened,
    OpenedFile,
    OpenedFiles,
    PolicyWord,
    Position,
    Removed,
)

T = TypeVar("T")

#: Finds something about a log's files: by the path of the current one, the log's limits, who writes
#: it, what reaches them, and the paths of those that are held.
_Find: TypeAlias = "Callable[[str, Limits, Writer | None, LogDirectory, Sequence[str]], T]"

#: How long to wait at the end for pipes to be closed that guests still hold.
_CLOSE_SECONDS = 0.5

#: PATH_MAX of Linux, with the NUL at the end.
_PATH_MAX = 4096

#: So many logs are looked at before others are served, and are few enough to be looked at at once.
_LOGS_AT_ONCE = 32


def _all_go(files: Sequence[Found]) -> bool:
    return True


#: A thread that has been in one call for so long does not end soon.
HUNG_SECONDS = 1.0


class LogSettings(Struct, frozen=True):
    """What the configuration says of logs.

    :ivar policy_of: resolves the policy of each log.
    :ivar max_open_logs: 0 allows as many as there are descriptors.
    :ivar bounds: what all logs together may take up.
    :ivar roots: below which logs may be.
    :ivar explain: says what the policy of a log is, and why.
    :ivar holds: who consumes logs, and what may be held for them.
    """

    policy_of: PolicyOf
    max_open_logs: int = 0
    bounds: HostBounds = NO_BOUNDS
    roots: Roots = ANYWHERE
    explain: Explain = unexplained
    holds: HoldSettings = NO_HOLDS


class Surroundings(Protocol):
    """What a handler tells whoever has several, and asks of him.

    Called in the handler's thread.
    """

    def others(self) -> int:
        """Return how many logs are open in other threads."""

    def slow(self, path: str, real_path: str) -> None:
        """Take note that the file system of a log was slow to answer."""

    def pipe_locked(self, path: str) -> None:
        """Take note that a log's guest keeps its pipe locked."""

    def moved_away(self, path: str) -> None:
        """Take note that an open log's path leads to another file system than before."""

    def leads_away(self, real_path: str, file: int) -> bool | None:
        """Return whether a path leads to where this thread must not look; see Writer."""

    def given(self, descriptor: int) -> int:
        """Return the descriptor of a file for the reactor's thread, which owns it from now on."""

    def trim(self, path: str) -> bool:
        """Have the oldest backup of a log removed; see bounds.Elsewhere."""

    def refused(self) -> None:
        """Take note that a log may not grow; see bounds.Elsewhere."""

    def drop_held(self, path: str) -> bool:
        """Have the oldest held file of a log removed; see consumers.holding.Elsewhere."""


class Alone:
    """There is but one handler."""

    def others(self) -> int:
        """Return 0."""
        return 0

    def slow(self, path: str, real_path: str) -> None:
        """Do nothing."""

    def pipe_locked(self, path: str) -> None:
        """Do nothing."""

    def moved_away(self, path: str) -> None:
        """Do nothing."""

    def leads_away(self, real_path: str, file: int) -> bool | None:
        """Return None: it may look."""
        return None

    def given(self, descriptor: int) -> int:
        """Return the same."""
        return descriptor

    def trim(self, path: str) -> bool:
        """Return False: nobody else could."""
        return False

    def refused(self) -> None:
        """Do nothing."""

    def drop_held(self, path: str) -> bool:
        """Return False: nobody else could."""
        return False


_ALONE = Alone()


@implementer(ILogHandler)
class LogHandler:
    """All logs of a thread: those that are open, and what is asked of the others."""

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        in_thread: InThread,
        watch: Watch,
        pipes: Pipes,
        settings: LogSettings,
        keeper: Keeper = NO_KEEPER,
        in_slices: InSlices = at_once,
        lanes: Lanes | None = None,
        source: GuestSource | None = None,
        lane: str | None = None,
        known: Known | None = None,
        surroundings: Surroundings = _ALONE,
        observer: LogObserver = NO_OBSERVER,
        thread: LogThread = REACTOR_THREAD,
        accounts: Accounts | None = None,
        usage: Usage | None = None,
        consumers: Consumers | None = None,
        mover: Mover | None = None,
        served: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take over ``watch``, ``lanes``, ``source`` and ``mover``, which :meth:`close` closes.

        :param keeper: is told of each log that is opened and closed; begun by the caller.
        :param in_slices: does what is long by itself; by default without stopping.
        :param lanes: do what waits for a disk; by default ``in_thread`` does.
        :param source: takes bytes out of pipes; by default they go straight into the files.
        :param lane: the mount point of the file system whose thread this is; None in the reactor's.
        :param known: remembers logs; by default, those of this handler alone.
        :param observer: is told what happens to logs.
        :param thread: in which all this is.
        :param accounts: of all logs; by default, of those of this handler alone.
        :param usage: of all logs, of other handlers too; by default, of this one's alone.
        :param consumers: of all logs; by default, there are none.
        :param mover: moves what floods logs; None if this thread does.
        :param served: returns how many times clients were served.
        """
        self.watch = watch
        self.thread = thread
        self.keeper = keeper
        self.pipes = pipes
        self.source = source or PipeSource()
        self.lane = lane
        self.observer = observer
        self.accounts = accounts or Accounts()
        self._clock = clock
        self._in_thread = in_thread
        self._in_slices = in_slices
        self._lanes = lanes
        self._keep_attributes = Attributes()
        self._remove = Remover(in_thread, len(os.sched_getaffinity(0)), mover)
        self._settings = settings
        # By path as the caller spelled it and, where that differs, by the real path.
        self._logs: dict[str, OpenLog] = {}
        self._real: dict[str, OpenLog] = {}
        # By the real path, while something that takes long is done with a log.
        self._orders: dict[str, InOrder] = {}
        self._failing = FailingLogs(clock)
        self.limiting = Limiting(clock, self.source)
        self.flooding = Flooding(mover, clock, served)
        self._usage = Usage() if usage is None else usage
        # (otherwise whoever has several sets them)
        self._sets_usage = usage is None
        if self._sets_usage:
            self._usage.set(settings.bounds)
        # (otherwise whoever has several sets them, and knows what was before)
        self._sets_consumers = consumers is None
        self.consumers = consumers or Consumers()
        if self._sets_consumers:
            self.consumers.load(())
            self.consumers.settings = settings.holds
        self._holds = Holds(self.consumers, self._remove, self.directory_of, surroundings)
        self._bounds = Bounds(
            settings.bounds,
            self._usage,
            self._logs,
            clock.seconds,
            self._remove,
            self._is_known_by_itself,
            self.directory_of,
            surroundings,
            self._holds,
        )
        self._stopping = False
        self._at_limit = False
        self._ended_at = clock.seconds()
        #: Closed logs, too.
        self.known: Known = KnownLogs() if known is None else known
        self._surroundings = surroundings
        # The totals of logs that are closed.
        self._opened = 0
        self._written = 0
        self._lost = 0
        self._rollovers = 0

    # ILogHandler.

    def open(self, path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        try:
            opened = self._open(path, driver, domain, truncate)
        except LimitReached as error:
            self._reached(error, path)
            raise
        if isinstance(opened, Opened):
            # (to be told that it is no Deferred costs as much as a system call)
            self._at_limit = False
            return opened
        return opened.addCallbacks(self._opened_later, self._not_opened, errbackArgs=(path,))

    def _opened_later(self, opened: Opened) -> Opened:
        self._at_limit = False
        return opened

    def _not_opened(self, failure: Failure, path: str) -> Failure:
        if isinstance(failure.value, LimitReached):
            self._reached(failure.value, path)
        return failure

    def _reached(self, error: LimitReached, path: str) -> None:
        # Once, until there is room again: clients may try as often as they like.
        if not self._at_limit:
            self._at_limit = True
            self._logger.warn("{path}: not opened: {error}", path=path, error=error)

    def _open(
        self, path: str, driver: str, domain: Domain | None, truncate: bool
    ) -> Answer[Opened]:
        if self._stopping:
            raise ShuttingDown("the daemon is stopping and opens no more logs", path)
        if self._settings.roots:
            real_path = self._path_below_root(path, truncate)
        else:
            # A truncating open removes a link, so the log is not the one that the link leads to.
            own = truncate and os.path.islink(path)
            real_path = _own_path(path) if own else _real_path(path)
        holder = self._find(path, real_path)
        if holder is None and real_path not in self._orders:
            return self._open_new(path, real_path, driver, domain, truncate)
        if holder is not None and holder.order is None:
            # (at once, however much is in the pipe)
            self._check_free(holder, path, driver, domain)

        def open_in_turn(order: InOrder) -> Slices[Opened]:
            return self._open_in_turn(order, path, real_path, driver, domain, truncate)

        return self._in_turn(holder, real_path, open_in_turn)

    def _open_in_turn(
        self,
        order: InOrder,
        path: str,
        real_path: str,
        driver: str,
        domain: Domain | None,
        truncate: bool,
    ) -> Slices[Opened]:
        """Open a log that was open, or was just used, when that was asked for."""
        if self._stopping:
            raise ShuttingDown("the daemon is stopping and opens no more logs", path)
        holder = self._find(path, real_path)
        if holder is not None:
            order.occupy(holder)
            # The last guest may be gone already, and nobody has looked at its pipe since.
            if (yield from holder.end_if_hung_up()):
                holder = None
        if holder is not None:
            self._check_free(holder, path, driver, domain)
            if not truncate:
                return (yield from self._follow(holder, path, real_path, driver, domain))
        opened = self._open_new(path, real_path, driver, domain, truncate, holder)
        order.occupy(self._logs[path])
        return opened

    def _path_below_root(self, path: str, truncate: bool) -> str:
        """Return the path of a log that is to be opened, without links.

        :raises NotAllowed: it is not below a root; or it is a link, which a truncating open would
            remove.
        """
        roots = self._settings.roots
        roots.check(path)
        real_path = roots.real_path(path) or path
        if truncate:
            with contextlib.suppress(OSError):
                roots.check_links(path, roots.directory_of(real_path).lstat(real_path))
        return real_path

    def _check_free(self, holder: OpenLog, path: str, driver: str, domain: Domain | None) -> None:
        """Raise LogBusy if another guest may not have a log."""
        if not holder.may_be_followed(path, driver, domain):
            raise _busy(path, holder)

    def _open_new(
        self,
        path: str,
        real_path: str,
        driver: str,
        domain: Domain | None,
        truncate: bool,
        holder: OpenLog | None = None,
    ) -> Opened:
        """Open a log that is not open, or truncate it under its holder."""
        begun = self._clock.seconds()
        most = 0 if holder else self._settings.max_open_logs
        if most and len(self._logs) + self._surroundings.others() >= most:
            raise LimitReached(
                f"{most} logs are open, as many as max_open_logs allows", "max_open_logs", path
            )
        # What is to be undone if it fails, the last first; an ExitStack that is not needed costs as
        # much as to make the file.
        done: list[tuple[Callable[[Any], object], object]] = []
        try:
            policy = self._settings.policy_of(real_path, driver, domain)
            read_end, write_end, capacity = self._make_pipe(path, policy)
            # (the write end is closed first, and then the other end is closed at once)
            done += ((self.pipes.close, read_end), (os.close, write_end))
            # (a path without links is that of its file)
            is_file = real_path is path or (truncate and not self._settings.roots)
            file = path if is_file else self.file_of(path)
            # (a link is removed: what it leads to is another log's)
            keeps = truncate and policy.keep_on_truncate
            if keeps and not self._settings.roots:
                keeps = not os.path.islink(path)
            account = self.accounts.make()
            done.append((self.accounts.close, account))
            self.consumers.opened(real_path)
            writer = self._make_writer(file, real_path, policy, account, truncate and not keeps)
            done.append((Writer.close, writer))
            if keeps:
                writer.begin_anew()
            log = OpenLog(self, read_end, writer, policy, path, real_path, driver, domain, capacity)
            # (it was asked for its size just now)
            opened = Opened(writer.seen_end, write_end)
            try:
                log.start()
            except OSError as error:
                # A user's epoll sets watch a limited number (max_user_watches of epoll(7)).
                raise _failure(path, error) from error
        except BaseException:
            with contextlib.ExitStack() as undo:
                for call, argument in done:
                    undo.callback(call, argument)
            raise
        if self._clock.seconds() - begun > SLOW_SECONDS:
            self._surroundings.slow(path, real_path)
        if holder is not None:
            holder.give_up()
        self._remember(log)
        self.observer.opened(log, truncate and not keeps)
        self._opened += 1
        if self.keeper is not NO_KEEPER:
            self.keeper.opened(log.suspended())
        return opened

    def _follow(
        self, log: OpenLog, path: str, real_path: str, driver: str, domain: Domain | None
    ) -> Slices[Opened]:
        """Give a guest a log whose former guest left output that is not written yet."""
        if not log.writer.is_open:
            try:
                log.writer.reopen()
            except SystemFailure as failure:
                raise _limit_or(failure) from failure
        position = log.writer.position()
        policy = self._settings.policy_of(real_path, driver, domain)
        with contextlib.ExitStack() as undo:
            read_end, write_end, capacity = self._make_pipe(path, policy)
            undo.callback(self.pipes.close, read_end)
            undo.callback(os.close, write_end)
            before = (log.writer.written, log.lost, log.writer.rollovers)
            former = (log.path, log.real_path)
            try:
                log.follow(read_end, path, real_path, driver, domain, capacity)
            except OSError as error:
                raise _failure(path, error) from error
            undo.pop_all()
        self._count(*before)
        self._unlist(log, *former)
        self._remember(log)
        self._opened += 1
        if not log.former:
            self.observer.followed(log)
        try:
            yield from log.write_former()
        except BaseException:
            # (nobody hears of it, as the daemon ends)
            os.close(write_end)
            raise
        # (the configuration may have changed meanwhile)
        log.set_policy(self._settings.policy_of(log.real_path, driver, domain))
        self._bind(log)
        with contextlib.suppress(SystemFailure):
            position = log.writer.position()
        return Opened(position, write_end)

    def close_log(self, path: str) -> Answer[Closed]:
        log = self._open_log(path)

        def close(order: InOrder) -> Slices[Closed]:
            return (yield from self._occupied(path, order).end_by_force())

        return self._in_turn(log, log.real_path, close)

    def position(self, path: str) -> Answer[Position]:
        log = self._logs.get(path)
        if log is None:
            log = self._open_log(path)
        position = log.position()
        # (a function of its own has the variables that another one keeps, which cost as well)
        return self._position_later(log, path) if position is None else position

    def _position_later(self, log: OpenLog, path: str) -> Answer[Position]:
        mark = log.mark()

        def ask(order: InOrder) -> Slices[Position]:
            return (yield from self._occupied(path, order).position_in_slices(mark))

        return self._in_turn(log, log.real_path, ask)

    def read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        return self._drained(path, lambda: self._read(path, position, max_bytes))

    def kept_files(self, path: str) -> Answer[Sequence[KeptFile]]:
        return self._drained(path, lambda: self._kept_files(path))

    def _kept_files(self, path: str) -> Sequence[KeptFile]:
        return self._of_files(path, inventory)

    def files(self, path: str, start: Position | None) -> Answer[OpenedFiles]:
        def find(
            file: str,
            limits: Limits,
            writer: Writer | None,
            directory: LogDirectory,
            held: Sequence[str],
        ) -> OpenedFiles:
            found = opened(file, limits, start, writer, directory, held)
            given = self._surroundings.given
            files = [OpenedFile(one.kept, given(one.descriptor)) for one in found.files]
            return OpenedFiles(tuple(files), found.more)

        return self._drained(path, lambda: self._of_files(path, find))

    def _of_files(self, path: str, find: _Find[T]) -> T:
        """Return what is found of a log's files, by where they are and who writes them."""
        log = self._find(path)
        if log is not None:
            file, directory, writer = log.writer.path, log.writer.directory, log.writer
        else:
            file, writer = self.file_of(path), None
            directory = self.directory_of(file)
        policy = self._policy_of_closed(path) if log is None else log.policy
        held = () if writer is not None else self.held_names(self.real_path_of(path), file)
        try:
            return find(file, policy.limits, writer, directory, held)
        except SystemFailure as failure:
            raise _limit_or(failure) from failure

    def _drained(self, path: str, ask: Callable[[], Answer[T]]) -> Answer[T]:
        """Ask for something about a log's files once they have what its pipe holds now."""
        log = self._find(path)
        if log is not None:
            # What cannot be written cannot be read; the rest can.
            with contextlib.suppress(NotWritten):
                if not log.drain():
                    return self._drain_and_ask(log, path, ask)
        return ask()

    def _drain_and_ask(self, log: OpenLog, path: str, ask: Callable[[], Answer[T]]) -> Answer[T]:
        mark = log.mark()

        def drain(order: InOrder) -> Slices[None]:
            with contextlib.suppress(NotWritten, NoSuchLog):
                yield from self._occupied(path, order).drain_in_slices(mark)

        drained = self._in_turn(log, log.real_path, drain)
        if isinstance(drained, Deferred):
            later: Deferred[T] = drained.addCallback(lambda _: ask())
            return later
        return ask()

    def _read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        log = self._find(path)
        file = self.file_of(path) if log is None else log.writer.path
        writer = None if log is None else log.writer
        policy = self._policy_of_closed(path) if log is None else log.policy
        held = () if log is not None else self.held_names(self.real_path_of(path), file)
        if writer is not None:
            found = read_at_once(file, policy.limits, position, max_bytes, writer)
            if found is not None:
                return found
        try:
            reading = Reading(file, policy.limits, position, writer, self.directory_of(file), held)
        except SystemFailure as failure:
            raise _limit_or(failure) from failure
        try:
            if reading.is_short(max_bytes):
                excerpt: Answer[Excerpt] = reading.read_cached(max_bytes)
            else:
                excerpt = self._in_slices(reading.read_in_slices(max_bytes))
        except WouldBlock:
            return self._read_blocking(reading, file, max_bytes)
        except BaseException:
            reading.close()
            raise
        if isinstance(excerpt, Deferred):
            return excerpt.addCallbacks(
                _closing(reading), lambda failure: self._read_on(failure, reading, file, max_bytes)
            )
        reading.close()
        return excerpt

    def _read_on(
        self, failure: Failure, reading: Reading, file: str, max_bytes: int
    ) -> Failure | Deferred[Excerpt]:
        """Begin anew in a thread, if a part of what is wanted is not in memory."""
        if failure.check(WouldBlock) is None:
            reading.close()
            return failure
        return self._read_blocking(reading, file, max_bytes)

    def _read_blocking(self, reading: Reading, file: str, max_bytes: int) -> Deferred[Excerpt]:
        """Read in a thread, which also closes the files: that may wait as well."""
        call = partial(reading.read_and_close, max_bytes)
        if self._lanes is None:
            return self._in_thread(call)
        action = f"Unable to read from file {file}"
        return self._lanes.call(reading.device, file, action, call, release=reading.close)

    def append(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Answer[Position]:
        log = self._find(path)
        if log is not None:
            position = log.append(message)
            if position is not None:
                return position
        mark = NOTHING if log is None else log.mark()
        real_path = self.real_path_of(path) if log is None else log.real_path

        def append(order: InOrder) -> Slices[Position]:
            log = self._find(path)
            if log is None:
                return (yield from self._append_to_file(path, message, driver, domain))
            order.occupy(log)
            return (yield from log.append_in_slices(message, mark))

        return self._in_turn(log, real_path, append)

    def _append_to_file(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Slices[Position]:
        """Append to a log that is not open."""
        self._settings.roots.check(path)
        file, real_path = self.file_of(path), self.real_path_of(path)
        opener = self.known.opener(real_path)
        if opener == NOBODY:
            opener = Opener(driver, domain)
        account = self.accounts.make()
        try:
            policy = self._settings.policy_of(real_path, *opener)
            writer = self._make_writer(file, real_path, policy, account)
            self._holds.attach(writer, real_path)
        except BaseException:
            self.accounts.close(account)
            raise
        try:
            self._bounds.bind(writer, real_path, opener.domain, policy)
            self.observer.appending(real_path, writer)
            try:
                yield from writer.append_in_slices(message)
                position = writer.position()
            except BaseException as error:
                self.observer.not_appended(real_path, writer)
                if isinstance(error, BoundReached):
                    raise _not_appended(error) from error
                raise
            self.known.add(real_path, opener)
            self.observer.appended(real_path, writer, driver, domain)
            return position
        finally:
            self._count(writer.written, 0, writer.rollovers)
            self._bounds.unbind(writer)
            self._holds.detach(writer, real_path)
            writer.close()
            self.accounts.close(account)

    def remove(self, path: str) -> Answer[Removed]:
        log = self._find(path)
        real_path = self.real_path_of(path) if log is None else log.real_path
        self._settings.roots.check(real_path)

        def remove(order: InOrder) -> Slices[Removed]:
            log = self._find(path, real_path)
            if log is not None:
                order.occupy(log)
                # The last guest may be gone already, and nobody has looked at its pipe since.
                if not (yield from log.end_if_hung_up()):
                    raise _busy(path, log)
            if real_path not in self.known:
                raise NoSuchLog(f"the daemon knows no log {path}", path)
            return (yield from self._remove_files(real_path)) or Removed()

        return self._in_turn(log, real_path, remove)

    def with_files(self, path: str, do: Callable[[FilesOfLog], T]) -> Answer[T]:
        """Do something short with the files of a log when nothing else is done with it.

        :param path: without symbolic links; where there are some by now, nothing is found.
        """
        log = self._find(path)

        def work() -> Slices[T]:
            yield
            return do(self._files_of_log(path, self._find(path, path)))

        return self._in_turn(log, path if log is None else log.real_path, _whatever(work()))

    def _files_of_log(self, path: str, log: OpenLog | None) -> FilesOfLog:
        writer = None if log is None else log.writer
        file = path if writer is None else writer.path
        policy = self._policy_of_closed(path) if log is None else log.policy
        if log is None and self.real_path_of(path) != path:
            policy = msgspec.structs.replace(policy, pack_from=None)
        return FilesOfLog(
            file,
            self.directory_of(file) if writer is None else writer.directory,
            policy,
            writer,
            self._remove,
            self._keep_attributes,
            lambda: self._bounds.changed(path, writer),
        )

    def end_with_files(self, close: Callable[[], None]) -> None:
        """Close files where nobody waits for that."""
        self._in_thread(close)

    def remove_unused(
        self, path: str, may_go: Callable[[Sequence[Found]], bool]
    ) -> Answer[Removed | None]:
        """Remove all files of a log that nobody uses, and forget it.

        :param path: without symbolic links; if there are some by now, it is another log's.
        :param may_go: asked when nothing else is done with the log, about its files, oldest first.
        :returns: None if the log is open, or may not go.
        :raises SystemFailure: a file cannot be removed; older ones are.
        """

        def remove(order: InOrder) -> Slices[Removed | None]:
            if self._find(path, path) is not None or _real_path(path) != path:
                return None
            return (yield from self._remove_files(path, may_go))

        return None if self.has_open(path) else self._in_turn(None, path, remove)

    def _remove_files(
        self, real_path: str, may_go: Callable[[Sequence[Found]], bool] = _all_go
    ) -> Slices[Removed | None]:
        """Remove the files of a log that is not open, and forget it, if they may go."""
        removed = Removed()
        directory_path, name = os.path.split(real_path)
        try:
            with contextlib.closing(Directory(directory_path)) as directory:
                found = self._holds.held(real_path, real_path, self.directory_of(real_path))
                held = [one.number for one in found]
                files = directory.files_of(name, self._is_known_by_itself, held)
                if not may_go(files):
                    return None
                for one in files:
                    self._remove(one.name, directory)
                    removed += Removed(1, one.size)
                    yield
        except FileNotFoundError:
            # (its directory is gone)
            if not may_go(()):
                return None
        except OSError as error:
            action = f"Unable to remove the files of {real_path}"
            raise SystemFailure(action, error.errno or errno.EIO, real_path) from error
        self.known.discard(real_path)
        self._bounds.forget(real_path)
        self._holds.forget(real_path)
        self.observer.removed(real_path)
        return removed

    def _is_known_by_itself(self, path: str) -> bool:
        """Return whether a file that is called as a backup is another log, open or not."""
        return self.has(path) or path in self.known

    # For consumers; see consumers.holding.

    def held_names(self, real_path: str, file: str) -> Sequence[str]:
        """Return the paths of the held files of a log that is not open, the newest first.

        :param real_path: of the log, and ``file`` that of its current file.
        """
        return self._holds.names(real_path, file, self.directory_of(file))

    def acknowledge(self, path: str, consumer: str, position: Position, at: datetime) -> None:
        """Take note that a consumer has read a log up to a position; it never goes back.

        :param at: an aware time.
        """
        file, real_path, policy, writer = self._consumed(path)
        self._holds.acknowledge(real_path, file, policy.limits, writer, consumer, position, at)

    def forget_consumer(self, path: str, consumer: str) -> None:
        """Forget what a consumer has of a log; its holds end."""
        _, real_path, _, _ = self._consumed(path)
        log = self.consumers.of(real_path)
        if log is not None:
            self.consumers.forget(log, consumer)
        self.settle(path)

    def settle(self, path: str) -> None:
        """Remove the held files of a log that nobody has yet to read."""
        file, real_path, policy, writer = self._consumed(path)
        if writer is None or not writer.hole:
            self._holds.settle(real_path, file, policy.hold, policy.limits)

    def drop_held(self, path: str) -> bool:
        """Remove the oldest held file of a log, if those of all take up more than they may.

        :returns: whether that is done.
        """
        _, real_path, _, _ = self._consumed(path)
        return self.consumers.over() and self._holds.drop(real_path)

    def consumed(self, path: str, now: datetime) -> Sequence[ConsumerStatus]:
        """Return what each consumer has of a log.

        :param now: an aware time.
        """
        file, real_path, policy, writer = self._consumed(path)
        return self._holds.status(real_path, file, policy.limits, writer, now)

    def _consumed(self, path: str) -> tuple[str, str, Policy, Writer | None]:
        """Return where a log is, how it is kept, and who writes it."""
        log = self._find(path)
        if log is not None:
            return log.writer.path, log.real_path, log.policy, log.writer
        file = self.file_of(path)
        return file, self.real_path_of(path), self._policy_of_closed(path), None

    def settle_all(self) -> None:
        """Do the same for all logs that are open, in slices: what consumers have is known now."""
        self._in_slices(self._with_each(self._settle_open))

    def _settle_open(self, log: OpenLog) -> None:
        """Let a log be held for whom it is to be held now, and for nobody else."""
        writer = log.writer
        writer.holding = self._holds.of(log.real_path, log.policy.hold)
        self._holds.attach(writer, log.real_path)
        if not writer.hole and writer.is_open:
            self._holds.settle(log.real_path, writer.path, log.policy.hold, log.policy.limits)

    def logs(self) -> Answer[Sequence[LogStatus]]:
        logs = self._logs
        if len(logs) <= _LOGS_AT_ONCE:
            return [logs[path].status() for path in sorted(logs)]
        return self._in_slices(self._look_at_all())

    def _look_at_all(self) -> Generator[None, None, Sequence[LogStatus]]:
        """Look at each log that is open now and still is when its turn comes; sort by path."""
        logs, opened = self._logs, self._opened
        paths = yield from sorted_in_slices(list(logs))
        found: dict[OpenLog, LogStatus] = {}
        for number, path in enumerate(paths, 1):
            log = logs.get(path)
            if log is not None:
                found[log] = log.status()
            if not number % _LOGS_AT_ONCE:
                yield
        if self._opened == opened:
            return list(found.values())
        # Some were opened since, perhaps in place of one that was open before: by another guest, or
        # truncated, and by another path that leads to the same file.
        before = set(paths)
        new = [
            log
            for path, log in logs.items()
            if path not in before or log not in found or found[log].path != path
        ]
        files = {log.real_path for log in new}
        by_path: dict[str, LogStatus] = {}
        for number, (log, status) in enumerate(found.items(), 1):
            is_listed = logs.get(status.path) is log
            if is_listed or (log.path == status.path and log.real_path not in files):
                by_path[status.path] = status
            if not number % AT_ONCE:
                yield
        for log in new:
            if logs.get(log.path) is log:
                by_path[log.path] = log.status()
        paths = yield from sorted_in_slices(list(by_path))
        return [by_path[path] for path in paths]

    # What takes long.

    def _in_turn(
        self, log: OpenLog | None, real_path: str, work: Callable[[InOrder], Slices[T]]
    ) -> Answer[T]:
        """Do something that may take long, after what is done with the same log.

        :param log: None if it is not open.
        """
        order = (log and log.order) or self._orders.get(real_path)
        if order is None:
            order = self._begin_order(real_path)
        path = real_path
        if log is not None:
            order.occupy(log)
            path = log.path
        slow = partial(self._surroundings.slow, path, real_path)
        return order.do(timed(work(order), SLOW_SECONDS, slow))

    def log_floods(self, log: OpenLog) -> None:
        real_path, flooding = log.real_path, self.flooding
        if real_path in self._orders or not flooding.may_lend(log):
            return
        order = self._begin_order(real_path, partial(flooding.want_back, log))
        order.occupy(log)
        flooding.lend(log, order)

    def _begin_order(self, real_path: str, wanted: Callable[[], object] | None = None) -> InOrder:
        """Return what does one thing with a log after the other from now on, until it ends.

        :param wanted: see InOrder.
        """

        def end() -> None:
            del self._orders[real_path]

        order = self._orders[real_path] = InOrder(self._in_slices, end, wanted)
        return order

    def _occupied(self, path: str, order: InOrder) -> OpenLog:
        """Return the log for which something has its turn; it may be another than at the call.

        :raises NoSuchLog: it is open no more.
        """
        log = self._open_log(path)
        order.occupy(log)
        return log

    def real_path(self, path: str) -> str:
        """Return the path of a log without symbolic links."""
        log = self._find(path)
        return self.real_path_of(path) if log is None else log.real_path

    def policy(self, path: str) -> Answer[Mapping[str, PolicyWord]]:
        return self.policy_at(self.real_path(path))

    def policy_at(self, real_path: str) -> Mapping[str, PolicyWord]:
        """Return the same, by the path without symbolic links; asks no file."""
        return self._settings.explain(real_path, *self.known.opener(real_path))

    def is_known(self, path: str) -> bool:
        log = self._logs.get(path)
        real_path = self.real_path_of(path) if log is None else log.real_path
        roots = self._settings.roots
        if roots and roots.real_path(real_path) is None:
            return False
        return log is not None or real_path in self.known or self._find(path) is not None

    def ledger(self, path: str | None) -> Answer[Ledger]:
        if path is not None:
            return self._open_log(path).ledger()
        return self._in_slices(self._ledger_of_all())

    def _ledger_of_all(self) -> Generator[None, None, Ledger]:
        # (what is moved between two sums would be in neither)
        self.flooding.settle_all(LEDGER_SECONDS)
        sums = yield from summed(self.accounts)
        found = msgspec.structs.replace(
            self.accounts.ledger(sums), unread=self.consumers.unread_of_all()
        )
        return (yield from self._with_open_logs(found))

    def with_open_logs(self, found: Ledger) -> Answer[Ledger]:
        """Add what waits in the open logs of this thread, and what is in their files.

        :param found: what is counted of all.
        """
        return self._in_slices(self._with_open_logs(found))

    def _with_open_logs(self, found: Ledger) -> Generator[None, None, Ledger]:
        for number, path in enumerate(list(self._logs), 1):
            log = self._logs.get(path)
            if log is not None:
                found = found.with_files_of(log.ledger())
            if not number % _LOGS_AT_ONCE:
                yield
        return found

    def counts(self) -> Counts:
        logs = self._logs.values()
        written, lost, rollovers = self._written, self._lost, self._rollovers
        # (one loop, which takes half a millisecond with ten thousand logs)
        for log in logs:
            writer = log.writer
            written += writer.written
            lost += log.lost
            rollovers += writer.rollovers
        return Counts(
            open_logs=len(logs),
            failing_logs=len(self._failing),
            opened_logs=self._opened,
            bytes_written=written,
            bytes_lost=lost,
            rollovers=rollovers,
            known_logs=len(self.known),
        )

    # For those who follow logs.

    def log_of(self, path: str) -> OpenLog | None:
        """Return the log that a path leads to, if it is open."""
        return self._find(path)

    def real_path_of(self, path: str) -> str:
        """Resolve all symbolic links in a path."""
        roots = self._settings.roots
        # (below a root there are none, and elsewhere nothing is looked at)
        return (roots.real_path(path) or path) if roots else _real_path(path)

    def file_of(self, path: str) -> str:
        """Return the path of a log's current file."""
        return self.real_path_of(path) if self._settings.roots else link_target(path)

    def directory_of(self, file: str) -> LogDirectory:
        """Return what reaches the files of a log that is not open.

        :param file: the path of its current file.
        """
        return self._settings.roots.directory_of(file)

    def limits_of(self, file: str) -> Limits:
        """Return the limits of a log that is not open, by the path of its current file."""
        return self._policy_of_closed(file).limits

    def call_blocking(
        self, file: int, path: str, call: Callable[[], T], release: Callable[[], object]
    ) -> Deferred[T]:
        """Call in a thread what may wait for a disk.

        :param file: a descriptor of the file that is read, and ``path`` for messages.
        :param release: is called in its place if it is given up before it began.
        """
        if self._lanes is None:
            return self._in_thread(call)
        action = f"Unable to read from file {path}"
        return self._lanes.call(os.fstat(file).st_dev, path, action, call, release)

    # For the service.

    @property
    def idle_since(self) -> float | None:
        """When the last open log was closed, by the handler's clock; None while one is open."""
        return None if self._logs else self._ended_at

    @property
    def settings(self) -> LogSettings:
        """Those that hold for the open logs."""
        return self._settings

    def has(self, path: str) -> bool:
        """Return whether a log is open by this name, or something is under way about it."""
        return self.has_open(path) or path in self._orders

    def has_open(self, path: str) -> bool:
        """Return whether a log is open by this name, or has this real path; asks no file."""
        return path in self._logs or path in self._real

    def open_logs(self) -> Sequence[OpenLog]:
        """Return the open logs."""
        return list(self._logs.values())

    def reload(self, settings: LogSettings, pipe_size: int) -> None:
        """Apply other settings, to open logs too.

        :param pipe_size: of pipes that are made from now on, in bytes.
        """
        self._settings = settings
        self.pipes.set_size(pipe_size)
        if self._sets_usage:
            self._usage.set(settings.bounds)
        if self._sets_consumers:
            self.consumers.settings = settings.holds
        self._bounds.set(settings.bounds)
        # (to resolve the policies of ten thousand logs takes longer than a share of time)
        self._in_slices(self._with_each(self._apply))

    def _apply(self, log: OpenLog) -> None:
        """Apply the settings of the moment to an open log."""
        settings, writer = self._settings, log.writer
        log.set_policy(settings.policy_of(log.real_path, log.driver, log.domain))
        former = writer.directory
        writer.directory = self._directory_of_open(writer.path, log.real_path, former)
        # (those that an earlier configuration left were not looked for)
        writer.may_be_packed |= writer.directory.has_packed and not former.has_packed
        self._bind(log)
        self._settle_open(log)

    def look_at_files(self) -> None:
        """Look what the files of open logs take up, in slices, if that is to be known.

        The bounds of the moment hold for each from then on.
        """
        self._in_slices(self._with_each(self._bind))

    def _with_each(self, do: Callable[[OpenLog], object]) -> Slices[None]:
        """Do something with each log that is open now, and still is when its turn comes."""
        for number, log in enumerate(self.open_logs(), 1):
            if self._logs.get(log.path) is log:
                do(log)
            if not number % _LOGS_AT_ONCE:
                yield

    def _directory_of_open(
        self, file: str, real_path: str, present: LogDirectory = BY_PATH
    ) -> LogDirectory:
        """Return what reaches the files of a log that is open, below a root or not.

        One that is not goes on as it is, until it is closed.

        :param present: what reaches them now.
        """
        roots = self._settings.roots
        if not roots:
            return roots.directory_of(real_path)
        if roots.real_path(real_path) is None or not _is_same_name(file, real_path):
            return present
        return roots.directory_of(real_path)

    def suspended(self) -> tuple[OpenLogState, ...]:
        """Return what the daemon's next image needs to go on with the open logs."""
        self.flooding.take_all_back()
        for log in self._logs.values():
            log.finish_chunk()
        return self.snapshot()

    def snapshot(self) -> tuple[OpenLogState, ...]:
        """Return the same as :meth:`suspended`, without a touch of pipes and files."""
        found: list[OpenLogState] = []
        for log in self.open_logs():
            found += [*log.suspended_former(), log.suspended()]
        return tuple(found)

    def pause(self) -> None:
        """Close all files, until :meth:`go_on`; nothing may be asked meanwhile."""
        self.flooding.take_all_back()
        self.observer.paused()
        for log in self.open_logs():
            log.let_go_of_file()
        placeholders().release_all()

    def go_on(self) -> None:
        """Open the files again."""
        for log in self.open_logs():
            log.take_file()

    def leave(self, path: str) -> OpenLogState | None:
        """Let a log go, which another thread goes on with.

        :param path: by which it was opened.
        :returns: what :meth:`adopt` takes; None if it is not open, or something is under way.
        """
        log = self._logs.get(path)
        if log is None:
            return None
        self.flooding.keep(log)
        if log.real_path in self._orders or not log.may_leave:
            return None
        self._failing.discard(log)
        self.limiting.discard(log)
        self._let_go(log)
        state = log.leave()
        self.flooding.forget(log)
        self._unlist(log, log.path, log.real_path)
        return state

    def trim(self, path: str) -> bool:
        """Remove the oldest backup of a log, as its guest needs room for another one.

        :param path: of the log, without symbolic links.
        :returns: whether that is done.
        """
        log = self._real.get(path) or self._logs.get(path)
        # (if there are links by now, it is another log's)
        if log is None and (path in self._orders or self.real_path_of(path) != path):
            return False
        return self._bounds.trim(path, None if log is None else log.writer)

    def interrupted(self, path: str, failure: SystemFailure, since: datetime | None) -> None:
        """Let a log fail, if bytes of it were dropped while its file did not answer.

        :param since: when the first of them was dropped, if that is known.
        """
        log = self._logs.get(path)
        if log is not None:
            log.interrupted(failure, since)

    def abandon_all(self) -> None:
        """Close what :meth:`close` does, and write nothing: the pipes were given up."""
        self._failing.close()
        self.limiting.close()
        for log in self.open_logs():
            log.abandon()
        self.flooding.close()
        self.watch.close()
        self.source.close()

    def abandon(self, path: str, opened: Opened, truncated: bool) -> None:
        """End a log that was opened for somebody who does not wait any more.

        :param truncated: whether its files were removed for that.
        """
        self._logger.warn(
            "{path}: opened when nobody waited for it any more, and closed again{more}",
            path=path,
            more="; what was in its files is removed, as was asked for" if truncated else "",
        )
        os.close(opened.write_end)
        log = self._logs.get(path)
        if log is not None:
            log.pipe_ready()

    def hung(self) -> Sequence[str]:
        """Return why threads do not end, in words: pipes that stay locked, and file systems."""
        found: list[str] = []
        unclosed = self.pipes.unclosed()
        if unclosed:
            pipes = " ".join(f"pipe:[{number}]" for number in unclosed)
            found.append(
                f"{pipes} cannot be closed, as processes that hold the write ends keep them locked"
            )
        if self.flooding.stuck_seconds() >= HUNG_SECONDS:
            found.append("the thread that moves what floods a log waits")
        lanes = () if self._lanes is None else self._lanes.busy_for(HUNG_SECONDS)
        return [*found, *(f"the file system at {name} does not answer" for name in lanes)]

    def totals(self) -> Totals:
        """Return what was counted for logs that are closed."""
        return Totals(self._opened, self._written, self._lost, self._rollovers)

    def add_totals(self, totals: Totals) -> None:
        """Count on from where the daemon's former image stopped."""
        self._opened += totals.opened_logs
        self._count(totals.bytes_written, totals.bytes_lost, totals.rollovers)

    def adopt(self, state: OpenLogState, former: Sequence[OpenLogState] = ()) -> None:
        """Go on with a log whose pipe was taken over, even if its file fails.

        :param former: the pipes of the log's former guests, oldest first.
        :raises SystemFailure: the descriptor is not a pipe, or cannot be watched; the pipes in
            ``former`` are untouched.
        :raises UnsupportedBackups: ``max_backups`` is over 32; likewise.
        """
        pipe, path, details = state.pipe, state.log, state.details
        file = self.file_of(path) if details is None else details.file
        real_path = self.real_path_of(path) if details is None else details.real_path
        directory = self._directory_of_open(file, real_path)
        if self._settings.roots and directory is BY_PATH:
            self._logger.warn(
                "{path}: this log is open, though it is not below log_roots, and goes on until it"
                " is closed",
                path=path,
            )
        try:
            os.set_blocking(pipe, False)
            capacity = self.pipes.adopt(pipe, details.capacity if details else 0)
            steps_left = details.steps_left if details else 0
            policy = self._settings.policy_of(real_path, state.driver, state.domain)
            pipes = (one.pipe for one in (state, *reversed(former)))
            writer = Writer(
                file,
                policy.limits,
                steps_left=steps_left,
                remove=self._remove,
                keep_attributes=self._keep_attributes,
                account=self.accounts.adopt(map(pipe_number, pipes)),
                directory=directory,
                holding=self._holds.of(real_path, policy.hold),
            )
            log = OpenLog(
                self, pipe, writer, policy, path, real_path, state.driver, state.domain, capacity
            )
            formers = self._adopt_former(former, log.opened_at)
            if details is not None and details.staged is not None:
                self.source.adopt(pipe, details.staged)
            log.resume(details, formers)
        except OSError as error:
            with contextlib.suppress(OSError):
                self.pipes.close(pipe)
            raise _failure(path, error) from error
        except UnsupportedBackups:
            self.pipes.close(pipe)
            raise
        self._remember(log)
        self.observer.adopted(log)

    def _adopt_former(
        self, states: Sequence[OpenLogState], opened_at: datetime
    ) -> Sequence[FormerPipe]:
        found: list[FormerPipe] = []
        for state in states:
            try:
                staged = state.details.staged if state.details else None
                if staged is not None:
                    self.source.adopt(state.pipe, staged)
                found.append(resumed(state, len(found), opened_at, self.source.staged(state.pipe)))
                self.pipes.adopt(state.pipe, 0)
            except OSError as error:
                with contextlib.suppress(OSError):
                    self.pipes.close(state.pipe)
                self._logger.error(
                    "{path}: the pipe of a former guest cannot be taken over: {error}",
                    path=state.log,
                    error=error,
                )
        return tuple(found)

    def write_former(self) -> None:
        """Write what the former guests of logs that were taken over left in their pipes."""
        for log in list(self._logs.values()):
            if log.former:
                self.log_in_order(log, log.write_former())

    def restore(self, state: OpenLogState, former: Sequence[OpenLogState] = ()) -> None:
        """Go on with a log of a daemon that was killed, perhaps in the middle of a rollover.

        :raises SystemFailure: as :meth:`adopt`.
        :raises UnsupportedBackups: as :meth:`adopt`.
        """
        if state.details is not None:
            file, files = state.details.file, state.details.files
            real_path = state.details.real_path
            policy = self._settings.policy_of(real_path, state.driver, state.domain)
            directory = self._directory_of_open(file, real_path)
            steps = interrupted_rollover(file, policy.limits, directory)
            if files is not None:
                # The rest may be older than the last rollovers.
                files = FilesState(files.cuts, files.gaps)
            rate = state.details.rate
            if rate is not None and policy.rate is not None:
                # (the rest may be of an opening long before)
                tokens = min(rate.tokens, policy.rate.burst)
                rate = msgspec.structs.replace(rate, tokens=tokens)
            details = msgspec.structs.replace(
                state.details, steps_left=steps, files=files, rate=rate
            )
            state = msgspec.structs.replace(state, details=details)
        self.adopt(state, former)

    def refuse_opens(self) -> None:
        """Open no more logs: the daemon is stopping."""
        self._stopping = True

    def finish(self) -> Deferred[None]:
        """Write what is in the pipes, and close all logs, while others are served.

        :returns: fires when all is written.
        """
        self.refuse_opens()
        return Deferred.fromCoroutine(self._finish_all())

    async def _finish_all(self) -> None:
        begun = self._in_slices(self._finish())
        for later in await begun if isinstance(begun, Deferred) else begun:
            await later

    def _finish(self) -> Slices[list[Deferred[None]]]:
        """Begin to finish all logs; return what fires when one is finished."""
        found: list[Answer[None]] = []
        for log in list(self._logs.values()):
            if self._logs.get(log.path) is log:
                work = _if_open(self._finish_log(log))
                found.append(self._in_turn(log, log.real_path, _whatever(work)))
            yield
        # (messages are appended to logs that are not open, too)
        found += [order.do(_nothing()) for order in list(self._orders.values())]
        return [later for later in found if isinstance(later, Deferred)]

    def _finish_log(self, log: OpenLog) -> Slices[None]:
        if self._logs.get(log.path) is log:
            yield from log.finish()
            self._close_log(log)

    def _close_log(self, log: OpenLog) -> None:
        try:
            log.close()
        except Exception:  # noqa: BLE001 (the other logs are still to be written)
            self._logger.failure("{path}: the log could not be closed", path=log.path)
        self._forget(log)

    def close(self) -> None:
        """Write what is in the pipes, and close all logs and the handler's own descriptors."""
        self.refuse_opens()
        self._failing.close()
        self.limiting.close()
        for log in list(self._logs.values()):
            self._close_log(log)
        self.flooding.close()
        unclosed = self.pipes.finish(_CLOSE_SECONDS)
        if unclosed:
            self._logger.warn(
                "{pipes} cannot be closed, as processes that hold the write ends keep them"
                " locked: this process does not end before they do",
                pipes=" ".join(f"pipe:[{number}]" for number in unclosed),
            )
        self.watch.close()
        if self._lanes is not None:
            self._lanes.close()
        self.source.close()

    def concern(self, names: Mapping[str, object]) -> Concern:
        """See loop.concern.Concerned."""
        path, real_path = names.get("path"), names.get("real_path")
        if not isinstance(path, str):
            return Concern()
        if not isinstance(real_path, str):
            log = self._logs.get(path)
            real_path = None if log is None else log.real_path
        return Concern(path, real_path)

    # For open logs: open_log.Owner.

    def seconds(self) -> float:
        return self._clock.seconds()

    def log_failing(self, log: OpenLog) -> None:
        self._failing.add(log)

    def log_recovered(self, log: OpenLog) -> None:
        self._failing.discard(log)

    def log_ended(self, log: OpenLog) -> None:
        if self.keeper is not NO_KEEPER:
            for number in log.numbers():
                self.keeper.closed(number)
        self._let_go(log)
        self._forget(log)

    def log_slow(self, log: OpenLog) -> None:
        self._surroundings.slow(log.path, log.real_path)

    def log_locked(self, log: OpenLog) -> None:
        self._surroundings.pipe_locked(log.path)

    def log_moved_away(self, log: OpenLog) -> None:
        self._surroundings.moved_away(log.path)

    def log_leads_away(self, log: OpenLog, file: int) -> bool | None:
        return self._surroundings.leads_away(log.real_path, file)

    def log_in_order(self, log: OpenLog, work: Slices[None]) -> None:
        self._in_turn(log, log.real_path, _whatever(_if_open(work)))

    def _forget(self, log: OpenLog) -> None:
        self._failing.discard(log)
        self.limiting.discard(log)
        self.flooding.forget(log)
        self._ended_at = self._clock.seconds()
        self._unlist(log, log.path, log.real_path)
        self._count(log.writer.written, log.lost, log.writer.rollovers)

    def _bind(self, log: OpenLog) -> None:
        self._holds.attach(log.writer, log.real_path)
        self._bounds.bind(log.writer, log.real_path, log.domain, log.policy)

    def _let_go(self, log: OpenLog) -> None:
        """Write a log no more, whose file is still open."""
        self._bounds.unbind(log.writer)
        self._holds.detach(log.writer, log.real_path)

    def _remember(self, log: OpenLog) -> None:
        self._bind(log)
        self._logs[log.path] = log
        self.known.add(log.real_path, Opener(log.driver, log.domain))
        if log.real_path != log.path:
            # virtlogd may have opened one file by two names.
            self._real.setdefault(log.real_path, log)

    def _unlist(self, log: OpenLog, path: str, real_path: str) -> None:
        del self._logs[path]
        if self._real.get(real_path) is log:
            del self._real[real_path]

    def _count(self, written: int, lost: int, rollovers: int) -> None:
        self._written += written
        self._lost += lost
        self._rollovers += rollovers

    def _find(self, path: str, real_path: str | None = None) -> OpenLog | None:
        log = self._logs.get(path)
        if log is None and self._logs:
            real_path = real_path or self.real_path_of(path)
            log = self._real.get(real_path) or self._logs.get(real_path)
        return log

    def _open_log(self, path: str) -> OpenLog:
        log = self._logs.get(path) or self._find(path)
        if log is None:
            raise NoSuchLog(f"No open log file {path}", path)
        return log

    def _policy_of_closed(self, path: str) -> Policy:
        """Return the policy of a log that is not open: that of its last opening, where known."""
        real_path = self.real_path_of(path)
        return self._settings.policy_of(real_path, *self.known.opener(real_path))

    def _make_pipe(self, path: str, policy: Policy) -> NewPipe:
        try:
            return self.pipes.make(policy.pipe_size)
        except OSError as error:
            raise _limit_or(_failure(path, error)) from error

    def _make_writer(
        self, file: str, real_path: str, policy: Policy, account: Account, truncate: bool = False
    ) -> Writer:
        try:
            return Writer(
                file,
                policy.limits,
                truncate,
                remove=self._remove,
                keep_attributes=self._keep_attributes,
                account=account,
                directory=self.directory_of(file),
                holding=self._holds.of(real_path, policy.hold),
            )
        except SystemFailure as failure:
            raise _limit_or(failure) from failure


def _whatever(work: Slices[T]) -> Callable[[InOrder], Slices[T]]:
    """Return what gives some work, whatever order it is done in."""
    return lambda _: work


def _nothing() -> Slices[None]:
    """Do nothing, after what is under way."""
    yield


def _if_open(work: Slices[None]) -> Slices[None]:
    """Do something that nobody waits for."""
    with contextlib.suppress(NoSuchLog):
        yield from work


def _real_path(path: str) -> str:
    """Resolve all symbolic links; return the same object if there are none."""
    # No file has a longer path, and the time to resolve one grows with the square of its length.
    if len(path) >= _PATH_MAX or _is_real(path):
        return path
    resolved = os.path.realpath(path)
    return path if resolved == path else resolved


def _is_real(path: str) -> bool:
    """Return whether a path is seen at once to be its own real path, as nearly all are.

    Resolving it costs twice as much.
    """
    if path[:1] != "/" or path[-1] == "/" or "//" in path or "/." in path:
        return False
    end = path.find("/", 1)
    try:
        while end > 0:
            if stat.S_ISLNK(os.lstat(path[:end]).st_mode):
                return False
            end = path.find("/", end + 1)
        return not stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        # (what is not there, or cannot be looked at, is as it is written)
        return True


def _is_same_name(file: str, real_path: str) -> bool:
    return os.path.basename(file) == os.path.basename(real_path)


def _own_path(path: str) -> str:
    """Resolve the links in the path of a link's directory, but not the link itself."""
    directory, name = os.path.split(path)
    own = os.path.join(_real_path(directory or "."), name)
    return path if own == path else own


def _busy(path: str, log: OpenLog) -> LogBusy:
    return LogBusy(path, log.driver, log.domain, log.opened_at, log.number, log.former)


def _failure(path: str, error: OSError) -> SystemFailure:
    return SystemFailure(f"Unable to open file: {path}", error.errno or errno.EIO, path)


def _not_appended(failure: BoundReached) -> NotWritten:
    """Return what a caller is told, as if the log were open."""
    return NotWritten(
        failure.action, failure.errno, failure.path or "", 0, explanation=failure.explanation
    )


def _limit_or(failure: SystemFailure) -> SystemFailure | LimitReached:
    """Return a failure, as a reached limit if it was for want of descriptors."""
    if failure.errno not in (errno.EMFILE, errno.ENFILE):
        return failure
    return LimitReached(
        f"{failure}; raise the daemon's limit (LimitNOFILE)", "open_files", failure.path
    )


def _closing(reading: Reading) -> Callable[[T], T]:
    def close(result: T) -> T:
        reading.close()
        return result

    return close
