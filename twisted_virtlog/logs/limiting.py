"""Keeps the logs of one thread to their rates: what is written now, is dropped, or waits.

A log with a rate has a bucket, and while there are tokens in it nothing else happens. When more
waits in the pipe than may be written:

- Under ``OnRate.BLOCK`` the pipe is not watched until there are tokens again, and fills. All logs
  share one timer.
- Under ``OnRate.DROP`` the log has an Excess: what comes is dropped, as fast as it comes, until a
  second's tokens are there. Then a line of the daemon's own says so, and the log goes on. That is
  noticed when more comes, or by the timer if nothing does.

Who asks for a position or appends gets all that waits written (:meth:`Limiting.overdraw`), after
the line about what was dropped before it. The bucket is overdrawn then. So is it for what a guest
leaves in its pipe that is gone: what was said last may matter most, and it is no more than the pipe
holds. While the file cannot be written the rules of an outage hold and no others.
"""

from __future__ import annotations

import heapq
import itertools
import select
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.handover.state import RateState
from twisted_virtlog.logs.accounts.layout import NOTICE
from twisted_virtlog.logs.excess import LINE_BYTES, Excess
from twisted_virtlog.logs.pipes.sources import GuestSource
from twisted_virtlog.logs.rate import Bucket, Rate, seconds_until
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.loop.shares import TOGETHER_SECONDS
from twisted_virtlog.syscalls import pipe_events
from twisted_virtlog.values import DropReason, OnRate

if TYPE_CHECKING:
    from twisted_virtlog.logs.open_log import OpenLog

#: So many bytes are dropped at once, which takes about as long as to write a piece.
_DROPPED_BYTES = 4 * PIECE_BYTES

#: A log that waits is looked at so often in any case: its guest may be gone.
_LOOK_SECONDS = 1.0

#: When a log is looked at again that was occupied.
_OCCUPIED_SECONDS = 0.05

#: The timer is not set for less.
_SHORTEST_SECONDS = 0.002

#: A second's tokens may be there for this part of a second before the log goes on: it takes them
#: however late the daemon is.
_LATE_PARTS = 10


