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
from twisted.logger import Logger

from twisted_virtlog.logs.in_order import InOrder
from twisted_virtlog.logs.pipes.mover import STUCK_SECONDS, Loan, Mover
from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES, SLOW_SECONDS
from twisted_virtlog.loop.stall_watch import PIPE_FUNCTIONS

if TYPE_CHECKING:
    from twisted_virtlog.logs.open_log import OpenLog

#: The most logs that are lent at once: each waits for the others.
_MOST_LENT = 4

#: The most pieces that are written by the rules before a log is lent again: one fills a file, and
#: one begins the next.
_PIECES_BY_RULES = 2

#: For how long clients are taken to ask after one was served.
_ASKING_SECONDS = 0.05

#: How often it is seen whether the thread waits for a file system, or a pipe that is locked.
_LOOK_SECONDS = 0.1

#: After this time a guest is taken to keep its pipe locked; as where the reactor's thread waits for
#: it, see loop/stalls.py.
_LOCKED_SECONDS = 0.25

#: How long a ledger waits for a log that is lent.
LEDGER_SECONDS = 0.05

#: For how long a log is not lent with which the thread did not get on, and one that is to leave.
_NO_USE_SECONDS = 1.0
_LEAVING_SECONDS = 3.0


class Flooding:
    """The logs of one thread that are lent.

    :ivar is_allowed: whether any may be lent.
    """

    _logger = Logger()

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
        # Those that are not to be lent, and until when.
        self._kept: dict[OpenLog, float] = {}
        self._look: IDelayedCall | None = None

    def may_lend(self, log: OpenLog) -> bool:
        """Return whether one more may be lent, and this one."""
        if not self.is_allowed or len(self._lent) >= _MOST_LENT or not log.may_be_lent:
            return False
        kept = self._kept.get(log, -math.inf)
        return self._clock.seconds() >= kept and self.stuck_seconds() < STUCK_SECONDS

    def stuck_seconds(self) -> float:
        """Return for how long the thread has done what it does now; 0 if it does nothing."""
        return 0.0 if self._mover is None else self._mover.stuck_seconds()

    def keep(self, log: OpenLog) -> None:
        """Lend a log no more for a while, as another thread is to go on with it."""
        self._keep_for(_LEAVING_SECONDS, log)
        self.want_back(log)

    def _keep_for(self, seconds: float, log: OpenLog) -> None:
        self._kept[log] = self._clock.seconds() + seconds

    def forget(self, log: OpenLog) -> None:
        """Forget a log that is not this thread's any more."""
        self._kept.pop(log, None)

    def lend(self, log: OpenLog, order: InOrder) -> None:
        """Lend a log, or begin with what is to be done in order if that cannot be.

        :param order: occupies the log, and has not begun.
        """
        mover, is_lent = self._mover, False
        try:
            for _ in range(_PIECES_BY_RULES):
                if mover is None or not self.may_lend(log):
                    break
                loan = log.lend()
                if loan is not None:
                    is_lent = self._begin(mover, loan, log, order)
                    break
                if log.write_by_rules() < PIECE_BYTES:
                    break
        except Exception:  # noqa: BLE001 (a mistake of ours must not block the guest for ever)
            self._logger.failure("{path}: the log cannot be lent", path=log.path)
            log.pipe_failed()
        if not is_lent:
            order.begin()

    def _begin(self, mover: Mover, loan: Loan, log: OpenLog, order: InOrder) -> bool:
        """Have the thread begin; return whether it will."""
        try:
            mover.begin(loan, self._ended)
        except (OSError, RuntimeError):
            # (no thread can be started now, or there is no descriptor left)
            loan.want_back()
            log.give_back()
            self._keep_for(_NO_USE_SECONDS, log)
            return False
        self._lent[loan] = log, order
        if self._look is None:
            self._look = self._clock.callLater(_LOOK_SECONDS, self._look_now)
        return True

    def want_back(self, log: OpenLog) -> None:
        """Have a log given back soon, as something is to be done in order."""
        loan = log.lent
        if loan is not None and self._mover is not None:
            self._mover.want_back(loan)

    def settle(self, log: OpenLog, seconds: float = -1.0) -> bool:
        """Have a log given back now; it is lent again, or watched, in a later turn.

        :param seconds: the longest wait for the thread's step; a negative one has no limit.
        :returns: whether nobody has it.
        """
        loan = log.lent
        if loan is not None and self._mover is not None:
            if not self._mover.settle(loan, seconds):
                return False
            log.give_back()
        return True

    def settle_all(self, seconds: float) -> None:
        """Have all logs given back, as by :meth:`settle`."""
        for log, _ in list(self._lent.values()):
            if not self.settle(log, seconds):
                # (the others wait for the same thread)
                break

    def _ended(self, loan: Loan) -> None:
        lent = self._lent.pop(loan, None)
        if lent is None:
            return
        log, order = lent
        log.give_back()
        is_useless = not loan.moved or loan.is_starved
        if is_useless and not (order.is_wanted or loan.is_calm):
            # (of one of which nothing can be moved, the reactor's thread finds out why)
            self._keep_for(_NO_USE_SECONDS, log)
        if order.is_wanted or loan.is_calm or is_useless or not self._are_asking():
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
        seconds = mover.stuck_seconds()
        if seconds >= STUCK_SECONDS:
            where = mover.waits_in()
            for loan, (log, _) in list(self._lent.items()):
                if not loan.has_begun:
                    mover.want_back(loan)
                elif where in PIPE_FUNCTIONS and seconds >= _LOCKED_SECONDS:
                    log.pipe_locked()
                elif where is not None and where not in PIPE_FUNCTIONS and seconds > SLOW_SECONDS:
                    log.pipe_slow()
        self._look = self._clock.callLater(_LOOK_SECONDS, self._look_now)

    def close(self) -> None:
        """End the thread, after the logs were closed."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._mover is not None:
            self._mover.close()
