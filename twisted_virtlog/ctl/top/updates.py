"""What becomes of the open logs, as the daemon tells it, over its restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from twisted_virtlog.client import (
    Disconnected,
    FeedEnd,
    FeedLog,
    LogInfo,
    RemoteError,
    TimedOut,
    Unreachable,
)
from twisted_virtlog.client.feed import Feed

#: The second list comes so soon, so that there is a rate to be seen.
_FIRST_INTERVAL_SECONDS = 0.5
#: So many times as long as a list took is nothing asked then: it takes the daemon 6 us for a log.
_LIST_SHARE = 10

#: How long to wait before the daemon is tried again; longer and longer, up to the last.
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)

#: What an older daemon, one at its limit, or another kind of connection, answers to log.watch.
_NO_WATCH = frozenset({-32601, 1004, 1012})
#: Errors that go away: of the system, at a limit, while the daemon stops.
_PASSING = frozenset({1003, 1004, 1005})


@dataclass(frozen=True, slots=True)
class Listed:
    """All open logs.

    :ivar time: when, by time.monotonic().
    """

    logs: Sequence[LogInfo]
    time: float


@dataclass(frozen=True, slots=True)
class Told:
    """Something happened to a log; see :class:`.FeedLog`.

    :ivar time: when, by time.monotonic().
    """

    kind: str
    log: LogInfo
    time: float


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no daemon for now."""

    reason: str


Update = Listed | Told | Lost


def updates(feed: Feed, connect: Callable[[], Feed], interval: float) -> Iterator[Update]:
    """Yield what becomes of the open logs, for ever; a list of them every now and then.

    :param feed: the first connection; this closes it.
    :param connect: makes the next one.
    :param interval: seconds from one list to the next.
    :raises RemoteError: the daemon refuses to list logs.
    """
    pauses = iter(_PAUSES)
    while True:
        try:
            with feed:
                for update in _of_one(feed, interval):
                    pauses = iter(_PAUSES)
                    yield update
        except (Disconnected, TimedOut) as error:
            yield Lost(str(error))
        except RemoteError as error:
            if error.code not in _PASSING:
                raise
            yield Lost(str(error))
        feed = _next(connect, pauses)


def _of_one(feed: Feed, interval: float) -> Iterator[Update]:
    """Yield what is told over a connection, until it ends."""
    # (what happened before the list is in it)
    _watch(feed)
    pause = min(interval, _FIRST_INTERVAL_SECONDS)
    while True:
        asked = time.monotonic()
        logs = feed.list()
        now = time.monotonic()
        yield Listed(logs, now)
        due = now + max(pause, _LIST_SHARE * (now - asked))
        while (left := due - time.monotonic()) > 0:
            told = feed.next(left)
            if isinstance(told, FeedLog):
                yield Told(told.kind, told.log, time.monotonic())
            elif isinstance(told, FeedEnd):
                # Whatever the reason is, who goes on needs another one.
                raise Disconnected(f"the daemon says no more: {told.reason}")
        pause = interval


def _watch(feed: Feed) -> None:
    """Let the daemon tell what happens between lists, if it does."""
    try:
        feed.watch()
    except RemoteError as error:
        if error.code not in _NO_WATCH:
            raise


def _next(connect: Callable[[], Feed], pauses: Iterator[float]) -> Feed:
    while True:
        time.sleep(next(pauses, _PAUSES[-1]))
        try:
            return connect()
        except (Unreachable, Disconnected, TimedOut):
            continue
