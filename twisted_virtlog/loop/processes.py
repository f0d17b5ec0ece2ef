"""Whether another process lives, or only waits in the kernel for its end.

A process with a thread in a call of a file system that does not answer (state D) does not end,
whatever kills it, until that answers. Nobody is at home in it any more, but it keeps all its
descriptors: its sockets still take connections, its locks are still held, and what its thread has
begun still happens. So whoever comes next has to tell it from one that lives.
"""

from __future__ import annotations

import enum
import os
import re
import select
import signal
import time
from contextlib import suppress

# Lines of /proc/PID/status (proc_pid_status(5)). /proc/PID/stat would say more, but who reads that
# waits for a process on its way through an exec, which itself may wait for a file system.
_STATE = re.compile(rb"^State:\s+(\w)", re.MULTILINE)
_PENDING = re.compile(rb"^(?:SigPnd|ShdPnd):\s+([0-9a-f]+)", re.MULTILINE)
_MEMORY = re.compile(rb"^VmSize:", re.MULTILINE)

#: States of a process that has ended, but for what its threads are still at.
_ENDED = (b"Z", b"X")

_KILLED = 1 << (signal.SIGKILL - 1)

#: Field of /proc/self/stat, after the name: when the process was started (proc_pid_stat(5)).
_BORN = 19

#: How long to wait before looking again at what cannot be waited for.
_LOOK_SECONDS = 0.05


class Life(enum.Enum):
    """What is known of a process.

    :cvar GONE: there is none of that number.
    :cvar DYING: it will do nothing of its own accord any more, but has not ended.
    :cvar LIVING: it is neither.
    """

    GONE = "gone"
    DYING = "dying"
    LIVING = "living"


def life_of(pid: int) -> Life:
    """Return what is known of a process now; this never waits."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
    except OSError:
        return Life.GONE
    state = _STATE.search(status)
    if state is None or state[1] in _ENDED:
        return Life.DYING
    # It closes its files after it has let go of its memory, and may wait in that; a thread that
    # waits in the kernel takes the signal when it comes back.
    if _MEMORY.search(status) is None or any(
        int(pending, 16) & _KILLED for pending in _PENDING.findall(status)
    ):
        return Life.DYING
    return Life.LIVING


def is_dying(pid: int) -> bool:
    """Return whether a process has not ended, but does nothing of its own accord any more."""
    return life_of(pid) is Life.DYING


def wait_for_end(pid: int, seconds: float) -> None:
    """Wait until a process has ended, all its threads included; or for some time, in which it may.

    Where there is nothing to wait for, this takes a moment all the same.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        # It is gone, or cannot be waited for.
        time.sleep(min(seconds, _LOOK_SECONDS))
        return
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if poller.poll(0):
            # It has ended, and nobody has asked for its status.
            time.sleep(min(seconds, _LOOK_SECONDS))
        else:
            poller.poll(seconds * 1000)
    finally:
        os.close(descriptor)


def has_open(pid: int, path: str) -> bool:
    """Return whether a process has a file open; also if nobody may know.

    This waits for a process on its way through an exec.
    """
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:
        return False
    except OSError:
        return True
    for descriptor in descriptors:
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == path:
                return True
    return False


def birth() -> int:
    """Return when this process was started, in ticks since the machine was.

    With its number that tells it from all others, also from those of other namespaces. An exec does
    not change it.
    """
    with open("/proc/self/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[_BORN])
