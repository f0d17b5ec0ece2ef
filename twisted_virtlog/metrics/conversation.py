"""One scraper's connection: HTTP requests in, metrics out."""

from __future__ import annotations

from collections import deque

import msgspec
from twisted.internet.defer import Deferred

from twisted_virtlog.interfaces import IMetrics
from twisted_virtlog.metrics.requests import refusal_of, wants_open_metrics
from twisted_virtlog.sockets import http
from twisted_virtlog.sockets.conversation import Conversation
from twisted_virtlog.sockets.http import MAX_HEAD_BYTES, BadHead, Head, Refusal
from twisted_virtlog.values import MetricsText, Suspended

_TOO_LONG = Refusal(431, f"the head is longer than {MAX_HEAD_BYTES} bytes")
_NO_BODY = Refusal(400, "a request for metrics has no body")


class MetricsConversation(Conversation):
    """Answers GET and HEAD of ``/metrics``, one after another.

    :param metrics: what is told.
    """

    def __init__(self, metrics: IMetrics) -> None:
        super().__init__()
        self._metrics = metrics
        self._buffer = bytearray()
        #: What of an answer is still to be sent, and whether the connection ends with it.
        self._rest: deque[bytes] = deque()
        self._is_last = False

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    @property
    def has_work(self) -> bool:
        return bool(self._buffer or self._rest)

    def discard(self) -> None:
        self._buffer.clear()
        self._rest.clear()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def finish(self) -> None:
        """Stop, after what is begun of an answer."""
        self._send_rest()
        super().finish()

    def suspended(self) -> Suspended:
        self._send_rest()
        return msgspec.structs.replace(super().suspended(), received=bytes(self._buffer))

    def resume(self, state: Suspended) -> None:
        super().resume(state)
        self._buffer += state.received

    def handle_next(self) -> bool | Deferred[None]:
        if self._rest:
            self._send_next()
            return True
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) < MAX_HEAD_BYTES:
                return False
            self._refuse(_TOO_LONG, None)
            return True
        data = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        return self._handle(data)

    def _handle(self, data: bytes) -> bool | Deferred[None]:
        """Carry out a request, by its head."""
        try:
            request = http.parse_request(data)
            head = http.head_of(request, refusal_of(request))
        except BadHead as error:
            self._refuse(error.refusal, None)
            return True
        if head.length != 0:
            # (what would be its body is not looked at)
            self._refuse(_NO_BODY, None)
            return True
        if head.refusal is not None:
            self._refuse(head.refusal, head)
            return True
        text = self._metrics.text(wants_open_metrics(request))
        if isinstance(text, Deferred):
            return text.addCallback(self._answer, head)
        self._answer(text, head)
        return True

    def _answer(self, text: MetricsText, head: Head) -> None:
        size = sum(map(len, text.pieces))
        self.connection.send(http.response(200, head, size=size, media_type=text.media_type))
        self._is_last = not head.keep_alive
        if not head.without_body:
            self._rest = text.pieces
        if not self._rest:
            self._end_answer()
        elif self._closed:
            self._send_rest()

    def _send_next(self) -> None:
        self.connection.send(self._rest.popleft())
        if not self._rest:
            self._end_answer()

    def _send_rest(self) -> None:
        """Send what is left of an answer, whether the client reads it or not."""
        while self._rest:
            self._send_next()

    def _end_answer(self) -> None:
        if self._is_last:
            self.close()

    def _refuse(self, refused: Refusal, head: Head | None) -> None:
        """Say why a request is not carried out.

        :param head: of the request; None if nothing that comes after it can be understood.
        """
        self.connection.send(http.refusal(refused, head))
        if head is None or not head.keep_alive:
            self._buffer.clear()
            self.close()
