"""The logs of one lane: a handler of their own in its thread, and what the reactor sees of it.

In the lane's thread everything is as it is in the reactor's: pipes are watched, a failing file is
tried again, and calls are carried out in between. The reactor asks the lane and goes on. What it
looks at itself are values that the thread leaves in memory, never a file or a staging pipe.

While the lane is silent the reactor keeps guests from being blocked: where the policy is to drop, a
pipe that is full is emptied. Nothing of that is possible for bytes that the lane has taken already:
they come first when the file system answers, then the line that says what was dropped.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Container, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

import msgspec
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.errors import HeldByOther, LogError, NoAnswer, ShuttingDown, SystemFailure
from twisted_virtlog.handover.keeper import Keeper
from twisted_virtlog.handover.state import OpenLogState, Totals, with_dropped
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.accounts.accounts import NO_LEDGER, Accounts
from twisted_virtlog.logs.bounds.usage import Usage
from twisted_virtlog.logs.consumers.consumers import Consumers
from twisted_virtlog.logs.handler import LogHandler, LogSettings, Surroundings
from twisted_virtlog.logs.known import NOBODY, Known, Opener
from twisted_virtlog.logs.lanes.lane import Lane, Silent
from twisted_virtlog.logs.lanes.lane_keeper import LaneKeeper
from twisted_virtlog.logs.lanes.lock import Held, LaneLock
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.logs.observing import LogObserver, LogThread
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.logs.outage import Outage
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.logs.pipes.making import Pipes
from twisted_virtlog.logs.pipes.staging import StagedSource
from twisted_virtlog.logs.policy import Policy
from twisted_virtlog.loop.clock import Clock, MonotonicClock
from twisted_virtlog.loop.guest_watches import GuestWatches
from twisted_virtlog.syscalls import bytes_waiting, is_pipe_full, pipe_number
from twisted_virtlog.values import (
    Ledger,
    LogState,
    LogStatus,
    OnWriteError,
    Position,
)

T = TypeVar("T")

#: How often the pipes of a silent lane are looked at, and the part of the time that this may take.
_LOOK_SECONDS = 0.005
_LOOK_SHARE = 0.05

#: How often, and after how long, it is tried to keep a lane's thread from pipes.
_STOP_TRIES = 10
_STOP_SECONDS = 0.002

#: How often a lane is tried whose lock another daemon has.
_HELD_SECONDS = 1.0

_NOTHING = (0, None)

#: Says of a lane that does not answer what a caller is told, and whether the call had begun.
Explain: TypeAlias = "Callable[[LaneLogs, bool], LogError]"


class Common(Protocol):
    """What all lanes have in common.

    :ivar drops: what the reactor's thread drops.
    """

    clock: Clock
    keeper: Keeper
    pipes: Pipes
    settings: LogSettings
    accounts: Accounts
    drops: Drops
    usage: Usage
    consumers: Consumers

    @property
    def known(self) -> Known:
        """The logs that are known, closed ones too."""

    def surroundings_of(self, lane: LaneLogs) -> Surroundings:
        """Return what a lane's handler is to tell; it calls that in its thread."""

    def observer_of(self, thread: LogThread) -> LogObserver:
        """Return what is told of a lane's logs, in its thread."""

    def look_again(self) -> None:
        """See soon which logs are to be in other threads."""


class _KnownInReactor:
    """The logs that are known, as a lane's thread may add to them."""

    def __init__(self, lane: Lane, known: Known) -> None:
        self._lane = lane
        self._known = known

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def __len__(self) -> int:
        return len(self._known)

    def add(self, path: str, opener: Opener = NOBODY) -> None:
        """Remember a log, in the reactor."""
        self._known.note_use(path)
        self._lane.later_in_reactor(lambda: self._known.add(path, opener))

    def opener(self, path: str) -> Opener:
        """Return who opened a log, as the reactor knows by now."""
        return self._known.opener(path)

    def note_use(self, path: str) -> None:
        """Take note that a log is used."""
        self._known.note_use(path)

    def uses(self) -> AbstractContextManager[Container[str]]:
        """Return those that are used from now on."""
        return self._known.uses()

    def discard(self, path: str) -> None:
        """Forget a log, in the reactor."""
        self._lane.later_in_reactor(lambda: self._known.discard(path))

    def paths(self) -> tuple[str, ...]:
        """Return all of them."""
        return self._known.paths()

    def add_earlier(self, paths: Iterable[str]) -> None:
        """Do nothing: the reactor does so."""

    def add_opened(self, logs: Iterable[tuple[str, Opener]]) -> None:
        """Do nothing: the reactor does so."""


