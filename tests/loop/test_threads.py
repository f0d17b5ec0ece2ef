"""Threads of the reactor's pool."""

from __future__ import annotations

import signal

from twisted_virtlog.loop.signals import OBEYED
from twisted_virtlog.loop.threads import DeafThread


def test_threads_of_the_pool_take_no_signal() -> None:
    """One that comes while the main thread lets it wait would be taken there, and forgotten."""
    seen = []
    thread = DeafThread(target=lambda: seen.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    thread.start()
    thread.join()
    assert seen[0] >= OBEYED
