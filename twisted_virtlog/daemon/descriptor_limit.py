"""The process's limit on open descriptors; each log takes two of them, and each client one."""

from __future__ import annotations

import fcntl
import os
import resource
from contextlib import suppress

#: The kernel's table has room for this many descriptors from the start, in a quarter of a mebibyte.
MOST_ROOM = 32768


def raise_limit() -> None:
    """Raise the soft limit to the hard one, as every process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Refused where the hard limit exceeds what the kernel allows now (fs.nr_open).
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_room() -> None:
    """Have the kernel's table of descriptors made as large as it may get; before threads start.

    It doubles the table when it is full, and in a process with threads waits for all processors
    then (synchronize_rcu in fs/file.c), some ten milliseconds: the one who opens the 129th log
    would wait, and with him everybody else.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = min(soft, MOST_ROOM) - 1
    # (without the memory, or with all descriptors in use, it grows when it has to)
    with suppress(OSError, ValueError):
        some = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            os.close(fcntl.fcntl(some, fcntl.F_DUPFD_CLOEXEC, last))
        finally:
            os.close(some)
