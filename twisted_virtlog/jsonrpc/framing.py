"""What a framing is, and the plain one: JSON texts one after another.

A framing cuts a stream of bytes into texts, enforces their limits, and continues after what is not
JSON.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted_virtlog.jsonrpc.scanner import MAX_DEPTH, Broken, Buffer, Scanner
from twisted_virtlog.values import Suspended

#: The longest text, from its first byte to its last; also the most that is dropped while a
#: newline is looked for after a text that was refused.
MAX_TEXT_BYTES = 16 * 1024 * 1024

#: How many bytes of a text are searched for its first byte that is not white space.
LOOKED_AT_BYTES = 1024

#: The longest text that is a batch.
MAX_BATCH_BYTES = 1024 * 1024

#: Shorter texts cannot take long to parse.
LONG_TEXT_BYTES = 128 * 1024

#: From this length on, a batch is checked in slices, after it was taken out.
SLICED_BATCH_BYTES = 64 * 1024

_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")
_BATCH_START = ord("[")
_CONTAINER_STARTS = b"{["
_LAST_BYTES_OF_LINE = b"}] \t\r\n"

T = TypeVar("T")


class NotJSON(ValueError):
    """A text that is not JSON, not UTF-8, or too long; the message says which, and where."""


class Interjection(Exception):
    """An answer of the framing itself, such as HTTP's to a method that it does not serve.

    :ivar data: the bytes to send.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class Framing(ABC, Generic[T]):
    """How texts are delimited on a connection, in both directions.

    It is fed with bytes, however they are split, and returns one parsed text after another. The
    answer to each is framed as a whole, by :meth:`whole`, :meth:`refusal` or :meth:`nothing`, or in
    parts, by :meth:`begin`, :meth:`part` and :meth:`last`, which all return the bytes to send.

    :cvar streams: whether the daemon may send descriptors, and texts that were not requested.
    :cvar needs_size: whether the size of an answer must be known before its first byte is sent.
    :ivar lost: whether nothing that follows can be understood, so that the connection is useless.
    :ivar paused: whether :meth:`next_text` returned None only to let others have the reactor.
    """

    streams = True
    needs_size = False

    def __init__(
        self,
        parse: Callable[[bytes], T],
        parse_long: Callable[[bytes], T] | None = None,
        max_text_bytes: int = MAX_TEXT_BYTES,
    ) -> None:
        """Begin a connection.

        :param parse: returns what :meth:`next_text` shall return for the bytes of one text, or
            raises NotJSON.
        :param parse_long: does the same for texts of :data:`LONG_TEXT_BYTES` or more, which take a
            while; None for no difference.
        :param max_text_bytes: the limit for one text.
        """
        self._parse = parse
        self._parse_long = parse_long or parse
        self._max_text_bytes = max_text_bytes
        self._ended = False
        self.lost = False
        self.paused = False
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Set up what this framing keeps."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""

    def _parse_any(self, text: bytes) -> T:
        """Parse a text, which may be a long one."""
        if len(text) < LONG_TEXT_BYTES:
            return self._parse(text)
        return self._parse_long(text)

    def end(self) -> None:
        """Take note that no more bytes will come."""
        self._ended = True

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """The memory that texts take which were not taken out yet, in bytes."""

    @abstractmethod
    def discard(self) -> None:
        """Free that memory, as the client has gone. An answer may still be framed."""

    @abstractmethod
    def next_text(self) -> T | None:
        """Parse the next text; the one before must have been answered.

        :returns: None if no complete one has arrived, or it ``paused``; then call it again.
        :raises NotJSON: the text is refused; answer it, then this may be called again.
        :raises Interjection: send its data, then this may be called again.
        """

    def refuse_last(self) -> None:
        """Go on as after a text that is not JSON, as the last one was found to be none later."""

    @abstractmethod
    def suspended(self) -> Suspended:
        """Return what a framing in another process needs to continue."""

    @abstractmethod
    def resume(self, state: Suspended) -> None:
        """Continue where another framing of this kind stopped."""

    @abstractmethod
    def whole(self, text: bytes) -> bytes:
        """Frame an answer."""

    def refusal(self, text: bytes) -> bytes:
        """Frame the answer to what is not JSON."""
        return self.whole(text)

    def nothing(self) -> bytes:
        """Frame the absence of an answer; empty if the client does not expect to be told."""
        return b""

    def begin(self, size: int | None) -> bytes:
        """Begin an answer that is sent in parts.

        :param size: the bytes in all its parts; None if it is not known, which ``needs_size`` must
            allow.
        """
        return b""

    def part(self, data: bytes) -> bytes:
        """Frame a part that is not the last one."""
        return data

    @abstractmethod
    def last(self, data: bytes) -> bytes:
        """Frame the last part, which may be empty."""


def limit_of(text: Buffer, max_text_bytes: int = MAX_TEXT_BYTES) -> int:
    """Return how long a text may be, given its beginning."""
    found = _WHITE_SPACE.match(text)
    start = found.end() if found else 0
    is_batch = start < len(text) and text[start] == _BATCH_START
    return min(MAX_BATCH_BYTES, max_text_bytes) if is_batch else max_text_bytes


def too_long(max_bytes: int) -> NotJSON:
    """Return the refusal of a text that is longer than this."""
    kind = "a batch" if max_bytes == MAX_BATCH_BYTES else "a text"
    return NotJSON(f"Parse error: {kind} is longer than {max_bytes} bytes")


