"""Whether another process lives, or only waits in the kernel for its end.

A process with a thread in a call of a file system that does not answer (state D) does not end,
whatever kills it, until that answers. Nobody is at home in it any more, but it keeps all its
descriptors: its sockets still take connections, its locks are still held, and what its thread has
begun still happens. So whoever comes next has to tell it from one that lives.
"""

from __future__ import annotations

import enum
import os
import select
import signal
import time
from dataclasses import dataclass

# Fields of /proc/PID/stat after the name, which may have anything in it (proc_pid_stat(5)).
_STATE, _FLAGS, _BORN, _PENDING = 0, 6, 19, 28

#: States of a process that has ended, but for what its threads are still at.
_ENDED = (b"Z", b"X", b"x")

#: The main thread is on its way out (PF_EXITING), as when it waits in closing a file.
_EXITING = 0x4

_KILLED = 1 << (signal.SIGKILL - 1)

#: How long to wait before looking again at what cannot be waited for.
_LOOK_SECONDS = 0.05


class Life(enum.Enum):
    """What is known of a process.

    :cvar GONE: there is none of that number, or another one has it.
    :cvar DYING: it will do nothing of its own accord any more, but has not ended.
    :cvar LIVING: it is neither.
    """

    GONE = "gone"
    DYING = "dying"
    LIVING = "living"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, and none that gets its number later.

    :ivar born: when it was started, in the kernel's ticks since the machine was; None where that is
        not known.
    """

    pid: int
    born: int | None = None

    def life(self) -> Life:
        """Return what is known of it now."""
        fields = _fields(self.pid)
        if fields is None or (self.born is not None and int(fields[_BORN]) != self.born):
            return Life.GONE
        if fields[_STATE] in _ENDED or int(fields[_FLAGS]) & _EXITING:
            return Life.DYING
        # (a thread that waits in the kernel takes the signal when it comes back)
        return Life.DYING if int(fields[_PENDING]) & _KILLED else Life.LIVING

    def wait_for_end(self, seconds: float) -> None:
        """Wait until it has ended, all its threads included; or for some time, in which it may."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            # It has ended, or cannot be waited for.
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


def this_process() -> ProcessIdentity:
    """Return the identity of the calling process; an exec does not change it."""
    pid = os.getpid()
    fields = _fields(pid)
    return ProcessIdentity(pid, None if fields is None else int(fields[_BORN]))


def is_dying(pid: int) -> bool:
    """Return whether a process has not ended, but does nothing of its own accord any more."""
    return ProcessIdentity(pid).life() is Life.DYING


def _fields(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None
