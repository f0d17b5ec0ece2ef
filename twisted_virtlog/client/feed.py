"""Many logs followed over one connection, in a program that blocks."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar, final

from twisted_virtlog.client.blocking_connection import BlockingConnection
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.calls import Calls
from twisted_virtlog.client.closing import Closing
from twisted_virtlog.client.notifications import FeedData, FeedEnd, FeedLog, Notification
from twisted_virtlog.client.subscriptions import follow_log, unfollow, watch_logs
from twisted_virtlog.values import Position

__all__ = ["Feed", "FeedData", "FeedEnd", "FeedLog", "Notification"]

R = TypeVar("R")


@final
class Feed(Calls[None], Closing):
    """A connection to the daemon on which logs are followed and watched.

    What comes is taken one by one with :meth:`next`. Nothing is read from the socket before it is
    asked for, so a program that is slow holds little, and the daemon sends more when it takes more.

    It has all the calls of a client, too; what is told while one waits for its answer comes later,
    from :meth:`next`, in order. It does not reconnect: :class:`Disconnected` is raised, and another
    feed goes on from the last ``end`` of each log. Errors are those of :class:`.BlockingClient`.
    """

    def __init__(self, path: str, timeout: float | None = None) -> None:
        """Connect.

        :param path: the path of the daemon's JSON-RPC socket.
        :param timeout: seconds that connecting and each call may take; None for no limit.
        :raises Unreachable: nobody listens there, or this user may not connect.
        """
        self._connection = BlockingConnection(path, timeout)
        self._beginnings: dict[int, Position] = {}

    def follow(
        self,
        path: str,
        position: Position | None = None,
        since: datetime | None = None,
        until_closed: bool = False,
    ) -> int:
        """Follow a log, which need not be there yet.

        When this returns, all that is written from now on will come.

        :param position: where to begin; None for now, or for ``since``.
        :param since: an aware time; begin with the first byte that may have come since then.
        :param until_closed: end when the log is closed for the first time.
        :returns: the number of the subscription, which is in all that comes of it.
        :raises ValueError: both a position and a time are given, or the time has no zone.
        """
        followed = self._perform(follow_log(path, position, since, until_closed))
        self._beginnings[followed.subscription] = followed.position
        return followed.subscription

    def beginning(self, subscription: int) -> Position:
        """Return where a log that is followed began, as the daemon said; until it has ended.

        :returns: a position with the inode number 0 if the log was not there yet.
        :raises KeyError: nothing is followed by that number.
        """
        return self._beginnings[subscription]

    def watch(self) -> int:
        """Watch which logs are opened and closed, and which change their state.

        A list that is asked for after this has all that happened before; what happened meanwhile
        may be both in the list and come from :meth:`next`.

        :returns: the number of the subscription.
        """
        return self._perform(watch_logs())

    def unfollow(self, subscription: int) -> None:
        """End a subscription; its end is the last that comes of it."""
        self._perform(unfollow(subscription))

    def next(self, timeout: float | None = None) -> Notification | None:
        """Wait for what comes next.

        :param timeout: seconds to wait; 0 takes what is there, None waits as long as it takes.
        :returns: None if nothing came in that time.
        :raises Disconnected: the connection has ended, and all that came before was taken.
        """
        told = self._connection.next(timeout)
        if isinstance(told, FeedEnd):
            self._beginnings.pop(told.subscription, None)
        return told

    def fileno(self) -> int:
        """Return the socket's descriptor, for poll(2).

        It is readable when something comes. Something may be there before: wait only after
        ``next(0)`` has returned None.
        """
        return self._connection.fileno()

    def close(self) -> None:
        """Close the connection; opened logs stay open."""
        self._connection.close()

    def _perform(self, call: Call[R]) -> R:
        return self._connection.ask(call)
