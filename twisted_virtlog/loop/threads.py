"""Threads in which calls run that may block: the reactor's, and such as nobody waits for."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from twisted_virtlog.loop import signals

T = TypeVar("T")


class InThread(Protocol):
    """Runs a call that may block in a thread."""

    def __call__(self, call: Callable[[], T]) -> Deferred[T]:
        """Return the call's result, later."""


def threads_of(reactor: IReactorThreads) -> InThread:
    """Run calls in a reactor's thread pool."""

    def in_thread(call: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), call)

    return in_thread


def own_threads_of(reactor: IReactorThreads) -> InThread:
    """Run each call in a thread of its own, which neither the reactor's end nor Python's waits for.

    For calls that may wait for ever. A Deferred that is cancelled hears no more of its call.
    """

    def in_thread(call: Callable[[], T]) -> Deferred[T]:
        later: Deferred[T] = Deferred()

        def run() -> None:
            try:
                result: T | Failure = call()
            except BaseException:  # noqa: BLE001 (whoever waits is told)
                result = Failure()
            reactor.callFromThread(later.callback, result)

        thread = DeafThread(target=run, name="a call that may wait", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            return fail(OSError(errno.EAGAIN, str(error)))
        return later

    return in_thread


class DeafThread(threading.Thread):
    """A thread that gets no signals: those that wait for the next image must not end up here."""

    def run(self) -> None:
        """Block signals, then do what a thread does."""
        signals.block()
        super().run()
