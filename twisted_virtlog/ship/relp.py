"""A server of syslog that takes RELP, the reliable event logging protocol of rsyslog.

Each line is a message, and each is answered by its number when the server has it. So many may be
under way at once; those that are not answered when a session ends are sent again in the next one,
in order, before anything else. A server cannot say what it has: the daemon keeps how far that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from urllib.parse import urlsplit

from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.lines import Line, lines_of
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.relp_frames import (
    CLOSE,
    OFFERS,
    OPEN,
    SERVER_CLOSES,
    SYSLOG,
    Frame,
    FrameReader,
    WrongFrame,
    answer_of,
    next_number,
    takes_syslog,
)
from twisted_virtlog.ship.retrying import Backoff
from twisted_virtlog.ship.sink import Checkpoint, Refused, Source, Unavailable
from twisted_virtlog.ship.sink_settings import RelpSink
from twisted_virtlog.ship.syslog import SyslogWriter
from twisted_virtlog.ship.tls import tls_context

_logger = logging.getLogger(__name__)

#: So many lines are under way at once.
WINDOW = 256

#: A line that was refused so often is left out.
_MOST_REFUSALS = 3

_CONNECTING_SECONDS = 10.0
#: When nothing was answered for so long, the session is given up. (A server that waits for others
#: answers late.)
_ANSWER_SECONDS = 90.0
_CLOSING_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_READ_BYTES = 64 * 1024
_OK = 200
#: So many bytes of a line are sent at once, however much is said beside it.
_LEAST_LINE = 256


class _Silence(Exception):
    """Nothing came in time."""


_FAILURES = (OSError, UnicodeError, WrongFrame, Refused, _Silence, asyncio.TimeoutError)


class _Job:
    """A message whose lines are sent.

    :ivar writer: of its lines.
    :ivar lines: those that are not sent yet.
    :ivar unanswered: how many are sent, and not answered.
    :ivar done: is told when all are stored.
    """

    __slots__ = ("done", "is_sent", "lines", "path", "unanswered", "writer")

    def __init__(
        self, path: str, writer: SyslogWriter, lines: Iterator[Line], done: asyncio.Future[None]
    ) -> None:
        self.path = path
        self.writer = writer
        self.lines = lines
        self.done = done
        self.unanswered = 0
        self.is_sent = False

    def look(self) -> None:
        """Tell who waits, if nothing is left to do."""
        if self.is_sent and not self.unanswered and not self.done.done():
            self.done.set_result(None)


class _Sent:
    """A line that is under way.

    :ivar since: when it was sent, by the clock of the loop.
    :ivar refusals: how often it was refused.
    """

    __slots__ = ("data", "job", "line", "refusals", "since")

    def __init__(self, job: _Job, line: Line, data: bytes) -> None:
        self.job = job
        self.line = line
        self.data = data
        self.refusals = 0
        self.since = 0.0


class _Session:
    """A connection on which a session was opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader()
        self._number = 0
        self._unsent = bytearray()

    def add(self, command: bytes, data: bytes = b"") -> int:
        """Add a command to what :meth:`send` sends; return its number."""
        self._number = next_number(self._number)
        self._unsent += Frame(self._number, command, data).encode()
        return self._number

    def send(self) -> None:
        """Send what was added."""
        if self._unsent:
            unsent, self._unsent = self._unsent, bytearray()
            self._writer.write(unsent)

    async def receive(self, timeout: float) -> list[Frame]:
        """Wait for what comes next.

        :raises _Silence: nothing came in that time.
        :raises OSError: the connection has ended.
        :raises WrongFrame: something else came.
        """
        while True:
            try:
                data = await asyncio.wait_for(self._reader.read(_READ_BYTES), timeout)
            except (asyncio.TimeoutError, TimeoutError) as error:
                # (the system's own is one, too, and no end of waiting)
                if self._reader.exception() is not None:
                    raise OSError(_words(error)) from error
                raise _Silence(f"nothing was answered in {timeout:g} seconds") from None
            if not data:
                raise OSError("the server closed the connection")
            if frames := self._frames.feed(data):
                return frames

    async def open(self) -> None:
        """Say what is spoken.

        :raises Refused: the server takes no logs.
        """
        number = self.add(OPEN, OFFERS)
        self.send()
        for frame in await self.receive(_CONNECTING_SECONDS):
            if frame.number == number:
                answer = answer_of(frame)
                if answer.code != _OK or not takes_syslog(answer):
                    raise Refused(f"it takes no logs: {answer}")
                return
        raise WrongFrame("it did not answer to open")

    async def end(self) -> None:
        """Say that this is all, and wait a moment until it is known."""
        with contextlib.suppress(*_FAILURES):
            number = self.add(CLOSE)
            self.send()
            while all(one.number != number for one in await self.receive(_CLOSING_SECONDS)):
                pass

    def drop(self) -> None:
        """Let go of the connection."""
        self._writer.close()