class TextStream(Framing[T]):
    """Texts one after another; those of the daemon each end with a newline.

    Texts are separated by white space or nothing. After one that is refused, the stream continues
    after the next newline, so that a bad line costs the client nothing but that line.
    """

    def _begin(self) -> None:
        self._buffer: Buffer = b""
        self._start = 0
        self._scanner: Scanner | None = None
        self._line_tried_to = 0
        self._skipped: int | None = None

    def whole(self, text: bytes) -> bytes:
        return text + b"\n"

    def last(self, data: bytes) -> bytes:
        return data + b"\n"

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    def discard(self) -> None:
        self._scanner = None
        self._drop_buffer()

    def feed(self, data: bytes) -> None:
        if self.lost:
            return
        if self._start == len(self._buffer):
            self._drop_buffer()
            self._buffer = data
        else:
            self._forget_former()
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer)
            self._buffer += data

    def suspended(self) -> Suspended:
        received = bytes(memoryview(self._buffer)[self._start :])
        return Suspended(received, skipping=self._skipped, lost=self.lost)

    def resume(self, state: Suspended) -> None:
        self._buffer = state.received
        self._skipped = state.skipping
        self._ended = state.input_ended
        self.lost = state.lost

    def refuse_last(self) -> None:
        self._skipped = 0

    def next_text(self) -> T | None:
        if self._skipped is not None and not self._skip_line():
            return None
        if self._scanner is None:
            if not self._pass_white_space():
                return None
            text = self._try_line()
            if text is not None:
                return text
            self._scanner = Scanner(self._start)
        return self._scan(self._scanner)

    def _pass_white_space(self) -> bool:
        """Advance to the next text; return whether there is a byte of it."""
        size = len(self._buffer)
        if self._start < size:
            found = _WHITE_SPACE.match(self._buffer, self._start)
            self._start = found.end() if found else size
            if self._start < size:
                return True
            self._drop_buffer()
        return False

    def _try_line(self) -> T | None:
        """Parse the rest of the line as one text, which it nearly always is, without scanning it.

        This is done once per line, so that many texts on one line are not copied repeatedly.
        """
        start = self._start
        buffer = self._buffer
        if start < self._line_tried_to or buffer[start] not in _CONTAINER_STARTS:
            return None
        newline = buffer.find(b"\n", start)
        stop = newline + 1 if newline >= 0 else len(buffer)
        self._line_tried_to = stop
        size = stop - start
        if size > self._limit_at(start) or buffer[stop - 1] not in _LAST_BYTES_OF_LINE:
            return None
        if size >= SLICED_BATCH_BYTES and buffer[start] == _BATCH_START:
            # (it is not checked at once, so its end must be known)
            return None
        # (slicing a whole bytes object does not copy it)
        line = bytes(buffer[start:stop])
        # A text of n bytes has at most n/2 levels; beyond that the scan must count them.
        if len(line) > 2 * MAX_DEPTH and line.count(b"{") + line.count(b"[") > MAX_DEPTH:
            return None
        try:
            text = self._parse(line) if size < LONG_TEXT_BYTES else self._parse_any(line)
        except NotJSON:
            return None
        self._go_on_at(stop)
        return text

    def _scan(self, scanner: Scanner) -> T | None:
        self.paused = False
        most = self._limit_at(scanner.start)
        limit = min(len(self._buffer), scanner.start + most)
        try:
            end = scanner.find_end(self._buffer, limit, self._ended)
        except Broken as error:
            self._refuse(error.resume, skip_line=not error.at_text)
            raise NotJSON(f"Parse error: {error}") from None
        if end is None:
            if scanner.paused:
                self.paused = True
                return None
            if len(self._buffer) > limit:
                self._refuse(limit)
                raise too_long(most)
            if self._ended:
                self._refuse(limit)
                raise NotJSON("Parse error: the input ended within a text")
            self._forget_former()
            return None
        text = bytes(memoryview(self._buffer)[scanner.start : end])
        self._go_on_at(end)
        try:
            return self._parse_any(text)
        except NotJSON:
            self._skipped = 0
            raise

    def _limit_at(self, start: int) -> int:
        """Return the limit for a text by its first byte."""
        if self._buffer[start] == _BATCH_START:
            return min(MAX_BATCH_BYTES, self._max_text_bytes)
        return self._max_text_bytes

    def _go_on_at(self, index: int) -> None:
        self._scanner = None
        self._start = index
        if index == len(self._buffer):
            self._drop_buffer()

    def _forget_former(self) -> None:
        """Free the memory of texts that were taken out, which may be long."""
        start = self._start
        if not start:
            return
        if isinstance(self._buffer, bytearray):
            # (this moves the beginning of the bytearray, not its bytes)
            del self._buffer[:start]
        else:
            self._buffer = self._buffer[start:]
        if self._scanner is not None:
            self._scanner.moved(start)
        self._line_tried_to = max(0, self._line_tried_to - start)
        self._start = 0

    def _drop_buffer(self) -> None:
        self._buffer = b""
        self._start = self._line_tried_to = 0

    def _refuse(self, resume: int, skip_line: bool = True) -> None:
        """Continue at an index of the buffer, or after the next newline from there."""
        self._go_on_at(resume)
        self._skipped = 0 if skip_line else None

    def _skip_line(self) -> bool:
        """Drop bytes up to and including the next newline; return whether it was there."""
        skipped = self._skipped or 0
        limit = min(len(self._buffer), self._start + self._max_text_bytes - skipped)
        newline = self._buffer.find(b"\n", self._start, limit)
        if newline >= 0:
            self._skipped = None
            self._go_on_at(newline + 1)
            return True
        self._skipped = skipped + limit - self._start
        self.lost = self._skipped >= self._max_text_bytes
        self._drop_buffer()
        return False
