"""Asks for the files of logs, which come with descriptors."""

from __future__ import annotations

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_virtlog.client import LogFiles, Position, RemoteError
from twisted_virtlog.client.deferred import Client

_LIMIT_REACHED = 1004
#: How long to wait before it is asked again.
_PAUSE_SECONDS = 0.02
_MOST_TRIES = 500


class Files:
    """Asks for files, one answer after the other.

    The daemon sends a client no descriptors before the client has read what it was sent, also what
    nobody waits for any more. So this asks again.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._turn = DeferredLock()

    async def of(self, client: Client, path: str, start: Position | None) -> LogFiles:
        """Return files of a log, as :meth:`.Client.files` does.

        :raises ClientError: as that does.
        """
        await self._turn.acquire()
        try:
            for _ in range(_MOST_TRIES):
                try:
                    return await client.files(path, start)
                except RemoteError as error:
                    if error.code != _LIMIT_REACHED:
                        raise
                await deferLater(self._clock, _PAUSE_SECONDS)
            return await client.files(path, start)
        finally:
            self._turn.release()
