"""A collector that takes OTLP over HTTP.

What waits of many logs goes out together: a request has whatever has come while others were under
way, so quiet logs cost few requests, and nothing waits for a timer. A collector cannot say what it
has, so each request is sent until it is answered, and the daemon keeps how far that is.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.http_post import Answer, HttpError, Poster
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.otlp_records import partial_success, reason, resource_logs
from twisted_virtlog.ship.retrying import Backoff, retry_after
from twisted_virtlog.ship.sink import Checkpoint, Refused, Source, Unavailable
from twisted_virtlog.ship.sink_settings import OtlpSink
from twisted_virtlog.ship.tls import tls_context

_logger = logging.getLogger(__name__)

#: So many requests are under way at once, each with so many bytes of logs, in so many lines.
_REQUESTS = 4
_MOST_BYTES = 512 * 1024
_MOST_LINES = 4096

_ANSWER_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

_OK = range(200, 300)
#: What the specification lets a client try again.
_RETRIED = frozenset({429, 502, 503, 504})
#: What says that the request itself is wrong, or too long: once is enough.
_BLAMED = frozenset({400, 413})
#: A request that was refused so often in other words, while one without logs was taken, is refused.
_MOST_REFUSALS = 3
#: A request without logs, which a collector has to take.
_EMPTY = b""


class _Item(NamedTuple):
    """A message that waits.

    :ivar done: is told when it is stored, or refused.
    """

    source: Source
    message: Message
    lines: int
    done: asyncio.Future[None]


class Otlp:
    """The way to a collector.

    :ivar settings: of it.
    """

    def __init__(self, settings: OtlpSink, counts: Counts) -> None:
        """Connect nowhere before :meth:`connect`.

        :param counts: get what a collector leaves out of what it takes.
        """
        self.settings = settings
        self._counts = counts
        self._headers: Mapping[str, str] = {}
        self._waiting: deque[_Item] = deque()
        self._came = asyncio.Event()
        self._senders: list[asyncio.Task[None]] = []
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, random.random)
        #: By the clock of the loop: nothing is sent before.
        self._not_before = 0.0
        # What was said last of it; None if all is well.
        self._told: str | None = None
        self._told_rejected = ""

    async def connect(self) -> None:
        """See Sink."""
        context = self._prepare()
        loop = asyncio.get_running_loop()
        self._senders = [
            loop.create_task(self._send(self._poster(context))) for _ in range(_REQUESTS)
        ]

    async def check(self) -> str:
        """See Sink."""
        poster = self._poster(self._prepare())
        try:
            answer = await poster.post(self._headers, _EMPTY)
        except HttpError as error:
            raise Unavailable(f"{self.settings.url}: {error}") from error
        finally:
            poster.close()
        if answer.status not in _OK:
            raise Unavailable(f"{self.settings.url}: {_words(answer)}")
        return f"{self.settings.url} takes logs"

    async def close(self) -> None:
        """See Sink."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        self._senders = []

    async def checkpoint(self, source: Source) -> Checkpoint:
        """See Sink; nothing says what is there."""
        return Checkpoint(0, None)

    async def publish(self, source: Source, message: Message, expected: int) -> int:
        """See Sink; it waits as long as it takes."""
        loop = asyncio.get_running_loop()
        for part in _parts(message):
            lines = part.data.count(b"\n") + 1
            item = _Item(source, part, lines, loop.create_future())
            self._waiting.append(item)
            self._came.set()
            await item.done
        return 0

    def _prepare(self) -> ssl.SSLContext | None:
        settings = self.settings
        headers = {**settings.headers, "Content-Type": "application/x-protobuf"}
        try:
            if settings.credentials:
                headers["Authorization"] = Path(settings.credentials).read_text("latin-1").strip()
            context = tls_context(settings) if settings.url.startswith("https:") else None
        except OSError as error:
            raise Refused(str(error)) from error
        self._headers = headers
        return context

    def _poster(self, context: ssl.SSLContext | None) -> Poster:
        return Poster(self.settings.url, context, _ANSWER_SECONDS)

    async def _send(self, poster: Poster) -> None:
        """Send what waits, again and again."""
        try:
            while True:
                items = self._take()
                if not items:
                    self._came.clear()
                    await self._came.wait()
                    continue
                await self._store(poster, items)
        finally:
            poster.close()

    def _take(self) -> list[_Item]:
        """Return what goes into the next request."""
        items: list[_Item] = []
        size = lines = 0
        waiting = self._waiting
        while waiting and (
            not items
            or (
                size + len(waiting[0].message.data) <= _MOST_BYTES
                and lines + waiting[0].lines <= _MOST_LINES
            )
        ):
            item = waiting.popleft()
            # (who waited may be gone)
            if not item.done.done():
                items.append(item)
                size += len(item.message.data)
                lines += item.lines
        return items

    async def _store(self, poster: Poster, items: Sequence[_Item]) -> None:
        """Send some messages until there is an answer, and tell those who wait for it."""
        try:
            refusal = await self._ask(poster, items)
            if refusal is not None and len(items) > 1:
                # (one of them is to blame)
                for item in items:
                    await self._store(poster, [item])
                return
        except BaseException:
            for item in items:
                item.done.cancel()
            raise
        for item in items:
            if item.done.done():
                continue
            if refusal is None:
                item.done.set_result(None)
            else:
                item.done.set_exception(Refused(refusal, is_final=True))

    async def _ask(self, poster: Poster, items: Sequence[_Item]) -> str | None:
        """Post a request until it is answered for good; return why it was refused, if it was."""
        now = time.time_ns()
        parts = []
        for item in items:
            parts.append(resource_logs(item.source, item.message, now))
            # (many lines take milliseconds)
            await asyncio.sleep(0)
        body = b"".join(parts)
        refusals = 0
        while not all(item.done.done() for item in items):
            await self._wait()
            asked = None
            try:
                answer = await poster.post(self._headers, body)
                if answer.status in _OK:
                    self._is_well()
                    self._look_at(answer)
                    return None
                said = _words(answer)
                if answer.status in _RETRIED:
                    asked = retry_after(
                        answer.headers.get("retry-after"), datetime.now(timezone.utc)
                    )
                elif (await poster.post(self._headers, _EMPTY)).status in _OK:
                    # (so it is neither the way to the collector nor the collector)
                    refusals += 1
                    if answer.status in _BLAMED or refusals == _MOST_REFUSALS:
                        return said
            except HttpError as error:
                said = str(error)
            self._fail(said, asked)
        return None

    async def _wait(self) -> None:
        """Wait until something may be sent."""
        loop = asyncio.get_running_loop()
        while (pause := self._not_before - loop.time()) > 0:
            await asyncio.sleep(pause)

    def _fail(self, said: str, asked: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._counts.retries += 1
        if self._not_before <= loop.time():
            # (of several that were under way, the first says how long all wait)
            self._not_before = loop.time() + self._backoff.pause(asked)
        if self._told != said:
            self._told = said
            _logger.warning("%s: %s: it is tried again", self.settings.name, said)

    def _is_well(self) -> None:
        self._backoff.reset()
        if self._told is not None:
            self._told = None
            _logger.info("%s: %s takes logs again", self.settings.name, self.settings.url)

    def _look_at(self, answer: Answer) -> None:
        """Count and tell what was left out; such a request is not sent again."""
        partial = partial_success(answer.body)
        self._counts.rejected_lines += partial.rejected
        said = partial.message
        if partial.rejected:
            said = f"{partial.rejected} lines were left out by the collector: {said}"
        if said != self._told_rejected:
            self._told_rejected = said
            if said:
                _logger.warning("%s: %s", self.settings.name, said)


def _parts(message: Message) -> Iterator[Message]:
    """Give the parts of a message that have not too many lines for a request."""
    halves = message.halves() if message.data.count(b"\n") > _MOST_LINES else None
    if halves is None:
        yield message
        return
    for half in halves:
        yield from _parts(half)


def _words(answer: Answer) -> str:
    said = reason(answer.body) if "protobuf" in answer.headers.get("content-type", "") else ""
    return f"status {answer.status}{': ' if said else ''}{said}"
