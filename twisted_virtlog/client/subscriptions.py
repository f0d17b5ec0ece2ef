"""The calls that make the daemon tell something unasked."""

from __future__ import annotations

from datetime import datetime

import msgspec

from twisted_virtlog.client.call import Call, plain
from twisted_virtlog.client.members import position_member, time_member
from twisted_virtlog.values import Position


class Followed(msgspec.Struct, frozen=True):
    """A log is followed.

    :ivar subscription: the number that its notifications have.
    :ivar position: where they begin. Its inode number is 0 if the log is not there yet.
    """

    subscription: int
    position: Position


class _Watched(msgspec.Struct, frozen=True):
    subscription: int


_decode_followed = plain(Followed)
_decode_watched = plain(_Watched)
_decode_true = plain(bool)


def follow_log(
    path: str, position: Position | None, since: datetime | None, until_closed: bool
) -> Call[Followed]:
    """Return the call that follows a log; neither a position nor a time is from now on.

    :raises ValueError: both are given, or the time has no zone.
    """
    # In base64 on the wire, so that every byte survives.
    params: dict[str, object] = {"path": path, "encoding": "base64"}
    if position is not None and since is not None:
        raise ValueError("a log is followed from a position or from a time, not from both")
    if position is not None:
        params["position"] = position_member(position)
    if since is not None:
        params["since"] = time_member(since)
    if until_closed:
        params["until"] = "closed"
    return Call("log.follow", _decode_followed, params)


def unfollow(subscription: int) -> Call[bool]:
    """Return the call that ends a subscription."""
    return Call("log.unfollow", _decode_true, {"subscription": subscription})


def watch_logs() -> Call[int]:
    """Return the call that watches which logs there are; its result is the subscription."""
    return Call("log.watch", lambda text, fds: _decode_watched(text, fds).subscription)
