"""Follows logs as they grow, and watches which there are: IFollowing, for all logs."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.errors import (
    HeldByOther,
    LimitReached,
    LogError,
    NoAnswer,
    NoSuchLog,
    NotWritten,
    ShuttingDown,
    SystemFailure,
)
from twisted_virtlog.interfaces import Answer, IFollower, IFollowing
from twisted_virtlog.logs.files.reader import read_packed_piece, read_piece
from twisted_virtlog.logs.files.removal import close_quietly
from twisted_virtlog.logs.following.announcing import Announcements, Work
from twisted_virtlog.logs.following.follower import Follower
from twisted_virtlog.logs.following.kept_files import MOST, KeptFiles
from twisted_virtlog.logs.following.observer import FollowedLogs
from twisted_virtlog.logs.following.reading import Cold, Found, Reader
from twisted_virtlog.logs.following.trail import Trail
from twisted_virtlog.logs.following.watching import Watch
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.observing import LogObserver, LogThread
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.values import (
    EndReason,
    Followed,
    FollowEnd,
    FollowerState,
    Position,
    Watched,
    WatchKind,
)

T = TypeVar("T")

#: The most that there may be of all who follow or watch.
MOST_SUBSCRIPTIONS = 65536

#: How soon a log is asked again whose file system does not answer, or for which descriptors lack.
_AGAIN_SECONDS = 1.0

#: How often it is looked whether kept files are still read.
_LOOK_SECONDS = 2.0


class Logs(Protocol):
    """All logs; see AllLogs."""

    def ask_where_it_is(
        self, path: str, call: Callable[[LogHandler, str], Answer[T]], action: str
    ) -> Answer[T]:
        """Ask the handler of the thread in which a log is, or would be opened, in that thread."""


@implementer(IFollowing)
class Following:
    """All who follow logs, and all who watch."""

    _logger = Logger()

    def __init__(
        self,
        clock: Clock,
        later: Callable[[Work], object],
        rest: Callable[[float, Work], object],
        most_files: int = MOST,
    ) -> None:
        """Follow nothing before :meth:`begin`.

        :param later: see Announcements, likewise ``rest``.
        :param most_files: that are kept open for those who read them.
        """
        self._clock = clock
        self._kept = KeptFiles(clock.seconds, self._files_kept, most_files)
        self._announcements = Announcements(later, rest, clock.seconds)
        self._logs: Logs | None = None
        self._followers: dict[Follower, None] = {}
        self._watches: dict[Watch, None] = {}
        # When logs were opened last, as far as that was told, by path.
        self._opened_at: dict[str, datetime] = {}
        # By real path, and by the paths that clients have spelled.
        self._trails: dict[str, Trail] = {}
        self._look: IDelayedCall | None = None
        # (one timer for all: a clock that has many is slow)
        self._again: IDelayedCall | None = None
        self._failed: list[Callable[[], object]] = []
        self._has_ended = False
        # Descriptors of the daemon's former image that were taken over: several may have brought
        # one, and its number may be another file's by now.
        self._resumed_files: set[int] = set()

    def observer_of(self, thread: LogThread) -> LogObserver:
        """Make what is told of the logs of a thread; see ObserverOf."""
        return FollowedLogs(self, thread)

    def begin(self, logs: Logs) -> None:
        """Follow these logs, of which the observers are told."""
        self._logs = logs

    # IFollowing.

    def follow(
        self,
        path: str,
        position: Position | None,
        until_closed: bool,
        ready: Callable[[], None],
        from_opening: bool = False,
    ) -> Answer[IFollower]:
        self._check_room(path)
        follower = Follower(self, path, ready, until_closed, from_opening)
        self._followers[follower] = None
        try:
            answer = self._ask(follower, partial(self._join, follower, position))
        except BaseException:
            self.left(follower)
            raise
        if isinstance(answer, Deferred):
            answer.addErrback(self._not_followed, follower)
            return answer.addCallback(lambda _: follower)
        return follower

    def _not_followed(self, failure: Failure, follower: Follower) -> Failure:
        self.left(follower)
        return failure

    def resume(self, state: FollowerState, ready: Callable[[], None]) -> Follower:
        follower = Follower(self, state.path, ready, state.until_closed, state.from_opening)
        follower.state = state
        self._followers[follower] = None
        self._resume(follower, state)
        return follower

    def _resume(self, follower: Follower, state: FollowerState) -> None:
        if follower.reader.has_left:
            for file in set(state.files) - self._resumed_files:
                self._resumed_files.add(file)
                close_quietly(file)
            return
        try:
            answer = self._ask(follower, partial(self._rejoin, follower, state))
        except LogError:
            self._resume_later(Failure(), follower, state)
            return
        if isinstance(answer, Deferred):
            answer.addCallbacks(
                self._resumed, self._resume_later, errbackArgs=(follower, state)
            ).addErrback(lambda failure: self._logger.failure("following a log failed", failure))
        else:
            self._resumed(answer)

    def _resumed(self, follower: Follower) -> None:
        follower.state = None
        self._announcements.add([follower.reader])

    def _resume_later(self, failure: Failure, follower: Follower, state: FollowerState) -> None:
        error = failure.value
        if _is_passing(error):
            self._try_again(lambda: self._resume(follower, state))
            return
        self._fail(follower, failure)
        self._announcements.add([follower.reader])

    def watch(self, ready: Callable[[], None], before: Sequence[Watched] = ()) -> Watch:
        self._check_room(None)
        watch = Watch(ready, self._watched_no_more, before)
        self._watches[watch] = None
        return watch

    def _watched_no_more(self, watch: Watch) -> None:
        self._watches.pop(watch, None)
        if not self._watches:
            self._opened_at.clear()

    def end_all(self) -> None:
        self._has_ended = True
        for follower in list(self._followers):
            follower.finish(FollowEnd(EndReason.SHUTTING_DOWN))
            self._announcements.add([follower.reader])
        for watch in list(self._watches):
            watch.stop()
        for call in (self._look, self._again):
            if call is not None:
                call.cancel()
        self._look = self._again = None
        self._call_again()

    def _check_room(self, path: str | None) -> None:
        if self._has_ended:
            raise ShuttingDown("the daemon is stopping", path)
        if len(self._followers) + len(self._watches) >= MOST_SUBSCRIPTIONS:
            raise LimitReached(
                f"there are {MOST_SUBSCRIPTIONS} subscriptions, as many as there may be",
                "subscriptions",
                path,
            )

    # For the daemon's totals.

    @property
    def followed_logs(self) -> int:
        """How many logs are followed, open or not."""
        return len(self.trails())

    @property
    def kept_files(self) -> int:
        """How many files are kept open for those who read them."""
        return len(self._kept)

    # For observers: Interested.

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches which logs there are."""
        return bool(self._watches)

    def trails(self, *names: str) -> Sequence[Trail]:
        """Return the trails of a log, by its path and its real path; all, if none is named."""
        trails = self._trails
        if not trails:
            return ()
        if not names:
            return tuple(set(trails.copy().values()))
        found: list[Trail] = []
        for name in names:
            trail = trails.get(name)
            if trail is not None and trail not in found:
                found.append(trail)
        return tuple(found)

    def happened(self, event: Watched) -> None:
        """Tell those who watch."""
        if event.kind is not WatchKind.STATE and not self._is_news(event):
            return
        for watch in list(self._watches):
            watch.add(event)

    def _is_news(self, event: Watched) -> bool:
        """Return whether what is told of a log comes after what was told of it before.

        That it was closed in one thread may be told after it was opened in another one.
        """
        path, at = event.status.path, event.status.opened_at
        if event.kind is WatchKind.OPENED:
            self._opened_at[path] = at
            return True
        if self._opened_at.get(path, at) > at:
            return False
        self._opened_at.pop(path, None)
        return True

    # For followers: Follows.

    def read(self, follower: Follower, max_bytes: int) -> Answer[Followed | FollowEnd | None]:
        """Read what comes next for one, where his log is."""
        trail = follower.trail
        if trail is None:
            return None
        if trail.log is not None and trail.thread.is_reactor:
            # The short way, as nearly always.
            try:
                return self._taken(trail.read(follower.reader, max_bytes), follower)
            except Cold as cold:
                # (whoever has the log knows who waits for a disk)
                os.close(cold.file)
            except SystemFailure:
                return self._not_read(Failure(), follower)
        try:
            answer = self._ask(follower, partial(self._read, trail, follower.reader, max_bytes))
        except LogError:
            return self._not_read(Failure(), follower)
        if isinstance(answer, Deferred):
            return answer.addCallback(self._taken, follower).addErrback(self._not_read, follower)
        return self._taken(answer, follower)

    def _taken(self, found: Found, follower: Follower) -> Followed | FollowEnd | None:
        if follower.reader.has_left:
            return follower.end
        if found.what is None and not found.waits:
            # (he asks again after others)
            self._announcements.add([follower.reader])
        return follower.take(found)

    def _not_read(self, failure: Failure, follower: Follower) -> FollowEnd | None:
        if follower.reader.has_left:
            return follower.end
        if _is_passing(failure.value):
            self._try_again(lambda: self._announcements.add([follower.reader]))
            return None
        return self._fail(follower, failure)

    def _try_again(self, call: Callable[[], object]) -> None:
        """Call something soon, with all else that is to be tried again."""
        if self._again is None:
            self._again = self._clock.callLater(_AGAIN_SECONDS, self._call_again)
        self._failed.append(call)

    def _call_again(self) -> None:
        self._again = None
        failed, self._failed = self._failed, []
        for call in failed:
            call()

    def _fail(self, follower: Follower, failure: Failure) -> FollowEnd:
        error = failure.value
        if isinstance(error, ShuttingDown):
            end = FollowEnd(EndReason.SHUTTING_DOWN)
        else:
            if not isinstance(error, LogError):
                self._logger.failure("{path}: following failed", failure, path=follower.path)
            found = error if isinstance(error, Exception) else None
            end = FollowEnd(EndReason.FAILED, found)
        follower.finish(end)
        return end

    def changed_patience(self, follower: Follower) -> None:
        """Let the log's pipe rest as long as all who follow it allow."""
        trail = follower.trail
        if trail is not None and not follower.reader.has_left:
            trail.at_home(partial(self._count, trail))

    def left(self, follower: Follower) -> None:
        """Forget one."""
        reader, trail = follower.reader, follower.trail
        reader.has_left = True
        self._announcements.remove(reader)
        if self._followers.pop(follower, self) is not self and trail is not None:
            trail.at_home(partial(self._leave, trail, reader))

    def _files_kept(self) -> None:
        if self._look is None and not self._has_ended:
            self._look = self._clock.callLater(_LOOK_SECONDS, self._look_at_files)

    def _look_at_files(self) -> None:
        self._look = None
        self._kept.release_unused()
        if len(self._kept):
            self._files_kept()

    def _ask(self, follower: Follower, call: Callable[[LogHandler, str], Answer[T]]) -> Answer[T]:
        if self._logs is None:
            raise ShuttingDown("the daemon does not follow logs yet", follower.path)
        return self._logs.ask_where_it_is(
            follower.path, call, f"Unable to read from file {follower.path}"
        )

    # In the log's thread.

    def _join(
        self, follower: Follower, position: Position | None, handler: LogHandler, path: str
    ) -> Answer[Follower]:
        """Let one follow a log from a position on."""
        trail, reader = self._enter(follower, handler, path), follower.reader
        try:
            if reader.wants_opening:
                reader.wanted = position
                return follower
            trail.put_at_end(reader)
            if position is not None:
                trail.put(reader, trail.find(position))
            elif trail.log is not None:
                return self._drained(follower, trail, handler)
        except BaseException:
            self._leave(trail, reader)
            raise
        return follower

    def _drained(self, follower: Follower, trail: Trail, handler: LogHandler) -> Answer[Follower]:
        """Let one begin at the end of an open log, after what its pipe holds."""

        def begin(position: Position) -> Follower:
            trail.put(follower.reader, trail.find(position))
            return follower

        def fail(failure: Failure) -> Follower:
            # (what cannot be written now comes later)
            failure.trap(NotWritten, NoSuchLog, SystemFailure)
            return follower

        try:
            answer = handler.position(trail.log.path) if trail.log is not None else None
            if isinstance(answer, Deferred):
                return answer.addCallback(begin).addErrback(fail)
            if answer is not None:
                begin(answer)
        except (NotWritten, NoSuchLog, SystemFailure):
            pass
        return follower

    def _rejoin(
        self, follower: Follower, state: FollowerState, handler: LogHandler, path: str
    ) -> Follower:
        """Let one go on where the daemon's former image stopped."""
        trail, reader = self._enter(follower, handler, path, state), follower.reader
        if reader.wants_opening:
            reader.wanted = state.position
            return follower
        try:
            trail.resume(reader, state, self._resumed_files)
        except BaseException:
            self._leave(trail, reader)
            raise
        return follower

    def _enter(
        self,
        follower: Follower,
        handler: LogHandler,
        path: str,
        state: FollowerState | None = None,
    ) -> Trail:
        """Let one have a place at the end of a log, or before its opening.

        :param state: as the daemon's former image stopped.
        """
        log, reader = handler.log_of(path), follower.reader
        real_path = handler.real_path_of(path) if log is None else log.real_path
        trail = self._trails.get(real_path)
        if trail is None or trail.real_path != real_path:
            file = handler.file_of(path) if log is None else log.writer.path
            trail = Trail(
                real_path,
                file,
                handler.thread,
                handler.limits_of(file),
                self._kept,
                self._announcements.add,
                self._clock.seconds,
            )
            self._trails[real_path] = trail
            if state is not None:
                trail.restore(state.parts, self._resumed_files)
        self._trails.setdefault(path, trail)
        trail.thread = handler.thread
        try:
            if log is not None and trail.log is None:
                trail.attach(log)
            elif log is None and not reader.wants_opening and trail.writer is None:
                trail.limits = handler.limits_of(trail.path)
                trail.directory = handler.directory_of(trail.path)
                trail.held = partial(handler.held_names, trail.real_path, trail.path)
                trail.look()
        finally:
            follower.trail = trail
            trail.add(reader)
        self._count(trail)
        if reader.has_left:
            self._leave(trail, reader)
        return trail

    def _leave(self, trail: Trail, reader: Reader) -> None:
        """Let one follow a log no more."""
        trail.remove(reader)
        self._count(trail)
        if not trail.readers:
            for name in [name for name, one in self._trails.copy().items() if one is trail]:
                self._trails.pop(name, None)

    def _count(self, trail: Trail) -> None:
        log = trail.log
        if log is not None:
            trails = self.trails(log.real_path, log.path)
            log.set_trails(tuple(one for one in trails if one.log is log and one.readers))

    def _read(
        self, trail: Trail, reader: Reader, max_bytes: int, handler: LogHandler, path: str
    ) -> Answer[Found]:
        trail.thread = handler.thread
        if trail.log is None:
            trail.limits = handler.limits_of(trail.path)
            trail.directory = handler.directory_of(trail.path)
            trail.held = partial(handler.held_names, trail.real_path, trail.path)
        try:
            return trail.read(reader, max_bytes)
        except Cold as cold:
            return self._read_cold(trail, cold, handler)

    def _read_cold(self, trail: Trail, cold: Cold, handler: LogHandler) -> Deferred[Found]:
        """Have a thread read what is not in memory."""

        def read() -> bytes:
            try:
                read = read_packed_piece if cold.is_packed else read_piece
                return read(cold.file, cold.offset, cold.count, 0, trail.path)
            finally:
                close_quietly(cold.file)

        later = handler.call_blocking(cold.file, trail.path, read, lambda: close_quietly(cold.file))
        return later.addCallback(lambda data: trail.read_cold(cold, data))


def _is_passing(error: BaseException | None) -> bool:
    """Return whether it is worth to try again what has failed."""
    if isinstance(error, (NoAnswer, HeldByOther)):
        return True
    return isinstance(error, SystemFailure) and error.errno in {errno.EMFILE, errno.ENFILE}
