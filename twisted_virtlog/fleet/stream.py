"""A stream of NATS JetStream as a reader sees it.

What is read comes by pull consumers of the server's that nobody acknowledges: it sends as much as
was asked for and no more, however slowly that is printed. All that a reader needs to go on after a
lost connection is the number of the last message, so it makes another consumer then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any, TypeAlias, TypeVar

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError, ServiceUnavailableError

from twisted_virtlog.fleet.errors import NoServer
from twisted_virtlog.fleet.stored import Stored, stored_of
from twisted_virtlog.ship.sink_settings import NatsSink
from twisted_virtlog.ship.tls import tls_context

T = TypeVar("T")

#: Where to begin: with a number, with a time of the server's clock, or the last of each subject.
Start: TypeAlias = "int | datetime | None"

#: What is asked for at once: of 64 KiB each, and headers alone.
_BATCH = 128
_HEADERS_BATCH = 2048
#: A server answers a request within this time, with messages or that there are none.
_REQUEST_SECONDS = 2.0
_GRACE_SECONDS = 3.0
#: How long a server keeps a consumer that asks for nothing.
_KEPT_SECONDS = 60.0
_PAUSE_SECONDS = 0.25

_FAILURES = (errors.Error, OSError, asyncio.TimeoutError, TimeoutError)


class Stream:
    """The way to a stream.

    :ivar told: is called whenever there is another connection.
    """

    def __init__(self, settings: NatsSink, seconds: float | None) -> None:
        """Connect nowhere before :meth:`connect`.

        :param seconds: how long an answer may take; None for ever.
        """
        self.settings = settings
        self.seconds = seconds
        self.client = Client()
        self._api: JetStreamContext = self.client.jetstream(
            timeout=min(seconds or _TRY_SECONDS, _TRY_SECONDS)
        )
        self._failures = 0
        self._is_connected = False
        self.told: set[Callable[[], None]] = set()

    async def connect(self) -> None:
        """Connect to a server; one that is lost is tried again from then on.

        :raises NoServer: none answers.
        """
        settings = self.settings
        options: dict[str, Any] = {}
        try:
            if settings.credentials:
                options["user_credentials"] = settings.credentials
            if settings.tls_ca or settings.tls_cert:
                options["tls"] = tls_context(settings)
            await asyncio.wait_for(
                self.client.connect(
                    servers=list(settings.servers),
                    name="virtlog-fleet",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    error_cb=self._failed,
                    reconnected_cb=self._back,
                    **options,
                ),
                self.seconds,
            )
        except (*_FAILURES, NoServer) as error:
            await self.close()
            raise NoServer(f"{', '.join(settings.servers)}: {words(error)}") from error
        self._is_connected = True

    async def _failed(self, error: Exception) -> None:
        """Take what the client could not do; it tries again by itself."""
        self._failures += 1
        if not self._is_connected and self._failures >= len(self.settings.servers):
            # (each was tried: who types a command does not wait for one to come)
            raise NoServer(words(error))

    async def _back(self) -> None:
        for tell in self.told:
            tell()

    async def close(self) -> None:
        """Let go of the server."""
        # (older releases of the library do not expect that there was no connection yet)
        with contextlib.suppress(*_FAILURES, AttributeError):
            await self.client.close()

    async def ends(self) -> tuple[int, int]:
        """Return the numbers of the first message and of the last one.

        :raises NoServer: there is no stream, or nobody answers.
        """
        found = await self._asked(lambda: self._api.stream_info(self.settings.stream))
        state = found.state
        return state.first_seq, state.last_seq

    async def counts(self, pattern: str) -> dict[str, int]:
        """Return how many messages the subjects have that match.

        :raises NoServer: as for :meth:`ends`.
        """
        found = await self._asked(lambda: self._api.stream_info(self.settings.stream, pattern))
        return found.state.subjects or {}

    async def message(self, sequence: int) -> Stored | None:
        """Return a message; None if it is gone.

        :raises NoServer: as for :meth:`ends`.
        """
        try:
            found = await self._asked(lambda: self._api.get_msg(self.settings.stream, sequence))
        except NotFoundError:
            return None
        return stored_of(found.subject or "", found.headers, found.data or b"", sequence)

    async def make(self, consumer: ConsumerConfig) -> ConsumerInfo:
        """Let the server have a consumer.

        :raises NoServer: as for :meth:`ends`.
        """
        return await self._asked(lambda: self._api.add_consumer(self.settings.stream, consumer))

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, again and again if need be: who asks while a leader is elected gets no answer."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while True:
            try:
                return await ask()
            except NotFoundError as error:
                if error.err_code == _NO_MESSAGE:
                    raise
                raise NoServer(f"there is no stream {self.settings.stream}") from error
            except _FAILURES as error:
                allowed = _allowed(error, self.seconds)
                if allowed is not None and loop.time() - begin >= allowed:
                    servers = ", ".join(self.settings.servers)
                    raise NoServer(f"{servers}: {words(error)}") from error
            await asyncio.sleep(_PAUSE_SECONDS)


class Cursor:
    """Messages of a stream, in order, from somewhere on.

    :ivar left: how many there are now.
    """

    def __init__(
        self, stream: Stream, pattern: str, start: Start, headers_only: bool = False
    ) -> None:
        """Ask for nothing yet.

        :param pattern: which subjects.
        """
        self.left = 0
        self._stream = stream
        self._pattern = pattern
        self._start = start
        self._headers_only = headers_only
        self._batch = _HEADERS_BATCH if headers_only else _BATCH
        self._came: deque[Msg] = deque()
        self._woken = asyncio.Event()
        self._subscription: Any = None
        self._inbox = ""
        self._consumer = ""
        # Of the present consumer: messages that came, and that were asked for and have not come.
        self._number = 0
        self._wanted = 0
        # When the server has been silent for too long.
        self._silent_at = 0.0
        # Whether the consumer is not what it was, and whether it said that there is nothing.
        self._is_lost = self._is_dry = False

    async def open(self) -> None:
        """Make a consumer.

        :raises NoServer: that is not to be had.
        """
        stream = self._stream
        start = self._start
        begin: dict[str, Any]
        if start is None:
            begin = {"deliver_policy": DeliverPolicy.LAST_PER_SUBJECT}
        elif isinstance(start, datetime):
            # (as text, which older releases of the library send as it is, as newer ones do)
            text = start.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
            begin = {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": text}
        else:
            begin = {
                "deliver_policy": DeliverPolicy.BY_START_SEQUENCE,
                "opt_start_seq": max(1, start),
            }
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            filter_subject=self._pattern,
            headers_only=self._headers_only or None,
            inactive_threshold=_KEPT_SECONDS,
            mem_storage=True,
            num_replicas=1,
            **begin,
        )
        try:
            self._inbox = stream.client.new_inbox()
            self._subscription = await stream.client.subscribe(self._inbox, cb=self._take)
            made = await stream.make(config)
        except NoServer:
            await self._leave()
            raise
        except _FAILURES as error:
            await self._leave()
            raise NoServer(f"{', '.join(stream.settings.servers)}: {words(error)}") from error
        self._consumer = made.name
        self.left = made.num_pending or 0
        self._number = self._wanted = 0
        self._is_lost = self._is_dry = False
        stream.told.add(self._lose)

    async def close(self) -> None:
        """Ask for nothing more."""
        name, self._consumer = self._consumer, ""
        await self._leave()
        if name and self._stream.client.is_connected:
            # (an answer would be of no use, and a search in many logs need not wait for it)
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream.settings.stream}.{name}"
            with contextlib.suppress(*_FAILURES):
                await self._stream.client.publish(subject, b"", self._inbox)

    async def come(self, seconds: float | None) -> list[Stored]:
        """Wait for messages, over restarts of servers.

        :param seconds: how long; None for ever.
        :returns: some, or none if none came in this time.
        """
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        while True:
            if found := self._taken():
                return found
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return []
            await self._wait(left)

    async def rest(self) -> list[Stored]:
        """Return the next of those that are there.

        :returns: none at the end.
        :raises NoServer: nobody answers.
        """
        loop = asyncio.get_running_loop()
        seconds = self._stream.seconds
        deadline = None if seconds is None else loop.time() + seconds
        while self.left:
            if found := self._taken():
                return found
            if self._is_dry:
                # (those that were left may have been removed meanwhile)
                self._is_lost = True
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                servers = ", ".join(self._stream.settings.servers)
                raise NoServer(f"{servers}: no answer within {seconds:g} seconds")
            await self._wait(left)
        return []

    async def _wait(self, seconds: float | None) -> None:
        """Wait for something to come, with a consumer that is asked for it.

        :param seconds: no longer than this.
        """
        loop = asyncio.get_running_loop()
        pause = _PAUSE_SECONDS if seconds is None else min(seconds, _PAUSE_SECONDS)
        if self._is_lost:
            await self._leave()
            await asyncio.sleep(pause / 4)
        if self._subscription is None:
            try:
                await self.open()
            except NoServer:
                await asyncio.sleep(pause)
            return
        if not self._wanted:
            await self._ask()
        until_silent = self._silent_at - loop.time()
        if until_silent <= 0:
            # (the request was lost with a connection, or the consumer with its server)
            self._is_lost = True
            return
        self._woken.clear()
        if not self._came:
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                wait = until_silent if seconds is None else min(seconds, until_silent)
                await asyncio.wait_for(self._woken.wait(), wait)

    async def _leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(*_FAILURES):
                await subscription.unsubscribe()
        self._came.clear()
        self._stream.told.discard(self._lose)

    def _lose(self) -> None:
        """Let the consumer be made again."""
        self._is_lost = True
        self._woken.set()

    async def _take(self, message: Msg) -> None:
        self._came.append(message)
        self._woken.set()

    async def _ask(self) -> None:
        self._wanted, self._is_dry = self._batch, False
        self._heard()
        asked = {"batch": self._batch, "expires": int(_REQUEST_SECONDS * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.settings.stream}.{self._consumer}"
        with contextlib.suppress(*_FAILURES):
            await self._stream.client.publish(subject, json.dumps(asked).encode(), self._inbox)

    def _heard(self) -> None:
        self._silent_at = asyncio.get_running_loop().time() + _REQUEST_SECONDS + _GRACE_SECONDS

    def _taken(self) -> list[Stored]:
        """Return what has come of logs."""
        found = []
        while self._came and not self._is_lost:
            message = self._came.popleft()
            self._heard()
            if not message.reply:
                self._answer((message.headers or {}).get("Status"))
                continue
            about = message.metadata
            if about.consumer != self._consumer or about.sequence.consumer != self._number + 1:
                # (something was lost on the way)
                self._is_lost = True
                break
            self._number += 1
            self._wanted -= 1
            if self._start is not None:
                self._start = about.sequence.stream + 1
            self.left = about.num_pending
            stored = stored_of(
                *(message.subject, message.headers, message.data),
                *(about.sequence.stream, about.num_pending),
            )
            if stored is not None:
                found.append(stored)
        return found

    def _answer(self, status: str | None) -> None:
        """Take an answer without a message."""
        if status in _NOTHING:
            self._is_dry = self._wanted == self._batch
            self._wanted = 0
        else:
            self._is_lost = True


#: A question that has no answer for so long is asked again.
_TRY_SECONDS = 3.0
#: A cluster has no leader for so long, and then it never will.
_LEADERLESS_SECONDS = 5.0
#: The server's code for a message that is not there; the other one is for a stream.
_NO_MESSAGE = 10037
#: There are no messages now; the time is over.
_NOTHING = frozenset({"404", "408"})


def words(error: BaseException) -> str:
    """Return what an error says."""
    if isinstance(error, ServiceUnavailableError) and not error.description:
        return "there is no JetStream, or it has no leader"
    return str(error) or type(error).__name__


def _allowed(error: BaseException, seconds: float | None) -> float | None:
    """Return for how long something is asked again after an error; None for ever."""
    if isinstance(error, errors.TimeoutError | asyncio.TimeoutError | TimeoutError):
        return seconds
    if isinstance(error, ServiceUnavailableError | errors.NoRespondersError):
        return _LEADERLESS_SECONDS if seconds is None else min(seconds, _LEADERLESS_SECONDS)
    return 0.0
