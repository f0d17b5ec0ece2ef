"""How logs are followed in asyncio's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, final

from twisted_virtlog.client.connecting import attempt, receive
from twisted_virtlog.client.errors import Disconnected, TimedOut

T = TypeVar("T")


@final
class AsyncioLink:
    """A connection that is looked at only while somebody awaits it."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected non-blocking socket."""
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None

    def send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise Disconnected(f"the connection was lost: {error.strerror}") from error

    async def receive(self) -> tuple[bytes, Sequence[int]]:
        while True:
            waiting = self._waiting = self._loop.create_future()
            self._loop.add_reader(self._socket, self._readable)
            try:
                await waiting
            finally:
                self._look_away()
            try:
                return receive(self._socket)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Disconnected(f"the connection was lost: {error.strerror}") from error

    def close(self) -> None:
        waiting = self._waiting
        self._look_away()
        self._socket.close()
        if waiting is not None and not waiting.done():
            waiting.set_exception(Disconnected("the connection was closed"))

    def _readable(self) -> None:
        waiting = self._waiting
        self._look_away()
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _look_away(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._loop.remove_reader(self._socket)


@final
class AsyncioWay:
    """The way to a socket, in the running event loop."""

    def __init__(self, path: str, timeout: float | None) -> None:
        self.name = path
        self.timeout = timeout

    async def connect(self) -> AsyncioLink | None:
        sock = attempt(self.name)
        return None if sock is None else AsyncioLink(sock)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_time(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await asyncio.wait_for(work, self.timeout)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise TimedOut(f"no answer came within {self.timeout:g} seconds") from error
