"""Keeps the work of others away, and tells how much of the processors they had all the same."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

#: The fields of /proc/stat's first line that are not work: idle and iowait.
_IDLE_FIELDS = (3, 4)
#: And those that are counted in others already, guest and guest_nice.
_FIELDS = 8

_NICE = -10
#: Where the kernel groups processes by session, niceness tells only within a group.
_SESSION = Path("/proc/self/autogroup")


@contextmanager
def preferred() -> Iterator[None]:
    """Give this process, and all that it starts, more of a busy machine, where that is allowed."""
    with ExitStack() as stack:
        with suppress(PermissionError):
            before = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
            stack.callback(os.setpriority, os.PRIO_PROCESS, 0, before)
        with suppress(OSError):
            # Empty for what init itself started: no session was made for it.
            if group := _SESSION.read_text().split():
                _SESSION.write_text(str(_NICE))
                stack.callback(_SESSION.write_text, group[-1])
        yield


@contextmanager
def urgent() -> Iterator[None]:
    """Run this process, and what it starts, before all others of its processors, where allowed."""
    before, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, parameter)


class Meter:
    """Measures from when it is made."""

    def __init__(self, used: Callable[[], float]) -> None:
        """:param used: tells the processor seconds of the daemon that is measured."""
        self._used = used
        self._began = time.monotonic()
        self._own = self._own_seconds()
        self._all = _busy_seconds()

    def foreign(self) -> float:
        """Return the share of one processor that others had since."""
        elapsed = max(time.monotonic() - self._began, 1e-3)
        others = _busy_seconds() - self._all - (self._own_seconds() - self._own)
        return max(0.0, others / elapsed)

    def _own_seconds(self) -> float:
        """Return what this process, its ended children and the daemon used."""
        parts = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        return sum(part.ru_utime + part.ru_stime for part in parts) + self._used()


def _busy_seconds() -> float:
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = [int(field) for field in fields[:_FIELDS]]
    busy = sum(ticks) - sum(ticks[index] for index in _IDLE_FIELDS)
    return busy / os.sysconf("SC_CLK_TCK")
