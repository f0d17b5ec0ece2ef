"""Tells the daemon up to where a sink has the logs, so that it keeps what the sink has not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator

from twisted_virtlog.client import ClientError, RemoteError
from twisted_virtlog.client.asyncio_client import AsyncioClient, connect
from twisted_virtlog.values import Position

_logger = logging.getLogger(__name__)

#: How often the daemon is told, and of how many logs at once.
_SECONDS = 0.5
_MOST = 1000
_LONGEST_PAUSE_SECONDS = 30.0
#: How long the last words may take.
_END_SECONDS = 2.0


class Acknowledger:
    """Acknowledges as one consumer, over a connection of its own.

    (No call is answered on a connection on which more comes than is taken.)
    """

    def __init__(self, socket: str, consumer: str) -> None:
        """Connect nowhere before it is needed.

        :param socket: of the daemon.
        """
        self._socket = socket
        self._consumer = consumer
        self._client: AsyncioClient | None = None
        self._stored: dict[str, Position] = {}
        self._is_told = False

    async def positions(self) -> dict[str, Position]:
        """Return up to where the logs are acknowledged.

        :raises ClientError: the daemon does not let this consumer acknowledge, or cannot be asked.
        """
        async with self._asking() as client:
            await client.acknowledge(self._consumer, {})
            return {
                row.path: row.position
                for row in await client.consumers()
                if row.consumer == self._consumer and row.position is not None
            }

    def note(self, path: str, position: Position) -> None:
        """Have the daemon be told that a log is stored up to a position."""
        self._stored[path] = position

    def tell(self, error: ClientError) -> None:
        """Tell people that the daemon does not hear it, once."""
        if not self._is_told:
            self._is_told = True
            _logger.warning(
                "%s: the consumer %s: %s; it is tried again",
                *(self._socket, self._consumer, error),
            )

    async def run(self) -> None:
        """Tell what is noted, until cancelled."""
        pause = _SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                await self._tell()
            except ClientError as error:
                self.tell(error)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                self._is_told, pause = False, _SECONDS

    async def close(self) -> None:
        """Tell what is noted, and let go of the connection."""
        with contextlib.suppress(ClientError, asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._tell(), _END_SECONDS)
        self._let_go()

    async def _tell(self) -> None:
        while self._stored:
            stored = dict(itertools.islice(self._stored.items(), _MOST))
            try:
                async with self._asking() as client:
                    await client.acknowledge(self._consumer, stored)
            except RemoteError:
                # (one of them may be to blame: the next time it is others' turn first)
                self._stored = {
                    **{path: at for path, at in self._stored.items() if path not in stored},
                    **{path: self._stored[path] for path in stored},
                }
                raise
            for path, position in stored.items():
                # (more may be stored meanwhile)
                if self._stored.get(path) is position:
                    del self._stored[path]

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncioClient]:
        """Give a client; one that failed is not asked again."""
        if self._client is None:
            self._client = await connect(self._socket)
        try:
            yield self._client
        except RemoteError:
            raise
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
