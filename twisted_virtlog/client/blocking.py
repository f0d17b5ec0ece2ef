"""The blocking client, for commands and scripts that make one request at a time."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar, final

from twisted_virtlog.client.blocking_connection import BlockingConnection
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls

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
        self._connection = BlockingConnection(path, timeout)

    def close(self) -> None:
        """Close the connection; opened logs stay open."""
        self._connection.close()

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
        return self._connection.ask(call)
