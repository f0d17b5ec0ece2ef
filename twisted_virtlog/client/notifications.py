"""What the daemon tells of what a connection follows and watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from twisted_virtlog.client.call import decoder
from twisted_virtlog.client.calls import LogInfo
from twisted_virtlog.client.errors import BadAnswer
from twisted_virtlog.client.members import bytes_of
from twisted_virtlog.values import Position


class FollowedChunk(msgspec.Struct, frozen=True):
    """What came in a log that is followed.

    :ivar data: the bytes, exactly as they were written.
    :ivar start: where they begin.
    :ivar end: where to go on.
    :ivar gap: bytes before ``start`` were rotated away, or may have been.
    :ivar missed: how many; None where that is not known, or there is no gap.
    """

    data: bytes
    start: Position
    end: Position
    gap: bool = False
    missed: int | None = None


class FeedData(msgspec.Struct, frozen=True):
    """What came in a log that is followed.

    :ivar subscription: which one, as the answer of ``log.follow`` says.
    :ivar data: the bytes, exactly as they were written.
    :ivar start: where they begin.
    :ivar end: where to go on.
    :ivar gap: bytes before ``start`` were rotated away, or may have been.
    :ivar missed: how many; None where that is not known, or there is no gap.
    """

    subscription: int
    data: bytes
    start: Position
    end: Position
    gap: bool = False
    missed: int | None = None


class FeedEnd(msgspec.Struct, frozen=True):
    """Nothing more comes of a subscription.

    :ivar reason: ``unfollowed``, ``closed``, ``failed`` (the files cannot be read) or ``shutting
        down``; a newer daemon may know others.
    :ivar error: of ``failed``: what the data of error 1003 would be.
    """

    subscription: int
    reason: str
    error: dict[str, Any] | None = None


class FeedLog(msgspec.Struct, frozen=True):
    """Something happened to a log.

    :ivar kind: ``opened``, ``closed`` or ``state``: it is written again, or cannot be.
    :ivar log: what it is since then, as ``list`` has it.
    """

    subscription: int
    kind: str
    log: LogInfo


class Snapshot(msgspec.Struct, frozen=True):
    """All logs that are open, from which what is told afterwards goes on.

    :ivar logs: sorted by path.
    """

    logs: Sequence[LogInfo]


Notification = FeedData | FeedEnd | FeedLog


class _Data(msgspec.Struct):
    subscription: int
    data: str
    start: Position
    end: Position
    gap: bool = False
    missed: int | None = None


class _DataNotification(msgspec.Struct):
    params: _Data


class _Log(msgspec.Struct):
    subscription: int
    log: LogInfo


#: How the daemon begins what it tells of a log's bytes, and what comes right before these.
_DATA_NOTIFICATION = b'{"jsonrpc":"2.0","method":"log.data","params":{"subscription":'
_BEFORE_DATA = b',"data":"'
_LONGEST_NUMBER = 20

_KINDS = {"log.opened": "opened", "log.closed": "closed", "log.state": "state"}


def notification(method: str, params: msgspec.Raw) -> Notification | None:
    """Return what a notification tells.

    :returns: None if it is none that this client knows: it is of a newer daemon.
    :raises BadAnswer: it makes no sense.
    """
    try:
        if method == "log.data":
            told = decoder(_Data).decode(params)
            data = bytes_of(told.data, method)
            return FeedData(told.subscription, data, told.start, told.end, told.gap, told.missed)
        if method == "log.end":
            return decoder(FeedEnd).decode(params)
        if (kind := _KINDS.get(method)) is not None:
            row = decoder(_Log).decode(params)
            return FeedLog(row.subscription, kind, row.log)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the daemon sent {method} with invalid params: {error}") from error
    return None


def bytes_told(text: bytes) -> FeedData | None:
    """Return what a text tells of a log's bytes, if it is spelled as the daemon does.

    Nearly all that comes is such bytes. As base64 has neither quotes nor escapes, their end is
    found at the speed of memory, and the JSON that is left is short: this takes a third of the
    time that decoding it all does.

    :returns: None for all other texts.
    """
    if not text.startswith(_DATA_NOTIFICATION):
        return None
    before = len(_DATA_NOTIFICATION)
    start = text.find(_BEFORE_DATA, before, before + _LONGEST_NUMBER + len(_BEFORE_DATA))
    start += len(_BEFORE_DATA)
    end = text.find(b'"', start)
    if start < before or end < 0:
        return None
    try:
        told = decoder(_DataNotification).decode(text[:start] + text[end:]).params
        data = bytes_of(memoryview(text)[start:end], "log.data")
    except (msgspec.MsgspecError, UnicodeDecodeError, BadAnswer):
        # (what is wrong is found out by who decodes it all)
        return None
    return FeedData(told.subscription, data, told.start, told.end, told.gap, told.missed)
