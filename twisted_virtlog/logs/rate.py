"""How many bytes a log takes in a time: a bucket of tokens, one for each byte.

Tokens come at the log's rate, up to a burst. Who must write at once may take more than there are:
the bucket is overdrawn then, and what comes pays that back first.
"""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct

from twisted_virtlog.values import OnRate

#: A guest that waits goes on with what comes in this part of a second, so that it does so evenly.
_PARTS_OF_SECOND = 10


class Rate(Struct, frozen=True):
    """What a log takes; all logs of the same policy share one.

    :ivar rate: bytes a second.
    :ivar burst: bytes at once, after it took none for long enough.
    :ivar boot_burst: bytes at once after an opening, if those are more.
    :ivar on_rate: what becomes of the bytes beyond.
    """

    rate: int
    burst: int
    boot_burst: int
    on_rate: OnRate

    @classmethod
    def of(cls, rate: int, burst: int, boot_burst: int, on_rate: OnRate) -> Rate | None:
        """Return what the configuration's keys of these names come to; None is no limit.

        A log that drops goes on when a second's bytes may be written, so that it has a line of
        the daemon's own once a second at most. So its burst is never less.
        """
        if not rate:
            return None
        if not burst or on_rate is OnRate.DROP:
            burst = max(burst, rate)
        return cls(rate, burst, boot_burst, on_rate)

    @property
    def at_first(self) -> int:
        """Bytes at once after an opening."""
        return max(self.burst, self.boot_burst)

    @property
    def enough(self) -> int:
        """With how many tokens a log goes on that had none."""
        if self.on_rate is OnRate.DROP:
            return self.rate
        return max(1, min(self.burst // 2, self.rate // _PARTS_OF_SECOND))


class Bucket(msgspec.Struct, gc=False):
    """The tokens of one log. It is looked at before bytes are written, and told nothing of them.

    As there may be ten thousand, it has two numbers and no more: its rate is known from the log's
    policy, and what was taken from how much was written.

    :ivar until: the tokens are used up when as many bytes of the log are written.
    :ivar at: when it was looked at last, in seconds of a clock that never steps.
    """

    until: float
    at: float

    def left(self, rate: Rate, now: float, written: int, more: int = 0) -> int:
        """Return how many bytes may be written now; fewer than none while it is overdrawn.

        :param written: bytes written until now.
        :param more: tokens that may come beyond the burst.
        """
        elapsed = now - self.at
        if elapsed > 0:
            self.at = now
            room = rate.burst + more - (self.until - written)
            if room > 0:
                self.until += min(room, elapsed * rate.rate)
        return math.floor(self.until - written)

    def give(self, count: int) -> None:
        """Take no tokens for so many bytes that are written: they are not the guest's."""
        self.until += count

    def bound(self, rate: Rate, written: int) -> None:
        """Keep no more tokens than another rate gives at once."""
        self.until = min(self.until, written + rate.at_first)


def seconds_until(rate: Rate, left: int, wanted: int) -> float:
    """Return how long it takes from ``left`` tokens to those that are wanted, if none are taken."""
    return max(0, wanted - left) / rate.rate
