"""The time during which a log drops what its guest writes, as that is beyond its rate.

It begins and ends between two lines, where that can be: what was begun when the tokens were used up
is written to its end, and what was begun when they are there again is dropped to its end.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone

from msgspec import Struct

from twisted_virtlog.handover.state import RateState
from twisted_virtlog.logs.outage import notice_of

#: A line's rest is at most so long, or else the line is cut.
LINE_BYTES = 4096

#: So long is its end waited for.
LINE_SECONDS = 1.0

#: How often it is recorded how many bytes were dropped: a guest may write gigabytes in a second.
_NOTE_SECONDS = 0.1


class Excess(Struct):
    """What one log drops, until the log says so.

    :ivar rate: bytes a second that the log takes.
    :ivar until: how many bytes of the log are written when it begins to drop.
    :ivar to_line_end: how many more may be written to come to a line's end; 0 if there it is.
    :ivar was_asked: whether the file was asked if it ends with a line.
    :ivar since: when the first byte was dropped, and ``lost`` how many were.
    :ivar in_line: whether the last byte that was dropped ends no line.
    :ivar skipped: bytes dropped to come to a line's end, after the tokens were there again.
    :ivar patience: until when that is waited for, in seconds of a clock that never steps.
    :ivar noted_at: when it was recorded last how many were dropped, likewise.
    """

    rate: int
    until: int
    to_line_end: int = LINE_BYTES
    was_asked: bool = False
    since: datetime | None = None
    lost: int = 0
    in_line: bool = False
    skipped: int = 0
    patience: float | None = None
    noted_at: float = -math.inf

    def line_rest(self, seen: bytes, written: int) -> int:
        """Return how many of the next bytes are written to come to a line's end.

        :param seen: some of them, no more than :attr:`to_line_end`.
        :param written: bytes written until now.
        """
        end = seen.find(b"\n") + 1
        count = end or len(seen)
        self.to_line_end = 0 if end else self.to_line_end - count
        self.until = written + count
        return count

    def rest_to_skip(self, seen: bytes) -> int:
        """Return how many of the next bytes are dropped to come to a line's end.

        :param seen: some of them.
        """
        end = seen.find(b"\n") + 1
        count = end or len(seen)
        self.in_line = not end
        self.skipped += count
        return count

    def must_wait(self, now: float) -> bool:
        """Return whether the line in which it stands may soon end; asked when tokens are there."""
        if self.patience is None:
            self.patience = now + LINE_SECONDS
        return self.in_line and self.skipped < LINE_BYTES and now < self.patience

    def ends_with(self, last: bytes) -> None:
        """Take note of the last byte that is dropped."""
        self.in_line = last != b"\n"

    def dropped(self, count: int) -> None:
        """Count bytes that were dropped."""
        if self.since is None:
            self.since = datetime.now(timezone.utc)
        self.lost += count

    def is_to_note(self, now: float) -> bool:
        """Return whether it is to be recorded now how many were dropped."""
        if now - self.noted_at < _NOTE_SECONDS:
            return False
        self.noted_at = now
        return True

    def notice(self, until: datetime) -> bytes:
        """Return the line that stands in the log where bytes are missing."""
        reason = f"over its rate of {self.rate} bytes a second"
        return notice_of(self.lost, self.since or until, until, reason)

    @classmethod
    def resumed(cls, state: RateState, written: int) -> Excess | None:
        """Go on in another process, or another thread.

        :param written: bytes written until now.
        :returns: None if the log has nothing to say.
        """
        if not state.lost:
            return None
        return cls(
            state.rate, written, 0, since=state.since, lost=state.lost, in_line=state.in_line
        )
