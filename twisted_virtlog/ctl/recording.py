"""What was read from a log, in bounded memory: what is too long to keep is read again."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from twisted_virtlog.client import Chunk, Position

#: How much of the end of a log is kept; of what precedes it, only positions are.
KEPT_BYTES = 4 * 1024 * 1024

ReadAgain = Callable[[Position, int], Chunk]


@dataclass
class _Piece:
    start: Position
    length: int
    newlines: int
    data: bytes | None


class Recording:
    """The chunks of a log, to be used when all of them were added.

    :ivar end: the position after the last one; None before the first.
    :ivar start: the position of the first one.
    :ivar gap: whether bytes are missing before or between them, or could not be read again.
    """

    def __init__(self, lines: int | None, kept_bytes: int = KEPT_BYTES) -> None:
        """Begin.

        :param lines: how many lines at the end are wanted, including one that is not ended; None
            for all.
        :param kept_bytes: how much may be kept in memory, in addition to the last chunk.
        """
        self.start: Position | None = None
        self.end: Position | None = None
        self.gap = False
        self._lines = lines
        self._allowed = kept_bytes
        self._pieces: deque[_Piece] = deque()
        #: The last pieces, which have their data, and how many bytes that is.
        self._kept: deque[_Piece] = deque()
        self._kept_bytes = 0
        self._newlines = 0
        self._last_byte = b""

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        self.start = self.start or chunk.start
        self.end = chunk.end
        self.gap = self.gap or chunk.gap
        if not chunk.data:
            return
        newlines = chunk.data.count(b"\n")
        piece = _Piece(chunk.start, len(chunk.data), newlines, chunk.data)
        self._pieces.append(piece)
        self._kept.append(piece)
        self._kept_bytes += piece.length
        self._newlines += newlines
        self._last_byte = chunk.data[-1:]
        # With lines + 1 newlines the rest is enough, whether or not its last line is ended.
        while self._lines is not None and self._newlines - self._pieces[0].newlines > self._lines:
            first = self._pieces.popleft()
            self._newlines -= first.newlines
            if first is self._kept[0]:
                self._forget()
        while self._kept_bytes > self._allowed and len(self._kept) > 1:
            self._forget()

    def content(self, read_again: ReadAgain) -> Iterator[bytes]:
        """Yield what is wanted. This may be called repeatedly; what is read again is not kept.

        :param read_again: reads bytes from a position on, as many of those requested as it can.
        """
        if self._lines == 0:
            return
        skipped = 0
        if self._lines is not None:
            unended = bool(self._last_byte) and self._last_byte != b"\n"
            skipped = max(0, self._newlines + unended - self._lines)
        for data in self._all(read_again):
            begin = 0
            while skipped and (end := data.find(b"\n", begin)) >= 0:
                skipped -= 1
                begin = end + 1
            if not skipped:
                yield data[begin:] if begin else data

    def _all(self, read_again: ReadAgain) -> Iterator[bytes]:
        for piece in self._pieces:
            if piece.data is not None:
                yield piece.data
            else:
                yield from self._again(piece, read_again)

    def _again(self, piece: _Piece, read_again: ReadAgain) -> Iterator[bytes]:
        position, left = piece.start, piece.length
        while left:
            chunk = read_again(position, left)
            if chunk.gap or not chunk.data:
                # It was rotated away since, and where the bytes found instead belong is not known.
                self.gap = True
                return
            yield chunk.data
            position, left = chunk.end, left - len(chunk.data)

    def _forget(self) -> None:
        piece = self._kept.popleft()
        piece.data = None
        self._kept_bytes -= piece.length


def is_utf8(content: Iterable[bytes]) -> bool:
    """Return whether bytes in pieces are UTF-8 altogether."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for data in content:
            decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def utf8_pieces(content: Iterable[bytes]) -> Iterator[str]:
    """Yield text in pieces, with U+FFFD for what is invalid, if the bytes have changed."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for data in content:
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def base64_pieces(content: Iterable[bytes]) -> Iterator[str]:
    """Yield bytes in base64, in pieces that join to one text."""
    rest = b""
    for data in content:
        whole = rest + data
        cut = len(whole) - len(whole) % 3
        yield codecs.encode(whole[:cut], "base64").decode().replace("\n", "")
        rest = whole[cut:]
    yield codecs.encode(rest, "base64").decode().replace("\n", "")
