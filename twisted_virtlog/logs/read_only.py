"""The logs as clients of the read-only socket see them: they may read those that the daemon knows.

The daemon could read any path; without this rule the socket would be root's cat(1) for everybody
who may connect to it. What may not be read is not named either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_virtlog.errors import NotAllowed
from twisted_virtlog.interfaces import (
    Answer,
    IConsumers,
    IFollower,
    IFollowing,
    IHistory,
    ILogHandler,
    IWatch,
)
from twisted_virtlog.values import (
    Boot,
    Closed,
    ConsumerStatus,
    Counts,
    Domain,
    Excerpt,
    FollowerState,
    KeptFile,
    Ledger,
    LogEvent,
    LogStatus,
    Opened,
    OpenedFiles,
    PolicyWord,
    Position,
    Removed,
    TimeMark,
    TimeRange,
    Watched,
)

T = TypeVar("T")
S = TypeVar("S", LogStatus, ConsumerStatus)

#: Returns whether the log of a path may be named, as it could be read if it is known.
MayName: TypeAlias = "Callable[[str], bool]"


@implementer(ILogHandler)
class ReadOnlyLogs:
    """Passes on what changes nothing.

    :param handler: of all logs.
    """

    def __init__(self, handler: ILogHandler, may_name: MayName) -> None:
        self._handler = handler
        self._may_name = may_name

    def open(self, path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        self._refuse_change(path)

    def close_log(self, path: str) -> Answer[Closed]:
        self._refuse_change(path)

    def append(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Answer[Position]:
        self._refuse_change(path)

    def remove(self, path: str) -> Answer[Removed]:
        self._refuse_change(path)

    def position(self, path: str) -> Answer[Position]:
        return _if_known(self._handler, path, lambda: self._handler.position(path))

    def read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        return _if_known(self._handler, path, lambda: self._handler.read(path, position, max_bytes))

    def kept_files(self, path: str) -> Answer[Sequence[KeptFile]]:
        return _if_known(self._handler, path, lambda: self._handler.kept_files(path))

    def files(self, path: str, start: Position | None) -> Answer[OpenedFiles]:
        return _if_known(self._handler, path, lambda: self._handler.files(path, start))

    def logs(self) -> Answer[Sequence[LogStatus]]:
        return _those_named(self._handler.logs(), self._may_name)

    def policy(self, path: str) -> Answer[Mapping[str, PolicyWord]]:
        return _if_known(self._handler, path, lambda: self._handler.policy(path))

    def ledger(self, path: str | None) -> Answer[Ledger]:
        if path is None:
            found: Answer[Ledger] = self._handler.ledger(None)
            return found
        return _if_known(self._handler, path, lambda: self._handler.ledger(path))

    def counts(self) -> Counts:
        found: Counts = self._handler.counts()
        return found

    def is_known(self, path: str) -> Answer[bool]:
        known: Answer[bool] = self._handler.is_known(path)
        return known

    def _refuse_change(self, path: str) -> NoReturn:
        raise NotAllowed(f"{path}: the read-only socket changes no log", path)


@implementer(IHistory)
class ReadOnlyHistory:
    """The past of logs that are known.

    :param handler: of all logs.
    :param history: of all logs, too.
    """

    def __init__(self, handler: ILogHandler, history: IHistory, may_name: MayName) -> None:
        self._handler = handler
        self._history = history
        self._may_name = may_name

    def locate(
        self, path: str, since: datetime | None, until: datetime | None
    ) -> Answer[Sequence[TimeRange]]:
        return _if_known(self._handler, path, lambda: self._history.locate(path, since, until))

    def times(
        self, path: str, start: Position | None, end: Position | None
    ) -> Answer[Sequence[TimeMark]]:
        return _if_known(self._handler, path, lambda: self._history.times(path, start, end))

    def boots(self, path: str) -> Answer[Sequence[Boot]]:
        return _if_known(self._handler, path, lambda: self._history.boots(path))

    def events(self, path: str, since: datetime | None) -> Answer[Sequence[LogEvent]]:
        return _if_known(self._handler, path, lambda: self._history.events(path, since))

    def closed_logs(self) -> Answer[Sequence[LogStatus]]:
        return _those_named(self._history.closed_logs(), self._may_name)


@implementer(IFollowing)
class ReadOnlyFollowing:
    """Follows logs, and says nothing of one that is not known before the daemon has opened it.

    :param handler: of all logs.
    :param following: of all logs, too.
    """

    def __init__(self, handler: ILogHandler, following: IFollowing, may_name: MayName) -> None:
        self._handler = handler
        self._following = following
        self._may_name = may_name

    def follow(
        self,
        path: str,
        position: Position | None,
        until_closed: bool,
        ready: Callable[[], None],
        from_opening: bool = False,
    ) -> Answer[IFollower]:
        def follow(is_known: bool) -> Answer[IFollower]:
            follower: Answer[IFollower] = self._following.follow(
                path, position, until_closed, ready, from_opening or not is_known
            )
            return follower

        known = self._handler.is_known(path)
        if isinstance(known, Deferred):
            later: Deferred[IFollower] = known.addCallback(follow)
            return later
        return follow(known)

    def resume(self, state: FollowerState, ready: Callable[[], None]) -> IFollower:
        follower: IFollower = self._following.resume(state, ready)
        return follower

    def watch(self, ready: Callable[[], None], before: Sequence[Watched] = ()) -> IWatch:
        return _ReadOnlyWatch(self._following.watch(ready, before), self._may_name)

    def end_all(self) -> None:
        self._following.end_all()


@implementer(IWatch)
class _ReadOnlyWatch:
    """Tells of logs that may be named."""

    def __init__(self, watch: IWatch, may_name: MayName) -> None:
        self._watch = watch
        self._may_name = may_name

    def take(self) -> Watched | None:
        while True:
            event: Watched | None = self._watch.take()
            if event is None or self._may_name(event.status.path):
                return event

    def stop(self) -> None:
        self._watch.stop()

    def suspended(self) -> tuple[Watched, ...]:
        left: tuple[Watched, ...] = self._watch.suspended()
        return left


def _those_named(answer: Answer[Sequence[S]], may_name: MayName) -> Answer[Sequence[S]]:
    """Leave out what is about logs that may not be named."""

    def named(found: Sequence[S]) -> Sequence[S]:
        return [status for status in found if may_name(status.path)]

    if isinstance(answer, Deferred):
        later: Deferred[Sequence[S]] = answer.addCallback(named)
        return later
    return named(answer)


@implementer(IConsumers)
class ReadOnlyConsumers:
    """What consumers have of logs that may be named.

    :param consumers: of all logs.
    """

    def __init__(self, consumers: IConsumers, may_name: MayName) -> None:
        self._consumers = consumers
        self._may_name = may_name

    def acknowledge(
        self, consumer: str, uid: int, acks: Sequence[tuple[str, Position]]
    ) -> Answer[None]:
        answer: Answer[None] = self._consumers.acknowledge(consumer, uid, acks)
        return answer

    def consumers(self) -> Answer[Sequence[ConsumerStatus]]:
        return _those_named(self._consumers.consumers(), self._may_name)

    def forget(self, consumer: str, path: str | None) -> Answer[None]:
        raise NotAllowed(f"{consumer}: the read-only socket forgets no consumer", path)


def _if_known(handler: ILogHandler, path: str, ask: Callable[[], Answer[T]]) -> Answer[T]:
    """Ask about a log that is known, as soon as that can be said."""
    known = handler.is_known(path)
    if not isinstance(known, Deferred):
        _check(path, known)
        return ask()

    def ask_now(known: bool) -> Answer[T]:
        _check(path, known)
        return ask()

    later: Deferred[T] = known.addCallback(ask_now)
    return later


def _check(path: str, is_known: bool) -> None:
    if not is_known:
        raise NotAllowed(
            f"{path} is not a log that the daemon knows: it was neither opened nor appended to"
            " before, as far as it remembers; the read-only socket serves no other file",
            path,
        )
