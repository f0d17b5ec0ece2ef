"""The reactor's threads, in which calls run that may block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool

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


class DeafThread(threading.Thread):
    """A thread that gets no signals: those that wait for the next image must not end up here."""

    def run(self) -> None:
        """Block signals, then do what a thread does."""
        signals.block()
        super().run()
