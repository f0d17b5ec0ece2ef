"""One open log on the reactor: the read end of its guest's pipe and the writer of its files.

A log is in one of three states:

- open: ``outage`` is None. The watch calls ``pipe_ready`` when bytes wait, or the guest is gone. No
  pipe of a former guest is left.
- failing: ``outage`` is set. The pipe is not watched, so that it can fill; ``failing.FailingLogs``
  calls ``check`` instead. Positions and appends are refused (NotWritten). Former guests' pipes may
  wait before this one's.
- ended: all descriptors are closed, and the handler has forgotten the log.

What moves it from one to another:

- open to failing (``_fail``): the file cannot be written, rotated or asked for its size, whoever
  noticed it: the watch, a caller, or the handler that took the log over. A message of a caller for
  which there is no room is refused, and the log stays open.
- failing to open (``check``): a retry, once a second, opened the file again if need be, wrote the
  line that says what was dropped, then the former pipes, then this one; and the pipe is watched.
- open to ended (``_end``): all write ends are closed, and the pipe is empty.
- failing to ended (``_drop``): all write ends are closed and a retry failed, if the policy is to
  drop; otherwise the log stays until its file takes what waits.
- any to ended: the daemon stops (``close``), a client closes the log (``end_by_force``), or opens
  it again with truncation (``give_up``).

An open log with a rate may be beyond it: it drops what comes (``excess`` is set then), or its pipe
is not watched for some time, see limiting.py. A failing one is under no rate but that of an outage.

Another guest may take the log over when its own is gone (``follow``): the state stays, the pipe is
exchanged, and what waits in the former pipe becomes a FormerPipe, which is written before it.
Bytes so stay in order: a retry writes the former pipes first, and an open log has none.

What takes more than a share of time is done in slices (methods that end in ``in_slices``), and
meanwhile the log is *occupied*: ``order`` is set, and does one thing after the other. The pipe is
not watched then, so that whoever has his turn is the only one who takes bytes out of it. Between
two slices the log may fail, and nothing else happens to it but that the daemon ends at once.

A log that is flooded may be *lent* to another thread (flooding.py): it is occupied, and nothing is
asked of its pipe or its file until it was given back, which whoever wants something has done first.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import msgspec
from twisted.logger import Logger

from twisted_virtlog.errors import NoSuchLog, NotWritten, SystemFailure
from twisted_virtlog.handover.keeper import Keeper
from twisted_virtlog.handover.state import (
    MOST_FORMER,
    NO_UUID,
    LogDetails,
    OpenLogState,
    with_dropped,
)
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.layout import NOTICE
from twisted_virtlog.logs.excess import Excess
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.flooding import LEDGER_SECONDS, Flooding
from twisted_virtlog.logs.former import FormerPipe
from twisted_virtlog.logs.in_order import InOrder, Slices
from twisted_virtlog.logs.limiting import Limiting
from twisted_virtlog.logs.observing import LogObserver
from twisted_virtlog.logs.outage import RETRY_SECONDS, Outage
from twisted_virtlog.logs.pipes.making import Pipes
from twisted_virtlog.logs.pipes.mover import Loan
from twisted_virtlog.logs.pipes.sources import GuestSource
from twisted_virtlog.logs.policy import Policy
from twisted_virtlog.logs.rate import Bucket
from twisted_virtlog.loop.concern import Concern
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES, SLOW_SECONDS
from twisted_virtlog.loop.guest_watches import Watch
from twisted_virtlog.loop.slices import at_once
from twisted_virtlog.syscalls import bytes_waiting, is_pipe_full, pipe_events, pipe_number
from twisted_virtlog.values import (
    Closed,
    Domain,
    DropReason,
    Ledger,
    LogState,
    LogStatus,
    OnWriteError,
    Position,
)

if TYPE_CHECKING:
    from twisted_virtlog.logs.following.trail import Trail

#: How often a log that is closed by force is drained while somebody goes on writing to its pipe.
_LAST_LOOKS = 8

#: A caller's drain writes so much at once: two pieces, in less than half a share of time.
_DRAINED_BYTES = 2 * PIECE_BYTES

#: How long its answer waits, so that what is written after it is refused. It takes less time than
#: this to close a pipe that nobody has locked.
_CLOSE_SECONDS = 0.002

#: What a source raises when bytes of a pipe were dropped, or the process ends.
_OF_LANES = frozenset({errno.ETIMEDOUT, errno.ECANCELED})

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")

# One object for all logs.
_NEVER = -math.inf


T = TypeVar("T")

#: What was in a pipe at a time: the pipe's number, and how many bytes will have been taken out of
#: it when all of that is written.
Mark: TypeAlias = "tuple[int, int]"

#: No pipe has this number.
NOTHING: Mark = (0, 0)

#: All that is in the pipe when it is asked: another thread takes bytes out of it now.
ALL: Mark = (-1, 0)


class Owner(Protocol):
    """What an open log needs from the handler.

    :ivar lane: the mount point of the file system whose thread this is; None in the reactor's.
    :ivar observer: is told what happens to the log.
    :ivar accounts: of all logs.
    :ivar limiting: keeps the log to its rate.
    :ivar flooding: lends the log to a thread, and has it given back.
    """

    watch: Watch
    pipes: Pipes
    source: GuestSource
    keeper: Keeper
    lane: str | None
    observer: LogObserver
    accounts: Accounts
    limiting: Limiting
    flooding: Flooding

    def seconds(self) -> float:
        """Return the time of a clock that never steps."""

    def log_failing(self, log: OpenLog) -> None:
        """Call the :meth:`OpenLog.check` of a log, whose file cannot be written."""

    def log_recovered(self, log: OpenLog) -> None:
        """Stop calling it, as the file can be written again."""

    def log_ended(self, log: OpenLog) -> None:
        """Forget a log that has ended."""

    def log_slow(self, log: OpenLog) -> None:
        """Take note that the log's file system was slow to answer."""

    def log_locked(self, log: OpenLog) -> None:
        """Take note that the log's guest keeps its pipe locked."""

    def log_floods(self, log: OpenLog) -> None:
        """Lend a log, if that is possible; see flooding.py."""

    def log_moved_away(self, log: OpenLog) -> None:
        """Take note that the log's path leads to another file system than before."""

    def log_leads_away(self, log: OpenLog, file: int) -> bool | None:
        """Return whether the log's path leads to where this thread must not look; see Writer."""

    def log_in_order(self, log: OpenLog, work: Slices[None]) -> None:
        """Do something long with a log, which is occupied until it is done."""


