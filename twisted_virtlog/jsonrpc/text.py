"""Text from bytes that may not be text: excerpts of logs, and names from outside."""

from __future__ import annotations

import codecs
import re
from typing import Literal, TypeAlias

from twisted_virtlog.values import Excerpt, Position

Encoding: TypeAlias = Literal["utf-8", "base64"]

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


def printable(text: str) -> str:
    """Replace surrogates, which stand for bytes that are not UTF-8, as JSON cannot have them."""
    return _SURROGATE.sub("\ufffd", text)
