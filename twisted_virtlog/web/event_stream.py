"""The format text/event-stream: what is sent to a browser, event by event.

What an event carries is JSON on one line. So nothing that a guest prints, or that somebody called
it, can end an event or begin another.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pybase64

from twisted_virtlog.client import FollowedChunk, Position
from twisted_virtlog.client.notifications import FeedData
from twisted_virtlog.web.places import place_text

_encode = msgspec.json.Encoder().encode

MEDIA_TYPE = b"text/event-stream; charset=utf-8"

#: A comment, so that proxies do not take a quiet connection for a dead one.
HEARTBEAT = b":\n\n"

#: How soon a browser's own EventSource is to come back, in milliseconds.
RETRY = b"retry: 1000\n\n"


@dataclass(frozen=True)
class Skipped:
    """A part of a log that was not sent.

    :ivar start: where it begins, which is where what was sent ends.
    :ivar end: where it ends, at the start of a line if one is near.
    :ivar bytes: how many it has.
    """

    start: Position
    end: Position
    bytes: int


def event(kind: str, value: object, number: str | None = None) -> bytes:
    """Return an event.

    :param kind: its type, a word.
    :param value: what it carries, anything that msgspec writes as JSON.
    :param number: its id, which a browser gives back as Last-Event-ID; without line ends.
    """
    head = b"" if number is None else b"id: %b\n" % number.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (head, kind.encode(), _encode(value))


def chunk_event(chunk: FollowedChunk | FeedData, time: float) -> bytes:
    """Return the event that brings bytes of a log; its id is where to go on after them.

    The bytes are in base64, so that each of them arrives as it was written.

    :param time: by when they had come, in seconds since 1970.
    """
    number = place_text(chunk.end)
    start, end = _encode(place_text(chunk.start)), _encode(number)
    gap = b',"gap":true,"missed":%b' % _encode(chunk.missed) if chunk.gap else b""
    # By hand, as nearly all that is sent are these, and so that what is long is copied once.
    # (base64 has nothing that JSON would write otherwise)
    data = pybase64.b64encode(chunk.data)
    return b'id: %b\nevent: data\ndata: {"start":%b,"end":%b,"time":%.3f%b,"data":"%b"}\n\n' % (
        number.encode(),
        start,
        end,
        time,
        gap,
        data,
    )


def skipped_event(skipped: Skipped) -> bytes:
    """Return the event that says which bytes of a log do not come; its id is where it goes on."""
    end = place_text(skipped.end)
    value = {"start": place_text(skipped.start), "end": end, "bytes": skipped.bytes}
    return event("skipped", value, end)
