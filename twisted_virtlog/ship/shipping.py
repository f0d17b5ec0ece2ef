"""Ships the logs of a host: from what the daemon tells, in the order in which it is, to a sink.

A log that has nothing to ship costs no task and no timer. What comes of one waits here while its
message before is stored; when all together have much waiting, nothing more is read from the daemon,
which reads from the files, at this speed, and holds up no guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from functools import partial
from typing import Any, TypeAlias

from twisted_virtlog.client import ClientError, Disconnected, RemoteError
from twisted_virtlog.client.asyncio_feed import AsyncioFeed, FeedData, FeedLog, open_feed
from twisted_virtlog.client.calls import Chunk, LogInfo
from twisted_virtlog.client.notifications import Notification
from twisted_virtlog.ship.configuration import Configuration
from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.headers import headers_of
from twisted_virtlog.ship.messages import Cutter, Message, Piece
from twisted_virtlog.ship.sink import Overtaken, Refused, Sink, Unavailable
from twisted_virtlog.ship.subjects import subject
from twisted_virtlog.values import Position

_logger = logging.getLogger(__name__)

#: So many bytes may wait before no more are read; they are again when half of them wait.
MOST_WAITING_BYTES = 16 * 1024 * 1024

#: When nothing came of a log for so long, a line that has no end is shipped, and a log that is
#: closed is done.
QUIET_SECONDS = 0.25

#: So many logs are asked for at once what is stored of them.
_BEGINNINGS = 64

#: How long to wait before something is tried again, the first time and at most.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

#: A message that was refused so often is left out.
_MOST_REFUSALS = 3

_NO_SUCH_LOG = 1002


class _Log:
    """One log, as far as it is shipped.

    :ivar sequence: what stands last on its subject.
    :ivar position: up to where it is shipped; None if nothing of it was there.
    :ivar subscription: by which it is followed; None if it is not.
    :ivar task: what is done for it now, one thing at a time.
    """

    __slots__ = (
        *("cutter", "heard_at", "info", "is_open", "pause", "position", "sequence"),
        *("subject", "subscription", "task"),
    )

    def __init__(self, info: LogInfo, subject: str) -> None:
        self.info = info
        self.subject = subject
        self.cutter = Cutter()
        self.sequence = 0
        self.position: Position | None = None
        self.subscription: int | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_open = False
        self.heard_at = 0.0
        self.pause = _FIRST_PAUSE_SECONDS


#: Something to be done for a log. (Not begun yet: a task may be cancelled before it has begun.)
_Work: TypeAlias = "Callable[[_Log], Coroutine[Any, Any, None]]"


class Shipper:
    """Ships what one daemon has to one sink.

    :ivar counts: of it.
    """

    def __init__(self, configuration: Configuration, prefix: str, socket: str, sink: Sink) -> None:
        """Do nothing before :meth:`run`.

        :param configuration: with the host's name.
        :param prefix: of the subjects.
        :param socket: of the daemon.
        """
        self.counts = Counts()
        self._configuration = configuration
        self._prefix = prefix
        self._socket = socket
        self._sink = sink
        self._logs: dict[str, _Log] = {}
        # Those with bytes that wait, and those that are closed and may have more.
        self._looked_at: set[_Log] = set()
        self._beginnings = asyncio.Semaphore(_BEGINNINGS)
        self._feed: AsyncioFeed | None = None

    async def run(self) -> None:
        """Ship until cancelled, whatever becomes of the daemon and the sink."""
        pause = _FIRST_PAUSE_SECONDS
        is_told = False
        while True:
            try:
                await self._serve()
                pause, is_told = _FIRST_PAUSE_SECONDS, False
            except ClientError as error:
                if not is_told:
                    is_told = True
                    _logger.warning("%s: %s; it is tried again", self._socket, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _serve(self) -> None:
        """Ship over one connection to the daemon, until it ends."""
        ended = asyncio.Event()
        feed = self._feed = await open_feed(self._socket, ended.set)
        try:
            events: list[Notification] = []
            told = events.append

            def happened(event: Notification) -> None:
                told(event)

            await feed.subscribe_to_all(happened)
            for info in await feed.list(closed=True):
                self._meet(info, info.state != "closed")
            # (what came behind the list was told before the list is looked at here)
            for event in events:
                self._happened(event)
            told = self._happened
            while not ended.is_set():
                with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                    await asyncio.wait_for(ended.wait(), QUIET_SECONDS)
                self._look()
        finally:
            self._feed = None
            feed.close()
            await self._forget_all()

    async def _forget_all(self) -> None:
        """Forget all logs: the next connection begins with what is stored of them."""
        tasks = [log.task for log in self._logs.values() if log.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._logs.clear()
        self._looked_at.clear()
        self.counts.waiting_bytes = self.counts.logs = 0

    # What the daemon tells.

    def _happened(self, told: Notification) -> None:
        if isinstance(told, FeedLog) and told.kind in {"opened", "closed"}:
            self._meet(told.log, told.kind == "opened")

    def _meet(self, info: LogInfo, is_open: bool) -> None:
        """Take note that a log is open, or is closed."""
        domain = info.domain
        if not self._configuration.ships(None if domain is None else domain.name):
            return
        uuid = None if domain is None else domain.uuid
        name = subject(self._prefix, self._configuration.host, uuid, info.path)
        log = self._logs.get(info.path)
        if log is None or log.subject != name:
            former, log = log, _Log(info, name)
            self._logs[info.path] = log
            if former is not None:
                # (another guest's: it goes on where the former one's ends)
                self._leave(former)
                log.position = former.position
        log.info = info
        log.is_open = is_open
        if log.subscription is None:
            if log.task is None:
                self._start(log, self._begin)
        else:
            self._looked_at.add(log)

    def _hear(self, log: _Log, told: Notification) -> None:
        """Take what came of a log."""
        if not isinstance(told, FeedData):
            # (its files cannot be read, or the daemon ends)
            log.subscription = None
            if log.task is None:
                self._start(log, self._begin_later)
            return
        if told.gap:
            self.counts.missed_gaps += 1
            self.counts.missed_bytes += told.missed or 0
        log.cutter.feed(Piece(told.data, told.start, told.end, told.gap, told.missed))
        log.heard_at = asyncio.get_running_loop().time()
        self._looked_at.add(log)
        self._wait_for(len(told.data))
        if log.task is None:
            self._start(log, self._ship)

    def _wait_for(self, more: int) -> None:
        """Count bytes that wait, or do no more."""
        counts, feed = self.counts, self._feed
        counts.waiting_bytes += more
        if feed is not None:
            if counts.waiting_bytes > MOST_WAITING_BYTES:
                feed.pause()
            elif counts.waiting_bytes <= MOST_WAITING_BYTES // 2:
                feed.resume()

    def _look(self) -> None:
        """Ship what waits for an end of its line in vain; leave logs that are closed."""
        now = asyncio.get_running_loop().time()
        for log in list(self._looked_at):
            if log.task is not None or now < log.heard_at + QUIET_SECONDS:
                continue
            self._looked_at.discard(log)
            if log.cutter.size:
                self._start(log, partial(self._ship, rest=True))
            elif not log.is_open and log.subscription is not None:
                self._start(log, self._end)
        self.counts.logs = sum(log.subscription is not None for log in self._logs.values())

    # What is done for one log.

    def _start(self, log: _Log, work: _Work) -> None:
        log.task = asyncio.get_running_loop().create_task(self._guarded(log, work))

    async def _guarded(self, log: _Log, work: _Work) -> None:
        """Do something for a log, again and again until it is done."""
        while True:
            try:
                await work(log)
            except Disconnected:
                # (all begins again)
                return
            except (Overtaken, Unavailable, ClientError) as error:
                if log.pause == _FIRST_PAUSE_SECONDS:
                    _logger.warning("%s: %s; it is tried again", log.info.path, error)
                work = self._begin_later
            else:
                break
        log.task = None
        if log.cutter.size or not log.is_open:
            # (the last line has no end yet; or nothing more may come)
            self._looked_at.add(log)
        if log.subscription is None and log.is_open and self._feed is not None:
            # (it was opened meanwhile, or its files cannot be read)
            self._start(log, self._begin_later)

    async def _begin_later(self, log: _Log) -> None:
        """Forget what waits, and begin with what is stored, in a moment."""
        self.counts.retries += 1
        answered = None
        if log.subscription is not None:
            number, log.subscription = log.subscription, None
            answered = self._connected().unsubscribe(number)
        # (nothing is answered as long as too much waits)
        self._wait_for(-log.cutter.size)
        log.cutter = Cutter()
        if answered is not None:
            await answered
        pause, log.pause = log.pause, min(2 * log.pause, _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(pause)
        await self._begin(log)

    async def _begin(self, log: _Log) -> None:
        """Find out up to where a log is shipped, and follow it from there on."""
        async with self._beginnings:
            feed = self._connected()
            path = log.info.path
            stored = await self._sink.checkpoint(log.subject)
            log.sequence = stored.sequence
            position = stored.end or log.position or await _oldest(feed, path)
            log.position = position
            if not log.is_open and await _is_shipped(feed, path, position):
                return
            while True:
                answer = await feed.subscribe(path, lambda told: self._hear(log, told), position)
                if position is not None or not answer.position.inode:
                    break
                # (it came to be there just now)
                await feed.unsubscribe(answer.subscription)
                position = log.position = await _oldest(feed, path)
            log.subscription = answer.subscription
            self._looked_at.add(log)
        await self._ship(log)

    async def _ship(self, log: _Log, rest: bool = False) -> None:
        """Store what has come, message by message."""
        while (message := log.cutter.take(rest)) is not None:
            try:
                await self._store(log, message)
            finally:
                self._wait_for(-len(message.data))
            # (what came meanwhile may go on with its line)
            rest = False

    async def _store(self, log: _Log, message: Message) -> None:
        info = log.info
        now = datetime.now(timezone.utc)
        headers = headers_of(
            message, self._configuration.host, info.path, info.driver, info.domain, now
        )
        for attempt in range(1, _MOST_REFUSALS + 1):
            try:
                log.sequence = await self._sink.publish(
                    log.subject, message.data, headers, log.sequence
                )
            except Refused as error:
                if attempt < _MOST_REFUSALS:
                    await asyncio.sleep(log.pause)
                    continue
                self.counts.refused_bytes += len(message.data)
                _logger.error("%s: %d bytes are left out: %s", info.path, len(message.data), error)
            else:
                self.counts.messages += 1
                self.counts.bytes += len(message.data)
            log.position = message.end
            log.pause = _FIRST_PAUSE_SECONDS
            return

    async def _end(self, log: _Log) -> None:
        """Follow a log that is closed no more, if all of it is shipped."""
        feed = self._connected()
        if not await _is_shipped(feed, log.info.path, log.position):
            self._looked_at.add(log)
            return
        if not log.is_open and log.subscription is not None and not log.cutter.size:
            number, log.subscription = log.subscription, None
            await feed.unsubscribe(number)
            if log.is_open:
                # (it was opened meanwhile)
                await self._begin(log)

    def _leave(self, log: _Log) -> None:
        """Have nothing more to do with a log."""
        if log.task is not None:
            log.task.cancel()
        if log.subscription is not None and self._feed is not None:
            self._feed.unsubscribe(log.subscription)
        self._wait_for(-log.cutter.size)
        self._looked_at.discard(log)

    def _connected(self) -> AsyncioFeed:
        if self._feed is None:
            raise Disconnected("the connection to the daemon has ended")
        return self._feed


async def _oldest(feed: AsyncioFeed, path: str) -> Position | None:
    """Return where a log begins, as far as it is kept; None if there is none."""
    found = await _look_at(feed, path, None)
    return None if found is None else found.start


async def _is_shipped(feed: AsyncioFeed, path: str, position: Position | None) -> bool:
    """Return whether nothing comes after a position of a log that is closed."""
    found = await _look_at(feed, path, position)
    return found is None or not found.data


async def _look_at(feed: AsyncioFeed, path: str, position: Position | None) -> Chunk | None:
    """Read one byte of a log; None if there is no log."""
    try:
        found: Chunk = await feed.read(path, position, 1)
    except RemoteError as error:
        if error.code != _NO_SUCH_LOG:
            raise
        return None
    return found
