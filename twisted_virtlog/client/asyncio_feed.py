"""Many logs followed over one connection, in asyncio's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar, final

from twisted_virtlog.client.asyncio_client import AsyncioClient, connected
from twisted_virtlog.client.call import Call
from twisted_virtlog.client.dialogue import Reply
from twisted_virtlog.client.errors import ClientError
from twisted_virtlog.client.notifications import FeedData, FeedEnd, FeedLog, Notification
from twisted_virtlog.client.subscriptions import Followed, follow_log, unfollow, watch_logs
from twisted_virtlog.values import Position

R = TypeVar("R")

__all__ = ["AsyncioFeed", "FeedData", "FeedEnd", "FeedLog", "open_feed"]


async def open_feed(
    path: str, ended: Callable[[], object], timeout: float | None = 30.0
) -> AsyncioFeed:
    """Connect to the daemon, in the running event loop.

    :param path: the path of the daemon's JSON-RPC socket.
    :param ended: is called when the connection has ended, also by :meth:`AsyncioFeed.close`.
    :param timeout: seconds that connecting and each call may take; None for no limit.
    :raises Unreachable: as :func:`.aio.connect`.
    """
    return AsyncioFeed(await connected(path, timeout), timeout, path, ended)


@final
class AsyncioFeed(AsyncioClient):
    """A connection to the daemon on which logs are followed and watched; see :func:`open_feed`.

    It has all the calls of a client, too. It does not reconnect: another feed goes on from the last
    ``end`` of each log. What comes of a subscription is told to whoever subscribed, in order, and
    may be told before the future that has its number is awaited.
    """

    def __init__(
        self, sock: socket.socket, timeout: float | None, path: str, ended: Callable[[], object]
    ) -> None:
        """Take over a connected non-blocking socket, which the feed then owns."""
        super().__init__(sock, timeout, path)
        self._ended = ended
        self._paused = False
        # Who is told, by the request until it is answered, then by the subscription.
        self._asking: dict[int, Callable[[Notification], object]] = {}
        self._told: dict[int, Callable[[Notification], object]] = {}

    def subscribe(
        self,
        path: str,
        told: Callable[[Notification], object],
        position: Position | None = None,
        until_closed: bool = False,
    ) -> asyncio.Future[Followed]:
        """Follow a log, which need not be there yet.

        :param told: is called with each :class:`FeedData` of it, and last with a :class:`FeedEnd`.
        :param position: where to begin; None for now.
        :param until_closed: end when the log is closed for the first time.
        """
        return self._ask(follow_log(path, position, None, until_closed), told)

    def subscribe_to_all(self, told: Callable[[Notification], object]) -> asyncio.Future[int]:
        """Be told which logs are opened and closed, and which change their state.

        :param told: is called with each :class:`FeedLog`.
        """
        return self._ask(watch_logs(), told)

    def unsubscribe(self, subscription: int) -> asyncio.Future[bool]:
        """End a subscription; nothing is told of it any more, not even its end."""
        self._told.pop(subscription, None)
        return self._perform(unfollow(subscription))

    def pause(self) -> None:
        """Read no more, so that the daemon sends no more; no call is answered meanwhile."""
        if not self._paused and self._gone is None:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._gone is None:
            self._paused = False
            self._loop.add_reader(self._socket, self._receive)

    def _ask(self, call: Call[R], told: Callable[[Notification], object]) -> asyncio.Future[R]:
        answered = self._perform(call)
        if not answered.done():
            self._asking[self._last_id] = told
        return answered

    def _settle(self, reply: Reply) -> None:
        told = self._asking.pop(reply.id, None)
        if told is not None and not reply.failed:
            outcome = reply.outcome
            self._told[outcome.subscription if isinstance(outcome, Followed) else outcome] = told
        super()._settle(reply)

    def _hear(self, told: Notification) -> None:
        hear = self._told.get(told.subscription)
        if isinstance(told, FeedEnd):
            self._told.pop(told.subscription, None)
        if hear is not None:
            hear(told)

    def _end(self, kind: type[ClientError], reason: str) -> None:
        was_open = self._socket.fileno() >= 0
        super()._end(kind, reason)
        if was_open:
            self._ended()
