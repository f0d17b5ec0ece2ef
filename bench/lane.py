"""A load that compares a position that a thread of its own is asked for with one that is not.

Both logs are on a tmpfs, in one daemon, and asked for in turn, so that what differs is the way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.figures import P50, P99, Figures, Stand
from bench.load import Called
from bench.rpc import position_request
from bench.writing import opened

#: The file system that is mounted for this load has a thread, and no other.
SETTINGS = ('file_threads = ["{point}"]',)

_TURNS = 6
_BURST_BYTES = 100
#: From one question to the next of a client that does not ask at once: the daemon is asleep then.
_EVERY_SECONDS = 0.002

AT_ONCE, NOW_AND_THEN = "", ", every 2 ms"
PINNED, UNPINNED = "", ", unpinned"


def inline(name: str, how: str) -> str:
    """Give the name of a figure without a thread.

    :param how: the client asks.
    """
    return f"{name}, inline{how}"


def by_thread(name: str, how: str) -> str:
    """Give the name of a figure with a thread."""
    return f"{name}, thread{how}"


def times(name: str, how: str, where: str = PINNED) -> str:
    """Give the name of a figure with a thread over that without.

    :param where: the daemon runs.
    """
    return f"{name}, over inline{how}{where}"


def positions(stand: Stand) -> Figures:
    """Write a line to a log and ask for its position: with a thread, and without one."""
    figures: dict[str, float] = {}
    for how, every in ((AT_ONCE, 0.0), (NOW_AND_THEN, _EVERY_SECONDS)):
        with_one, without = _asked(stand, every)
        with _unpinned(stand.target.pid):
            with_one_unpinned, without_unpinned = _asked(stand, every)
        for name in (P50, P99):
            figures[inline(name, how)] = without[name] * 1e6
            figures[by_thread(name, how)] = with_one[name] * 1e6
            figures[times(name, how)] = with_one[name] / without[name]
            figures[times(name, how, UNPINNED)] = with_one_unpinned[name] / without_unpinned[name]
    return figures


def _asked(stand: Stand, every: float) -> list[dict[str, float]]:
    """Ask for both in turn; give the medians of what the turns gave, in seconds."""
    assert stand.place is not None
    on_it = replace(stand, target=stand.target.with_logs(stand.place.point))
    with opened(on_it, 1) as one, opened(stand, 1) as other:
        seen: list[list[Called]] = [[], []]
        for _ in range(_TURNS):
            for ((path,), (pipe,)), into in zip((one, other), seen, strict=True):
                into.append(
                    stand.generator.call(
                        stand.target.socket,
                        [position_request(path)],
                        seconds=stand.seconds / _TURNS,
                        burst=(pipe, _BURST_BYTES),
                        every=every,
                    )
                )
    # (on a machine that does other things a short turn may end before its first answer)
    answered = [[call for call in calls if call.calls] for calls in seen]
    return [
        {P50: median(call.p50 for call in calls), P99: median(call.p99 for call in calls)}
        for calls in answered
    ]


@contextlib.contextmanager
def _unpinned(pid: int) -> Iterator[None]:
    """Let a process have all processors inside the context."""
    threads: Sequence[int] = [int(one.name) for one in Path(f"/proc/{pid}/task").iterdir()]
    before = os.sched_getaffinity(pid)
    for thread in threads:
        os.sched_setaffinity(thread, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, before)
