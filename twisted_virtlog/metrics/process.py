"""What the system tells of this process."""

from __future__ import annotations

import os
import resource
from collections.abc import Generator

from twisted_virtlog.values import ProcessFigures

#: Fields of /proc/PID/stat behind the name (proc(5)).
_USER, _SYSTEM, _STARTED, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21

#: So many descriptors are counted at once, where they have to be.
_AT_ONCE = 64


def process_figures() -> Generator[None, None, ProcessFigures | None]:
    """Return what the system tells of this process; None if it does not."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        booted = _booted_at()
        descriptors = yield from _descriptors()
    except (OSError, IndexError, ValueError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessFigures(
        processor_seconds=(int(fields[_USER]) + int(fields[_SYSTEM])) / ticks,
        resident_bytes=int(fields[_RESIDENT]) * resource.getpagesize(),
        virtual_bytes=int(fields[_VIRTUAL]),
        started_at=booted + int(fields[_STARTED]) / ticks,
        descriptors=descriptors,
        max_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def _booted_at() -> int:
    with open("/proc/stat", "rb") as file:
        for line in file:
            name, _, value = line.partition(b" ")
            if name == b"btime":
                return int(value)
    raise ValueError("the kernel does not say when it was booted")


def _descriptors() -> Generator[None, None, int]:
    """Count the open descriptors; the kernel does so itself since 6.2."""
    count = os.stat("/proc/self/fd").st_size
    if count:
        return count
    with os.scandir("/proc/self/fd") as entries:
        for count, _ in enumerate(entries):
            if not count % _AT_ONCE:
                yield
    return count
