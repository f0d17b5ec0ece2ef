"""The blocking client, for commands and scripts that make one request at a time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypeVar, final

from twisted_virtlog.client.blocking_connection import BlockingConnection
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls
from twisted_virtlog.client.closing import Closing
from twisted_virtlog.values import Position

if TYPE_CHECKING:
    from twisted_virtlog.client.blocking_following import BlockingFollowing

R = TypeVar("R")


@final
class BlockingClient(Calls[None], Closing):
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
        self._path = path
        self._timeout = timeout
        self._connection = BlockingConnection(path, timeout)

    def follow(
        self,
        path: str,
        position: Position | None = None,
        *,
        since: datetime | None = None,
        until_closed: bool = False,
        reconnect: bool = True,
    ) -> BlockingFollowing:
        """Follow a log, which need not be there yet; an iterator of its chunks.

        It has a connection of its own, so that this client is free for calls, and it does not end
        with this client. When this returns, all that is written from now on will come.

        :param position: where to begin; None for now, or for ``since``.
        :param since: an aware time; begin with the first byte that may have come since then.
        :param until_closed: end when the log is closed for the first time; if it is not open, after
            its next opening.
        :param reconnect: connect again for ever when the connection ends; False to raise
            :class:`Disconnected` then.
        :raises Unreachable: there is no daemon.
        :raises ClientError: as a call, if the daemon does not agree.
        :raises ValueError: both a position and a time are given, or the time has no zone.
        """
        # (commands that follow nothing do not wait for these)
        from twisted_virtlog.client.blocking_following import BlockingFollowing  # noqa: PLC0415
        from twisted_virtlog.client.follow_session import FollowSession  # noqa: PLC0415

        session = FollowSession(path, position, since, until_closed)
        return BlockingFollowing(self._path, session, self._timeout, reconnect)

    def close(self) -> None:
        """Close the connection; opened logs stay open."""
        self._connection.close()

    def _perform(self, call: Call[R]) -> R:
        return self._connection.ask(call)
