"""A guest that locks its own pipe, so that whoever looks into the pipe waits for it.

It splices a socket in which nothing comes into the write end: the kernel holds the pipe's lock as
long as that waits. Whoever waits for the lock meanwhile cannot be ended by any signal, so the guest
ends by itself after some time, and the test fails then.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

#: How long the lock is held if nobody ends it: longer than anything in a test takes.
_LOCK_SECONDS = 45

_WAIT_SECONDS = 60.0

_LOCK = """
import os, signal, socket, sys
signal.alarm(int(sys.argv[2]))
mine, other = socket.socketpair()
os.set_blocking(int(sys.argv[1]), True)
os.splice(mine.fileno(), int(sys.argv[1]), 1)
"""


@contextlib.contextmanager
def locked(write_end: int, seconds: int = _LOCK_SECONDS) -> Iterator[subprocess.Popen[bytes]]:
    """Have a pipe locked by a process that holds its write end.

    :param seconds: for how long at most.
    :raises AssertionError: the lock was given up before the end, as somebody waited for it.
    """
    # It has the lock when a thread that asks for it again and again waits: in state D.
    ended = threading.Event()
    asking = threading.Thread(target=_ask, args=(write_end, ended))
    command = [sys.executable, "-S", "-c", _LOCK, str(write_end), str(seconds)]
    guest = subprocess.Popen(command, pass_fds=[write_end])
    try:
        asking.start()
        _wait_for_state(f"/proc/self/task/{asking.native_id}", "D")
        yield guest
        assert guest.poll() is None, "somebody waited for the pipe's lock"
    finally:
        ended.set()
        guest.kill()
        guest.wait()
        asking.join()


def _ask(write_end: int, ended: threading.Event) -> None:
    count = array.array("i", [0])
    while not ended.is_set():
        fcntl.ioctl(write_end, termios.FIONREAD, count)


def wait_for_end(guest: subprocess.Popen[bytes], pid: int) -> None:
    """Wait until a process does nothing any more, though it may not end while a pipe is locked.

    :raises AssertionError: it goes on.
    """
    _wait_for_state(f"/proc/{pid}", "Z")
    assert guest.poll() is None, "somebody waited for the pipe's lock"


def _wait_for_state(process: str, state: str) -> None:
    """Wait until a process or a thread has a state.

    :param process: its directory in /proc.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    seen = 0
    # (twice in succession, as it may wait for a moment for something else)
    while seen < 2:
        now = _state_of(process)
        seen = seen + 1 if now == state else 0
        assert time.monotonic() < deadline, f"{process} is in state {now}"
        os.sched_yield()


def _state_of(process: str) -> str:
    with open(f"{process}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]
