"""Texts after headers, as in the Language Server Protocol: ``Content-Length: N``."""

from __future__ import annotations

import re
from typing import NoReturn, TypeVar

from twisted_virtlog.jsonrpc.framing import (
    LOOKED_AT_BYTES,
    Framing,
    NotJSON,
    limit_of,
    too_long,
)
from twisted_virtlog.values import Suspended

T = TypeVar("T")

#: The longest block of headers before one text.
MAX_HEADERS_BYTES = 8192

# (people and simple programs write bare newlines)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(rb"([A-Za-z0-9-]+)[ \t]*:[ \t]*([\x20-\x7e\t]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_OTHER_CHARSET = re.compile(rb"""charset\s*=\s*"?(?!utf-?8\b)([^";\s]*)""", re.IGNORECASE)


class HeaderFraming(Framing[T]):
    """Headers, an empty line, and a text of the length that they say; then the next.

    Of a text that is refused nothing else is lost, as its length is known. After headers without a
    length, nothing can be understood.
    """

    # The length of an answer precedes it.
    needs_size = True

    def _begin(self) -> None:
        #: What arrived, from the headers of the next text on.
        self._buffer = bytearray()
        #: Where this text begins and ends; 0 until its headers say so.
        self._text_start = self._text_end = 0
        #: Why the text is refused, from its headers.
        self._fault: NotJSON | None = None
        #: How many bytes of a refused text are still to come.
        self._skipping = 0

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    def discard(self) -> None:
        self._buffer.clear()

    def feed(self, data: bytes) -> None:
        if self.lost:
            return
        skipped = min(self._skipping, len(data))
        self._skipping -= skipped
        self._buffer += data[skipped:] if skipped else data

    def suspended(self) -> Suspended:
        return Suspended(bytes(self._buffer), skipping=self._skipping or None, lost=self.lost)

    def resume(self, state: Suspended) -> None:
        self._buffer += state.received
        self._skipping = state.skipping or 0
        self._ended = state.input_ended
        self.lost = state.lost

    def next_text(self) -> T | None:
        if self.lost:
            return None
        if not self._text_end and not self._take_headers():
            return self._wait()
        missing = max(0, self._text_end - len(self._buffer))
        refused = self._fault or self._too_long()
        if refused is not None:
            self._skipping = missing
            self._drop()
            raise refused
        if missing:
            return self._wait()
        text = bytes(memoryview(self._buffer)[self._text_start : self._text_end])
        self._drop()
        return self._parse_any(text)

    def whole(self, text: bytes) -> bytes:
        return b"Content-Length: %d\r\n\r\n%b" % (len(text), text)

    def begin(self, size: int | None) -> bytes:
        return b"Content-Length: %d\r\n\r\n" % (size or 0)

    def last(self, data: bytes) -> bytes:
        return data

    def _take_headers(self) -> bool:
        """Find where the next text is; return whether its headers are complete.

        :raises NotJSON: they do not say where.
        """
        end = _END_OF_HEADERS.search(self._buffer, 0, MAX_HEADERS_BYTES)
        if end is None:
            if len(self._buffer) >= MAX_HEADERS_BYTES:
                self._lose(f"more than {MAX_HEADERS_BYTES} bytes without an empty line")
            return False
        lengths = []
        for line in bytes(self._buffer[: end.start()]).split(b"\n"):
            header = _HEADER.fullmatch(line.removesuffix(b"\r"))
            if header is None:
                self._lose(f"{line[:60]!r} is not a header")
            name, value = header[1].lower(), header[2]
            charset = _OTHER_CHARSET.search(value) if name == b"content-type" else None
            if charset is not None:
                self._fault = NotJSON(f"Parse error: a text in {charset[1].decode()}, not in UTF-8")
            if name == b"content-length":
                lengths.append(value)
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            self._lose("the header Content-Length is missing, repeated, or not a number of bytes")
        self._text_start = end.end()
        self._text_end = self._text_start + int(lengths[0])
        return True

    def _too_long(self) -> NotJSON | None:
        """Return the refusal of the text if it is too long; for a batch, its first byte decides."""
        stop = min(self._text_end, self._text_start + LOOKED_AT_BYTES)
        most = limit_of(self._buffer[self._text_start : stop], self._max_text_bytes)
        return too_long(most) if self._text_end - self._text_start > most else None

    def _wait(self) -> T | None:
        """Return None if more may follow.

        :raises NotJSON: the input ended within a text or its headers.
        """
        if self._ended and self._buffer:
            self._drop(everything=True)
            raise NotJSON("Parse error: the input ended within a text")
        return None

    def _drop(self, everything: bool = False) -> None:
        if everything:
            self._buffer.clear()
        else:
            del self._buffer[: self._text_end]
        self._text_start = self._text_end = 0
        self._fault = None

    def _lose(self, reason: str) -> NoReturn:
        """Give up on the connection, as nothing that follows can be understood.

        :raises NotJSON: always.
        """
        self.lost = True
        self._drop(everything=True)
        raise NotJSON(f"Parse error: {reason}")
