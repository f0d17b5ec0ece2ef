"""An event stream as the answer to a request, at the speed of the one who reads it."""

from __future__ import annotations

from types import TracebackType

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.web.server import Request
from typing_extensions import Self

from twisted_virtlog.web.answering import Drain, without_encoder
from twisted_virtlog.web.event_stream import HEARTBEAT, MEDIA_TYPE, RETRY

#: A client that takes nothing for so long is given up.
PATIENCE_SECONDS = 60.0
_HEARTBEAT_SECONDS = 15.0


class EventStream:
    """Sends events; a context that begins and ends the answer.

    :ivar is_wanted: whether the client wants events, and not the head alone.
    """

    def __init__(
        self, request: Request, clock: IReactorTime, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._request = request
        self._clock = clock
        self._drain = Drain(request, clock, patience)
        self._beat: IDelayedCall | None = None
        self.is_wanted = request.method != b"HEAD"

    def __enter__(self) -> Self:
        request = self._request
        request.setHeader(b"Content-Type", MEDIA_TYPE)
        request.setHeader(b"Cache-Control", b"no-store")
        # (nginx would collect events)
        request.setHeader(b"X-Accel-Buffering", b"no")
        # So would Twisted's gzip encoder, if a site has put one around everything.
        without_encoder(request)
        if self.is_wanted:
            request.registerProducer(self._drain, True)
            request.write(RETRY)
            self._schedule_heartbeat()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        self._drain.stopProducing()
        if self.is_wanted and self._request.channel is not None:
            self._request.unregisterProducer()

    async def send(self, event: bytes) -> None:
        """Send an event, and wait until the next one may be sent."""
        self._request.write(event)
        await self._drain.ready()

    def write(self, event: bytes) -> bool:
        """Send an event now; return whether another one may be sent now, too."""
        self._request.write(event)
        return not self._drain.is_paused

    async def ready(self, seconds: float | None = None) -> bool:
        """Wait until an event may be sent; see :meth:`.Drain.ready`."""
        return await self._drain.ready(seconds)

    def _schedule_heartbeat(self) -> None:
        self._beat = self._clock.callLater(_HEARTBEAT_SECONDS, self._send_heartbeat)

    def _send_heartbeat(self) -> None:
        if not self._drain.is_paused:
            self._request.write(HEARTBEAT)
        self._schedule_heartbeat()
