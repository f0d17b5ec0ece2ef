"""Follows logs for ``tail -f``: each byte once, over restarts of the daemon."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twisted_virtlog.client import (
    Disconnected,
    FeedData,
    FeedEnd,
    LogInfo,
    Position,
    RemoteError,
    TimedOut,
    Unreachable,
)
from twisted_virtlog.client.feed import Feed
from twisted_virtlog.ctl.tail_output import Output, Piece, Source

#: A line without an end is printed once its log has been quiet for so long.
_QUIET_SECONDS = 0.3

#: How long to wait before the daemon is tried again; longer and longer, up to the last.
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)

_SHUTTING_DOWN = "shutting down"


class Tailing:
    """Logs that are followed, over one connection at a time.

    :ivar failed: what could not be followed any more, by path.
    """

    def __init__(
        self,
        connect: Callable[[], Feed],
        output: Output,
        until_closed: bool,
        joins: Callable[[LogInfo], str | None] | None,
        warn: Callable[[str], object],
    ) -> None:
        """Follow nothing yet.

        :param until_closed: end when all logs were closed.
        :param joins: returns the name of a log that is opened, if it is to be followed, too; None
            for none.
        """
        self._connect = connect
        self._output = output
        self._until_closed = until_closed
        self._joins = joins
        self._warn = warn
        # Where each goes on; None for now.
        self._next: dict[str, Position | None] = {}
        self._sources: dict[str, Source] = {}
        self._paths: dict[int, str] = {}
        self.failed: dict[str, str] = {}

    def add(self, source: Source, position: Position | None) -> None:
        """Follow a log from a position on.

        :param position: None for what comes once it is followed.
        """
        self._sources[source.path] = source
        self._next[source.path] = position

    def run(self, feed: Feed) -> None:
        """Print what comes, until nothing more does.

        :param feed: the first connection; this closes it.
        :raises RemoteError: the daemon refuses all.
        """
        pauses = iter(_PAUSES)
        while self._next or self._joins is not None:
            try:
                with feed:
                    self._begin(feed)
                    pauses = iter(_PAUSES)
                    self._go_on(feed)
                    return
            except (Disconnected, TimedOut):
                self._output.flush()
            while True:
                time.sleep(next(pauses, _PAUSES[-1]))
                try:
                    feed = self._connect()
                    break
                except (Unreachable, Disconnected, TimedOut):
                    continue

    def _begin(self, feed: Feed) -> None:
        self._paths.clear()
        if self._joins is not None:
            feed.watch()
            for log in feed.list():
                self._join(feed, log, self._next == {})
        for path, position in list(self._next.items()):
            if path not in self._paths.values():
                self._follow(feed, path, position)

    def _follow(self, feed: Feed, path: str, position: Position | None) -> None:
        try:
            number = feed.follow(path, position, None, self._until_closed)
        except RemoteError as error:
            self._fail(path, str(error))
            return
        self._paths[number] = path
        if position is None:
            self._next[path] = feed.beginning(number)

    def _join(self, feed: Feed, log: LogInfo, is_first: bool) -> None:
        """Follow a log that is open, if it is wanted and not followed."""
        if self._joins is None or log.path in self._next or log.path in self.failed:
            return
        name = self._joins(log)
        if name is None:
            return
        self._sources[log.path] = self._output.source(log.path, name)
        self._follow(feed, log.path, None if is_first else _opening(feed, log))

    def _go_on(self, feed: Feed) -> None:
        quiet = True
        while self._paths or self._joins is not None:
            told = feed.next(None if quiet else _QUIET_SECONDS)
            if told is None:
                for source in self._sources.values():
                    self._output.rest(source)
                self._output.flush()
                quiet = True
            elif isinstance(told, FeedData):
                self._print(told)
                quiet = self._output.is_exact
                if quiet:
                    self._output.flush()
            elif isinstance(told, FeedEnd):
                self._end(told)
            elif told.kind == "opened":
                self._join(feed, told.log, is_first=False)

    def _print(self, told: FeedData) -> None:
        path = self._paths.get(told.subscription)
        if path is None:
            return
        piece = Piece(told.data, told.start, told.end, told.gap, told.missed)
        self._output.print(self._sources[path], piece)
        self._next[path] = told.end

    def _end(self, end: FeedEnd) -> None:
        path = self._paths.pop(end.subscription, None)
        if path is None:
            return
        if end.reason == _SHUTTING_DOWN:
            # (the connection ends next, and another one goes on)
            raise Disconnected("the daemon shuts down")
        self._output.end(self._sources[path])
        if end.reason == "failed":
            reason = (end.error or {}).get("strerror", "unknown")
            self._fail(path, f"{path}: its files cannot be read: {reason}")
        else:
            self._next.pop(path, None)

    def _fail(self, path: str, reason: str) -> None:
        self._next.pop(path, None)
        self.failed[path] = reason
        self._warn(reason)


def _opening(feed: Feed, log: LogInfo) -> Position | None:
    """Return where a log was opened last, from where it is to be followed."""
    try:
        boots = feed.boots(log.path)
    except RemoteError:
        return log.position
    return boots[-1].start if boots else log.position


def joins_of(
    pattern: Callable[[LogInfo], bool], names: Callable[[str], str]
) -> Callable[[LogInfo], str | None]:
    """Return what says which logs are followed that are opened later.

    :param pattern: whether a log is one of those.
    :param names: gives a log's name by its path.
    """

    def joins(log: LogInfo) -> str | None:
        return names(log.path) if pattern(log) else None

    return joins


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return names for logs: the last parts of their paths, as many as tell them apart."""
    names = {path: path.rpartition("/")[2] for path in paths}
    parts = 1
    while len(set(names.values())) < len(names):
        parts += 1
        seen = list(names.values())
        for path, name in list(names.items()):
            if seen.count(name) > 1:
                names[path] = "/".join(path.split("/")[-parts:])
    return names
