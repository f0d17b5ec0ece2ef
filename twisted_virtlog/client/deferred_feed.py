"""Many logs followed over one connection, on Twisted's reactor."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_virtlog.client.connecting import pauses
from twisted_virtlog.client.dialogue import Dialogue, Reply
from twisted_virtlog.client.errors import ClientError, Disconnected
from twisted_virtlog.client.notifications import FeedData, FeedEnd, Notification
from twisted_virtlog.client.streams import Link, Way
from twisted_virtlog.client.subscriptions import Followed, follow_log, unfollow
from twisted_virtlog.values import Position

__all__ = ["DISCONNECTED", "DeferredFeed", "FeedData", "FeedEnd", "open_feed"]

#: The reason of the end of what was followed when the connection ended.
DISCONNECTED = "disconnected"

#: After so many bytes there is no rest: more is there.
_MUCH_BYTES = 32 * 1024

_log = Logger()


async def open_feed(way: Way, rest_seconds: float) -> DeferredFeed:
    """Connect to the daemon; see :meth:`.deferred.Client.feed`.

    :raises Unreachable: there is no daemon.
    """
    waits = pauses(way.name, way.timeout)
    while (link := await way.connect()) is None:
        await way.sleep(next(waits))
    return DeferredFeed(link, way, rest_seconds)


@final
class DeferredFeed:
    """A connection to the daemon on which logs are followed; see :meth:`.deferred.Client.feed`.

    It does not connect again: another feed goes on from the last ``end`` of each log.
    """

    def __init__(self, link: Link, way: Way, rest_seconds: float) -> None:
        """Take over a connection."""
        self._link = link
        self._way = way
        self._rest_seconds = rest_seconds
        self._dialogue = Dialogue()
        # Who is told, by the request until it is answered, then by the subscription.
        self._asking: dict[int, tuple[Deferred[Followed], Callable[[Notification], object]]] = {}
        self._told: dict[int, Callable[[Notification], object]] = {}
        self._watchers: list[Deferred[None]] = []
        self._gone: str | None = None
        begun = Deferred.fromCoroutine(self._read())
        begun.addErrback(self._fail)

    def follow(
        self, path: str, told: Callable[[Notification], object], position: Position | None = None
    ) -> Deferred[Followed]:
        """Follow a log, which need not be there yet.

        :param told: is called with each :class:`.FeedData` of it, and last with a
            :class:`.FeedEnd`, whose reason is :data:`DISCONNECTED` if the connection has ended; not
            before the Deferred has fired. It must not raise.
        :param position: where to begin; None for now.
        :returns: a Deferred of the subscription and of where it begins; it fails as a call does,
            and nothing is followed once it was cancelled.
        """
        if self._gone is not None:
            return fail(Disconnected(f"the log cannot be followed: {self._gone}"))
        number, text = self._dialogue.request(follow_log(path, position, None, until_closed=False))
        answered: Deferred[Followed] = Deferred()
        self._asking[number] = (answered, told)
        self._link.send(text)
        return answered

    def unfollow(self, subscription: int) -> None:
        """End a subscription, if it has not ended; nothing is told of it any more."""
        if self._told.pop(subscription, None) is not None:
            self._end_subscription(subscription)

    def close(self) -> Deferred[None]:
        """Close the connection.

        :returns: a Deferred that fires when it is closed.
        """
        self._link.close()
        return self.when_gone()

    def when_gone(self) -> Deferred[None]:
        """Return a Deferred that fires when the connection has ended, whoever ended it."""
        gone: Deferred[None] = Deferred()
        if self._gone is None:
            self._watchers.append(gone)
        else:
            gone.callback(None)
        return gone

    async def _read(self) -> None:
        try:
            while True:
                if await self._take() < _MUCH_BYTES and self._rest_seconds:
                    # (what comes meanwhile comes at once, and wakes nobody)
                    await self._way.sleep(self._rest_seconds)
        except ClientError as error:
            self._end(str(error))

    async def _take(self) -> int:
        """Take what comes next; return how many bytes that was."""
        data, descriptors = await self._link.receive()
        if not data:
            raise Disconnected("the daemon closed the connection")
        count = len(data)
        self._dialogue.add_descriptors(descriptors)
        coming = self._dialogue.receive(data)
        # (it may be long, and is not needed any more)
        del data
        for said in coming:
            if isinstance(said, Reply):
                self._settle(said)
            else:
                self._hear(said)
        return count

    def _settle(self, reply: Reply) -> None:
        # Nothing that is asked here comes with descriptors.
        for descriptor in reply.descriptors:
            os.close(descriptor)
        answered, told = self._asking.pop(reply.id, (None, None))
        if answered is None or told is None:
            return
        followed = reply.outcome
        if reply.failed:
            if not answered.called:
                answered.errback(followed)
        elif answered.called:
            # (cancelled)
            self._end_subscription(followed.subscription)
        else:
            self._told[followed.subscription] = told
            answered.callback(followed)

    def _hear(self, told: Notification) -> None:
        hear = self._told.get(told.subscription)
        if isinstance(told, FeedEnd):
            self._told.pop(told.subscription, None)
        if hear is not None:
            hear(told)

    def _end_subscription(self, subscription: int) -> None:
        _, text = self._dialogue.request(unfollow(subscription))
        self._link.send(text)

    def _fail(self, failure: Failure) -> None:
        """Leave nobody to wait: this was unexpected."""
        _log.failure("a feed has failed", failure)
        self._end(failure.getErrorMessage())

    def _end(self, reason: str) -> None:
        self._gone = reason
        self._link.close()
        for descriptor in self._dialogue.abandon():
            os.close(descriptor)
        asking, self._asking = self._asking, {}
        told, self._told = self._told, {}
        for answered, _ in asking.values():
            if not answered.called:
                answered.errback(Disconnected(reason))
        for subscription, hear in told.items():
            hear(FeedEnd(subscription, DISCONNECTED))
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(None)
