"""Choose the framing of a connection by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted_virtlog.jsonrpc.framing import Framing, TextStream
from twisted_virtlog.jsonrpc.header_framing import HeaderFraming
from twisted_virtlog.jsonrpc.http_framing import HTTPFraming

T = TypeVar("T")

TEXTS = "texts"
HEADERS = "headers"
HTTP = "http"

_FRAMINGS: Mapping[str, Callable[[Any, Any], Framing[Any]]] = {
    TEXTS: TextStream,
    HEADERS: HeaderFraming,
    HTTP: HTTPFraming,
}

_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9-]*")
_MAX_WORD_BYTES = 64


def framing_named(
    name: str, parse: Callable[[bytes], T], parse_long: Callable[[bytes], T] | None = None
) -> Framing[T]:
    """Return a new framing by its name; that for texts if the name is unknown.

    :param parse: as of :class:`Framing`, and so ``parse_long``.
    """
    return _FRAMINGS.get(name, TextStream)(parse, parse_long)


def told_by(data: bytes) -> str | None:
    """Return the framing of a connection that begins with some bytes.

    A name and ``:`` is a header, an upper-case word and a blank is HTTP, anything else is JSON.

    :returns: None if more bytes are needed, which at most 64 are.
    """
    word = _WORD.match(data)
    if word is None:
        return TEXTS if data else None
    end = word.end()
    if end == len(data):
        return None if end <= _MAX_WORD_BYTES else TEXTS
    if data[end] == ord(":"):
        return HEADERS
    name = word[0]
    if data[end] == ord(" ") and name.isalpha() and name.isupper():
        return HTTP
    return TEXTS
