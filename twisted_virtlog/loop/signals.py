"""The signals that the daemon obeys: what each of them means, and when they have to wait.

Only a process of its own obeys signals; in another application they are the application's. A signal
that comes while a new image starts, or while one hands over, must not be lost and must not end the
process: it stays blocked, and the image that then runs obeys it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: End the daemon.
STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

#: Read the configuration again.
RELOAD = signal.SIGHUP

#: Hand over to the daemon's next image.
HAND_OVER = signal.SIGUSR1

#: All of them.
OBEYED = frozenset({*STOP, RELOAD, HAND_OVER})


def obey(
    call_soon: Callable[[Callable[[], None]], object],
    stop: Callable[[], None],
    reload: Callable[[], None],
    hand_over: Callable[[], None],
) -> None:
    """Obey signals from now on, beginning with those that had to wait.

    :param call_soon: the reactor's callFromThread, as a handler may interrupt anything.
    """
    meanings = {**dict.fromkeys(STOP, stop), RELOAD: reload, HAND_OVER: hand_over}
    for number, act in meanings.items():
        signal.signal(number, lambda *_, act=act: call_soon(act))
    unblock()


def block() -> None:
    """Let signals wait; only those of the calling thread, and of threads that it starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)


def unblock() -> None:
    """Let signals through, beginning with those that wait."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OBEYED)


@contextmanager
def blocked() -> Iterator[None]:
    """Let signals wait inside a ``with`` statement."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OBEYED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_pending() -> bool:
    """Return whether a blocked signal waits."""
    return bool(signal.sigpending() & OBEYED)


def sleep(seconds: float) -> None:
    """Sleep until a signal comes, which must be blocked; it is taken, and not obeyed."""
    signal.sigtimedwait(OBEYED, seconds)
