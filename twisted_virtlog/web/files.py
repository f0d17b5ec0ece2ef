"""Asks for the files of logs, which come with descriptors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_virtlog.client import LogFiles, Position, RemoteError
from twisted_virtlog.client.deferred import Client

_LIMIT_REACHED = 1004
#: How long to wait before it is asked again.
_PAUSE_SECONDS = 0.02
_MOST_TRIES = 500
#: An answer that takes longer, as where a file system does not answer, holds up nobody else.
_PATIENCE_SECONDS = 1.0
_FEW_TRIES = int(_PATIENCE_SECONDS / _PAUSE_SECONDS)


class Files:
    """Asks for files, one answer after the other.

    The daemon sends a client no descriptors before it has answered an earlier request, and the
    client has read that, also what nobody waits for any more. So this asks again; and over a
    connection for that alone where the one that all share is held up by another log.

    :param connect: makes such a connection.
    """

    def __init__(self, clock: IReactorTime, connect: Callable[[], Awaitable[Client]]) -> None:
        self._clock = clock
        self._connect = connect
        self._turn = DeferredLock()
        self._taken_at = 0.0
        # Of one log only one answer is waited for, however long it takes.
        self._turns: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()

    async def of(self, client: Client, path: str, start: Position | None) -> LogFiles:
        """Return files of a log, as :meth:`.Client.files` does.

        :param client: has the connection that all share.
        :raises ClientError: as that does.
        """
        turn = self._turns.setdefault(path, DeferredLock())
        await turn.acquire()
        try:
            return await self._of(client, path, start)
        finally:
            turn.release()

    async def _of(self, client: Client, path: str, start: Position | None) -> LogFiles:
        if await self._take_turn():
            try:
                return await self._asked(client, path, start, _FEW_TRIES)
            except RemoteError as error:
                if error.code != _LIMIT_REACHED:
                    raise
            finally:
                self._turn.release()
        own = await self._connect()
        try:
            return await self._asked(own, path, start, _MOST_TRIES)
        finally:
            own.close()

    async def _take_turn(self) -> bool:
        """Wait for a turn on the connection that all share; return whether it came in time."""
        taken: Deferred[DeferredLock] = self._turn.acquire()
        if not taken.called:
            left = self._taken_at + _PATIENCE_SECONDS - self._clock.seconds()
            taken.addTimeout(min(max(0.0, left), _PATIENCE_SECONDS), self._clock)
        try:
            await taken
        except TookTooLong:
            return False
        self._taken_at = self._clock.seconds()
        return True

    async def _asked(
        self, client: Client, path: str, start: Position | None, tries: int
    ) -> LogFiles:
        for _ in range(tries):
            try:
                return await client.files(path, start)
            except RemoteError as error:
                if error.code != _LIMIT_REACHED:
                    raise
            await deferLater(self._clock, _PAUSE_SECONDS)
        return await client.files(path, start)
