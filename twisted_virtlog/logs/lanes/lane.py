"""A lane: the one thread that does everything on a file system that may not answer.

A call of such a file system may wait for ever, and whoever makes it with it. So each has a thread
of its own, and never one of a pool, which would be empty after as many calls as it has threads.
The calls come in by a queue and are made in their order; what they return goes back by another
queue that all lanes share. Either side is woken by an eventfd(2): that takes half as much time as
the reactor's own ways into and out of a thread.

A lane is silent while its present call has lasted for as long as the timeout says. Then nobody
waits: calls that have not begun are withdrawn, so that nothing happens later that was given up,
and of those that have begun the results are undone when they come. Nothing can end a thread that
waits in the kernel; it goes on when the file system answers, and the lane with it.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
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
from twisted_virtlog.loop.shares import TOGETHER_SECONDS
from twisted_virtlog.loop.thread_loop import Event, ThreadLoop
from twisted_virtlog.loop.threads import DeafThread

T = TypeVar("T")

# (of the module: an event keeps the object whose logger it came by, and with it descriptors)
_logger = Logger()

#: How often a lane that is watched is looked at while it has nothing to do.
_LOOK_SECONDS = 1.0


class Silent(Exception):
    """The file system does not answer.

    :ivar begun: whether the call had begun, so that it may still take effect.
    """

    def __init__(self, begun: bool) -> None:
        super().__init__("the file system does not answer")
        self.begun = begun


class _Task(Generic[T]):
    """A call, and what became of it; called itself, it makes the call.

    :ivar waiter: fires with the result; None once nobody waits.
    :ivar ended: whether there is a result, or a failure.
    """

    __slots__ = (
        "_call",
        "_failure",
        "_lane",
        "_result",
        "_undo",
        "_was_asked",
        "begun",
        "ended",
        "release",
        "waiter",
    )

    def __init__(
        self,
        lane: Lane,
        call: Callable[[], T | Deferred[T]],
        undo: Callable[[T], object] | None = None,
        release: Callable[[], object] | None = None,
        waiter: Deferred[T] | None = None,
    ) -> None:
        self.begun = self.ended = False
        self.release = release
        self.waiter = waiter
        self._was_asked = waiter is not None
        self._lane = lane
        self._call = call
        self._undo = undo
        self._result: T | None = None
        self._failure: Failure | None = None

    def __call__(self) -> None:
        """Make the call; in the lane's thread."""
        self.begun = True
        try:
            result = self._call()
        except BaseException:  # noqa: BLE001 (whoever waits is told)
            self._done(Failure())
        else:
            if isinstance(result, Deferred):
                result.addBoth(self._done)
            else:
                self._done(result)

    def _done(self, result: Any) -> None:
        if isinstance(result, Failure):
            self._failure = result
        else:
            self._result = result
            if self.waiter is None:
                # (given up: before anything that comes after it)
                self._undo_now(result)
        self.ended = True
        self._lane.done(self)

    def _undo_now(self, result: T) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo(result)

    def tell(self) -> Callable[[], object] | None:
        """Tell whoever waits; return what is to be called in the lane if nobody does."""
        waiter, self.waiter = self.waiter, None
        result: Any = self._result
        if waiter is not None:
            waiter.callback(result if self._failure is None else self._failure)
        elif self._failure is not None:
            if not self._was_asked:
                # (nobody else hears of it)
                _logger.failure("something in a lane failed", self._failure)
        elif self._undo is not None:
            return lambda: self._undo_now(result)
        return None

    def give_up(self) -> None:
        """Tell whoever waits that the file system does not answer."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.errback(Silent(self.begun))


class Question:
    """Something that a lane's thread wants from the reactor's, and waits for.

    :ivar found: the result, or the failure; empty if it was not called.
    :ivar done: set when it was called, or will not be.
    """

    __slots__ = ("_call", "done", "found")

    def __init__(self, call: Callable[[], object]) -> None:
        self.done = threading.Event()
        self.found: list[Any] = []
        self._call = call

    def __call__(self) -> None:
        """Call it; in the reactor's thread."""
        try:
            self.found.append(self._call())
        except BaseException:  # noqa: BLE001 (whoever asks is told)
            self.found.append(Failure())
        self.done.set()