class _LaneThread:
    """A lane's thread; see LogThread."""

    is_reactor = False

    def __init__(self, lane: Lane, point: str) -> None:
        self._lane = lane
        self.point: str | None = point

    def in_reactor(self, call: Callable[[], object]) -> None:
        self._lane.later_in_reactor(call)

    def tell(self, call: Callable[[], object]) -> None:
        if self._lane.is_closed:
            # (it had no logs, and nobody has a file open there)
            call()
        else:
            self._lane.tell(call)


class LaneLogs:
    """The logs of one lane.

    :ivar lane: its thread.
    :ivar mount: by which its file system was found.
    :ivar asks_pipes: whether the reactor may ask the guests' pipes for anything but poll(2); it
        would wait for one that its guest keeps locked.
    """

    _logger = Logger()

    def __init__(
        self,
        lane: Lane,
        mount: Mount,
        lock: LaneLock | None,
        common: Common,
        asks_pipes: bool = True,
    ) -> None:
        """Do nothing yet; the handler is made when there is something to do.

        :param lock: of the lane; None if nobody else can have it.
        """
        self.lane = lane
        self.mount = mount
        self.asks_pipes = asks_pipes
        self._lock = lock
        self._common = common
        self._keeper = LaneKeeper(lane, common.keeper)
        self._source = StagedSource(self._keeper, Drops(common.accounts, self._keeper))
        # The reactor only reads.
        self._handler: LogHandler | None = None
        self._lane_clock: MonotonicClock | None = None
        # Logs that the lane is to go on with, and has not come to, by their paths.
        self._expected: dict[str, tuple[OpenLogState, ...]] = {}
        # Paths that calls under way are about, and how many.
        self._taken: dict[str, int] = {}
        self._look: IDelayedCall | None = None
        # By pipes: bytes that were in one that had room.
        self._had_room: dict[int, int] = {}
        # By paths: bytes that were dropped while the lane is silent, and since when.
        self._dropped: dict[str, tuple[int, datetime]] = {}
        self._resume: threading.Event | None = None
        self._refuses_opens = False
        self._has_ended = False
        self._is_given_up = False
        lane.changed = self._silence_changed

    # In the reactor's thread.

    def ask(
        self,
        path: str,
        call: Callable[[LogHandler], Answer[T]],
        undo: Callable[[LogHandler, T], object] | None = None,
    ) -> Deferred[T]:
        """Have the handler asked for something.

        :param path: of the log that it is about, which is this lane's meanwhile.
        :param undo: undoes it, in the lane, if nobody waits for it any more.
        :returns: its result; fails with Silent, or with Held if another daemon has the lane.
        """
        self._taken[path] = self._taken.get(path, 0) + 1

        def undo_it(result: T) -> None:
            if undo is not None:
                undo(self._logs(), result)

        answer = self.lane.call(lambda: call(self._logs()), undo_it)
        return answer.addBoth(self._asked, path)

    def _asked(self, result: T, path: str) -> T:
        left = self._taken.pop(path) - 1
        if left:
            self._taken[path] = left
        self._watch()
        return result

    def after_that(self) -> Deferred[None]:
        """Return what fires when all is done that was asked for before; that makes no log ours.

        :returns: fails with Silent.
        """
        return self.lane.call(lambda: None)

    def has_open(self, path: str) -> bool:
        """Return whether a log is open by this name, or has this real path."""
        handler = self._handler
        return path in self._expected or (handler is not None and handler.has_open(path))

    def has(self, path: str) -> bool:
        """Return whether a log is the lane's, or may be: something is under way about its name."""
        handler = self._handler
        return (
            path in self._taken
            or path in self._expected
            or (handler is not None and handler.has(path))
        )

    @property
    def is_open(self) -> bool:
        """Whether its handler is still to be closed."""
        return not self._has_ended

    @property
    def is_idle(self) -> bool:
        """Whether the lane has no logs, and nothing to do."""
        return not self._expected and not self._taken and not self._open_logs()

    @property
    def ended_at(self) -> float:
        """When the last of its logs was closed; both clocks count from the same time."""
        handler = self._handler
        since = None if handler is None else handler.idle_since
        return -math.inf if since is None else since

    def count(self) -> int:
        """Return how many logs it has."""
        return len(self._open_logs()) + len(self._expected)

    def _open_logs(self) -> Sequence[OpenLog]:
        handler = self._handler
        return () if handler is None else handler.open_logs()

    def names(self) -> list[tuple[str, str]]:
        """Return the path and the real path of each of its open logs."""
        return [(log.path, log.real_path) for log in self._open_logs()]

    def pending(self, path: str) -> int | None:
        """Return how many bytes of a log wait, as far as that can be known; None if it is not."""
        for log in self._open_logs():
            if path in (log.path, log.real_path):
                return self._pending(log)
        states = self._expected.get(path)
        if states is None or not self.asks_pipes:
            return None
        return _waiting(states[-1].pipe)

    def _pending(self, log: OpenLog) -> int | None:
        pipe = log.pipe
        waiting = _waiting(pipe) if self.asks_pipes else None
        return None if waiting is None else waiting + self._source.known_staged(pipe)

    def statuses(self) -> list[LogStatus]:
        """Return what is known of its logs."""
        silent = self.lane.is_silent
        found = []
        for log in self._open_logs():
            status = log.known_status()
            if silent:
                failure = self._failure(log.path)
                dropped = self._dropped.get(log.path, _NOTHING)[0]
                status = msgspec.structs.replace(
                    status,
                    state=LogState.FAILING,
                    error=str(failure),
                    errno=failure.errno,
                    lost_bytes=status.lost_bytes + dropped,
                    pending=self._pending(log),
                )
            found.append(msgspec.structs.replace(status, thread=self.mount.point))
        found += [
            _expected_status(
                states,
                self.mount.point,
                self._failure(path) if silent else None,
                self.asks_pipes,
            )
            for path, states in self._expected.items()
        ]
        return found

    def ledger(self) -> Deferred[Ledger]:
        """Return what waits in its open logs, and what is in their files, added up.

        :returns: fires in any case; of a file system that does not answer, with what is known.
        """

        def look() -> Answer[Ledger]:
            handler = self._handler
            return NO_LEDGER if handler is None else handler.with_open_logs(NO_LEDGER)

        def known(failure: Failure) -> Ledger:
            failure.trap(Silent)
            found = NO_LEDGER
            for log in self._open_logs():
                found = found.with_files_of(log.known_ledger(self._pending(log) or 0))
            return found

        return self.lane.call(look).addErrback(known)

    def failing(self) -> int:
        """Return how many of its logs are failing."""
        if self.lane.is_silent:
            return self.count()
        return sum(log.outage is not None for log in self._open_logs())

    def totals(self) -> Totals:
        """Return what was counted, of logs that are open too."""
        handler = self._handler
        to_come = (states[-1].details for states in self._to_come())
        return sum(
            (
                Totals(0, one.bytes_written, one.lost_bytes, one.rollovers)
                for one in to_come
                if one is not None
            ),
            Totals() if handler is None else Totals.of(handler.counts()),
        )

    def _to_come(self) -> Sequence[tuple[OpenLogState, ...]]:
        """Return the logs that the lane has not come to."""
        handler = self._handler
        return [
            states
            for path, states in self._expected.items()
            if handler is None or not handler.has_open(path)
        ]

    def closed_totals(self) -> Totals:
        """Return what was counted of logs that are closed."""
        return Totals() if self._handler is None else self._handler.totals()

    def snapshot(self) -> tuple[OpenLogState, ...]:
        """Return what the daemon's next image needs to go on with its logs."""
        found: list[OpenLogState] = []
        for states in self._to_come():
            found += states
        return (*found, *(() if self._handler is None else self._handler.snapshot()))

    def adopt(
        self,
        states: Sequence[OpenLogState],
        adopt: Callable[[LogHandler, Sequence[OpenLogState]], None],
    ) -> None:
        """Go on with a log, as soon as the lane comes to it.

        :param states: its pipes, the present guest's last.
        :param adopt: takes it over, in the lane's thread.
        """
        path = states[-1].log
        self._expected[path] = tuple(states)

        def take() -> None:
            if self._is_given_up:
                for state in states:
                    os.close(state.pipe)
                return
            try:
                adopt(self._logs(), states)
                self._heed_dropped(path, self._dropped.get(path, _NOTHING)[1])
            except Held:
                self.lane.later_in_reactor(
                    lambda: self._common.clock.callLater(_HELD_SECONDS, self.lane.tell, take)
                )
                return
            except LogError as error:
                self._logger.error(
                    "{path}: this log cannot be taken over: {error}", path=path, error=error
                )
            except Exception:  # noqa: BLE001 (nobody waits, and the log would be expected for ever)
                self._logger.failure("{path}: this log cannot be taken over", path=path)
            self.lane.later_in_reactor(lambda: self._came_to(path))

        self.lane.tell(take)
        self._watch()

    def _came_to(self, path: str) -> None:
        self._expected.pop(path, None)
        self._watch()

    def reload(self, settings: LogSettings, pipe_size: int) -> None:
        """Apply other settings, in its turn."""

        def apply() -> None:
            if self._handler is not None:
                self._handler.reload(settings, pipe_size)

        self.lane.tell(apply)

    def settle_all(self) -> None:
        """Have the held files of its logs removed that nobody has yet to read, in its turn."""

        def settle() -> None:
            if self._handler is not None:
                self._handler.settle_all()

        self.lane.tell(settle)

    def look_at_files(self) -> None:
        """Have it looked what the files of its logs take up, in its turn."""

        def look() -> None:
            if self._handler is not None:
                self._handler.look_at_files()

        self.lane.tell(look)

    def write_former(self) -> None:
        """Have written what former guests of logs left that were taken over, in its turn."""

        def write() -> None:
            if self._handler is not None:
                self._handler.write_former()

        self.lane.tell(write)

    def refuse_opens(self) -> None:
        """Open no more logs, from the next one on."""
        self._refuses_opens = True
        handler = self._handler
        if handler is not None:
            handler.refuse_opens()

    def pause(self) -> Deferred[None]:
        """Have all files closed, and the thread do nothing; :meth:`go_on` ends that.

        :returns: fires when it is so.
        """
        paused: Deferred[None] = Deferred()
        resume = self._resume = threading.Event()

        def stop() -> None:
            if resume.is_set():
                return
            handler = self._handler
            if handler is not None:
                handler.pause()
            self.lane.later_in_reactor(lambda: None if paused.called else paused.callback(None))
            self.lane.loop.rest(resume.wait)
            if handler is not None:
                handler.go_on()

        self.lane.tell(stop)
        return paused

    def go_on(self) -> None:
        """Go on after :meth:`pause`, or instead."""
        if self._resume is not None:
            self._resume.set()
            self._resume = None

    def finish(self) -> Deferred[None]:
        """Write what is in the pipes, and close the handler, in the lane."""

        def finish() -> Answer[None]:
            handler = self._handler
            if handler is None:
                self._end()
                return None
            ended: Deferred[None] = Deferred()

            def end() -> None:
                self._end()
                ended.callback(None)

            def end_after(result: None) -> Deferred[None]:
                # (a pipe may be being served, which has let this in)
                self.lane.loop.call_after(end)
                return ended

            return handler.finish().addCallback(end_after)

        return self.lane.call(finish)

    def end(self) -> None:
        """Close everything, in its turn, and end the thread: the lane has no logs."""
        self.lane.tell(lambda: self.lane.loop.call_after(self._end))
        self.close()

    def give_up(self) -> Sequence[tuple[str, int]]:
        """Take nothing out of pipes any more, as the process ends; return what is not written.

        :returns: the path of each log, with the read end of its guest's pipe, which the thread
            closes in the end.
        """
        self._is_given_up = True
        # (the thread may be in the middle of a call that does not wait)
        for _ in range(_STOP_TRIES):
            if self._source.stop():
                break
            time.sleep(_STOP_SECONDS)
        found = [(log.path, log.pipe) for log in self._open_logs() if log.pipe >= 0]
        found += [(path, state.pipe) for path, states in self._expected.items() for state in states]
        return found

    def close(self) -> None:
        """End the thread; one that hangs closes what is its own when the file system answers."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self.go_on()
        self.lane.tell(lambda: self.lane.loop.call_after(self._abandon))
        self.lane.close()

    # In the lane's thread.

    def _end(self) -> None:
        self._close_by(LogHandler.close)

    def _abandon(self) -> None:
        """Close what is the lane's own; the guests' pipes were given up."""
        self._close_by(LogHandler.abandon_all)

    def _close_by(self, close: Callable[[LogHandler], object]) -> None:
        """Close the handler, and all else, once."""
        if self._has_ended:
            return
        self._has_ended = True
        handler, self._handler = self._handler, None
        if handler is None:
            self._source.close()
        else:
            close(handler)
        if self._lane_clock is not None:
            self._lane_clock.close()
        if self._lock is not None:
            self._lock.release()

    def _logs(self) -> LogHandler:
        """Return the handler, once the lane may touch files.

        :raises Held: another daemon has the lane.
        :raises ShuttingDown: it is closed for good.
        """
        handler = self._handler
        if handler is not None:
            return handler
        if self._has_ended:
            raise ShuttingDown("the daemon is stopping")
        if self._lock is not None:
            try:
                self._lock.acquire()
            except OSError as error:
                self._logger.error(
                    "{mount}: the lock of its lane cannot be had: {error}; a process that follows"
                    " this one does not wait for its end",
                    mount=self.mount.point,
                    error=error,
                )
                self._lock = None
        loop, common = self.lane.loop, self._common
        clock = self._lane_clock = MonotonicClock(loop)
        thread = _LaneThread(self.lane, self.mount.point)
        handler = LogHandler(
            clock,
            _in_this_thread,
            GuestWatches(loop, between=loop.serve),
            common.pipes,
            common.settings,
            self._keeper,
            self._in_slices,
            source=self._source,
            lane=self.mount.point,
            known=_KnownInReactor(self.lane, common.known),
            surroundings=common.surroundings_of(self),
            observer=common.observer_of(thread),
            thread=thread,
            accounts=common.accounts,
            usage=common.usage,
            consumers=common.consumers,
        )
        if self._refuses_opens:
            handler.refuse_opens()
        self._handler = handler
        return handler

    def _heed_dropped(self, path: str, since: datetime | None) -> None:
        """Let a log write where bytes are missing, if some were dropped."""
        if self._handler is not None:
            self._handler.interrupted(path, self._failure(path), since)

    def _in_slices(self, slices: Generator[None, None, T]) -> T:
        """Do what is long by itself, and let others in between."""
        loop = self.lane.loop
        while True:
            try:
                next(slices)
            except StopIteration as end:
                value: T = end.value
                return value
            loop.get_on()
            loop.serve()

    # Silence.

    def _watch(self) -> None:
        self.lane.watch(not self.is_idle)

    def _failure(self, path: str) -> SystemFailure:
        return NoAnswer(f"Unable to write to file {path}", path, self.mount.point)

    def _silence_changed(self, silent: bool) -> None:
        if silent:
            if self.asks_pipes:
                self._look_at_pipes()
            return
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._had_room.clear()
        dropped, self._dropped = self._dropped, {}
        for path, (_, since) in dropped.items():
            self.lane.tell(partial(self._heed_dropped, path, since))
        # (while it did not answer, no log could leave)
        self._common.look_again()

    def _look_at_pipes(self) -> None:
        """Empty the pipes that are full, of guests that are not to be blocked."""
        self._look = None
        clock = self._common.clock
        begun = clock.seconds()
        # (the lane may go on at any moment, which the reactor has not heard of)
        with contextlib.suppress(_GoesOn):
            for log in self._open_logs():
                if self._present_policy(log).on_write_error is OnWriteError.DROP:
                    self._drop_if_full(log.path, log.pipe, log.suspended)
            for path, states in self._expected.items():
                if self._policy_of(states[-1]).on_write_error is OnWriteError.DROP:
                    self._drop_if_full(path, states[-1].pipe, partial(self._with_dropped, states))
        took = clock.seconds() - begun
        self._look = clock.callLater(max(_LOOK_SECONDS, took / _LOOK_SHARE), self._look_at_pipes)

    def _present_policy(self, log: OpenLog) -> Policy:
        """Return the policy of a log, though its thread may not have heard of another one yet."""
        settings = self._common.settings
        if self._handler is not None and self._handler.settings is settings:
            return log.policy
        return settings.policy_of(log.real_path, log.driver, log.domain)

    def _policy_of(self, state: OpenLogState) -> Policy:
        path = state.log if state.details is None else state.details.real_path
        return self._common.settings.policy_of(path, state.driver, state.domain)

    def _drop_if_full(self, path: str, pipe: int, state: Callable[[], OpenLogState]) -> None:
        """Empty a pipe that is full, and have that recorded, as the lane cannot.

        :raises _GoesOn: the lane does something else by now, such as to close pipes.
        """
        try:
            waiting = bytes_waiting(pipe)
            if not waiting or waiting == self._had_room.get(pipe):
                return
            full = is_pipe_full(pipe)
        except OSError:
            # (nobody knows; a silent guest's output is worth more than a moment of a busy one's)
            return
        if not full:
            self._had_room[pipe] = waiting
            return
        if self.lane.silent_seconds() is None:
            raise _GoesOn
        common = self._common
        account = common.accounts.account_of(pipe_number(pipe))
        dropped = self._source.drop(pipe, waiting, common.drops, account)
        if not dropped:
            return
        before, since = self._dropped.get(path, (0, datetime.now(timezone.utc)))
        self._dropped[path] = before + dropped, since
        common.keeper.outage(state())

    def _with_dropped(self, states: Sequence[OpenLogState]) -> OpenLogState:
        """Return the state of a log that the lane has not come to, with what was dropped."""
        state = states[-1]
        dropped = self._source.known_dropped(state.pipe)
        failure = self._failure(state.log)
        return with_dropped(state, dropped, failure.action, failure.errno)


def no_answer(action: str, path: str, lane: LaneLogs, begun: bool) -> LogError:
    """Return what a caller is told of a lane that does not answer; see Explain.

    :param action: what was tried, in the words of SystemFailure.
    """
    return NoAnswer(action, path, lane.mount.point)


def explained(failure: Failure, lane: LaneLogs, path: str, explain: Explain) -> Failure:
    """Return what a caller is told of a failure of :meth:`LaneLogs.ask`."""
    error = failure.value
    if isinstance(error, Silent):
        return Failure(explain(lane, error.begun))
    if isinstance(error, Held):
        return Failure(HeldByOther(path, error.pid, lane.mount.point))
    return failure


class _GoesOn(Exception):
    """The lane is silent no more."""


def _waiting(pipe: int) -> int | None:
    """Return how many bytes are in a pipe; None if the lane has just closed it."""
    try:
        return bytes_waiting(pipe)
    except OSError:
        return None


def _in_this_thread(call: Callable[[], T]) -> Deferred[T]:
    return execute(call)


def _expected_status(
    states: Sequence[OpenLogState], thread: str, failure: SystemFailure | None, asks_pipe: bool
) -> LogStatus:
    """Return what is known of a log that the lane has not come to.

    :param failure: why it does not; None if it will soon.
    """
    state = states[-1]
    details = state.details
    if failure is None and details is not None and details.outage is not None:
        failure = Outage.resumed(details.outage, state.log).failure
    current = details.files.current if details is not None and details.files else None
    return LogStatus(
        path=state.log,
        driver=state.driver,
        domain=state.domain,
        position=Position(current.inode, current.size) if current else Position(0, 0),
        opened_at=details.opened_at if details else datetime.now(timezone.utc),
        bytes_written=details.bytes_written if details else 0,
        rollovers=details.rollovers if details else 0,
        state=LogState.OPEN if failure is None else LogState.FAILING,
        error=None if failure is None else str(failure),
        lost_bytes=details.lost_bytes if details else 0,
        pipe=pipe_number(state.pipe),
        pending=_waiting(state.pipe) if asks_pipe else None,
        thread=thread,
        kept=current.size if current else 0,
        errno=None if failure is None else failure.errno,
    )
