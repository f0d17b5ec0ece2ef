"""What comes to a log, sent to one browser, over one of two ways.

As long as little comes, and the browser takes it, it comes over the connection that all share.
Where much comes, or the browser does not take it, it has a connection of its own, from which no
more is read than the browser takes; so nobody waits for another one. One that takes nothing for
some time has none: where it is to go on is all that is kept for it.
"""

from __future__ import annotations

import time

from twisted.internet.interfaces import IReactorTime

from twisted_virtlog.client import FollowedChunk
from twisted_virtlog.client.deferred_feed import FeedData
from twisted_virtlog.client.streams import Following
from twisted_virtlog.web.event_stream import chunk_event, skipped_event
from twisted_virtlog.web.sharing import Sharing
from twisted_virtlog.web.skipping import Skipping
from twisted_virtlog.web.streaming import EventStream

#: So many bytes at once are much.
_MUCH_BYTES = 16 * 1024
#: After so long without much, and without a wait for the browser, little comes.
_CALM_SECONDS = 5.0
#: A browser that takes nothing for so long has no connection to the daemon meanwhile.
_IDLE_SECONDS = 1.0
#: Of a log that is not there yet.
_NO_INODE = 0


class Live:
    """Sends a log to a browser.

    :param following: the log, which is followed already.
    """

    def __init__(
        self,
        stream: EventStream,
        following: Following,
        sharing: Sharing,
        skipping: Skipping,
        clock: IReactorTime,
        path: str,
    ) -> None:
        self._stream = stream
        self._following = following
        self._sharing = sharing
        self._skipping = skipping
        self._clock = clock
        self._path = path
        self._at = following.position
        self._calm_at = clock.seconds()

    async def send_all(self) -> None:
        """Send what comes, until it ends."""
        while self._following.ended is None:
            if self._is_calm:
                await self._send_shared()
            await self._send_own()

    @property
    def _is_calm(self) -> bool:
        # (of a log's first byte the daemon can only be asked by somebody who was there before)
        return self._at.inode != _NO_INODE and self._clock.seconds() >= self._calm_at

    async def _send_shared(self) -> None:
        following = self._following
        at = await self._sharing.follow(self._path, following.pause(), self._write)
        following.move(at)
        self._calm_at = self._clock.seconds() + _CALM_SECONDS
        await self._stream.ready()

    async def _send_own(self) -> None:
        following, stream = self._following, self._stream
        async for chunk in following:
            self._at, count = chunk.end, len(chunk.data)
            is_little = self._write(chunk)
            # (nothing is kept while the browser is waited for)
            del chunk
            if not is_little:
                self._calm_at = self._clock.seconds() + _CALM_SECONDS
                await self._taken()
            if (skipped := await self._skipping.after(self._at, count)) is not None:
                following.pause()
                following.move(skipped.end)
                self._at = skipped.end
                await stream.send(skipped_event(skipped))
            if self._is_calm:
                return

    def _write(self, chunk: FollowedChunk | FeedData) -> bool:
        """Send a chunk; return whether it was little, and another one may be sent now."""
        is_ready = self._stream.write(chunk_event(chunk, time.time()))
        return is_ready and len(chunk.data) < _MUCH_BYTES

    async def _taken(self) -> None:
        """Wait until the browser has taken what it was sent."""
        if not await self._stream.ready(_IDLE_SECONDS):
            self._following.pause()
            await self._stream.ready()