class Answers(Protocol):
    """The way from lanes to the reactor's thread."""

    def add(self, call: Callable[[], object]) -> bool:
        """Call something in the reactor's thread; called in a lane's.

        :returns: whether it will be; not after the end.
        """


class Lane:
    """One file system's thread, as the reactor sees it.

    :ivar name: of the mount, for people.
    :ivar used_at: when it was asked for something last, by the clock.
    :ivar loop: the thread's.
    :ivar is_closed: nothing more is called in the thread, but what it has begun.
    :ivar changed: called in the reactor with True when the lane falls silent, and with False when
        its file system answers again.
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
        self.is_closed = False
        self.changed: Callable[[bool], object] = _ignore
        self._waiting: dict[_Task[Any], None] = {}
        self._is_silent = False
        self._is_watched = False
        self._look: IDelayedCall | None = None
        self.loop = ThreadLoop(time.monotonic)
        self._thread = DeafThread(target=self.loop.run, name=f"lane {name}", daemon=True)
        self._thread.start()

    def call(
        self,
        call: Callable[[], T | Deferred[T]],
        undo: Callable[[T], object] | None = None,
        release: Callable[[], object] | None = None,
    ) -> Deferred[T]:
        """Call something in the lane, after all that was asked for before.

        :param call: returns a result, or a Deferred of the thread's.
        :param undo: undoes what the call has done, in the lane, if nobody waits for it any more.
        :param release: is called in place of the call, in the lane, if it was given up before it
            began: it closes what the call would have closed.
        :returns: its result; fails with :class:`Silent` if the file system does not answer.
        """
        waiter: Deferred[T] = Deferred()
        task = _Task(self, call, undo, release, waiter)
        self.used_at = self._clock.seconds()
        if self.silent_seconds() is not None:
            self._fall_silent()
            self._withdraw(task)
            return waiter
        self._waiting[task] = None
        self.loop.call(task)
        if self._look is None:
            self._look_in(self._timeout_seconds())
        return waiter

    def tell(self, call: Callable[[], object]) -> None:
        """Call something in the lane in its turn, however long it may be silent before."""
        self.loop.call(_Task(self, call))

    def watch(self, watched: bool) -> None:
        """Notice that it falls silent even when nobody asks for anything, or no longer do."""
        self._is_watched = watched
        if watched and self._look is None:
            self._look_in(min(_LOOK_SECONDS, self._timeout_seconds()))

    def timeout_changed(self) -> None:
        """See by another timeout whether what it does lasts too long."""
        if self._look is not None:
            self._look.cancel()
        self._look_now()

    @property
    def is_busy(self) -> bool:
        """Whether anything is to be done, or is being done."""
        return self.loop.since >= 0 or bool(self.loop.calls) or bool(self._waiting)

    @property
    def is_silent(self) -> bool:
        """Whether it is known to be silent."""
        return self._is_silent

    def busy_seconds(self) -> float:
        """Return for how long what it does now has lasted; 0 if there is nothing."""
        since = self.loop.since
        return max(0.0, time.monotonic() - since) if since >= 0 else 0.0

    def silent_seconds(self) -> float | None:
        """Return for how long what it does now has lasted, if that is too long."""
        seconds = self.busy_seconds()
        return seconds if seconds >= self._timeout_seconds() else None

    def close(self) -> None:
        """End the thread after what it has begun; whoever waits for more waits in vain.

        A thread that waits in the kernel ends with the process.
        """
        self._is_watched = False
        self.is_closed = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for task in self._withdrawn():
            self._withdraw(task)
        self.loop.call(self.loop.end)

    # In the lane's thread.

    def done(self, task: _Task[Any]) -> None:
        """Have whoever waits for a task told."""
        # (first, or whoever asks as soon as he is told finds the lane silent still)
        self.loop.get_on()
        self._answers.add(lambda: self._told(task))

    def in_reactor(self, call: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """Call something in the reactor's thread, and wait for its result.

        The reactor never waits for a lane, so this takes no longer than one of its turns.

        :param otherwise: called here in its place after all lanes were closed.
        """
        question = Question(call)
        if not self._answers.add(question):
            return otherwise()
        question.done.wait()
        if not question.found:
            return otherwise()
        (result,) = question.found
        if isinstance(result, Failure):
            result.raiseException()
        answer: T = result
        return answer

    def later_in_reactor(self, call: Callable[[], object]) -> None:
        """Call something in the reactor's thread, after what it was told before."""
        self._answers.add(call)

    # In the reactor's thread.

    def _told(self, task: _Task[Any]) -> None:
        """Take note that a task is done."""
        self._waiting.pop(task, None)
        self._answers_again()
        undo = task.tell()
        if undo is not None:
            self.loop.call(_Task(self, undo), first=True)

    def _answers_again(self) -> None:
        if self._is_silent:
            self._is_silent = False
            _logger.warn("{mount}: the file system answers again", mount=self.name)
            self.changed(False)

    def _look_in(self, seconds: float) -> None:
        if seconds < math.inf:
            self._look = self._clock.callLater(seconds, self._look_now)

    def _look_now(self) -> None:
        """See whether what it does lasts too long; look again while anybody waits."""
        self._look = None
        busy = self.busy_seconds()
        if self.silent_seconds() is not None:
            self._fall_silent()
        elif self._is_silent:
            self._answers_again()
        if self._waiting or self._is_watched:
            left = self._timeout_seconds() - busy
            if not self._waiting:
                left = min(left, _LOOK_SECONDS)
            self._look_in(max(0.001, left) if left > 0 else _LOOK_SECONDS)

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
            # (whatever it does after this, the reactor hears of its end)
            self.tell(_nothing)
            self.changed(True)
        for task in self._withdrawn():
            self._waiting.pop(task, None)
            self._withdraw(task)
        waiting, self._waiting = self._waiting, {}
        for task in waiting:
            if task.ended:
                # (it has a result, which is on its way)
                self._waiting[task] = None
            else:
                task.give_up()

    def _withdraw(self, task: _Task[Any]) -> None:
        """Give up what has not begun."""
        if task.waiter is None:
            # (nobody waited: it undoes or releases something)
            self.loop.call(task)
            return
        task.give_up()
        if task.release is not None:
            self.loop.call(_Task(self, task.release))

    def _withdrawn(self) -> list[_Task[Any]]:
        """Take out what has not begun; the thread may take some of it meanwhile."""
        found: list[_Task[Any]] = []
        others: list[Callable[[], object]] = []
        while True:
            try:
                call = self.loop.calls.popleft()
            except IndexError:
                break
            if isinstance(call, _Task):
                found.append(call)
            else:
                others.append(call)
        for call in others:
            self.loop.call(call)
        return found


