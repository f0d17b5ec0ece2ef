"""Loads of a daemon's and a log's life: starting, opening, closing, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import MIB, Figures, Stand
from bench.load import Called
from bench.rpc import open_request

_KIB = 1024
_CLOSING_SECONDS = 60.0
_LOOKING_SECONDS = 0.001


def start_up(stand: Stand) -> Figures:
    """Return how long the daemon took from the start of its process to its first answer."""
    return {"s": stand.target.start_seconds}


@contextmanager
def idle_logs(
    stand: Stand, count: int, name: str = "idle"
) -> Iterator[tuple[Called, Callable[[], None]]]:
    """Hold so many logs open that nobody writes to, and remove their files at the end.

    :returns: how the calls went that opened them, and a function that closes them before the end.
    """
    paths = [stand.target.logs / f"{name}{number}.log" for number in range(count)]
    try:
        with stand.generator.holding(stand.target.socket, _requests(paths)) as held:
            yield held
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def open_and_close(stand: Stand, logs: int) -> Figures:
    """Open so many logs from none on, then close them all at once."""
    used = stand.target.cpu()
    with idle_logs(stand, logs) as (called, close):
        used = stand.target.cpu() - used
        full = stand.target.descriptors()
        began = time.monotonic()
        close()
        # Each log has two, and the connection that opened them has one.
        _until_descriptors(stand, full - 2 * logs - 1)
        closed = time.monotonic() - began
    return {
        "open us each": called.seconds / logs * 1e6,
        "close us each": closed / logs * 1e6,
        "open CPU us each": used / logs * 1e6,
    }


def _until_descriptors(stand: Stand, most: int) -> None:
    """Wait until the daemon has no more descriptors, without asking it anything.

    :raises TimeoutError: it has more for too long.
    """
    deadline = time.monotonic() + _CLOSING_SECONDS
    while (now := stand.target.descriptors()) > most:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the daemon has {now} descriptors, and should have {most}")
        time.sleep(_LOOKING_SECONDS)


def memory(stand: Stand) -> Figures:
    """Return the memory of a daemon that was just started, and what logs add to it."""
    first, all_logs = 1024, 4096
    none = stand.target.rss()
    with idle_logs(stand, first):
        some = stand.target.rss()
        with idle_logs(stand, all_logs - first, "more"):
            many = stand.target.rss()
    return {
        "RSS MiB, no log": none / MIB,
        "KiB a log, 1,024": (some - none) / first / _KIB,
        "KiB a log, 4,096": (many - none) / all_logs / _KIB,
    }


def _requests(paths: Sequence[Path]) -> list[bytes]:
    return [open_request(str(path), truncate=False) for path in paths]
