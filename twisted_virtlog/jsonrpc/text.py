"""Text from bytes that may not be text: excerpts of logs, and names from outside."""

from __future__ import annotations

import codecs
import re
from collections.abc import Generator
from typing import Literal, TypeAlias

import msgspec

from twisted_virtlog.values import Excerpt, Position

Encoding: TypeAlias = Literal["utf-8", "base64"]

# So much is decoded and escaped at once. Bytes that are not UTF-8 take ten times as long as others.
_SLICE_BYTES = 16 * 1024

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_excerpt(excerpt: Excerpt, max_bytes: int) -> tuple[str, Position]:
    """Decode an excerpt as UTF-8; return the text and where the next excerpt begins.

    Invalid bytes become U+FFFD. A character that is incomplete at the end is left for the next
    excerpt if the rest of it may follow: if the limit cut it, or the log is open. It becomes U+FFFD
    nevertheless if

    - the log is closed and the excerpt reaches its end, so that nothing will complete it,
    - the excerpt is nothing else and the limit is too small for it, so that the reader would never
      make progress, or
    - it began in a file before the one where the excerpt ends, so that its position is not known.

    :param max_bytes: the limit with which the excerpt was read.
    """
    data, end = excerpt.data, excerpt.end
    cut = len(data) >= max_bytes
    text, taken = codecs.utf_8_decode(data, "replace", excerpt.final and not cut)
    held_back = len(data) - taken
    if not held_back:
        return text, end
    if held_back > end.offset or (cut and not taken):
        return data.decode("utf-8", "replace"), end
    return text, Position(end.inode, end.offset - held_back, end.birth)


def escape_excerpt(excerpt: Excerpt, max_bytes: int) -> Generator[bytes, None, Position]:
    """Decode a long excerpt as UTF-8, a piece at a time, by the rules of :func:`decode_excerpt`.

    :param max_bytes: the limit with which the excerpt was read.
    :returns: where the next excerpt begins; what is yielded is the inside of a string in JSON.
    """
    rest, size = b"", 0
    for piece in excerpt.pieces:
        view = memoryview(piece)
        size += len(piece)
        for start in range(0, len(piece), _SLICE_BYTES):
            part = view[start : start + _SLICE_BYTES]
            data = rest + bytes(part) if rest else part
            text, taken = codecs.utf_8_decode(data, "replace", False)
            rest = bytes(data[taken:])
            yield _escaped(text)
    end = excerpt.end
    cut = size >= max_bytes
    if rest and (
        (excerpt.final and not cut) or len(rest) > end.offset or (cut and len(rest) == size)
    ):
        yield _escaped(rest.decode("utf-8", "replace"))
        rest = b""
    return Position(end.inode, end.offset - len(rest), end.birth) if rest else end


def _escaped(text: str) -> bytes:
    """Return the inside of a string in JSON."""
    return msgspec.json.encode(text)[1:-1]


def printable(text: str) -> str:
    """Replace surrogates, which stand for bytes that are not UTF-8, as JSON cannot have them."""
    # (as nearly every path is, and a list has thousands)
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
