"""A client that blocks: for commands and scripts that ask one thing after another."""

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

    Every call raises :class:`RemoteError` for an error that the daemon answers,
    :class:`Disconnected` or :class:`TimedOut` when no answer comes, :class:`BadAnswer` for one that
    is none, and :class:`BadRequest` for what cannot be asked. After a Disconnected, a TimedOut or a
    BadAnswer that concerns the connection, all further calls raise Disconnected. One thread at a
    time may use it.
    """

    def __init__(self, path: str, timeout: float | None = None) -> None:
        """Connect.

        :param path: of the daemon's JSON-RPC socket.
        :param timeout: seconds that connecting and each call may take; None waits for ever.
        :raises Unreachable: nobody listens there, or it may not be reached.
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
        """Close the connection at the end."""
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
            # Nobody would take the answer out of the stream.
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
                # Only one request waits, so there is no second reply.
                for reply in self._dialogue.receive(data):
                    return reply
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
                # (a timeout of 0 would mean "do not block")
                raise TimeoutError
            self._socket.settimeout(left)

    def _break_off(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._socket.close()
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
