"""Decides what happens while a log's file cannot be written: when to try again, what to drop.

The pipe is the buffer. Only when it is full and the file still fails are bytes dropped and counted
(``OnWriteError.DROP``), or does the guest wait (``BLOCK``).
"""

from __future__ import annotations

import os
from datetime import datetime

from msgspec import Struct

from twisted_virtlog.errors import BoundReached, SystemFailure
from twisted_virtlog.handover.state import OutageState
from twisted_virtlog.values import DropReason

#: The shortest time between two attempts to write a failing file.
RETRY_SECONDS = 1.0

#: How often the pipes of failing logs are looked at; a guest whose pipe is full waits no longer.
CHECK_SECONDS = 0.05

#: How often a pipe is looked at that was full: one write of its guest may fill it many times over.
FULL_CHECK_SECONDS = 0.005


class Outage(Struct):
    """The time during which one log's file fails.

    :ivar failure: the latest reason.
    :ivar since: when it began, an aware time.
    :ivar tried_at: when the file was tried last, in seconds of a clock that never steps.
    :ivar retried: whether it was tried again since it began.
    :ivar repeated: whether the file was written again only within the second before: a guest does
        not wait once more.
    :ivar lost: bytes dropped.
    :ivar seen: bytes that were in the pipe when :meth:`stands_still` was asked last.
    :ivar had_room: bytes that were in the pipe when it was found to have room; with as many it
        still has, until some are taken out. -1 if that is not known.
    :ivar pending: bytes that waited when they were counted last; None before that.
    """

    failure: SystemFailure
    since: datetime
    tried_at: float
    retried: bool = False
    lost: int = 0
    repeated: bool = False
    seen: int = -1
    had_room: int = -1
    pending: int | None = None

    def due(self, now: float) -> bool:
        """Return whether the file may be tried again."""
        return now - self.tried_at >= RETRY_SECONDS

    def failed_again(self, failure: SystemFailure, now: float) -> None:
        """Record that a retry failed."""
        self.failure = failure
        self.tried_at = now
        self.retried = True
        # (a retry may have written some)
        self.had_room = -1

    @property
    def is_lasting(self) -> bool:
        """Whether a full pipe is to be emptied; a first failure may be over within a second."""
        return self.retried or self.repeated

    @property
    def drop_reason(self) -> DropReason:
        """Why bytes are dropped meanwhile."""
        is_ours = isinstance(self.failure, BoundReached)
        return DropReason.QUOTA if is_ours else DropReason.WRITE_ERROR

    def to_drop(self, waiting: int, full: bool, ended: bool) -> int:
        """Return how many bytes to take out of the pipe so that its guest is not blocked.

        :param waiting: bytes in the pipe.
        :param full: the next write to the pipe would block.
        :param ended: the guest is gone, and the log is to be closed.
        """
        drop = (full and self.is_lasting) or (ended and self.retried)
        return waiting if drop else 0

    def stands_still(self, waiting: int) -> bool:
        """Return whether the pipe holds as many bytes as at the look before."""
        before, self.seen = self.seen, waiting
        return waiting == before

    def suspended(self) -> OutageState:
        """Return what the daemon's next image needs to know."""
        return OutageState(self.since, self.lost, self.failure.action, self.failure.errno)

    @classmethod
    def resumed(cls, state: OutageState, path: str) -> Outage:
        """Go on with an outage in the daemon's next image; the file may be tried at once."""
        failure = SystemFailure(state.action, state.errno, path)
        return cls(failure, state.since, tried_at=-RETRY_SECONDS, retried=True, lost=state.lost)

    def notice(self, until: datetime) -> bytes:
        """Return the line that stands in the log where bytes are missing."""
        return notice_of(self.lost, self.since, until, os.strerror(self.failure.errno))


def notice_of(lost: int, since: datetime, until: datetime, reason: str) -> bytes:
    """Return the line that stands in a log where bytes are missing, and says why."""
    return (
        f"[virtlogd: {lost} bytes lost from {_stamp(since)} to {_stamp(until)}: {reason}]\n"
    ).encode()


def _stamp(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="milliseconds")
