"""Texts as the bodies of HTTP/1.1 requests, answered by responses, one after another."""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

from msgspec.structs import replace

from twisted_virtlog.jsonrpc.framing import (
    LOOKED_AT_BYTES,
    Framing,
    Interjection,
    NotJSON,
    limit_of,
    too_long,
)
from twisted_virtlog.jsonrpc.http_head import parse_head
from twisted_virtlog.sockets import http
from twisted_virtlog.sockets.http import MAX_HEAD_BYTES, BadHead, Head, Refusal
from twisted_virtlog.values import HTTPState, Suspended

T = TypeVar("T")

_MAX_CHUNK_LINE_BYTES = 1024
#: The chunks of a body, and the lines between them, that are taken before others get the reactor.
_PARTS_AT_ONCE = 128
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")

# The parts of a body.
_DATA = "data"
_CHUNK_LINE_NEXT = "chunk"
_CHUNK_END = "end of chunk"
_TRAILERS = "trailers"
_DONE = ""


class HTTPFraming(Framing[T]):
    """POST requests, each with one text or batch, and their responses.

    The body of a request that is refused is dropped as it arrives, and answered at its end, so that
    the connection remains usable. One that is far too long ends the connection.
    """

    streams = False

    def _begin(self) -> None:
        #: What has arrived and was not interpreted yet.
        self._buffer = bytearray()
        #: The request that is being received, or whose answer is awaited.
        self._head: Head | None = None
        self._head_bytes = b""
        self._body = bytearray()
        self._part = _DONE
        self._left = 0
        self._dropped = 0
        self._too_long = False
        #: Whether nothing of the body has arrived; the client may never send it.
        self._awaited = False
        self._chunked_answer = False

    @property
    def held_bytes(self) -> int:
        return len(self._buffer) + len(self._body)

    def discard(self) -> None:
        self._buffer.clear()
        self._body.clear()

    def feed(self, data: bytes) -> None:
        if not self.lost:
            self._buffer += data

    def suspended(self) -> Suspended:
        http = None
        if self._head is not None:
            http = HTTPState(
                self._head_bytes,
                bytes(self._body),
                self._part,
                self._left,
                self._dropped,
                self._too_long,
                answering=self._part == _DONE,
            )
        return Suspended(bytes(self._buffer), lost=self.lost, http=http)

    def resume(self, state: Suspended) -> None:
        self._buffer += state.received
        self._ended = state.input_ended
        self.lost = state.lost
        under_way = state.http
        if under_way is not None:
            self._head = parse_head(under_way.head)
            self._head_bytes = under_way.head
            self._body += under_way.body
            self._part, self._left = under_way.part, under_way.left
            self._dropped, self._too_long = under_way.dropped, under_way.too_long
            if under_way.answering:
                # (as when the answer was begun)
                self.begin(None)

    def next_text(self) -> T | None:
        self.paused = False
        if self.lost:
            return None
        if self._head is None:
            self._take_head()
        head = self._head
        if head is None:
            return self._wait()
        parts_left = _PARTS_AT_ONCE
        while self._part != _DONE:
            if not parts_left:
                self.paused = True
                return None
            parts_left -= 1
            if not self._take_part():
                if self._awaited and head.expects_continue:
                    self._awaited = False
                    self._ask_for_body(head)
                return self._wait()
            self._awaited = False
        body = bytes(self._body)
        self._body.clear()
        if head.refusal is not None:
            self._refuse(head.refusal, head)
        if self._too_long or len(body) > self._limit(body):
            raise too_long(self._limit(body))
        return self._parse_any(body)

    # Answers.

    def whole(self, text: bytes) -> bytes:
        return self._answer(200, text)

    def refusal(self, text: bytes) -> bytes:
        return self._answer(400, text)

    def nothing(self) -> bytes:
        return http.response(204, self._answered())

    def begin(self, size: int | None) -> bytes:
        head = self._head or Head(0)
        if size is not None:
            return http.response(200, head, size=size + 1)
        self._chunked_answer = not head.is_1_0
        if head.is_1_0:
            self._head = head = replace(head, keep_alive=False)
        return http.chunked_response(head)

    def part(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked_answer and data else data

    def last(self, data: bytes) -> bytes:
        framed = self.part(data + b"\n") + (b"0\r\n\r\n" if self._chunked_answer else b"")
        self._answered()
        return framed

    def _answer(self, status: int, text: bytes) -> bytes:
        # (the newline is for people at a terminal)
        return http.response(status, self._answered(), text + b"\n")

    def _answered(self) -> Head | None:
        """Proceed to the next request; return the head of this one."""
        head, self._head = self._head, None
        self._chunked_answer = self._too_long = False
        self._dropped = 0
        if head is None or not head.keep_alive:
            self._lose()
        return head

    # Requests.

    def _take_head(self) -> None:
        """Parse the head of the next request, if it has arrived.

        :raises Interjection: it cannot be parsed.
        """
        # Some old clients send an extra empty line after a body.
        empty = _EMPTY_LINES.match(self._buffer)
        if empty is not None:
            del self._buffer[: empty.end()]
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                self._refuse(Refusal(431, f"the head is longer than {MAX_HEAD_BYTES} bytes"), None)
            return
        self._head_bytes = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        try:
            head = parse_head(self._head_bytes)
        except BadHead as error:
            self._refuse(error.refusal, None)
        self._head = head
        self._awaited = True
        if head.length is None:
            self._part = _CHUNK_LINE_NEXT
        else:
            self._part, self._left = _DATA, head.length
            if head.length > 2 * self._max_text_bytes:
                self._give_up(head)

    def _ask_for_body(self, head: Head) -> None:
        """Ask a client that waits for this to send its body.

        :raises Interjection: always. A client that is refused may or may not send the body, so that
            nothing after it can be understood.
        """
        if head.refusal is not None:
            self._refuse(head.refusal, replace(head, keep_alive=False))
        if head.length is not None and head.length > self._max_text_bytes:
            self._give_up(head)
        raise Interjection(http.CONTINUE)

    def _take_part(self) -> bool:
        """Take the next part of the body; return whether there may be more to take."""
        if self._part == _DATA:
            return self._take_data()
        if self._part == _TRAILERS:
            return self._take_trailer()
        line = self._take_line()
        if line is None:
            return False
        if self._part == _CHUNK_END:
            if line:
                self._refuse(Refusal(400, "a chunk is longer than it says"), None)
            self._part = _CHUNK_LINE_NEXT
            return True
        size = _CHUNK_LINE.fullmatch(line)
        if size is None:
            self._refuse(Refusal(400, f"{line[:60]!r} does not begin a chunk"), None)
        self._left = int(size[1], 16)
        self._part = _DATA
        if not self._left:
            self._part, self._left = _TRAILERS, MAX_HEAD_BYTES
        return True

    def _take_data(self) -> bool:
        taken = min(self._left, len(self._buffer))
        self._left -= taken
        if taken:
            self._awaited = False
        head = self._head
        if head is not None and head.refusal is not None:
            self._dropped += taken
        elif self._too_long or len(self._body) + taken > self._limit(self._body):
            if not self._too_long:
                self._too_long = True
                self._dropped = len(self._body)
                del self._body[LOOKED_AT_BYTES:]
            self._dropped += taken
        else:
            self._body += memoryview(self._buffer)[:taken]
        del self._buffer[:taken]
        if head is not None and self._dropped > 2 * self._max_text_bytes:
            self._give_up(head)
        if self._left:
            return False
        self._part = _CHUNK_END if head is not None and head.length is None else _DONE
        return True

    def _take_trailer(self) -> bool:
        line = self._take_line()
        if line is None:
            return False
        self._left -= len(line) + 2
        if not line:
            self._part = _DONE
        elif self._left < 0:
            self._refuse(Refusal(431, f"trailers are longer than {MAX_HEAD_BYTES} bytes"), None)
        return True

    def _take_line(self) -> bytes | None:
        """Take a line between chunks; return None if it is not complete."""
        end = self._buffer.find(b"\r\n", 0, _MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= _MAX_CHUNK_LINE_BYTES:
                self._refuse(Refusal(400, "a line between chunks does not end"), None)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _limit(self, body: bytes | bytearray) -> int:
        return limit_of(body[:LOOKED_AT_BYTES], self._max_text_bytes)

    def _give_up(self, head: Head) -> NoReturn:
        """Refuse a request whose body is too long even to be dropped until its end."""
        self._head = replace(head, keep_alive=False)
        self._part = _DONE
        self._body.clear()
        if head.refusal is not None:
            self._refuse(head.refusal, self._head)
        raise too_long(self._max_text_bytes)

    def _refuse(self, refused: Refusal, head: Head | None) -> NoReturn:
        """Answer a request that does not reach JSON-RPC.

        :param head: the head of the request; None if nothing after it can be understood.
        :raises Interjection: always.
        """
        self._head = head
        answer = http.refusal(refused, self._answered())
        self._part = _DONE
        raise Interjection(answer)

    def _wait(self) -> T | None:
        """Return None if more may follow.

        :raises NotJSON: the input ended within a request.
        """
        if self._ended and (self._head is not None or self._buffer):
            self._head = replace(self._head or Head(0), keep_alive=False)
            self._part = _DONE
            self._body.clear()
            self._buffer.clear()
            raise NotJSON("Parse error: the input ended within a request")
        return None

    def _lose(self) -> None:
        self.lost = True
        self._buffer.clear()
