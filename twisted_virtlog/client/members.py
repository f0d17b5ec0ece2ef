"""The values that several calls send and receive, as they are in JSON."""

from __future__ import annotations

import binascii
from datetime import datetime, timezone

import pybase64

from twisted_virtlog.client.errors import BadAnswer
from twisted_virtlog.values import Position


def position_member(position: Position | None) -> dict[str, object] | None:
    """Return a position as a request has it; None for none."""
    if position is None:
        return None
    members: dict[str, object] = {"inode": position.inode, "offset": position.offset}
    # Daemons before 0.2 refuse members that they do not know.
    return {**members, "birth": position.birth} if position.birth else members


def time_member(time: datetime | None) -> datetime | None:
    """Return a time as a request has it: encoded, it is RFC 3339; None for none.

    :raises ValueError: the time has no zone, so nobody knows when it is.
    """
    if time is None:
        return None
    if time.utcoffset() is None:
        raise ValueError(f"{time!r} has no zone; a time with one is needed")
    # In UTC, as offsets of seconds, which zones had once, cannot be written in RFC 3339.
    return time.astimezone(timezone.utc)


def bytes_of(member: str | memoryview, where: str) -> bytes:
    """Return the bytes that are written in base64.

    :param where: for the error.
    :raises BadAnswer: it is no base64.
    """
    try:
        return pybase64.b64decode(member, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadAnswer(f"the data in {where} is not base64: {error}") from error
