"""What a message says of its bytes beside them: NATS headers, and what is read from them again."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.sink import Source
from twisted_virtlog.ship.subjects import token
from twisted_virtlog.values import Position

START = "Virtlog-Start"
END = "Virtlog-End"
PATH = "Virtlog-Path"
HOST = "Virtlog-Host"
DOMAIN = "Virtlog-Domain"
DRIVER = "Virtlog-Driver"
#: When all the bytes had come, by the clock of the host.
TIME = "Virtlog-Time"
#: When the first of them came at the earliest, if that was before.
SINCE = "Virtlog-Since"
#: Which ends are in the middle of a line: ``begin``, ``end`` or ``both``.
CUT = "Virtlog-Cut"
#: Bytes before these are gone: how many, or ``unknown``.
MISSED = "Virtlog-Missed"

#: The server's: the same message is stored once, within its window.
MESSAGE_ID = "Nats-Msg-Id"
#: The server's: nothing is stored in another stream.
EXPECTED_STREAM = "Nats-Expected-Stream"
#: The server's: nothing is stored if somebody else has stored something meanwhile.
EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"

# (so that no name breaks a header's line, or loses a blank at its end; the rest is as it is)
_SAFE = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"

_POSITION = re.compile(r"([0-9]{1,20}):([0-9]{1,20}):([!-~]{0,256})")


def position_text(position: Position) -> str:
    """Return a position as INODE:OFFSET:BIRTH."""
    return f"{position.inode}:{position.offset}:{position.birth}"


def position_of(text: str) -> Position | None:
    """Return what :func:`position_text` wrote; None if it is something else."""
    match = _POSITION.fullmatch(text)
    return None if match is None else Position(int(match[1]), int(match[2]), match[3])


def end_of(headers: Mapping[str, str] | None) -> Position | None:
    """Return up to where a log is shipped, by a message of it; None if that does not say so."""
    return position_of((headers or {}).get(END, ""))


def message_id(host: str, path: str, start: Position) -> str:
    """Return what no other message of a fleet has.

    (Two file systems of a host may give files the same numbers, so the path is part of it.)
    """
    return f"{token(host)}.{token(path)}.{position_text(start)}"


# (who writes much has many messages)
@functools.lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    return quote(text, _SAFE, errors="surrogateescape")


def headers_of(message: Message, source: Source, now: datetime) -> dict[str, str]:
    """Return all that is said of a message, but for what is expected.

    :param now: when it came, unless it says so itself; an aware time.
    """
    said = {
        MESSAGE_ID: message_id(source.host, source.path, message.start),
        START: position_text(message.start),
        END: position_text(message.end),
        HOST: _quoted(source.host),
        PATH: _quoted(source.path),
        DRIVER: _quoted(source.driver),
        TIME: _time_text(message.time or now),
    }
    if message.since is not None:
        said[SINCE] = _time_text(message.since)
    if source.domain is not None:
        said[DOMAIN] = _quoted(source.domain.name)
    if message.cut is not None:
        said[CUT] = message.cut
    if message.gap:
        said[MISSED] = "unknown" if message.missed is None else str(message.missed)
    return said


def _time_text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
