"""A stream of NATS JetStream, in which each log has a subject.

What was stored last on a subject says up to where its log is shipped, so a shipper needs no state
of its own. The next message is stored only if that is still the last: neither a message that is
sent twice nor the zombie of a former connection can put anything in its place. Servers keep that
promise for one message at a time on a subject (with replicas, of several that are under way some
are lost), so there is one; of the many logs of a host many are under way at once.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timezone
from typing import Any, NoReturn

from nats import errors
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from twisted_virtlog.ship.headers import EXPECTED_LAST, EXPECTED_STREAM, end_of, headers_of
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.sink import Checkpoint, Refused, Source, Unavailable
from twisted_virtlog.ship.sink_settings import NatsSink
from twisted_virtlog.ship.stores import ANSWER_SECONDS, Stores
from twisted_virtlog.ship.subjects import subject
from twisted_virtlog.ship.tls import tls_context

_logger = logging.getLogger(__name__)

_FAILURES = (Refused, errors.Error, OSError, asyncio.TimeoutError, TimeoutError)


class JetStream:
    """The way to a stream.

    :ivar settings: of it.
    """

    def __init__(self, settings: NatsSink) -> None:
        """Connect nowhere before :meth:`connect`."""
        self.settings = settings
        self._begin()

    def _begin(self) -> None:
        # (one that was closed connects no more)
        self._is_closed = False
        self._client = Client()
        self._stream: JetStreamContext = self._client.jetstream(timeout=ANSWER_SECONDS)
        self._stores = Stores(self._client)

    async def connect(self) -> None:
        """See Sink; the stream is found, or made."""
        await self._connect()
        try:
            if not await self._find():
                await self._make()
            await self._stores.begin()
        except _FAILURES as error:
            await self._give_up(error)

    async def check(self) -> str:
        """See Sink."""
        await self._connect(once=True)
        try:
            is_there = await self._find()
        except _FAILURES as error:
            await self._give_up(error)
        await self.close()
        return f"the stream {self.settings.stream} {'is there' if is_there else 'can be made'}"

    async def _connect(self, once: bool = False) -> None:
        """Connect to a server; what is lost is connected again from then on, unless it is once."""
        settings = self.settings
        options: dict[str, Any] = {}
        if settings.credentials:
            options["user_credentials"] = settings.credentials
        try:
            if settings.tls_ca or settings.tls_cert:
                options["tls"] = tls_context(settings)
            await self._client.connect(
                servers=list(settings.servers),
                name="virtlog-ship",
                allow_reconnect=not once,
                max_reconnect_attempts=1 if once else -1,
                reconnect_time_wait=1,
                error_cb=self._failed,
                disconnected_cb=self._lost,
                reconnected_cb=self._back,
                **options,
            )
        except _FAILURES as error:
            await self._give_up(error)

    async def _give_up(self, error: Exception) -> NoReturn:
        await self.close()
        self._begin()
        if isinstance(error, Refused):
            raise error
        raise Unavailable(f"{', '.join(self.settings.servers)}: {_words(error)}") from error

    async def close(self) -> None:
        """Let go of the server."""
        self._is_closed = True
        await self._client.close()

    async def checkpoint(self, source: Source) -> Checkpoint:
        """See Sink: the last message says it."""
        self._check()
        try:
            last = await self._stream.get_last_msg(self.settings.stream, self._subject(source))
        except NotFoundError:
            return Checkpoint(0, None)
        except (errors.Error, OSError, asyncio.TimeoutError, TimeoutError) as error:
            raise Unavailable(_words(error)) from error
        return Checkpoint(last.seq or 0, end_of(last.headers))

    async def publish(self, source: Source, message: Message, expected: int) -> int:
        """See Sink."""
        self._check()
        headers = headers_of(message, source, datetime.now(timezone.utc))
        headers[EXPECTED_STREAM] = self.settings.stream
        headers[EXPECTED_LAST] = str(expected)
        try:
            return await self._stores.store(self._subject(source), message.data, headers)
        except errors.MaxPayloadError as error:
            raise Refused(_words(error)) from error
        except (errors.Error, OSError) as error:
            raise Unavailable(_words(error)) from error

    def _check(self) -> None:
        # (what is sent now would wait for a connection, and nobody would know for how long)
        if not self._client.is_connected:
            raise Unavailable("there is no connection to a server")

    def _subject(self, source: Source) -> str:
        return subject(self.settings.subject, source.host, source.uuid, source.path)

    @property
    def _subjects(self) -> str:
        return f"{self.settings.subject}.>"

    async def _find(self) -> bool:
        """Return whether there is a stream.

        :raises Refused: it is not one for these subjects.
        """
        try:
            found = await self._stream.stream_info(self.settings.stream)
        except NotFoundError:
            return False
        self._compare(found)
        return True

    async def _make(self) -> None:
        """Make the stream."""
        settings = self.settings
        wanted = StreamConfig(
            name=settings.stream,
            subjects=[self._subjects],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=settings.replicas,
            max_age=float(settings.max_age),
            max_bytes=settings.max_bytes or -1,
        )
        try:
            await self._stream.add_stream(wanted)
        except APIError:
            # (another shipper may have made it meanwhile)
            if not await self._find():
                raise
        else:
            _logger.info("%s: the stream %s was made", settings.name, settings.stream)

    def _compare(self, found: StreamInfo) -> None:
        """Tell in what a stream that was there is not as configured; it is left as it is."""
        settings, config = self.settings, found.config
        if self._subjects not in (config.subjects or ()):
            raise Refused(
                f"the stream {settings.stream} takes {', '.join(config.subjects or ())}, and not"
                f" {self._subjects}; name another one, or let it take these"
            )
        for key, has, wanted in (
            ("replicas", config.num_replicas, settings.replicas),
            ("max_age", int(config.max_age or 0), settings.max_age),
            ("max_bytes", max(config.max_bytes or 0, 0), settings.max_bytes),
        ):
            if has != wanted:
                _logger.warning(
                    "%s: the stream %s has %s = %d, and not %d; it stays as it is",
                    *(settings.name, settings.stream, key, has, wanted),
                )

    async def _failed(self, error: Exception) -> None:
        _logger.warning("%s: %s", self.settings.name, _words(error))

    async def _lost(self) -> None:
        self._stores.lost()
        if self._is_closed:
            return
        _logger.warning("%s: the connection to the server is lost", self.settings.name)

    async def _back(self) -> None:
        _logger.info("%s: connected to a server again", self.settings.name)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
