"""Lends logs that are flooded to the mover's thread, as long as the flood lasts.

A log that is lent is occupied (see open_log.py), by an order that does nothing yet. Whoever asks
for something about it has it given back first: within a step, of 64 KiB at most. It comes back in
any case after some milliseconds, and when its file is nearly full: then the reactor's thread writes
a few pieces by the rules, rolls over, and lends it again. When little comes, it is watched again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from twisted_virtlog.logs.in_order import InOrder
from twisted_virtlog.logs.pipes.mover import Loan, Mover
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES

if TYPE_CHECKING:
    from twisted_virtlog.logs.open_log import OpenLog

#: So many are lent at once: each waits for the others.
_MOST_LENT = 4

#: So many pieces are written by the rules before a log is lent again: a file is filled, and the
#: next one begun.
_PIECES_BY_RULES = 4

#: For how long clients are taken to ask after one was served.
_ASKING_SECONDS = 0.05

#: How often it is seen whether the thread waits for a file system, or a pipe that is locked.
_LOOK_SECONDS = 1.0


class Flooding:
    """The logs of one thread that are lent.

    :ivar is_allowed: whether any may be lent.
    """

    def __init__(self, mover: Mover | None, clock: Clock, served: Callable[[], int]) -> None:
        """Lend nothing yet.

        :param mover: closed by :meth:`close`; None lends nothing.
        :param served: returns how many times clients were served.
        """
        self.is_allowed = mover is not None
        self._mover = mover
        self._clock = clock
        self._served = served
        self._served_before = 0
        self._served_at = -math.inf
        self._lent: dict[Loan, tuple[OpenLog, InOrder]] = {}
        # Those that are not to be lent any more.
        self._kept: set[OpenLog] = set()
        self._look: IDelayedCall | None = None

    def may_lend(self, log: OpenLog) -> bool:
        """Return whether one more may be lent, and this one."""
        has_room = self.is_allowed and len(self._lent) < _MOST_LENT
        return has_room and log.may_be_lent and log not in self._kept

    def keep(self, log: OpenLog) -> None:
        """Lend a log no more, as another thread is to go on with it, and have it back soon."""
        self._kept.add(log)
        self.want_back(log)

    def forget(self, log: OpenLog) -> None:
        """Forget a log that is not this thread's any more."""
        self._kept.discard(log)

    def lend(self, log: OpenLog, order: InOrder) -> None:
        """Lend a log, or begin with what is to be done in order if that cannot be.

        :param order: occupies the log, and has not begun.
        """
        mover = self._mover
        for _ in range(_PIECES_BY_RULES):
            if mover is None or not self.may_lend(log):
                break
            loan = log.lend()
            if loan is not None:
                self._begin(mover, loan, log, order)
                return
            if log.pipe_ready() < PIECE_BYTES:
                break
        order.begin()

    def _begin(self, mover: Mover, loan: Loan, log: OpenLog, order: InOrder) -> None:
        try:
            mover.begin(loan, self._ended)
        except (OSError, RuntimeError):
            # (no thread can be started now, or there is no descriptor left)
            loan.want_back()
            log.give_back()
            order.begin()
            return
        self._lent[loan] = log, order
        if self._look is None:
            self._look = self._clock.callLater(_LOOK_SECONDS, self._look_now)

    def want_back(self, log: OpenLog) -> None:
        """Have a log given back soon, as something is to be done in order."""
        loan = log.lent
        if loan is not None and self._mover is not None:
            self._mover.want_back(loan)

    def settle(self, log: OpenLog) -> None:
        """Have a log given back now; it is lent again, or watched, in a later turn."""
        loan = log.lent
        if loan is not None and self._mover is not None:
            self._mover.settle(loan)
            log.give_back()

    def _ended(self, loan: Loan) -> None:
        lent = self._lent.pop(loan, None)
        if lent is None:
            return
        log, order = lent
        log.give_back()
        # (of one of which nothing can be moved, it is to be found out why)
        is_over = loan.is_calm or not loan.moved or not self._are_asking()
        if order.is_wanted or is_over:
            order.begin()
        else:
            self.lend(log, order)

    def _are_asking(self) -> bool:
        """Return whether clients are served; otherwise nobody has to wait for a flood."""
        served, now = self._served(), self._clock.seconds()
        if served != self._served_before:
            self._served_before, self._served_at = served, now
        return now - self._served_at < _ASKING_SECONDS

    def take_all_back(self) -> None:
        """Have all logs watched again."""
        while self._lent:
            _, (log, order) = self._lent.popitem()
            self.settle(log)
            order.begin()

    def _look_now(self) -> None:
        """See whether the thread waits, and let no other log wait with it."""
        self._look = None
        mover = self._mover
        if mover is None or not self._lent:
            return
        if mover.stuck_seconds() >= _LOOK_SECONDS:
            for loan, (log, _) in list(self._lent.items()):
                if loan.has_begun and mover.waits_for_pipe():
                    log.pipe_locked()
                elif loan.has_begun:
                    log.pipe_slow()
                else:
                    mover.want_back(loan)
        self._look = self._clock.callLater(_LOOK_SECONDS, self._look_now)

    def close(self) -> None:
        """End the thread, after the logs were closed."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._mover is not None:
            self._mover.close()
