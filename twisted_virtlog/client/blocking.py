"""The blocking client, for commands and scripts that make one request at a time."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any, TypeVar, final

from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls
from twisted_virtlog.client.connecting import attempt, pauses, receive
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import Disconnected, TimedOut

R = TypeVar("R")


@final
class BlockingClient(Calls[None]):
    """A connection to the daemon; each call waits for its answer.

    Every call may raise :class:`RemoteError` if the daemon answers with an error,
    :class:`Disconnected` or :class:`TimedOut` if no answer comes, :class:`BadAnswer` if the answer
    does not fit the request, and :class:`BadRequest` if the request cannot be sent. After a
    Disconnected, a TimedOut, or a BadAnswer that leaves the connection unusable, all further calls
    raise Disconnected. Only one thread at a time may use a client.
    """

    def __init__(self, path: str, timeout: float | None = None) -> None:
        """Connect.

        :param path: the path of the daemon's JSON-RPC socket.
        :param timeout: seconds that connecting and each call may take; None for no limit.
        :raises Unreachable: nobody listens there, or this user may not connect.
        """
        self._dialogue = Dialogue()
        self._timeout = timeout
        self._gone: str | None = None
        waits = pauses(path, timeout)
        while (sock := attempt(path)) is None:
            time.sleep(next(waits))
        sock.settimeout(timeout)
        self._socket = sock

    def close(self) -> None:
        """Close the connection; opened logs stay open."""
        self._break_off("the client was closed")

    def __enter__(self) -> BlockingClient:
        """Return the client itself; the connection is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def _perform(self, call: Call[R]) -> R:
        if self._gone is not None:
            raise Disconnected(f"{call.method} cannot be asked: {self._gone}")
        _number, text = self._dialogue.request(call)
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            reply = self._exchange(call, text, deadline)
        except BaseException as error:
            # The answer would be left in the stream, and taken for that of the next request.
            self._break_off(str(error) or type(error).__name__)
            raise
        if reply.failed:
            for descriptor in reply.descriptors:
                os.close(descriptor)
            raise reply.outcome
        result: R = reply.outcome
        return result

    def _exchange(self, call: Call[Any], text: bytes, deadline: float | None) -> Reply:
        try:
            self._allow_until(deadline)
            self._socket.sendall(text)
            while True:
                self._allow_until(deadline)
                data, descriptors = receive(self._socket)
                self._dialogue.add_descriptors(descriptors)
                if not data:
                    raise Disconnected(
                        f"the daemon closed the connection before it answered {call.method}"
                    )
                for said in self._dialogue.receive(data):
                    # (nothing is followed on this connection)
                    if isinstance(said, Reply):
                        # Only one request is pending, so there is no second reply.
                        return said
        except TimeoutError as error:
            raise TimedOut(
                f"no answer to {call.method} came within {self._timeout:g} seconds"
            ) from error
        except OSError as error:
            raise Disconnected(
                f"the connection was lost before {call.method} was answered: {error.strerror}"
            ) from error

    def _allow_until(self, deadline: float | None) -> None:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                # (for a socket, a timeout of 0 means not to block)
                raise TimeoutError
            self._socket.settimeout(left)

    def _break_off(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._socket.close()
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
