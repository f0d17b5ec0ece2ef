"""Text of bytes that may be no text: excerpts of logs, and names from outside."""

from __future__ import annotations

import codecs
import re
from typing import Literal, TypeAlias

from twisted_virtlog.values import Excerpt, Position

Encoding: TypeAlias = Literal["utf-8", "base64"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_excerpt(excerpt: Excerpt, max_bytes: int) -> tuple[str, Position]:
    """Make a string of an excerpt in UTF-8, and tell where the next one begins.

    Broken bytes become U+FFFD. A character that is incomplete at the end is held
    back, and the position with it, where the rest may still come: when the limit cut it or the
    log is open. It becomes U+FFFD all the same when

    - the log is closed and the excerpt reaches its end: nothing will complete it, or
    - it is all there is and the limit is too small for it: the reader would never get on, or
    - it began in the file before the one where the excerpt ends: no position is known for it.

    :param max_bytes: the limit that the excerpt was read under.
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
    """Replace what stands for bytes that are no UTF-8 (surrogates), as JSON cannot have it."""
    return _SURROGATE.sub("\ufffd", text)
