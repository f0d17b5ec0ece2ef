"""A lane: the one thread that does everything on a file system that may not answer.

A call of such a file system may wait for ever, and whoever makes it with it. So each has a thread
of its own, and never one of a pool, which would be empty after as many calls as it has threads.
The calls come in by a queue and are made in their order; what they return goes back by another
queue that all lanes share. Either side is woken by an eventfd(2): that takes half as much time as
the reactor's own ways into and out of a thread.

A lane is silent while its present call has lasted for as long as the timeout says. Then nobody
waits: calls that have not begun are withdrawn, so that nothing happens later that was given up,
and of the one that has begun the result is undone when it comes. Nothing can end a thread that
waits in the kernel; it goes on when the file system answers, and the lane with it.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.clock import Clock
from twisted_virtlog.loop.guard import guarded
from twisted_virtlog.loop.threads import DeafThread

T = TypeVar("T")

# (of the module: an event keeps the object whose logger it came by, and with it descriptors)
_logger = Logger()


class Silent(Exception):
    """The file system does not answer.

    :ivar begun: whether the call had begun, so that it may still take effect.
    """

    def __init__(self, begun: bool) -> None:
        super().__init__("the file system does not answer")
        self.begun = begun


class _Event:
    """An eventfd(2).

    It is closed when nobody has it any more: a thread that answers late must not write to what has
    got its number.
    """

    def __init__(self, flags: int) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | flags)

    def __del__(self) -> None:
        os.close(self.descriptor)

    def set(self) -> None:
        """Wake whoever takes it."""
        os.eventfd_write(self.descriptor, 1)

    def take(self) -> None:
        """Wait until it is set, and reset it.

        :raises BlockingIOError: it is not set, and does not wait.
        """
        os.eventfd_read(self.descriptor)


class _Task(Generic[T]):
    """A call, and what became of it.

    :ivar waiter: fires with the result; None once nobody waits.
    """

    __slots__ = ("_call", "_failure", "_result", "_undo", "lane", "release", "waiter")

    def __init__(
        self,
        lane: Lane,
        call: Callable[[], T],
        undo: Callable[[T], object] | None = None,
        release: Callable[[], object] | None = None,
    ) -> None:
        self.lane = lane
        self.release = release
        self.waiter: Deferred[T] | None = None
        self._call = call
        self._undo = undo
        self._result: T | None = None
        self._failure: Failure | None = None

    def run(self) -> None:
        """Make the call; in the lane's thread."""
        try:
            self._result = self._call()
        except BaseException:  # noqa: BLE001 (whoever waits is told)
            self._failure = Failure()

    def tell(self) -> Callable[[], object] | None:
        """Tell whoever waits; return what is to be called in the lane if nobody does."""
        waiter, self.waiter = self.waiter, None
        result: Any = self._result
        if waiter is not None:
            waiter.callback(result if self._failure is None else self._failure)
        elif self._failure is None and self._undo is not None:
            undo = self._undo
            return lambda: undo(result)
        return None

    def give_up(self, begun: bool) -> None:
        """Tell whoever waits that the file system does not answer."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.errback(Silent(begun))


class Answers(Protocol):
    """Where lanes leave what they have done."""

    def add(self, task: _Task[Any]) -> None:
        """Have a task told in the reactor's thread; called in a lane's."""


class Lane:
    """One file system's thread, as the reactor sees it.

    :ivar name: of the mount, for people.
    :ivar used_at: when it was asked for something last, by the clock.
    """

    def __init__(
        self, name: str, answers: Answers, clock: Clock, timeout_seconds: Callable[[], float]
    ) -> None:
        """Start the thread.

        :param timeout_seconds: returns after how long a call makes the lane silent; infinite for
            never.
        """
        self.name = name
        self._answers = answers
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self.used_at = clock.seconds()
        self._requests: deque[_Task[Any] | None] = deque()
        self._waiting: dict[_Task[Any], None] = {}
        # What the thread does now, and since when, on CLOCK_MONOTONIC.
        self._present: _Task[Any] | None = None
        self._since = 0.0
        self._is_silent = False
        self._look: IDelayedCall | None = None
        # None once closed; the thread has it, too.
        self._wake: _Event | None = _Event(0)
        self._thread = DeafThread(
            target=self._run, args=(self._wake,), name=f"lane {name}", daemon=True
        )
        self._thread.start()

    def call(
        self,
        call: Callable[[], T],
        undo: Callable[[T], object] | None = None,
        release: Callable[[], object] | None = None,
    ) -> Deferred[T]:
        """Call something in the lane, after all that was asked for before.

        :param undo: undoes what the call has done, in the lane, if nobody waits for it any more.
        :param release: is called in place of the call, in the lane, if it was given up before it
            began: it closes what the call would have closed.
        :returns: its result; fails with :class:`Silent` if the file system does not answer.
        """
        task = _Task(self, call, undo, release)
        waiter: Deferred[T] = Deferred()
        task.waiter = waiter
        self.used_at = self._clock.seconds()
        if self.silent_seconds() is not None:
            self._fall_silent()
            self._withdraw(task)
            return waiter
        self._waiting[task] = None
        self._ask(task)
        if self._look is None:
            self._look_in(self._timeout_seconds())
        return waiter

    @property
    def is_busy(self) -> bool:
        """Whether anything is to be done, or is being done."""
        return self._present is not None or bool(self._requests)

    def busy_seconds(self) -> float:
        """Return for how long the present call has lasted; 0 if there is none."""
        # (in this order: the thread sets the time before what it does)
        return 0.0 if self._present is None else max(0.0, time.monotonic() - self._since)

    def silent_seconds(self) -> float | None:
        """Return for how long the present call has lasted, if that is too long."""
        seconds = self.busy_seconds()
        return seconds if seconds >= self._timeout_seconds() else None

    def close(self) -> None:
        """End the thread after what it has begun; whoever waits for more waits in vain.

        A thread that waits in the kernel ends with the process.
        """
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for task in self._withdrawn():
            self._withdraw(task)
        self._ask(None)
        self._wake = None

    # In the reactor's thread.

    def told(self, task: _Task[Any]) -> None:
        """Take note that a task is done."""
        self._waiting.pop(task, None)
        if self._is_silent:
            self._is_silent = False
            _logger.warn("{mount}: the file system answers again", mount=self.name)
        undo = task.tell()
        if undo is not None:
            self._ask(_Task(self, undo))

    def _ask(self, task: _Task[Any] | None) -> None:
        wake = self._wake
        if wake is not None:
            self._requests.append(task)
            wake.set()

    def _look_in(self, seconds: float) -> None:
        if seconds < math.inf:
            self._look = self._clock.callLater(seconds, self._look_now)

    def _look_now(self) -> None:
        """See whether the present call lasts too long; look again while anybody waits."""
        self._look = None
        if self.silent_seconds() is not None:
            self._fall_silent()
        if self._waiting:
            self._look_in(max(0.001, self._timeout_seconds() - self.busy_seconds()))

    def _fall_silent(self) -> None:
        """Let nobody wait any more."""
        if not self._is_silent:
            self._is_silent = True
            _logger.error(
                "{mount}: the file system has not answered for {seconds:.0f} s; what is asked of it"
                " is refused until it does",
                mount=self.name,
                seconds=self.busy_seconds(),
            )
        for task in self._withdrawn():
            self._waiting.pop(task, None)
            self._withdraw(task)
        waiting, self._waiting = self._waiting, {}
        for task in waiting:
            task.give_up(begun=True)

    def _withdraw(self, task: _Task[Any]) -> None:
        """Give up what has not begun."""
        if task.waiter is None:
            # (nobody waited: it undoes or releases something)
            self._ask(task)
            return
        task.give_up(begun=False)
        if task.release is not None:
            self._ask(_Task(self, task.release))

    def _withdrawn(self) -> list[_Task[Any]]:
        """Take out what has not begun; the thread may take some of it meanwhile."""
        found: list[_Task[Any]] = []
        while True:
            try:
                task = self._requests.popleft()
            except IndexError:
                return found
            if task is not None:
                found.append(task)

    # In the lane's own thread.

    def _run(self, wake: _Event) -> None:
        requests = self._requests
        while True:
            wake.take()
            while requests:
                try:
                    task = requests.popleft()
                except IndexError:  # withdrawn
                    break
                if task is None:
                    return
                self._since = time.monotonic()
                self._present = task
                task.run()
                self._present = None
                self._answers.add(task)


@implementer(IReadDescriptor)
class LaneAnswers:
    """What all lanes have done, as one descriptor on the reactor."""

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Register with the reactor; :meth:`close` unregisters."""
        self._reactor = reactor
        self._done: deque[_Task[Any]] = deque()
        # None once closed.
        self._event: _Event | None = _Event(os.EFD_NONBLOCK)
        reactor.addReader(self)

    def add(self, task: _Task[Any]) -> None:
        """See Answers."""
        self._done.append(task)
        event = self._event
        if event is not None:
            event.set()

    def close(self) -> None:
        """Tell nothing any more."""
        self._reactor.removeReader(self)
        self._event = None
        self._done.clear()

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return -1 if self._event is None else self._event.descriptor

    def logPrefix(self) -> str:
        return "lanes"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("telling what a lane has done failed")
    def doRead(self) -> None:
        """Tell those who wait."""
        if self._event is None:
            return
        with contextlib.suppress(BlockingIOError):
            self._event.take()
        for _ in range(len(self._done)):
            task = self._done.popleft()
            task.lane.told(task)
