"""The logs of a fleet, for commands that ask one thing after the other.

The event loop of the connection runs only while something is waited for. What is printed slowly,
or looked at in a pager, leaves the connection alone; it is made again if the server has given up.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from typing import Any, TypeVar

from twisted_virtlog.fleet.selecting import Entry, History, Selection, covering
from twisted_virtlog.fleet.stored import LastLines, Log, Messages, Stored, with_gaps
from twisted_virtlog.fleet.stream import Cursor, Start, Stream
from twisted_virtlog.ship.sink_settings import NatsSink
from twisted_virtlog.values import Position

T = TypeVar("T")

#: How far the clocks of hosts may be ahead of the servers'.
_SKEW = timedelta(minutes=1)

#: So many numbers before the last message of a log are looked at for its last lines, at first.
_FIRST_WINDOW = 256
_WIDER = 8


class Fleet:
    """What a stream has of a fleet's logs.

    :ivar prefix: what all subjects begin with.
    """

    def __init__(self, settings: NatsSink, seconds: float | None) -> None:
        """Connect to a server.

        :param seconds: how long an answer may take; None for ever.
        :raises NoServer: none answers.
        """
        self.prefix = settings.subject
        self._loop = asyncio.new_event_loop()
        try:
            self._stream = self._run(_connected(settings, seconds))
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Let go of the server."""
        try:
            self._run(self._stream.close())
        finally:
            self._end()

    def entries(self, selected: Selection) -> list[Entry]:
        """Return the logs that are among some, by what was stored last of each.

        :raises NoServer: nobody answers, or there is no stream.
        """
        found: dict[str, Entry] = {}
        for pattern in selected.patterns(self.prefix):
            for last in self._read(pattern, None, headers_only=True):
                if selected.has(last.log):
                    entry = Entry(last.log, last.time, last.end, last.sequence)
                    found[last.log.subject] = entry
        return list(found.values())

    def counts(self, selected: Selection) -> dict[str, int]:
        """Return how many messages there are on subjects, at least those of some logs."""
        found: dict[str, int] = {}
        for pattern in selected.patterns(self.prefix):
            found |= self._run(self._stream.counts(pattern))
        return found

    def end(self) -> int:
        """Return the number of the stream's last message."""
        return self._run(self._stream.ends())[1]

    def message(self, sequence: int) -> Stored | None:
        """Return a message; None if it is gone."""
        return self._run(self._stream.message(sequence))

    def messages(
        self,
        log: Log,
        end: int,
        since: datetime | None = None,
        until: datetime | None = None,
        start: int = 1,
        headers_only: bool = False,
        after: Position | None = None,
    ) -> Messages:
        """Yield the messages of a log.

        :param end: the number of the last message that may be one of them.
        :param since: leave out those before this time of the host; likewise ``until``.
        :param start: the number of the first that may be one of them.
        :param after: what came before ends there; None if that does not matter.
        """
        begin: Start = start if since is None else since - _SKEW
        is_early = since is not None
        for message in with_gaps(self._read(log.subject, begin, headers_only), after):
            if message.sequence > end or (until is not None and message.earliest > until):
                return
            is_early = is_early and since is not None and message.time < since
            if not is_early:
                yield message
            if message.sequence == end:
                return

    def history(
        self,
        history: History,
        end: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Messages:
        """Yield the messages of a log from all hosts on which it was, by time."""
        with ExitStack() as stack:
            parts = [
                stack.enter_context(closing(self.messages(entry.log, end, since, until)))
                for entry in history.entries
            ]
            yield from heapq.merge(*parts, key=lambda one: (one.time, one.sequence))

    def last_lines(self, history: History, count: int, end: int) -> list[Stored]:
        """Return the last lines of a log, one that has no end yet included."""
        first = self._run(self._stream.ends())[0]
        found = [
            message
            for entry in history.entries
            for message in self._last_lines(entry, count, first, end)
        ]
        lines = LastLines(count)
        for message in sorted(found, key=lambda one: (one.time, one.sequence)):
            lines.add(message)
        return lines.messages()

    def _last_lines(self, entry: Entry, count: int, first: int, end: int) -> list[Stored]:
        if not count:
            return []
        last = min(entry.sequence, end)
        window = _FIRST_WINDOW
        while True:
            lines = LastLines(count)
            start = max(first, last - window + 1)
            with closing(self.messages(entry.log, end, start=start)) as messages:
                for message in messages:
                    lines.add(message)
            if lines.are_enough or start <= first:
                return lines.messages()
            window *= _WIDER

    def follow(self, patterns: list[str], start: int) -> Following:
        """Return what comes on subjects, from the message with a number on."""
        return Following(self._run, Cursor(self._stream, covering(patterns), start))

    def _read(self, pattern: str, start: Start, headers_only: bool = False) -> Messages:
        """Yield what is there."""
        cursor = Cursor(self._stream, pattern, start, headers_only)
        self._run(cursor.open())
        try:
            while messages := self._run(cursor.rest()):
                yield from messages
        finally:
            # (who reads no further may say so after the end)
            if not self._loop.is_closed():
                self._run(cursor.close())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def _end(self) -> None:
        """Let nothing of the connection be left."""
        self._run(_cancelled(self._loop))
        self._loop.close()


class Following:
    """What comes of logs."""

    def __init__(self, run: Any, cursor: Cursor) -> None:
        self._run = run
        self._cursor = cursor

    def next(self, seconds: float | None) -> list[Stored]:
        """Wait for messages, over restarts of servers.

        :param seconds: how long; None for ever.
        :returns: none if none came in this time.
        """
        found: list[Stored] = self._run(self._cursor.come(seconds))
        return found


async def _connected(settings: NatsSink, seconds: float | None) -> Stream:
    stream = Stream(settings, seconds)
    await stream.connect()
    return stream


async def _cancelled(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel all but this."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