class Relp:
    """The way to a server.

    :ivar settings: of it.
    """

    def __init__(self, settings: RelpSink, counts: Counts) -> None:
        """Connect nowhere before :meth:`connect`.

        :param counts: get what the server refuses.
        """
        self.settings = settings
        self._counts = counts
        self._context: ssl.SSLContext | None = None
        self._servers = deque(settings.servers)
        self._jobs: deque[_Job] = deque()
        # By their numbers, in the order in which they were sent.
        self._under_way: dict[int, _Sent] = {}
        self._again: deque[_Sent] = deque()
        self._session: _Session | None = None
        self._task: asyncio.Task[None] | None = None
        # What was said last of it; None if all is well.
        self._told: str | None = None

    async def connect(self) -> None:
        """See Sink."""
        self._prepare()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def check(self) -> str:
        """See Sink."""
        self._prepare()
        said = []
        for server in self.settings.servers:
            try:
                session = await self._open(server)
            except _FAILURES as error:
                said.append(f"{server}: {_words(error)}")
                continue
            await session.end()
            session.drop()
            return f"{server} takes logs"
        raise Unavailable("; ".join(said))

    async def close(self) -> None:
        """See Sink."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def checkpoint(self, source: Source) -> Checkpoint:
        """See Sink; nothing says what is there."""
        return Checkpoint(0, None)

    async def publish(self, source: Source, message: Message, expected: int) -> int:
        """See Sink; it waits as long as it takes."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # (what is said beside a line takes room, too)
        writer = SyslogWriter(source, message.time or datetime.now(timezone.utc))
        room = self.settings.max_size - writer.longest_beside(message)
        lines = lines_of(message, max(room, _LEAST_LINE))
        self._jobs.append(_Job(source.path, writer, lines, done))
        self._pump()
        await done
        return 0

    def _prepare(self) -> None:
        if any(server.startswith("tls:") for server in self.settings.servers):
            try:
                self._context = tls_context(self.settings)
            except OSError as error:
                raise Refused(str(error)) from error

    async def _run(self) -> None:
        """Have a session, again and again."""
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, random.random)
        while True:
            server = self._servers[0]
            try:
                session = await self._open(server)
                backoff.reset()
                self._is_well(server)
                await self._serve(session)
            except _FAILURES as error:
                self._fail(server, _words(error))
            self._servers.rotate(-1)
            await asyncio.sleep(backoff.pause())

    async def _open(self, server: str) -> _Session:
        parts = urlsplit(server)
        context = self._context if parts.scheme == "tls" else None
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(parts.hostname, parts.port, ssl=context), _CONNECTING_SECONDS
        )
        session = _Session(reader, writer)
        try:
            await session.open()
        except BaseException:
            session.drop()
            raise
        return session

    async def _serve(self, session: _Session) -> None:
        """Send and be answered, until the session ends."""
        self._session = session
        try:
            # (what had no answer comes first, in order)
            self._again = deque([*self._under_way.values(), *self._again])
            self._under_way.clear()
            self._pump()
            while True:
                for frame in await self._answers(session):
                    self._hear(frame)
                self._pump()
        except asyncio.CancelledError:
            await session.end()
            raise
        finally:
            self._session = None
            session.drop()

    async def _answers(self, session: _Session) -> list[Frame]:
        """Wait for answers; without any under way for as long as it takes."""
        while True:
            try:
                return await session.receive(_ANSWER_SECONDS)
            except _Silence:
                oldest = next(iter(self._under_way.values()), None)
                now = asyncio.get_running_loop().time()
                if oldest is not None and oldest.since + _ANSWER_SECONDS <= now:
                    raise

    def _hear(self, frame: Frame) -> None:
        """Take an answer.

        :raises OSError: the server ends the session.
        """
        if frame.command == SERVER_CLOSES:
            raise OSError("the server closed the session")
        sent = self._under_way.pop(frame.number, None)
        if sent is None:
            return
        answer = answer_of(frame)
        job = sent.job
        if answer.code != _OK:
            sent.refusals += 1
            if sent.refusals < _MOST_REFUSALS:
                self._counts.retries += 1
                self._again.append(sent)
                return
            self._counts.rejected_lines += 1
            _logger.error(
                "%s: the line at %d is left out: %s",
                *(job.path, sent.line.start.offset, answer),
            )
        job.unanswered -= 1
        job.look()

    def _pump(self) -> None:
        """Send what waits, as far as the window has room."""
        session = self._session
        if session is None:
            return
        now = asyncio.get_running_loop().time()
        while len(self._under_way) < WINDOW and (sent := self._next()) is not None:
            sent.since = now
            self._under_way[session.add(SYSLOG, sent.data)] = sent
        session.send()

    def _next(self) -> _Sent | None:
        """Return what is sent next; None if nothing waits."""
        while self._again:
            sent = self._again.popleft()
            # (who waited may be gone)
            if not sent.job.done.done():
                return sent
        while self._jobs:
            job = self._jobs[0]
            line = None if job.done.done() else next(job.lines, None)
            if line is not None:
                job.unanswered += 1
                return _Sent(job, line, job.writer.message(line))
            job.is_sent = True
            self._jobs.popleft()
            job.look()
        return None

    def _fail(self, server: str, said: str) -> None:
        self._counts.retries += 1
        if self._told != said:
            self._told = said
            _logger.warning("%s: %s: %s: it is tried again", self.settings.name, server, said)

    def _is_well(self, server: str) -> None:
        if self._told is not None:
            self._told = None
            _logger.info("%s: %s takes logs again", self.settings.name, server)


def _words(error: BaseException) -> str:
    return str(error) or "it does not answer"
