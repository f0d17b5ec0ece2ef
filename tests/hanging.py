"""A process with a thread that waits in the kernel: it cannot end, whatever kills it.

The thread asks how much is in a pipe that another process keeps locked (see locked_pipe.py): state
D as in a call of a file system that does not answer, without such a file system and without root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import CHECKOUT
from tests.locked_pipe import locked, wait_for_end

#: Lets a function hang in a FIFO that somebody keeps locked; see :func:`hanging_in`.
_HANG = """
import array, fcntl, os, termios
def hang():
    fifo = os.open({fifo!r}, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.ioctl(fifo, termios.FIONREAD, array.array("i", [0]))
"""

#: Runs code, lets a thread hang, says so, and then waits for a line.
_PROGRAM = """
import array, fcntl, os, sys, termios, threading
{code}
def hang():
    fcntl.ioctl(int(sys.argv[1]), termios.FIONREAD, array.array("i", [0]))
thread = threading.Thread(target=hang, daemon=True)
thread.start()
state = None
while state != "D":
    with open(f"/proc/self/task/{{thread.native_id}}/stat") as file:
        state = file.read().rpartition(")")[2].split()[0]
print("hangs", flush=True)
sys.stdin.readline()
{then}
"""


@dataclass(frozen=True)
class Hanging:
    """A process that hangs.

    :ivar guest: what holds the lock that its thread waits for.
    """

    process: subprocess.Popen[bytes]
    guest: subprocess.Popen[bytes]

    def die(self) -> None:
        """Kill it, and wait until it does nothing any more."""
        self.process.kill()
        wait_for_end(self.guest, self.process.pid)

    def go_on(self) -> None:
        """Let it go on to what it does then, and wait until it does nothing any more."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        wait_for_end(self.guest, self.process.pid)

    def let_go(self) -> None:
        """End what its thread waits for."""
        self.guest.kill()


@contextlib.contextmanager
def hanging(code: str, then: str = "") -> Iterator[Hanging]:
    """Run code in a process, a thread of which then hangs.

    :param then: more code, for :meth:`Hanging.go_on`.
    """
    read_end, write_end = os.pipe()
    try:
        with contextlib.ExitStack() as undo:
            guest = undo.enter_context(_locked(write_end))
            command = [sys.executable, "-c", _PROGRAM.format(code=code, then=then), str(read_end)]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[read_end],
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            )
            undo.callback(_end, process, guest)
            assert process.stdout is not None
            assert process.stdout.readline() == b"hangs\n"
            yield Hanging(process, guest)
    finally:
        os.close(read_end)
        os.close(write_end)


@contextlib.contextmanager
def fifo(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Make a FIFO that is locked until the process that is returned ends."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        with _locked(descriptor) as guest:
            yield guest
    finally:
        os.close(descriptor)


def hanging_in(path: Path, code: str) -> str:
    """Return code for a program, in one line, that may call ``hang()`` to wait for a FIFO's lock.

    Whoever calls that waits in the kernel until what :func:`fifo` returned ends.
    """
    return f"exec({_HANG.format(fifo=str(path)) + code!r}, {{}})"


@contextlib.contextmanager
def _locked(write_end: int) -> Iterator[subprocess.Popen[bytes]]:
    """Have a pipe locked, until somebody ends the process that does it."""
    lock = locked(write_end)
    guest = lock.__enter__()
    try:
        yield guest
    finally:
        # (that is not what other tests are about: nobody is to have waited)
        with contextlib.suppress(AssertionError):
            lock.__exit__(None, None, None)


def _end(process: subprocess.Popen[bytes], guest: subprocess.Popen[bytes]) -> None:
    guest.kill()
    process.kill()
    process.communicate()
