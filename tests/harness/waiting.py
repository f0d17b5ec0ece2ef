"""Calls that wait in the kernel, and mounts that go."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.mounting import points_of

_PATIENCE_MS = 30_000


@contextmanager
def waiting(call: Callable[[], object]) -> Iterator[list[object]]:
    """Make a call in a thread, which waits in the kernel inside the context, and ends after it.

    :returns: a list that has what it returned, or the error that it raised, after the context.
    """
    result: list[object] = []

    def run() -> None:
        try:
            result.append(call())
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not _waits(thread):
        assert thread.is_alive(), result
        os.sched_yield()
    try:
        yield result
    finally:
        thread.join()


def _waits(thread: threading.Thread) -> bool:
    """Return whether a thread of this process waits for a file system."""
    place = Path(f"/proc/self/task/{thread.native_id}")
    with suppress(OSError):
        state = (place / "stat").read_text().rpartition(") ")[2][:1]
        # (for FUSE it sleeps in a way that signals end, but what they end is done all the same)
        return state == "D" or (place / "wchan").read_text() == "request_wait_answer"
    return False


def until_unmounted(device: str) -> None:
    """Wait until a device is mounted nowhere."""
    with Path("/proc/self/mountinfo").open("rb") as mounts:
        changes = select.poll()
        changes.register(mounts, select.POLLPRI)
        while points_of(device):
            assert changes.poll(_PATIENCE_MS)
