"""Ships the logs of a host: from what the daemon tells, in the order in which it is, to a sink.

A log that has nothing to ship costs no task and no timer. What comes of one waits here while its
message before is stored; when all together have much waiting, nothing more is read from the daemon,
which reads from the files, at this speed, and holds up no guest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

from twisted_virtlog.client import ClientError, Disconnected, RemoteError
from twisted_virtlog.client.asyncio_feed import AsyncioFeed, FeedData, FeedLog, open_feed
from twisted_virtlog.client.calls import Chunk, LogInfo
from twisted_virtlog.client.notifications import Notification
from twisted_virtlog.ship.acknowledging import Acknowledger
from twisted_virtlog.ship.arrivals import Arrivals, Mark
from twisted_virtlog.ship.configuration import Configuration
from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.messages import Cutter, Message, Piece
from twisted_virtlog.ship.sink import Overtaken, Refused, Sink, Source, Unavailable
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


#: Of the many logs of which nothing is behind the present.
_PRESENT = Arrivals()


class _Log:
    """One log, as far as it is shipped.

    :ivar source: whose it is, for the sink.
    :ivar sequence: the number of what stands last of it in the sink.
    :ivar position: up to where it is shipped; None if nothing of it was there.
    :ivar subscription: by which it is followed; None if it is not.
    :ivar task: what is done for it now, one thing at a time.
    :ivar arrivals: when that came which is behind the present.
    """

    __slots__ = (
        *("arrivals", "cutter", "heard_at", "info", "is_open", "pause", "position", "sequence"),
        *("source", "subscription", "task"),
    )

    def __init__(self, info: LogInfo, source: Source) -> None:
        self.info = info
        self.source = source
        self.cutter = Cutter()
        self.arrivals = _PRESENT
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

    def __init__(
        self,
        configuration: Configuration,
        sink: Sink,
        counts: Counts,
        acknowledger: Acknowledger | None = None,
        needs_acknowledger: bool = False,
    ) -> None:
        """Do nothing before :meth:`run`.

        :param configuration: with the host's name, and the daemon's socket.
        :param acknowledger: tells the daemon what is stored; None for nobody.
        :param needs_acknowledger: nothing is shipped as long as the daemon does not hear it.
        """
        self.counts = counts
        self._configuration = configuration
        self._socket = configuration.socket
        self._sink = sink
        self._acknowledger = acknowledger
        self._needs_acknowledger = needs_acknowledger
        # Up to where logs are stored, over connections, where the sink itself does not say so.
        self._stored: dict[str, Position] = {}
        # What the files of logs are called that were acknowledged before.
        self._names: set[str] = set()
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
        if self._acknowledger is None:
            await self._serve_feed()
            return
        async with self._acknowledging(self._acknowledger):
            await self._serve_feed()

    @contextlib.asynccontextmanager
    async def _acknowledging(self, acknowledger: Acknowledger) -> AsyncIterator[None]:
        """Tell the daemon inside the context what is stored, if it hears that."""
        task = None
        try:
            await self._learn(acknowledger)
            task = asyncio.create_task(acknowledger.run())
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await acknowledger.close()

    async def _learn(self, acknowledger: Acknowledger) -> None:
        """Find out up to where logs are acknowledged."""
        try:
            acknowledged = await acknowledger.positions()
        except RemoteError as error:
            if self._needs_acknowledger:
                raise
            acknowledger.tell(error)
        else:
            # (what was stored a moment ago may not have been acknowledged yet)
            self._stored = {**acknowledged, **self._stored}
            self._names = {os.path.basename(path) for path in acknowledged}

    async def _acknowledged(self, path: str) -> Position | None:
        """Return up to where a log is acknowledged; the daemon names it without links."""
        if os.path.basename(path) not in self._names:
            return None
        return self._stored.get(await asyncio.to_thread(os.path.realpath, path))

    async def _serve_feed(self) -> None:
        ended = asyncio.Event()
        # (without a limit: nothing is answered while much waits, for as long as the sink is away)
        feed = self._feed = await open_feed(self._socket, ended.set, timeout=None)
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
        source = Source(self._configuration.host, info.path, info.driver, domain)
        log = self._logs.get(info.path)
        if log is None or log.source.uuid != source.uuid:
            former, log = log, _Log(info, source)
            self._logs[info.path] = log
            # (another guest's goes on where the former one's ends)
            log.position = self._stored.get(info.path)
            if former is not None:
                self._leave(former)
        log.info, log.source = info, source
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
            stored = await self._sink.checkpoint(log.source)
            log.sequence = stored.sequence
            position = stored.end or log.position or await self._acknowledged(path)
            position = position or await _oldest(feed, path)
            self._note(log, position)
            if not log.is_open and await _is_shipped(feed, path, position):
                return
            log.arrivals = _PRESENT
            if position is not None and position != log.info.position:
                # (asked before anything comes, behind which no answer would)
                log.arrivals = Arrivals(await _marks(feed, path, position))
            while True:
                answer = await feed.subscribe(path, lambda told: self._hear(log, told), position)
                if position is not None or not answer.position.inode:
                    break
                # (it came to be there just now)
                await feed.unsubscribe(answer.subscription)
                position = await _oldest(feed, path)
                self._note(log, position)
            log.subscription = answer.subscription
            self._looked_at.add(log)
        await self._ship(log)

    async def _ship(self, log: _Log, rest: bool = False) -> None:
        """Store what has come, message by message."""
        while (message := log.cutter.take(rest)) is not None:
            try:
                dated = log.arrivals.date(message)
                if log.arrivals.are_past:
                    log.arrivals = _PRESENT
                await self._store(log, dated)
            finally:
                self._wait_for(-len(message.data))
            # (what came meanwhile may go on with its line)
            rest = False

    async def _store(self, log: _Log, message: Message) -> None:
        """Store a message; of one that is refused, all that is not to blame for it."""
        parts = [message]
        refusals = 0
        while parts:
            part = parts.pop()
            try:
                log.sequence = await self._sink.publish(log.source, part, log.sequence)
            except Refused as error:
                halves = part.halves()
                if halves is not None:
                    parts += reversed(halves)
                    continue
                refusals += 1
                if refusals < _MOST_REFUSALS and not error.is_final:
                    parts.append(part)
                    await asyncio.sleep(log.pause)
                    continue
                self.counts.refused_bytes += len(part.data)
                _logger.error(
                    "%s: %d bytes at %d are left out: %s",
                    *(log.info.path, len(part.data), part.start.offset, error),
                )
            else:
                self.counts.messages += 1
                self.counts.bytes += len(part.data)
            refusals = 0
            log.pause = _FIRST_PAUSE_SECONDS
            self._note(log, part.end)

    def _note(self, log: _Log, position: Position | None) -> None:
        """Take note of how far a log is stored."""
        log.position = position
        if position is not None:
            self._stored[log.info.path] = position
            if self._acknowledger is not None:
                self._acknowledger.note(log.info.path, position)

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


async def _marks(feed: AsyncioFeed, path: str, position: Position) -> Sequence[Mark]:
    """Return when that came which comes after a position, as far as the daemon says so."""
    try:
        found = await feed.times(path, position, None)
    except RemoteError:
        # (it may be an older one, or the log has just been removed)
        return ()
    return [Mark(one.position, one.time) for one in found]


async def _look_at(feed: AsyncioFeed, path: str, position: Position | None) -> Chunk | None:
    """Read one byte of a log; None if there is no log."""
    try:
        found: Chunk = await feed.read(path, position, 1)
    except RemoteError as error:
        if error.code != _NO_SUCH_LOG:
            raise
        return None
    return found
