"""Decides what happens while a log's file cannot be written: when to try again, what to drop.

The pipe is the buffer. Only when it runs full while the file still fails, and the guest would be
blocked, bytes are dropped and counted (``on_write_error = "drop"``) or the guest waits ("block").
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.state import OutageState

#: A failing file is tried again so often at most.
RETRY_SECONDS = 1.0

#: So often the pipes of failing logs are looked at, and a guest is blocked no longer.
CHECK_SECONDS = 0.05


@dataclass(slots=True)
class Outage:
    """The time during which one log's file fails.

    :ivar failure: the latest reason.
    :ivar since: when it began, an aware time.
    :ivar tried_at: when the file was tried last, in seconds of a clock that never steps.
    :ivar retried: whether it was tried again since it began.
    :ivar lost: bytes dropped.
    """

    failure: SystemFailure
    since: datetime
    tried_at: float
    retried: bool = False
    lost: int = 0

    def due(self, now: float) -> bool:
        """Tell whether the file may be tried again."""
        return now - self.tried_at >= RETRY_SECONDS

    def failed_again(self, failure: SystemFailure, now: float) -> None:
        """Note that a retry failed."""
        self.failure = failure
        self.tried_at = now
        self.retried = True

    def to_drop(self, waiting: int, capacity: int, ended: bool) -> int:
        """Tell how many bytes to take out of the pipe so that its guest is not blocked.

        :param waiting: bytes in the pipe.
        :param capacity: bytes that fit into it.
        :param ended: the guest is gone, and the log is to be closed.
        """
        if not self.retried:
            return 0
        return waiting if ended or waiting > capacity // 2 else 0

    def suspended(self) -> OutageState:
        """Tell what the daemon's next image needs to know."""
        return OutageState(self.since, self.lost, self.failure.action, self.failure.errno)

    @classmethod
    def resumed(cls, state: OutageState, path: str) -> Outage:
        """Go on with an outage in the daemon's next image; the file may be tried at once."""
        failure = SystemFailure(state.action, state.errno, path)
        return cls(failure, state.since, tried_at=-RETRY_SECONDS, retried=True, lost=state.lost)

    def notice(self, until: datetime) -> bytes:
        """Word the line that stands in the log where bytes are missing."""
        reason = os.strerror(self.failure.errno)
        return (
            f"[virtlogd: {self.lost} bytes lost from {_stamp(self.since)} to {_stamp(until)}:"
            f" {reason}]\n"
        ).encode()


def _stamp(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="milliseconds")
