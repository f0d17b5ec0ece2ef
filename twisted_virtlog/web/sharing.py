"""One connection to the daemon for all who follow a log to which little comes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from twisted_virtlog.client import ClientError, Position
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.client.deferred_feed import DeferredFeed, FeedData
from twisted_virtlog.client.notifications import Notification
from twisted_virtlog.web.daemon import Daemon

#: What comes to all logs in this time is read at once. Nobody sees that lines come a little later,
#: and neither the daemon nor this program is woken for each of them.
REST_SECONDS = 0.01


class Sharing:
    """Lets many follow over one connection."""

    def __init__(self, daemon: Daemon[Client]) -> None:
        self._daemon = daemon
        self._feeds = Daemon(lambda: Deferred.fromCoroutine(self._connected()))

    async def follow(
        self, path: str, position: Position, take: Callable[[FeedData], bool]
    ) -> Position:
        """Follow a log until whoever does wants to have a connection for himself, or has to.

        :param take: is called with what comes; returns whether more may come in this way. It must
            not raise.
        :returns: where to go on.
        """
        at = position
        left: Deferred[None] = Deferred()

        def hear(told: Notification) -> None:
            nonlocal at
            if left.called:
                return
            if isinstance(told, FeedData):
                at = told.end
                if take(told):
                    return
            left.callback(None)

        try:
            feed = await self._feeds.client()
            followed = await feed.follow(path, hear, position)
        except ClientError:
            # (whoever has a connection for himself finds out what is the matter)
            return at
        try:
            await left
        finally:
            feed.unfollow(followed.subscription)
        return at

    async def close(self) -> None:
        """Close the connection, and make no other."""
        await self._feeds.close()

    async def _connected(self) -> DeferredFeed:
        client = await self._daemon.client()
        return await client.feed(REST_SECONDS)