@implementer(IReadDescriptor)
class LaneAnswers:
    """What all lanes have done, as one descriptor on the reactor."""

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Register with the reactor; :meth:`close` unregisters."""
        self._reactor = reactor
        self._calls: deque[Callable[[], object]] = deque()
        # None once closed.
        self._event: Event | None = Event(os.EFD_NONBLOCK)
        reactor.addReader(self)

    def add(self, call: Callable[[], object]) -> bool:
        """See Answers."""
        calls = self._calls
        calls.append(call)
        # (after that: whoever closes this does so before it is emptied)
        event = self._event
        if event is None:
            self._refuse_all()
            return False
        event.set()
        return True

    def close(self) -> None:
        """Call nothing any more, and let nobody wait for that."""
        self._reactor.removeReader(self)
        self._event = None
        self._refuse_all()

    def _refuse_all(self) -> None:
        while True:
            try:
                call = self._calls.popleft()
            except IndexError:
                return
            if isinstance(call, Question):
                call.done.set()

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return -1 if self._event is None else self._event.descriptor

    def logPrefix(self) -> str:
        return "lanes"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("telling what a lane has done failed")
    def doRead(self) -> None:
        """Call what lanes have asked for until now."""
        if self._event is None:
            return
        with contextlib.suppress(BlockingIOError):
            self._event.take()
        calls = self._calls
        ends = time.monotonic() + TOGETHER_SECONDS
        for _ in range(len(calls)):
            # (one may close this)
            if not calls:
                break
            call = calls.popleft()
            try:
                call()
            except Exception:  # noqa: BLE001 (the other lanes wait for theirs)
                self._logger.failure("telling what a lane has done failed")
            if calls and time.monotonic() >= ends:
                # Many clients may wait for a lane, and others for the reactor.
                if self._event is not None:
                    self._event.set()
                break


def _ignore(silent: bool) -> None:
    """Do nothing."""


def _nothing() -> None:
    """Do nothing."""
