"""Threads of the reactor's pool, and such as nobody waits for."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from typing import cast

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorThreads
from twisted.python.failure import Failure

from twisted_virtlog.loop.signals import OBEYED
from twisted_virtlog.loop.threads import DeafThread, own_threads_of


def test_threads_of_the_pool_take_no_signal() -> None:
    """One that comes while the main thread lets it wait would be taken there, and forgotten."""
    seen = []
    thread = DeafThread(target=lambda: seen.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    thread.start()
    thread.join()
    assert seen[0] >= OBEYED


class _Reactor:
    """One whose thread is the test's."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        self.calls.put(lambda: call(*arguments))


def test_a_call_in_a_thread_of_its_own() -> None:
    """Its result and its error come in the reactor's thread; nobody waits for the thread."""
    reactor = _Reactor()
    in_thread = own_threads_of(cast(IReactorThreads, reactor))
    seen: list[object] = []
    in_thread(threading.current_thread).addBoth(seen.append)
    in_thread(lambda: 1 // 0).addErrback(lambda failure: seen.append(failure.type))
    assert seen == []
    for _ in range(2):
        reactor.calls.get(timeout=30)()
    thread = next(one for one in seen if isinstance(one, threading.Thread))
    assert thread.daemon
    assert isinstance(thread, DeafThread)
    assert ZeroDivisionError in seen


def test_a_call_that_nobody_waits_for_any_more() -> None:
    """What comes of it is not told."""
    reactor = _Reactor()
    later = own_threads_of(cast(IReactorThreads, reactor))(lambda: 1)
    later.addErrback(lambda failure: failure.trap(CancelledError))
    later.cancel()
    reactor.calls.get(timeout=30)()


def test_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call fails as if the system had refused."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    failures: list[Failure] = []
    own_threads_of(cast(IReactorThreads, _Reactor()))(lambda: 1).addErrback(failures.append)
    assert failures[0].check(OSError)
