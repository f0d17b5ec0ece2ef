"""The system calls on pipes that Python's os module lacks."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import select
import termios

# Python 3.10 and later know these by name.
F_SETPIPE_SZ = 1031
F_GETPIPE_SZ = 1032

_libc = ctypes.CDLL(None, use_errno=True)
_tee = _libc.tee
_tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
_tee.restype = ctypes.c_ssize_t

_fstatfs = _libc.fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
_fstatfs.restype = ctypes.c_int
# struct statfs, which begins with the type of the file system, a long, and is shorter than this.
_status = (ctypes.c_long * 64)()
_IN_MEMORY = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}

_count = array.array("i", [0])


def tee(source: int, target: int, count: int) -> int:
    """Duplicate up to ``count`` bytes of one pipe into another without taking them: tee of Linux.

    :returns: how many; 0 when nothing waits and the source has no writer.
    :raises BlockingIOError: nothing waits, or the target is full.
    :raises OSError: see the manual.
    """
    copied: int = _tee(source, target, count, os.SPLICE_F_NONBLOCK)
    if copied < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return copied


def is_in_memory(file: int) -> bool:
    """Tell whether an open file's data is in memory and nowhere else; fstatfs of Linux."""
    if _fstatfs(file, _status):
        return False
    return _status[0] & 0xFFFFFFFF in _IN_MEMORY


def bytes_waiting(pipe: int) -> int:
    """Tell how many bytes are in a pipe; FIONREAD of pipe(7)."""
    fcntl.ioctl(pipe, termios.FIONREAD, _count)
    return _count[0]


def pipe_number(pipe: int) -> int:
    """Return a pipe's inode number, as ``/proc/PID/fd`` shows it: ``pipe:[N]``."""
    return os.fstat(pipe).st_ino


def pipe_capacity(pipe: int) -> int:
    """Tell how many bytes fit into a pipe."""
    return fcntl.fcntl(pipe, F_GETPIPE_SZ)


def is_full(pipe: int) -> bool:
    """Return whether a pipe has no room, so that a write to it waits: the word of poll(2).

    The number of bytes does not tell. A pipe holds a number of pages, each of them the bytes of
    one write or of some small ones, and is full when all are in use, with one byte in each or 4096.
    Only a write end knows; it is opened for this one question, and closed before anybody could miss
    the pipe's end.

    The opening waits for the pipe's lock, as FIONREAD and splice(2) do.

    :param pipe: a descriptor of the read end.
    :raises OSError: there is no /proc, or no descriptor is left.
    """
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
    write_end = os.open(f"/proc/self/fd/{pipe}", flags)
    try:
        room = select.poll()
        room.register(write_end, select.POLLOUT)
        return not room.poll(0)
    finally:
        os.close(write_end)


def set_pipe_capacity(pipe: int, size: int) -> int:
    """Make a pipe larger or smaller.

    :returns: its capacity in bytes, which the kernel rounds up to a power of two.
    :raises PermissionError: the user's pipes would be too large together (pipe-user-pages-soft).
    :raises OSError: EBUSY, more than ``size`` bytes wait in it.
    """
    return fcntl.fcntl(pipe, F_SETPIPE_SZ, size)
