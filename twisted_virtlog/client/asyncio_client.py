"""The asyncio client: calls return futures, and any number may be pending; needs no Twisted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

from twisted_virtlog.client.asyncio_streams import AsyncioWay
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls
from twisted_virtlog.client.connecting import attempt, pauses, receive
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import BadAnswer, BadRequest, ClientError, Disconnected, TimedOut
from twisted_virtlog.client.notifications import Notification
from twisted_virtlog.client.streams import Streaming

R = TypeVar("R")


async def connect(path: str, timeout: float | None = 30.0) -> AsyncioClient:
    """Connect to the daemon, in the running event loop.

    :param path: the path of the daemon's JSON-RPC socket.
    :param timeout: seconds that connecting and each call may take; None for no limit.
    :raises Unreachable: nobody listens there, this user may not connect, or the daemon's queue of
        connections was full all that time.
    """
    return AsyncioClient(await connected(path, timeout), timeout, path)


async def connected(path: str, timeout: float | None) -> socket.socket:
    """Return a connected non-blocking socket, as :func:`connect` needs it.

    :raises Unreachable: as :func:`connect`.
    """
    waits = pauses(path, timeout)
    while (sock := attempt(path)) is None:
        await asyncio.sleep(next(waits))
    return sock


class AsyncioClient(Calls[asyncio.Future[Any]], Streaming):
    """A connection to the daemon; made by :func:`connect`.

    Each call sends its request at once and returns a future to be awaited, so requests may
    overlap; the daemon carries them out and answers them in the order of the calls. Every future
    may raise :class:`.RemoteError` if the daemon answers with an error, :class:`.Disconnected` if
    the connection ends first or has ended, :class:`.TimedOut`, :class:`.BadAnswer` if the answer
    does not fit the request, and :class:`.BadRequest` if the request cannot be sent. Neither
    cancelling a future nor its timeout cancels the request: its answer is dropped, a descriptor in
    it is closed, and the connection remains usable. A client belongs to the thread of its event
    loop, which must have ``add_reader``.
    """

    def __init__(self, sock: socket.socket, timeout: float | None, path: str) -> None:
        """Take over a connected non-blocking socket, which the client then owns."""
        super().__init__(AsyncioWay(path, timeout))
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._timeout = timeout
        self._dialogue = Dialogue()
        #: By id: the method of each request that is not answered yet, and its future.
        self._pending: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._last_id = 0
        self._unsent = bytearray()
        #: Why nothing can be asked any more.
        self._gone: str | None = None
        self._loop.add_reader(sock, self._receive)

    def close(self) -> None:
        """Close the connection; opened logs stay open, and pending calls fail."""
        self._end(Disconnected, "the client was closed")

    async def __aenter__(self) -> Self:
        """Return the client itself; the connection is closed at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def _perform(self, call: Call[R]) -> asyncio.Future[R]:
        answered: asyncio.Future[R] = self._loop.create_future()
        if self._gone is not None:
            answered.set_exception(Disconnected(f"{call.method} cannot be asked: {self._gone}"))
            return answered
        try:
            number, text = self._dialogue.request(call)
        except BadRequest as error:
            answered.set_exception(error)
            return answered
        self._pending[number] = (call.method, answered)
        self._last_id = number
        if self._timeout is not None:
            timer = self._loop.call_later(self._timeout, self._give_up, call.method, answered)
            answered.add_done_callback(lambda _answered: timer.cancel())
        self._send(text)
        return answered

    def _give_up(self, method: str, answered: asyncio.Future[Any]) -> None:
        if not answered.done():
            error = TimedOut(f"no answer to {method} came within {self._timeout:g} seconds")
            answered.set_exception(error)

    def _send(self, text: bytes) -> None:
        waiting = bool(self._unsent)
        self._unsent += text
        if not waiting:
            self._loop.add_writer(self._socket, self._write)
            self._write()

    def _write(self) -> None:
        try:
            with contextlib.suppress(BlockingIOError):
                while self._unsent:
                    with memoryview(self._unsent) as unsent:
                        sent = self._socket.send(unsent)
                    del self._unsent[:sent]
        except OSError as error:
            # Answers that the daemon sent before it went may still be read.
            self._unsent.clear()
            self._loop.remove_writer(self._socket)
            self._gone = self._gone or f"the connection is gone: {error.strerror}"
            return
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        try:
            data, descriptors = receive(self._socket)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(Disconnected, f"the connection was lost: {error.strerror}")
            return
        self._dialogue.add_descriptors(descriptors)
        if not data:
            self._end(Disconnected, "the daemon closed the connection")
            return
        try:
            for said in self._dialogue.receive(data):
                if isinstance(said, Reply):
                    self._settle(said)
                else:
                    self._hear(said)
        except BadAnswer as error:
            self._end(BadAnswer, str(error))

    def _hear(self, told: Notification) -> None:
        """Do nothing: nothing is followed on this connection."""

    def _settle(self, reply: Reply) -> None:
        _method, answered = self._pending.pop(reply.id)
        # (it is done if it was cancelled or timed out)
        if answered.done() or reply.failed:
            for descriptor in reply.descriptors:
                os.close(descriptor)
        if answered.done():
            return
        if reply.failed:
            answered.set_exception(reply.outcome)
        else:
            answered.set_result(reply.outcome)

    def _end(self, kind: type[ClientError], reason: str) -> None:
        self._gone = self._gone or reason
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
        self._unsent.clear()
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
        pending, self._pending = self._pending, {}
        for method, answered in pending.values():
            if not answered.done():
                answered.set_exception(kind(f"{reason} before {method} was answered"))
