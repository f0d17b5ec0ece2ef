"""The process that packs files for the daemon: it gets descriptors, and has no names of any.

It runs when nothing else wants a processor or a disk. A thread of the daemon could not do so: one
of low priority that has been preempted keeps the interpreter's lock meanwhile. It ends when nobody
is at the other end of its socket any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import select
import signal
import socket

from twisted_virtlog.packed.codec import NoZstd
from twisted_virtlog.packed.making import pack
from twisted_virtlog.packed.messages import (
    MOST_BYTES,
    MOST_DESCRIPTORS,
    Answer,
    parse_request,
)

#: ioprio_set(2), for which glibc has no function: its numbers, and what it is asked for.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_WHO_PROCESS = 1
_IDLE = 3 << 13


class _Orphaned(Exception):
    """Nobody waits for an answer any more."""


def serve(connection: socket.socket, stands_back: bool) -> None:
    """Do what the daemon asks for, until it is gone.

    :param connection: keeps packets apart.
    :param stands_back: whether everybody else has processors and disks first.
    """
    pid = os.getpid()
    connection.send(Answer(0 if stands_back else errno.EPERM, pid).packet())
    while True:
        packet, files, _, _ = socket.recv_fds(connection, MOST_BYTES, MOST_DESCRIPTORS)
        if not packet:
            return
        try:
            connection.send(_done(connection, packet, files, pid).packet())
        finally:
            for file in files:
                os.close(file)


def _done(connection: socket.socket, packet: bytes, files: list[int], pid: int) -> Answer:
    try:
        origin = parse_request(packet)
        target = files[-1]
        if origin is not None:
            for _ in pack(files[0], target, origin):
                if _is_gone(connection):
                    raise _Orphaned
        os.fsync(target)
        return Answer(0, pid, os.fstat(target).st_size)
    except NoZstd:
        return Answer(errno.ENOPKG, pid)
    except (ValueError, IndexError):
        return Answer(errno.EINVAL, pid)
    except OSError as error:
        return Answer(error.errno or errno.EIO, pid)


def _is_gone(connection: socket.socket) -> bool:
    poller = select.poll()
    poller.register(connection, 0)
    return bool(poller.poll(0))


def stand_back() -> bool:
    """Let everybody else have processors and disks first; return whether the system allows it."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        return False
    number = _IOPRIO_SET.get(platform.machine())
    return number is None or ctypes.CDLL(None).syscall(number, _WHO_PROCESS, 0, _IDLE) == 0


def leave() -> None:
    """Go on in a process that is nobody's child, so that nobody has to ask for its end."""
    gone, goes = os.pipe()
    if os.fork():
        os._exit(0)
    os.close(goes)
    # (until the process that was started is gone)
    os.read(gone, 1)
    os.close(gone)


def main() -> None:
    """Serve the socket that is standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave()
    with contextlib.suppress(OSError, _Orphaned):
        serve(socket.socket(fileno=0), stand_back())