class Limiting:
    """The logs of one thread that are beyond their rates, and when each is looked at."""

    def __init__(self, clock: Clock, source: GuestSource) -> None:
        """:param source: takes bytes out of the pipes; :meth:`close` ends all looks."""
        self._clock = clock
        self._source = source
        # When each is to be looked at; and the same in order, with some that hold no more.
        self._due: dict[OpenLog, float] = {}
        self._queue: list[tuple[float, int, OpenLog]] = []
        self._numbers = itertools.count()
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        """Return how many logs are beyond their rates."""
        return len(self._due)

    # What becomes of a log.

    def opened(self, log: OpenLog) -> None:
        """Let a guest that has just opened a log begin with as many bytes as it may."""
        rate = log.policy.rate
        if rate is None:
            log.bucket = None
        else:
            log.bucket = Bucket(log.writer.written + rate.at_first, self._clock.seconds())

    def followed(self, log: OpenLog) -> None:
        """Likewise, after another guest; what was dropped of that one's is still to be said."""
        self.discard(log)
        self.opened(log)
        excess = log.excess
        if excess is not None and excess.lost:
            excess.until = excess.to_line_end = 0
            log.bucket = log.bucket or Bucket(0.0, self._clock.seconds())
        else:
            log.excess = None

    def resumed(self, log: OpenLog, state: RateState | None) -> None:
        """Go on with a log of another process or thread."""
        rate, now, written = log.policy.rate, self._clock.seconds(), log.writer.written
        log.bucket = None if rate is None else Bucket(written + rate.burst, now)
        if state is None:
            return
        log.excess = Excess.resumed(state, written)
        if rate is not None or log.excess is not None:
            log.bucket = Bucket(written + state.tokens, min(state.at, now))
        if rate is not None and log.bucket is not None:
            log.bucket.bound(rate, written)
        if log.excess is not None:
            self._look_at(log, now)

    def changed(self, log: OpenLog, former: Rate | None) -> None:
        """Take note that a log has another rate, or none.

        :param former: the rate until now.
        """
        rate, now, written = log.policy.rate, self._clock.seconds(), log.writer.written
        bucket = log.bucket
        if bucket is not None and former is not None:
            bucket.left(former, now, written)
        if rate is None:
            if log.excess is None:
                log.bucket = None
        elif bucket is None:
            log.bucket = Bucket(written + rate.burst, now)
        else:
            bucket.bound(rate, written)
        if log in self._due or log.excess is not None:
            self._look_at(log, now)

    def state_of(self, log: OpenLog) -> RateState | None:
        """Return what whoever goes on with a log needs to know; any thread may ask."""
        bucket, excess = log.bucket, log.excess
        if bucket is None:
            return None
        tokens = int(bucket.until - log.writer.written)
        if excess is None or not excess.lost:
            return RateState(tokens, bucket.at)
        return RateState(tokens, bucket.at, excess.lost, excess.since, excess.rate, excess.in_line)

    def discard(self, log: OpenLog) -> None:
        """Look at a log no more, if it was to be looked at."""
        if self._due.pop(log, None) is not None and not self._due:
            self.close()

    def close(self) -> None:
        """Look at no log any more."""
        self._due.clear()
        self._queue.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # While a log's file can be written.

    def allowed(self, log: OpenLog, bucket: Bucket) -> tuple[int, int]:
        """Return how many bytes of a pipe that is ready may be written now, and how many are gone.

        If none may be written some have been dropped, or wait.

        :param bucket: the log's.
        :raises OSError: the pipe cannot be used.
        :raises SystemFailure: the file cannot be written.
        """
        rate, excess, writer, source = log.policy.rate, log.excess, log.writer, self._source
        if rate is None:
            # (it had one when something was dropped)
            self.say(log)
            return PIECE_BYTES, 0
        now = self._clock.seconds()
        if excess is not None:
            return self._allowed_beyond(log, bucket, rate, excess, now)
        left = bucket.left(rate, now, writer.written)
        if left >= PIECE_BYTES or writer.unfinished or source.left:
            return PIECE_BYTES, 0
        return self._allowed_at_end(log, bucket, rate, left, now)

    def _allowed_at_end(
        self, log: OpenLog, bucket: Bucket, rate: Rate, left: int, now: float
    ) -> tuple[int, int]:
        """Return the same when few tokens are left."""
        waiting = self._source.waiting()
        if waiting <= left or not waiting:
            # (who writes nothing is asked whether its guest is gone)
            return max(1, left), 0
        if _is_gone(log):
            return PIECE_BYTES, 0
        if rate.on_rate is OnRate.BLOCK:
            log.stop_watching()
            self._wait(log, rate, min(0, left), now)
            return max(0, left), 0
        log.excess = Excess(rate.rate, log.writer.written + max(0, left))
        return self._allowed_beyond(log, bucket, rate, log.excess, now)

    def _allowed_beyond(
        self, log: OpenLog, bucket: Bucket, rate: Rate, excess: Excess, now: float
    ) -> tuple[int, int]:
        """Return the same while a log drops."""
        writer, source = log.writer, self._source
        if writer.unfinished or source.left:
            return PIECE_BYTES, 0
        rest = excess.until - writer.written
        if rest > 0:
            return min(rest, PIECE_BYTES), 0
        waiting = source.waiting()
        if _is_gone(log):
            self.say(log)
            return PIECE_BYTES, 0
        if not waiting:
            # (what comes from now on, comes after what was dropped)
            return 0, 0
        rest = self._to_line_end(log, excess, waiting) if excess.to_line_end else 0
        return (rest, 0) if rest else self._drop_or_go_on(log, bucket, rate, excess, waiting, now)

    def _drop_or_go_on(
        self,
        log: OpenLog,
        bucket: Bucket,
        rate: Rate,
        excess: Excess,
        waiting: int,
        now: float,
    ) -> tuple[int, int]:
        left = self._left_late(log, bucket, rate, now)
        if left < rate.enough and rate.on_rate is OnRate.DROP:
            if log not in self._due:
                self._look_at(log, now + seconds_until(rate, left, rate.enough))
            return 0, self._drop(log, excess, min(waiting, _DROPPED_BYTES), now)
        skipped = self._skip(log, excess, waiting, now)
        if excess.must_wait(now):
            return 0, skipped
        self.say(log)
        return self.allowed(log, bucket)

    @staticmethod
    def _left_late(log: OpenLog, bucket: Bucket, rate: Rate, now: float) -> int:
        late = rate.rate // _LATE_PARTS
        return bucket.left(rate, now, log.writer.written, late)

    def _to_line_end(self, log: OpenLog, excess: Excess, waiting: int) -> int:
        """Return how many bytes are to be written before any are dropped."""
        if not excess.was_asked:
            excess.was_asked = True
            if log.writer.ends_line():
                excess.to_line_end = 0
                return 0
        seen = self._source.look(min(waiting, excess.to_line_end))
        return excess.line_rest(seen, log.writer.written)

    def _skip(self, log: OpenLog, excess: Excess, waiting: int, now: float) -> int:
        """Drop what waits up to a line's end, if the last that was dropped is in a line."""
        most = min(waiting, LINE_BYTES - excess.skipped)
        if not excess.in_line or most <= 0:
            return 0
        count = excess.rest_to_skip(self._source.look(most))
        lost = self._source.lose(count, log.writer.account, DropReason.RATE)
        return self._count(log, excess, lost, now)

    def _drop(self, log: OpenLog, excess: Excess, count: int, now: float) -> int:
        """Drop what waits; remember whether it ends with a line."""
        account = log.writer.account
        dropped = self._source.lose(count, account, DropReason.RATE, excess.ends_with)
        return self._count(log, excess, dropped, now)

    def _count(self, log: OpenLog, excess: Excess, dropped: int, now: float) -> int:
        if dropped:
            excess.dropped(dropped)
            log.lose_to_rate(dropped)
            if excess.is_to_note(now):
                log.note()
        return dropped

    def overdraw(self, log: OpenLog, bucket: Bucket) -> None:
        """Have all written that waits now, however much it is: somebody asks for it.

        :param bucket: the log's.
        :raises SystemFailure: the file cannot be written.
        """
        rate = log.policy.rate
        if rate is not None:
            bucket.left(rate, self._clock.seconds(), log.writer.written)
        if log.excess is not None:
            self.say(log)

    def say(self, log: OpenLog) -> None:
        """Write how many bytes were dropped, if some were, and drop no more for the time being.

        :raises SystemFailure: the file cannot be written; it is still to be said.
        """
        excess, bucket, writer = log.excess, log.bucket, log.writer
        if excess is not None and excess.lost:
            notice = excess.notice(datetime.now(timezone.utc))
            before = writer.written
            writer.append(notice if writer.ends_line() else b"\n" + notice, NOTICE)
            if bucket is not None:
                bucket.give(writer.written - before)
            log.excess = None
            log.note()
        if excess is not None:
            log.excess = None
            self.discard(log)
        if log.policy.rate is None:
            log.bucket = None

    # By the timer.

    def look(self, log: OpenLog, now: float) -> None:
        """Let a log go on, if it may.

        :raises OSError: the pipe cannot be used.
        :raises SystemFailure: the file cannot be written.
        """
        bucket, rate, excess = log.bucket, log.policy.rate, log.excess
        if log.outage is not None:
            # (whoever ends it says what was dropped, and watches the pipe)
            return
        if log.order is not None:
            self._look_at(log, now + _OCCUPIED_SECONDS)
            return
        if rate is None or bucket is None:
            self.say(log)
            log.watch_again()
        elif excess is None:
            left = bucket.left(rate, now, log.writer.written)
            if left >= rate.enough or rate.on_rate is OnRate.DROP or _is_gone(log):
                log.watch_again()
            else:
                self._wait(log, rate, left, now)
        else:
            self._look_beyond(log, bucket, rate, excess, now)

    def _look_beyond(
        self, log: OpenLog, bucket: Bucket, rate: Rate, excess: Excess, now: float
    ) -> None:
        left = self._left_late(log, bucket, rate, now)
        if left < rate.enough and rate.on_rate is OnRate.DROP:
            self._look_at(log, now + seconds_until(rate, left, rate.enough))
            return
        source = self._source
        source.pipe = log.pipe
        self._skip(log, excess, source.waiting(), now)
        if excess.must_wait(now) and excess.patience is not None:
            self._look_at(log, excess.patience)
        else:
            self.say(log)

    def _wait(self, log: OpenLog, rate: Rate, left: int, now: float) -> None:
        """Look at a log when it may go on, or its guest may be gone."""
        self._look_at(log, now + min(_LOOK_SECONDS, seconds_until(rate, left, rate.enough)))

    def _look_at(self, log: OpenLog, at: float) -> None:
        self._due[log] = at
        heapq.heappush(self._queue, (at, next(self._numbers), log))
        if self._queue[0][2] is log:
            self._schedule()

    def _schedule(self) -> None:
        if self._call is not None:
            self._call.cancel()
        delay = self._queue[0][0] - self._clock.seconds()
        self._call = self._clock.callLater(max(delay, _SHORTEST_SECONDS), self._look_at_due)

    def _look_at_due(self) -> None:
        self._call = None
        queue, due, seconds = self._queue, self._due, self._clock.seconds
        now = seconds()
        ends = now + TOGETHER_SECONDS
        while queue and queue[0][0] <= now < ends:
            at, _, log = heapq.heappop(queue)
            if due.get(log) == at:
                del due[log]
                log.look_at_rate(now)
                now = seconds()
        if not due:
            queue.clear()
        elif self._call is None:
            self._schedule()


def _is_gone(log: OpenLog) -> bool:
    """Return whether the guest has closed the last write end."""
    return bool(pipe_events(log.pipe) & select.POLLHUP)
