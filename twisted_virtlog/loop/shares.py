"""Shares of time: nobody keeps the reactor from others, whatever he asks for.

What somebody may take at once is a short time, not a number of requests, as requests may be cheap
or dear. Who has used his share up goes on after those who were quiet, and all who did so have a
somewhat longer time together in a turn of the reactor. Between two of them, whoever asked
meanwhile is served. So a quiet client waits for one share, however many others are greedy.
"""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.flag import Flag
from twisted_virtlog.loop.guard import guarded
from twisted_virtlog.loop.timerfd import TimerFD

T = TypeVar("T")

#: What a client, or one long request, may take at once.
SHARE_SECONDS = 0.0002

#: What all who have used up their shares may take together in a turn of the reactor.
TOGETHER_SECONDS = 0.002

Work = Callable[[], object]


@implementer(IReadDescriptor)
class Shares:
    """The work of those who have used up their shares, as one descriptor on the reactor."""

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        between: Callable[[], object] = lambda: None,
        seconds: Callable[[], float] = time.monotonic,
        is_alone: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """Register with the reactor; :meth:`close` unregisters.

        :param between: called after each share, to serve those who were quiet.
        :param is_alone: returns whether a client, by its descriptor, may have another share at
            once, as nobody else waits.
        :param seconds: a clock that never steps.
        """
        self._reactor = reactor
        self._between = between
        self._seconds = seconds
        self.is_alone = is_alone
        self._waiting: deque[Work] = deque()
        # By the time from which on it may go on, and the order of asking.
        self._resting: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()
        # Up while somebody waits for his turn; and expires when somebody has rested.
        self._flag = Flag()
        self._timer = TimerFD()
        self._timed = False
        self._calls = select.epoll()
        for one in (self._flag, self._timer):
            self._calls.register(one.fileno(), select.EPOLLIN)
        reactor.addReader(self)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for his turn."""
        return not self._waiting

    def later(self, work: Work) -> None:
        """Call something in its turn, after those who were quiet.

        It should take no more than :data:`SHARE_SECONDS`, and ask again if anything is left.
        """
        self._waiting.append(work)
        self._flag.put_up()

    def rest(self, seconds: float, work: Work) -> None:
        """Call something in its turn, but not before some seconds have passed."""
        heapq.heappush(self._resting, (self._seconds() + seconds, next(self._numbers), work))
        self._wait()

    def in_slices(self, slices: Generator[None, None, T]) -> T | Deferred[T]:
        """Do what is long by itself, as far as a share goes; the rest in its later turns.

        :param slices: yields often, each time after a small part of a share.
        :returns: its value, later if it took more than a share.
        :raises Exception: what it raises within the first share.
        """
        done = self._run(slices)
        if done:
            return done[0]
        later: Deferred[T] = Deferred(lambda _: slices.close())
        self.later(lambda: self._go_on(slices, later))
        return later

    def _go_on(self, slices: Generator[None, None, T], later: Deferred[T]) -> None:
        if later.called:  # cancelled
            return
        try:
            done = self._run(slices)
        except Exception:  # noqa: BLE001 (whoever waits is told)
            later.errback()
            return
        if done:
            later.callback(done[0])
        else:
            self.later(lambda: self._go_on(slices, later))

    def _run(self, slices: Generator[None, None, T]) -> tuple[T] | tuple[()]:
        """Run a generator for a share; return its value if it has ended."""
        seconds = self._seconds
        ends = seconds() + SHARE_SECONDS
        try:
            while True:
                next(slices)
                if seconds() >= ends:
                    return ()
        except StopIteration as end:
            return (end.value,)

    def close(self) -> None:
        """Call nothing more."""
        self._reactor.removeReader(self)
        self._waiting.clear()
        self._resting.clear()
        self._calls.close()
        self._flag.close()
        self._timer.close()

    # IReadDescriptor.

    def fileno(self) -> int:
        """Return the descriptor that calls for work; -1 once closed."""
        return -1 if self._calls.closed else self._calls.fileno()

    def logPrefix(self) -> str:
        return "shares"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("serving those who had used up their shares failed")
    def doRead(self) -> None:
        """Serve those who wait, for as long as they may take together."""
        waiting, seconds = self._waiting, self._seconds
        now = seconds()
        self._wake(now)
        ends = now + TOGETHER_SECONDS
        # (one that asks again comes after all others)
        while waiting and now < ends:
            work = waiting.popleft()
            try:
                work()
            except Exception:  # noqa: BLE001 (the others may fare better)
                self._logger.failure("something that took its turn failed")
            self._between()
            now = seconds()
        if not self._calls.closed:
            if not waiting:
                self._flag.take_down()
            self._wait()

    def _wake(self, now: float) -> None:
        """Let those whose rest is over wait with the others."""
        resting = self._resting
        while resting and resting[0][0] <= now:
            self._waiting.append(heapq.heappop(resting)[2])

    def _wait(self) -> None:
        """Have the reactor call when the first of those who rest has rested."""
        if self._flag.is_up:
            # (it calls anyhow)
            return
        if self._resting:
            self._timed = True
            self._timer.start(self._resting[0][0] - self._seconds())
        elif self._timed:
            self._timed = False
            self._timer.stop()