class OpenLog:
    """A log from its open until its guest has closed the last write end.

    It is a :class:`Watched` while its file can be written, and a FailingLog while it cannot.

    :ivar path: as the caller spelled it.
    :ivar real_path: the path without symbolic links, as it was when the log was opened.
    :ivar policy: see :meth:`set_policy`.
    :ivar order: does one thing after the other; set while the log is occupied.
    :ivar outage: set while the file cannot be written.
    :ivar number: the pipe's inode number.
    :ivar capacity: bytes that the pipe holds, as far as is known: its guest may have changed it.
    :ivar followers: how many follow the log, and ``trails`` by what.
    :ivar is_awaited: whether one of them is in a hurry; see Awaitable.
    :ivar bucket: how much may be written now; None if the log has no rate.
    :ivar excess: set while what comes is dropped, as it is beyond the rate; there is a bucket then.
    """

    # There may be ten thousand.
    __slots__ = (
        "_former",
        "_order",
        "_owner",
        "_pipe",
        "_recovered_at",
        "_taken",
        "bucket",
        "capacity",
        "domain",
        "driver",
        "excess",
        "followers",
        "is_awaited",
        "lost",
        "number",
        "opened_at",
        "order",
        "outage",
        "path",
        "policy",
        "real_path",
        "trails",
        "writer",
    )

    _logger = Logger()

    def __init__(
        self,
        owner: Owner,
        pipe: int,
        writer: Writer,
        policy: Policy,
        path: str,
        real_path: str,
        driver: str,
        domain: Domain | None,
        capacity: int,
    ) -> None:
        """Take over the read end of a pipe, which does not block, and a writer.

        :param policy: by whose limits the writer was made.
        :param capacity: of the pipe, in bytes.
        """
        self.path = path
        self.real_path = real_path
        self.writer = writer
        self.policy = policy
        # There are few drivers, and many logs.
        self.driver = sys.intern(driver)
        self.domain = domain
        self.opened_at = datetime.now(timezone.utc)
        self.outage: Outage | None = None
        self.order: InOrder | None = None
        self.lost = 0
        self.followers = 0
        self.is_awaited = False
        self.trails: Sequence[Trail] = ()
        self.bucket: Bucket | None = None
        self.excess: Excess | None = None
        # Pipes of earlier guests, oldest first; only while the file fails. One object for all logs.
        self._former: Sequence[FormerPipe] = ()
        self._order = 0
        self._owner = owner
        self._pipe = pipe
        self._recovered_at = _NEVER
        # Bytes that were taken out of this pipe while the log was occupied.
        self._taken = 0
        writer.owner = self
        self.number = pipe_number(pipe)
        self.capacity = capacity
        owner.accounts.name(writer.account, self.number)
        owner.limiting.opened(self)

    def concern(self, names: Mapping[str, object]) -> Concern:
        """See loop.concern.Concerned."""
        return Concern(self.path, self.real_path)

    # For the watch.

    def start(self) -> None:
        """Have the pipe of a new log watched.

        :raises OSError: the kernel refuses; see :meth:`PipeWatch.add`.
        """
        self._owner.watch.add(self._pipe, self)

    def pipe_ready(self, most: int = PIECE_BYTES) -> int:
        """Write what the pipe holds, as far as this turn allows, or end; see Watched.

        Readiness may be stale: a call that was dispatched first in the same turn has drained the
        pipe. Then nothing is left to do, unless the guest is gone.
        """
        if self.outage is not None:
            return 0
        source = self._owner.source
        source.pipe = self._pipe
        try:
            if self.bucket is not None:
                allowed, dropped = self._owner.limiting.allowed(self, self.bucket)
                if not allowed:
                    return dropped
                most = min(most, allowed)
            moved = self.writer.write(source, most)
        except Exception as error:  # noqa: BLE001 (see _failure_of)
            self._fail(self._failure_of(error))
            return 0
        if source.left:
            # (the pipe itself may be empty, and call for nobody)
            self._owner.log_in_order(self, self._write_left())
            return moved
        if self.writer.unfinished:
            return PIECE_BYTES
        if not moved and self._ended():
            self._end()
        return moved

    def _write_left(self) -> Slices[None]:
        """Write what has left the pipe and is not in the file; the log is occupied."""
        if self.outage is None:
            failure = yield from self._try(self._owner.source.staged(self._pipe))
            if failure is not None:
                self._fail(failure)

    def pipe_slow(self) -> None:
        """Tell whoever gives slow file systems a thread."""
        self._owner.log_slow(self)

    def pipe_floods(self) -> None:
        """Have the log lent; see Watched."""
        if self.order is None:
            self._owner.log_floods(self)

    def pipe_locked(self) -> None:
        """Report that the guest keeps its pipe locked."""
        self._owner.log_locked(self)

    def pipe_failed(self) -> None:
        """Let the log fail, after an exception that nobody expected."""
        self._fail(SystemFailure(f"Unable to write to file {self.path}", errno.EIO, self.path))

    # For whoever lends it.

    @property
    def may_be_lent(self) -> bool:
        """Whether nothing is to be known of each byte, or to be done with it, but to write it."""
        return (
            self.outage is None
            and self.bucket is None
            and not self.trails
            and self._pipe >= 0
            and self._owner.lane is None
            and self.writer.may_be_lent
        )

    @property
    def lent(self) -> Loan | None:
        """What another thread has of it; see Writer.lend."""
        return self.writer.lent

    def lend(self) -> Loan | None:
        """Lend the log, which is occupied; see Writer.lend."""
        return self.writer.lend(self._pipe, self.capacity)

    def give_back(self) -> None:
        """Go on after another thread, which has ended."""
        written = self.writer.written
        with self._noticing_slowness():
            try:
                self.writer.give_back()
            except Exception as error:  # noqa: BLE001 (see _failure_of)
                self._fail(self._failure_of(error))
        self._taken += self.writer.written - written

    def write_by_rules(self) -> int:
        """Write a piece that is not another thread's; return how many bytes, see Watched."""
        with self._noticing_slowness():
            return self.pipe_ready()

    @contextlib.contextmanager
    def _noticing_slowness(self) -> Iterator[None]:
        """Tell whoever gives slow file systems a thread if this takes long."""
        begun = Writer.seconds()
        yield
        if Writer.seconds() - begun > SLOW_SECONDS:
            self._owner.log_slow(self)

    # For whoever keeps it to its rate.

    def stop_watching(self) -> None:
        """Let the pipe fill."""
        self._owner.watch.remove(self._pipe)

    def watch_again(self) -> None:
        """Have the pipe watched, whether it is or not.

        :raises OSError: it cannot be.
        """
        self._owner.watch.remove(self._pipe)
        self._owner.watch.add_or_poll(self._pipe, self)

    def look_at_rate(self, now: float) -> None:
        """Go on, if the rate allows it.

        :param now: in seconds of the owner's clock.
        """
        with self._noticing_slowness():
            try:
                self._owner.limiting.look(self, now)
            except Exception as error:  # noqa: BLE001 (see _failure_of)
                self._fail(self._failure_of(error))

    def lose_to_rate(self, count: int) -> None:
        """Take note of bytes that were dropped and counted, as they were beyond the rate."""
        self._lost(count, DropReason.RATE)

    # For callers.

    def drain(self) -> bool:
        """Write all that is in the pipe now; never blocks, and never chases a busy writer.

        :returns: whether that is done. If it takes more than a share of time, or the log is
            occupied, the rest is to be written by :meth:`drain_in_slices`.
        :raises NotWritten: the file cannot be written now.
        """
        if self.order is not None:
            return False
        outage = self.outage
        if outage is None:
            waiting = self._to_write()
            return not waiting or self._drain(waiting)
        raise self._not_written(outage.failure) from outage.failure

    def _to_write(self) -> int:
        source = self._owner.source
        source.pipe = self._pipe
        try:
            return source.waiting()
        except OSError as error:
            failure = self._failure_of(error)
        raise self._failed(failure) from failure

    def _drain(self, waiting: int) -> bool:
        if waiting > _DRAINED_BYTES:
            return False
        writer = self.writer
        begun = Writer.seconds()
        done: bool | None
        try:
            if self.bucket is not None:
                self._owner.limiting.overdraw(self, self.bucket)
            done = writer.write(self._owner.source, waiting) == waiting
        except Exception as error:  # noqa: BLE001 (see _failure_of)
            failure = self._failure_of(error)
            done = None
        if Writer.seconds() - begun > SLOW_SECONDS:
            self._owner.log_slow(self)
        if done is not None:
            return done
        raise self._failed(failure) from failure

    def mark(self) -> Mark:
        """Return what is in the pipe now, for :meth:`drain_in_slices`."""
        if self.writer.lent is not None:
            return ALL
        return self.number, self._taken + self._held()

    def drain_in_slices(self, mark: Mark) -> Slices[None]:
        """Write all that was in the pipe at a time, while the log is occupied.

        :raises NotWritten: the file cannot be written now.
        """
        outage = self.outage
        if outage is None:
            if mark == ALL:
                mark = self.mark()
            number, taken = mark
            # (what was in the pipe of a guest whom another followed was written then)
            count = max(0, taken - self._taken) if number == self.number else 0
            failure = yield from self._try(count)
            if failure is None:
                return
            raise self._failed(failure) from failure
        raise self._not_written(outage.failure) from outage.failure

    def occupy(self, order: InOrder) -> None:
        """Watch the pipe no more: from now on one thing is done after the other."""
        self.order = order
        self._owner.watch.remove(self._pipe)

    def free(self) -> None:
        """Go on as usual."""
        self.order = None
        if self.outage is None and self._pipe >= 0:
            try:
                self._owner.watch.add_or_poll(self._pipe, self)
            except OSError as error:
                self._fail(
                    SystemFailure("Unable to watch its pipe", error.errno or errno.EIO, self.path)
                )

    def position(self) -> Position | None:
        """Drain, then return the end of the current file.

        :returns: None if :meth:`drain` is not done.
        :raises NotWritten: see :meth:`drain`; or the file cannot be asked.
        """
        if self.order is None and self.outage is None:
            # (drain without a call, as often nothing waits)
            source = self._owner.source
            source.pipe = self._pipe
            try:
                waiting = source.waiting()
            except OSError:
                # (it says why)
                waiting = self._to_write()
            if waiting and not self._drain(waiting):
                return None
        elif not self.drain():
            return None
        try:
            return self.writer.position()
        except SystemFailure as failure:
            raise self._failed(failure) from failure

    def position_in_slices(self, mark: Mark) -> Slices[Position]:
        """Drain, then return the end of the current file.

        :raises NotWritten: likewise.
        """
        yield from self.drain_in_slices(mark)
        return self._end_of_file()

    def _end_of_file(self) -> Position:
        try:
            return self.writer.position()
        except SystemFailure as failure:
            raise self._failed(failure) from failure

    def _failed(self, failure: SystemFailure) -> NotWritten:
        """Let the log fail, and return what callers are told."""
        self._fail(failure)
        return self._not_written(failure)

    def end_if_hung_up(self) -> Slices[bool]:
        """End the log if all write ends are closed and all is written; the log is occupied.

        :returns: whether it has ended.
        """
        with contextlib.suppress(NotWritten):
            yield from self.drain_in_slices(self.mark())
            if self._ended():
                self._end()
                return True
        return False

    @property
    def pipe(self) -> int:
        """The read end of the guest's pipe; -1 once closed."""
        return self._pipe

    @property
    def former(self) -> int:
        """The number of former guests' pipes that wait for the file."""
        return len(self._former)

    def numbers(self) -> list[int]:
        """Return the inode numbers of its pipes, those of former guests first."""
        return [*(one.number for one in self._former), self.number]

    def may_be_followed(self, path: str, driver: str, domain: Domain | None) -> bool:
        """Return whether another guest may have the log before this one's output is written.

        It may if this guest is gone, or is the same one, whose former pipe another process still
        holds. Without a name no guest is the same as another.

        :param path: the log's, as the one who asks spells it; likewise the others.
        """
        if len(self._former) >= MOST_FORMER and self._held():
            return False
        if self._ended(waiting=True):
            return True
        mine = self.domain
        return (
            mine is not None
            and domain is not None
            and mine.uuid.lower() == domain.uuid.lower() != NO_UUID
            and (self.driver, self.path) == (driver, path)
        )

    def follow(
        self,
        pipe: int,
        path: str,
        real_path: str,
        driver: str,
        domain: Domain | None,
        capacity: int,
    ) -> None:
        """Go on with another guest's pipe; what the present one holds goes into the file first.

        What is written to the present pipe from now on is lost, and refused once all is written:
        :meth:`write_former` comes next, while the log is still occupied.

        :param pipe: its read end, which does not block.
        :param capacity: of the pipe, in bytes.
        :raises OSError: it cannot be watched; nothing has changed.
        """
        owner = self._owner
        self._hear_of_dropped()
        left = self._held()
        if self.outage is None:
            # (only to find out, as the log is occupied)
            owner.watch.add(pipe, self)
            owner.watch.remove(pipe)
        former = FormerPipe(
            self._pipe, self.number, self._order, left, self.driver, self.domain, self.opened_at
        )
        if left:
            self._former = [*self._former, former]
            self._order += 1
        self._pipe, self.number, self.capacity = pipe, pipe_number(pipe), capacity
        self.path, self.real_path = path, real_path
        self.driver, self.domain = sys.intern(driver), domain
        self.opened_at = datetime.now(timezone.utc)
        self.writer.written = self.writer.rollovers = self.lost = 0
        owner.limiting.followed(self)
        # A kill between these two leaves two pipes for one path, in a known order.
        owner.keeper.opened(self.suspended())
        owner.accounts.name(self.writer.account, self.number)
        if left:
            owner.keeper.outage(self._suspended_former(former))
        else:
            self._let_go(former)

    def set_trails(self, trails: Sequence[Trail]) -> None:
        """Note by which trails the log is followed."""
        self.trails = trails
        self.followers = sum(len(trail.readers) for trail in trails)
        was_awaited, self.is_awaited = self.is_awaited, any(trail.is_awaited for trail in trails)
        if self.is_awaited == was_awaited:
            return
        try:
            self._owner.watch.changed(self._pipe, self)
        except OSError as error:
            self._fail(
                SystemFailure("Unable to watch its pipe", error.errno or errno.EIO, self.path)
            )

    def set_policy(self, policy: Policy) -> None:
        """Keep the log by another policy from now on."""
        former, self.policy = self.policy.rate, policy
        self.writer.limits = policy.limits
        if policy.rate != former:
            self._owner.limiting.changed(self, former)

    def give_up(self) -> None:
        """End without writing what is left: the log was truncated after all of it."""
        self._lose(self._waiting(bytes_waiting(self._pipe)), DropReason.STOPPED)
        self._let_all_go()

    def append(self, message: bytes) -> Position | None:
        """Drain, then write a message.

        :returns: None if that may take more than a share of time, and is to be done by
            :meth:`append_in_slices`.
        :raises NotWritten: see :meth:`drain`; or the message does not fit.
        """
        if not self.writer.is_short(message) or not self.drain():
            return None
        begun = Writer.seconds()
        try:
            if self.bucket is None:
                self.writer.append(message)
            else:
                at_once(self._append_limited(self.bucket, message))
        except SystemFailure as failure:
            raise self._not_appended(failure) from failure
        finally:
            if Writer.seconds() - begun > SLOW_SECONDS:
                self._owner.log_slow(self)
        return self._end_of_file()

    def append_in_slices(self, message: bytes, mark: Mark) -> Slices[Position]:
        """Drain, then write a message, while the log is occupied.

        :raises NotWritten: likewise.
        """
        yield from self.drain_in_slices(mark)
        try:
            if self.bucket is None:
                yield from self._while_open(self.writer.append_in_slices(message))
            else:
                yield from self._while_open(self._append_limited(self.bucket, message))
        except SystemFailure as failure:
            raise self._not_appended(failure) from failure
        return self._end_of_file()

    def _append_limited(self, bucket: Bucket, message: bytes) -> Slices[None]:
        """Write a message, which is not the guest's, after what is to be said of that one's.

        :raises SystemFailure: the file cannot be written.
        """
        self._owner.limiting.say(self)
        before = self.writer.written
        try:
            yield from self.writer.append_in_slices(message)
        finally:
            bucket.give(self.writer.written - before)

    def _not_appended(self, failure: SystemFailure) -> NotWritten:
        if not self.writer.is_open:
            self._fail(failure)
        return NotWritten(
            failure.action, failure.errno, self.path, 0, explanation=failure.explanation
        )

    def ledger(self) -> Ledger:
        """Return what became of the log's bytes, once its files were looked at."""
        if not self._owner.flooding.settle(self, LEDGER_SECONDS):
            # (its file does not answer, or its guest keeps the pipe locked)
            return self.known_ledger(0)
        kept, account = self.writer.look_at_files(), self.writer.account
        pending = self._waiting(bytes_waiting(self._pipe))
        if not account.strands_guest:
            # (of a message, no guest wrote them)
            pending -= self._stranded
        return self._with_unread(account.ledger(pending, kept))

    def known_ledger(self, pending: int) -> Ledger:
        """Return what is known of that, for another thread; neither file nor pipe is asked."""
        return self._with_unread(self.writer.account.ledger(pending, None))

    def _with_unread(self, ledger: Ledger) -> Ledger:
        unread = self.writer.holding.unread()
        return msgspec.structs.replace(ledger, unread=unread) if unread else ledger

    def status(self) -> LogStatus:
        """Return what an operator sees of the log."""
        if self.writer.lent is not None:
            return self.known_status()
        try:
            position = self.writer.position()
        except SystemFailure:
            # A log that was taken over has none if its file cannot be opened.
            position = Position(0, 0)
        return self._status(position)

    def known_status(self) -> LogStatus:
        """Return what is known of the log, for another thread; neither file nor pipe is asked."""
        return self._status(self.writer.known_end)

    def _status(self, position: Position) -> LogStatus:
        outage = self.outage
        return LogStatus(
            path=self.path,
            driver=self.driver,
            domain=self.domain,
            position=position,
            opened_at=self.opened_at,
            bytes_written=self.writer.written,
            rollovers=self.writer.rollovers,
            state=LogState.FAILING if outage else LogState.OPEN,
            error=str(outage.failure) if outage else None,
            lost_bytes=self.lost,
            pipe=self.number,
            # (of an open log, all that is counted is written)
            pending=outage.pending if outage else 0,
            followers=self.followers,
            kept=self.writer.kept,
            errno=outage.failure.errno if outage else None,
        )

    def suspended_former(self) -> list[OpenLogState]:
        """Return what the next image needs to go on with former guests' pipes, oldest first."""
        return [self._suspended_former(one) for one in self._former]

    def _suspended_former(self, former: FormerPipe) -> OpenLogState:
        state = former.suspended(self.path, self.writer.path, self.real_path)
        return self._with_lane(state, former.pipe)

    def suspended(self) -> OpenLogState:
        """Return what the daemon's next image needs to go on with this log."""
        domain = self.domain or Domain(NO_UUID, "")
        # (another thread may ask, see LaneLogs)
        outage = self.outage
        state = OpenLogState(
            pipe=self._pipe,
            path=self.path,
            driver=self.driver,
            domain_name=domain.name,
            domain_uuid=domain.uuid,
            details=LogDetails(
                opened_at=self.opened_at,
                file=self.writer.path,
                real_path=self.real_path,
                bytes_written=self.writer.written,
                rollovers=self.writer.rollovers,
                lost_bytes=self.lost,
                outage=outage.suspended() if outage else None,
                steps_left=self.writer.steps_left,
                has_domain=self.domain is not None,
                gone=tuple(self.writer.gone),
                order=self._order,
                files=self.writer.known_files,
                stranded=self.writer.stranded,
                capacity=self.capacity,
                rate=self._owner.limiting.state_of(self),
            ),
        )
        return self._with_lane(state, self._pipe)

    def _with_lane(self, state: OpenLogState, pipe: int) -> OpenLogState:
        """Add what is staged of a pipe, and where."""
        lane = self._owner.lane
        if lane is None or state.details is None:
            return state
        source = self._owner.source
        details = msgspec.structs.replace(state.details, lane=lane, staged=source.handed_over(pipe))
        state = msgspec.structs.replace(state, details=details)
        # (the log may not have heard of it yet)
        action = f"Unable to write to file {self.path}"
        return with_dropped(state, source.known_dropped(pipe), action, errno.ETIMEDOUT)

    def let_go_of_file(self) -> None:
        """Write to the end of a chunk, and close the file until :meth:`take_file`."""
        self._owner.flooding.settle(self)
        self.finish_chunk()
        self.writer.let_go()

    def take_file(self) -> None:
        """Open the file again."""
        if self.outage is None and not self.writer.is_open:
            try:
                self.writer.reopen()
                self._know_birth()
            except SystemFailure as failure:
                self._fail(failure)

    def _know_birth(self) -> None:
        """Ask the file for its birth, as another thread that wants a position cannot.

        :raises SystemFailure: the file cannot be asked.
        """
        if self._owner.lane is not None:
            self.writer.position()

    @property
    def may_leave(self) -> bool:
        """Whether another thread may go on with the log: nothing is under way, or waits.

        One that fails stays where it is, unless nothing can be done for it there any more.
        """
        if self.order is not None or self._former or self._owner.source.staged(self._pipe):
            return False
        writer = self.writer
        if self.outage is not None:
            return not writer.is_open and bool(self.leads_away(-1))
        return writer.stranded is None and not writer.steps_left

    def leave(self) -> OpenLogState:
        """End here, without the pipe: another thread goes on with what this returns."""
        self._owner.watch.remove(self._pipe)
        self._owner.observer.left(self)
        self.let_go_of_file()
        state = self.suspended()
        self._owner.source.release(self._pipe)
        self._owner.pipes.forget(self._pipe)
        self._pipe = -1
        self.writer.close()
        return state

    def resume(self, details: LogDetails | None, former: Sequence[FormerPipe] = ()) -> None:
        """Go on as the daemon's former image did; takes the place of :meth:`start`.

        :param former: pipes of former guests, oldest first, numbered from 0 on.
        """
        self._former = former
        self._order = len(former)
        if details is not None:
            self.opened_at = details.opened_at
            self.lost = details.lost_bytes
            self.writer.written = details.bytes_written
            self.writer.rollovers = details.rollovers
            self.writer.gone = details.gone
            self.writer.known_files = details.files
            self.writer.stranded = details.stranded
        self._owner.limiting.resumed(self, details.rate if details else None)
        if details is not None and details.outage is not None:
            self.outage = Outage.resumed(details.outage, self.path)
            self._owner.log_failing(self)
            return
        self._owner.watch.add_or_poll(self._pipe, self)
        try:
            self.writer.reopen()
            if self.writer.stranded is not None:
                self.writer.ready()
            self._know_birth()
        except SystemFailure as failure:
            self._fail(failure)

    def write_former(self) -> Slices[None]:
        """Write what former guests left, once their pipes are kept; the log is occupied."""
        if self.outage is None:
            failure = self._say_excess() or (yield from self._try(0))
            if failure is not None:
                self._fail(failure)

    def finish(self) -> Slices[None]:
        """Write what is left, before :meth:`close`; the log is occupied.

        Of a pipe that the keeper keeps, what comes meanwhile stays there.
        """
        kept = self._owner.keeper.keeps(self.number)
        yield from self._write_last(1 if kept else _LAST_LOOKS)

    def _write_last(self, looks: int) -> Slices[None]:
        waiting = bytes_waiting(self._pipe)
        for _ in range(looks):
            with contextlib.suppress(NotWritten):
                yield from self.drain_in_slices(self.mark())
            before, waiting = waiting, bytes_waiting(self._pipe)
            # (a guest that fills its pipe as fast as that is written is not to be waited for)
            if self.outage is not None or not waiting or waiting > before // 2:
                break

    def finish_chunk(self) -> None:
        """Write to the end of a chunk (see Writer), as the daemon's next image begins with one."""
        rest = self.writer.rest_of_chunk
        if rest and self.outage is None and self.order is None:
            failure = at_once(self._write(self._pipe, rest))
            if failure is not None:
                self._fail(failure)

    def close(self) -> None:
        """Write what is left as far as the file takes it, and close all descriptors.

        What cannot be written stays in the pipe if the keeper keeps that, and is lost otherwise.
        What would take long stays there too.
        """
        self._owner.flooding.settle(self)
        self._flush(self._owner.keeper.keeps)
        if self._owner.keeper.keeps(self.number):
            self._owner.observer.left(self)
        else:
            self._owner.observer.closed(self)
            self._owner.accounts.close(self.writer.account)
        self._release()

    def end_by_force(self) -> Slices[Closed]:
        """Write what is left as far as the file takes it, and end, whoever holds a write end.

        The log is occupied.
        """
        self._logger.info("{path}: closed at a client's request", path=self.path)
        yield from self._write_last(_LAST_LOOKS)
        dropped = self._flush()
        position = None
        with contextlib.suppress(SystemFailure):
            position = self.writer.position()
        self._let_all_go()
        self._owner.pipes.finish(_CLOSE_SECONDS)
        return Closed(position, dropped)

    def _flush(self, keeps: Callable[[int], bool] = lambda _: False) -> int:
        """Write what is left, as far as the file takes it.

        :param keeps: whether a pipe stays, with what is left in it.
        :returns: bytes that could not be written and are lost.
        """
        self._hear_of_dropped()
        outage, kept = self.outage, keeps(self.number)
        left = self._held()
        if outage is None:
            # (if it fails, the rest fails too)
            self._say_excess()
        rest = self._try(left) if outage is None else self._recover(outage)
        if kept:
            # What takes more than one step may stay there.
            next(rest, None)
            rest.close()
        else:
            at_once(rest)
        left = sum(one.left for one in self._former if not keeps(one.number))
        left += 0 if kept else self._held() + self._stranded
        self._lose(left, DropReason.STOPPED)
        unsaid = left
        if not kept:
            unsaid += (outage.lost if outage else 0) + (self.excess.lost if self.excess else 0)
        if unsaid:
            self._logger.error(
                "{path}: {lost} bytes lost, as the log ends before its file takes them",
                path=self.path,
                lost=unsaid,
            )
        return left

    def _let_all_go(self, has_ended: bool = False) -> None:
        """Close the log for good.

        :param has_ended: see :meth:`PipeCloser.close`; then there is no former pipe.
        """
        owner = self._owner
        owner.observer.closed(self)
        owner.accounts.close(self.writer.account)
        # (the keeper first, so that a pipe that its guest has locked is closed last here)
        owner.log_ended(self)
        # (at the daemon's end, what is staged stays for whoever comes next)
        for former in self._former:
            owner.source.release(former.pipe)
        owner.source.release(self._pipe)
        self._release(owner.keeper.settled, has_ended)

    def abandon(self) -> None:
        """Close all descriptors, and write nothing more."""
        self._release()

    def _release(
        self,
        settled: Callable[[], Callable[[], object]] | None = None,
        has_ended: bool = False,
    ) -> None:
        self._owner.flooding.settle(self)
        pipes = self._owner.pipes
        for former in self._former:
            pipes.close(former.pipe, settled)
        self._owner.watch.remove(self._pipe)
        pipes.close(self._pipe, settled, has_ended)
        self._pipe = -1
        self.writer.close()

    # For the writer: WriterOwner.

    def note(self) -> None:
        self._owner.keeper.outage(self.suspended())

    def leads_away(self, file: int) -> bool | None:
        return self._owner.log_leads_away(self, file)

    def moved_away(self) -> None:
        self._owner.log_moved_away(self)

    def woken(self) -> None:
        self._owner.observer.woken(self)

    def file_ends(self) -> None:
        self._owner.observer.file_ends(self)

    def was_cut(self, size: int) -> None:
        self._owner.observer.was_cut(self, size)

    # The file's failures.

    def check(self) -> bool:
        """Try the file again if it is due, or keep the guest from being blocked."""
        outage = self.outage
        if outage is None or self.order is not None:
            return False
        now = self._owner.seconds()
        if outage.due(now):
            # Whatever happens now, the next attempt is in a second.
            outage.failed_again(outage.failure, now)
            self._owner.log_in_order(self, self._retry(outage))
            if self.outage is not outage or self.order is not None:
                return False
        if not (self.policy.on_write_error is OnWriteError.DROP and outage.is_lasting):
            return False
        if outage.retried:
            self._drop_former(outage)
        return self._drop(outage)

    def _drop(self, outage: Outage) -> bool:
        """Keep the guest from being blocked, and end if it is gone.

        :returns: whether the pipe was full.
        """
        ended = self._ended(waiting=True)
        waiting = bytes_waiting(self._pipe)
        full = self._is_full(waiting, outage)
        doomed = outage.to_drop(waiting, full, ended)
        if doomed:
            self._discard(outage, self._pipe, doomed, outage.drop_reason)
        outage.pending = self._waiting(waiting - doomed)
        if ended and outage.retried:
            self._end()
            return False
        return full

    def _is_full(self, waiting: int, outage: Outage) -> bool:
        if not waiting or waiting == outage.had_room:
            return False
        try:
            full = is_pipe_full(self._pipe)
        except OSError:
            # Nobody knows, unless there are more pages than bytes. Better to lose the output of a
            # silent guest than to block one.
            return waiting * _PAGE_BYTES >= self.capacity and outage.stands_still(waiting)
        outage.had_room = -1 if full else waiting
        return full

    def _retry(self, outage: Outage) -> Slices[None]:
        failure = yield from self._recover(outage)
        if failure is None:
            self._recovered()
        else:
            outage.failure = failure
            outage.pending = self._waiting(bytes_waiting(self._pipe))

    def _recover(self, outage: Outage) -> Slices[SystemFailure | None]:
        try:
            self.writer.renew(outage.failure.errno)
            # Even if nothing waits: a file that cannot be opened has not recovered.
            self.writer.ready()
            # (it was dropped before the file failed)
            self._owner.limiting.say(self)
            if self._owner.lane is not None:
                failure = yield from self._write_staged(outage)
                if failure is not None:
                    return failure
            if outage.lost:
                now = datetime.now(timezone.utc)
                notice = outage.notice(now)
                self.writer.append(notice if self.writer.ends_line() else b"\n" + notice, NOTICE)
                outage.lost, outage.since = 0, now
                self.note()
        except SystemFailure as failure:
            return failure
        return (yield from self._try(self._held()))

    def _write_staged(self, outage: Outage) -> Slices[SystemFailure | None]:
        """Write what comes before the line that says what was dropped; return any failure."""
        source = self._owner.source
        first = not outage.lost
        dropped = source.take_dropped(self._pipe)
        if dropped:
            self._hear_dropped(outage, dropped)
        if not outage.lost:
            return None
        if first:
            # (of the present guest, as nothing was lost before)
            return (yield from self._try(source.staged(self._pipe)))
        for former in self._former:
            written = self.writer.written
            failure = yield from self._write(former.pipe, source.staged(former.pipe))
            former.left -= self.writer.written - written
            if failure is not None:
                return failure
        return (yield from self._write(self._pipe, source.staged(self._pipe)))

    def _say_excess(self) -> SystemFailure | None:
        """Write what is to be said of bytes beyond the rate, if any were dropped."""
        if self.excess is not None:
            try:
                self._owner.limiting.say(self)
            except SystemFailure as failure:
                return failure
        return None

    def _note_dropped(self, outage: Outage, dropped: int, reason: DropReason) -> None:
        outage.lost += dropped
        self._lost(dropped, reason)
        self.note()

    def _hear_dropped(self, outage: Outage, dropped: int) -> None:
        """Take note of what another thread has dropped, and counted."""
        outage.lost += dropped
        self.lost += dropped
        self._owner.observer.dropped(self, dropped, DropReason.WRITE_ERROR)
        self.note()

    def _lose(self, count: int, reason: DropReason) -> None:
        """Count bytes that are lost."""
        if count:
            self.writer.account.drop(count, reason)
            self._lost(count, reason)

    def _lost(self, count: int, reason: DropReason) -> None:
        """Take note of bytes that are lost, and counted."""
        if count:
            self.lost += count
            self._owner.observer.dropped(self, count, reason)

    def interrupted(self, failure: SystemFailure, since: datetime | None) -> None:
        """Fail, if bytes were dropped while a call of the file did not return; try again at once.

        :param failure: says why.
        :param since: when the first of them was dropped, if that is known.
        """
        dropped = self._owner.source.take_dropped(self._pipe)
        if not dropped:
            return
        if self.outage is None:
            self._fail(failure)
        outage = self.outage
        if outage is not None:
            outage.failed_again(failure, self._owner.seconds() - RETRY_SECONDS)
            if since is not None and not outage.lost:
                outage.since = since
            self._hear_dropped(outage, dropped)

    def _hear_of_dropped(self) -> None:
        """Take note of what was dropped while the present call waited, before the pipe goes."""
        if self._owner.source.known_dropped(self._pipe):
            action = f"Unable to write to file {self.path}"
            self.interrupted(SystemFailure(action, errno.ETIMEDOUT, self.path), None)

    def _drop_former(self, outage: Outage) -> None:
        """Drop the output of guests that are gone, as if nobody had followed them."""
        former, self._former = self._former, ()
        for one in former:
            reason = outage.drop_reason
            self._discard(outage, one.pipe, min(one.left, bytes_waiting(one.pipe)), reason)
            staged = self._owner.source.lose_staged(one.pipe, self.writer.account, reason)
            if staged:
                self._note_dropped(outage, staged, reason)
            self._let_go(one)
            self._owner.observer.followed(self)

    def _discard(self, outage: Outage, pipe: int, count: int, reason: DropReason) -> None:
        """Take bytes out of a pipe, and record that they are lost."""
        source = self._owner.source
        source.pipe = pipe
        self._note_dropped(outage, source.lose(count, self.writer.account, reason), reason)

    def _recovered(self) -> None:
        self.outage = None
        self._recovered_at = self._owner.seconds()
        self._owner.log_recovered(self)
        # (a warning, so that whoever read of the beginning reads of the end)
        self._logger.warn("{path}: the file is written again", path=self.path)
        self._owner.observer.state_changed(self)

    def _not_written(self, failure: SystemFailure) -> NotWritten:
        waiting = self._waiting(bytes_waiting(self._pipe))
        if self.outage is not None:
            self.outage.pending = waiting
        return NotWritten(
            failure.action,
            failure.errno,
            self.path,
            waiting,
            explanation=failure.explanation,
        )

    def _waiting(self, in_pipe: int) -> int:
        """Return how many bytes wait in all.

        :param in_pipe: how many of them are in the present pipe.
        """
        staged = self._owner.source.staged(self._pipe)
        return sum(one.left for one in self._former) + staged + in_pipe + self._stranded

    def _held(self) -> int:
        """Return how many bytes wait: what has left the pipe, and what is in it."""
        return self._owner.source.staged(self._pipe) + bytes_waiting(self._pipe)

    @property
    def _stranded(self) -> int:
        """The number of bytes that have left the pipe and are not in the file."""
        stranded = self.writer.stranded
        return len(stranded.data) if stranded else 0

    def _try(self, count: int) -> Slices[SystemFailure | None]:
        """Write what former guests left and ``count`` bytes of the pipe; return any failure."""
        while self._former:
            former, *others = self._former
            written = self.writer.written
            # (fewer if somebody else has read some: an empty pipe is left alone, see syscalls)
            staged = self._owner.source.staged(former.pipe)
            failure = yield from self._write(
                former.pipe, min(former.left, staged + bytes_waiting(former.pipe))
            )
            moved = self.writer.written - written
            former.left -= moved
            if self.bucket is not None:
                # (another guest wrote that)
                self.bucket.give(moved)
            if failure is not None:
                if moved:
                    self._owner.keeper.outage(self._suspended_former(former))
                return failure
            self._former = others
            self._let_go(former)
            self._owner.observer.followed(self)
        return (yield from self._write(self._pipe, count))

    def _let_go(self, former: FormerPipe) -> None:
        """Close a former guest's pipe."""
        owner = self._owner
        owner.source.release(former.pipe)
        owner.keeper.closed(former.number)
        owner.pipes.close(former.pipe, owner.keeper.settled)

    def _write(self, pipe: int, count: int) -> Slices[SystemFailure | None]:
        """Write ``count`` of the bytes that wait in a pipe; return any failure."""
        return (yield from self._while_open(self._write_all(pipe, count)))

    def _while_open(self, slices: Slices[T]) -> Slices[T]:
        """Go on until the log is closed, as only the end of the daemon does meanwhile.

        :raises NoSuchLog: it was closed.
        """
        while True:
            try:
                next(slices)
            except StopIteration as end:
                value: T = end.value
                return value
            yield
            if self._pipe < 0:
                slices.close()
                raise NoSuchLog(f"No open log file {self.path}", self.path)

    def _write_all(self, pipe: int, count: int) -> Slices[SystemFailure | None]:
        source, writer = self._owner.source, self.writer
        while count or writer.stranded is not None or writer.unfinished:
            source.pipe = pipe
            try:
                if self.bucket is not None:
                    self._owner.limiting.overdraw(self, self.bucket)
                moved = writer.write(source, min(count, _DRAINED_BYTES))
            except Exception as error:  # noqa: BLE001 (see _failure_of)
                return self._failure_of(error)
            if pipe == self._pipe:
                self._taken += moved
            count -= moved
            if not moved and not writer.unfinished:
                # Somebody else has read the rest.
                break
            yield
            # (or does so between two slices: an empty pipe is left alone, see syscalls)
            count = min(count, source.staged(pipe) + bytes_waiting(pipe)) if count else 0
        return None

    def _failure_of(self, error: Exception) -> SystemFailure:
        """Return an error as a failure: a mistake of ours must not block the guest for ever."""
        if isinstance(error, SystemFailure):
            return error
        if isinstance(error, OSError) and error.errno in _OF_LANES:
            return SystemFailure(f"Unable to write to file {self.path}", error.errno, self.path)
        self._logger.failure("{path}: writing failed", path=self.path)
        return SystemFailure(f"Unable to write to file {self.path}", errno.EIO, self.path)

    def _fail(self, failure: SystemFailure) -> None:
        self._logger.error(
            "{path}: {failure}; its output waits in the pipe, and the file is tried again",
            path=self.path,
            failure=failure,
        )
        now = self._owner.seconds()
        repeated = now - self._recovered_at < RETRY_SECONDS
        self.outage = Outage(failure, datetime.now(timezone.utc), now, repeated=repeated)
        self._owner.watch.remove(self._pipe)
        self._owner.log_failing(self)
        self._owner.observer.state_changed(self)

    # The end.

    def _ended(self, waiting: bool = False) -> bool:
        """Return whether all write ends are closed and, unless ``waiting``, the pipe is empty."""
        events = pipe_events(self._pipe)
        return bool(events & select.POLLHUP) and (waiting or not events & select.POLLIN)

    def _end(self) -> None:
        """End, as the guest is gone."""
        is_written = self._is_written
        if not is_written:
            self._flush()
        self._let_all_go(has_ended=is_written)

    @property
    def _is_written(self) -> bool:
        """Whether nothing but what is in the pipe may be left, which is empty by now."""
        writer = self.writer
        return (
            self.outage is None
            and self.excess is None
            and not self._former
            and writer.stranded is None
            and not writer.unfinished
            and self._owner.lane is None
        )
