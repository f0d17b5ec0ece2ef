"""System calls of Linux that Python's os module lacks, for files and pipes; any thread may call.

A call that fills in memory has a buffer for each thread: to make one costs as much as the call.

Whoever holds a pipe's write end can keep the pipe locked: splice(2) from a socket in which nothing
comes holds the lock while it waits. FIONREAD, splice, tee, read, F_GETPIPE_SZ, F_SETPIPE_SZ, an
open by way of /proc and the last close then wait too, on an empty pipe as well, and no signal ends
that. poll(2), fstat(2) and epoll(7) do not ask for the lock.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import functools
import os
import select
import struct
import termios
import threading

# Python 3.10 and later know these by name.
F_SETPIPE_SZ = 1031
F_GETPIPE_SZ = 1032

#: In place of a directory: paths are relative to the present one.
AT_FDCWD = -100

#: openat2(2): fails with EXDEV where another mount begins, also a mount of the same file system.
RESOLVE_NO_XDEV = 0x01
#: openat2(2): fails with ELOOP where a symbolic link is, also as the last component.
RESOLVE_NO_SYMLINKS = 0x04

# The same on all architectures that Debian has; glibc has no function for it.
_SYS_OPENAT2 = 437
# struct open_how: flags, mode, resolve.
_open_how = struct.Struct("=QQQ")

_AT_EMPTY_PATH = 0x1000
# Take what is known of a file: the file system must ask no server.
_AT_STATX_DONT_SYNC = 0x4000
# As of Linux 6.5; a handle that identifies a file but need not open it.
_AT_HANDLE_FID = 0x200
_MAX_HANDLE_BYTES = 128
# struct file_handle: the size of the handle and its type; the handle follows.
_handle_begin = struct.Struct("=Ii")
# struct statfs begins with the type of the file system. It is a number of 32 bits in a long.
_file_system = struct.Struct("@l")
_FILE_SYSTEM_MASK = 0xFFFFFFFF

_TMPFS, _RAMFS = 0x01021994, 0x858458F6

# <linux/fs.h>, as of Linux 6.9: struct fsuuid2 is a length and 16 bytes.
_FS_IOC_GETFSUUID = 0x80111500
_UUID_BYTES = 16

# The whole mask, as some file systems keep a precise time only if its kin is asked for.
_STATX_ALL = 0xFFF
_STATX_BTIME = 0x800
_statx_mask = struct.Struct("=I")
_statx_btime = struct.Struct("=qI")
_STATX_BTIME_OFFSET = 80
_STATX_MNT_ID = 0x1000
_statx_mount_id = struct.Struct("=Q")
_STATX_MNT_ID_OFFSET = 144

_libc = ctypes.CDLL(None, use_errno=True)
_Pointer = ctypes.c_void_p
_tee = _libc.tee
_tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
_tee.restype = ctypes.c_ssize_t
_getdents64 = _libc.getdents64
_getdents64.argtypes = (ctypes.c_int, _Pointer, ctypes.c_size_t)
_fstatfs = _libc.fstatfs
_fstatfs.argtypes = (ctypes.c_int, _Pointer)
_name_to_handle_at = _libc.name_to_handle_at
_name_to_handle_at.argtypes = (ctypes.c_int, ctypes.c_char_p, _Pointer, _Pointer, ctypes.c_int)
_statx = _libc.statx
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, _Pointer)
_syscall = _libc.syscall
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
)
_syscall.restype = ctypes.c_long


class _Answer(threading.local):
    """What the kernel fills in, and where."""

    def __init__(self) -> None:
        self.count = array.array("i", [0])
        # struct file_handle, struct statfs or struct statx; each is shorter than this.
        self.buffer = bytearray(512)
        self._held = (ctypes.c_char * len(self.buffer)).from_buffer(self.buffer)
        self._mount_id = ctypes.c_int()
        self.address = ctypes.addressof(self._held)
        self.mount_id_address = ctypes.addressof(self._mount_id)


_answer = _Answer()


# Paths.


@functools.lru_cache(maxsize=16)
def _how(flags: int, resolve: int) -> bytes:
    return _open_how.pack(flags, 0, resolve)


def openat2(path: str, flags: int, resolve: int, directory: int = AT_FDCWD) -> int:
    """Open a path, and go only where that is allowed.

    :param flags: as of open(2). O_CLOEXEC is not among them by itself. A file cannot be made.
    :param resolve: ``RESOLVE_`` constants, or'ed.
    :param directory: a descriptor that a relative path begins at. With RESOLVE_NO_XDEV a path must
        stay on the mount that it begins on: that of this directory, or that of the root.
    :returns: a descriptor.
    :raises OSError: ENOSYS before Linux 5.6, or EPERM where a filter of system calls does not know
        it; EXDEV, ELOOP and others, see
        openat2(2).
    :raises ValueError: there is a NUL in the path.
    """
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    how = _how(flags, resolve)
    while True:
        file: int = _syscall(_SYS_OPENAT2, directory, name, how, _open_how.size)
        if file >= 0:
            return file
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


def wait_for_directory(directory: int) -> None:
    """Wait until nobody is in the middle of making, renaming or removing a name in a directory.

    :param directory: a descriptor, not one with O_PATH.
    """
    # There is no room for an entry, so none is read; but the directory's lock is waited for.
    _getdents64(directory, None, 0)


def mount_number(file: int) -> int | None:
    """Return the number of the mount that an open file lies on, as in mountinfo; statx(2).

    :param file: a descriptor, opened in any way, with O_PATH too.
    :returns: None before Linux 5.8, or if it fails.
    """
    answer = _answer
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    if _statx(file, b"", flags, _STATX_MNT_ID, answer.address):
        return None
    if not _statx_mask.unpack_from(answer.buffer)[0] & _STATX_MNT_ID:
        return None
    return int(_statx_mount_id.unpack_from(answer.buffer, _STATX_MNT_ID_OFFSET)[0])


# Files.


def file_handle(file: int) -> tuple[int, bytes] | None:
    """Return the type and the bytes of an open file's handle; name_to_handle_at(2).

    :param file: a descriptor, opened in any way, with O_PATH too.
    :returns: None where the file system has no handles.
    """
    answer = _answer
    buffer, address, mount_id = answer.buffer, answer.address, answer.mount_id_address
    for flags in (_AT_EMPTY_PATH, _AT_EMPTY_PATH | _AT_HANDLE_FID):
        _handle_begin.pack_into(buffer, 0, _MAX_HANDLE_BYTES, 0)
        if not _name_to_handle_at(file, b"", address, mount_id, flags):
            size, kind = _handle_begin.unpack_from(buffer)
            return kind, bytes(buffer[_handle_begin.size : _handle_begin.size + size])
    return None


def birth_time_ns(file: int) -> int | None:
    """Return when an open file was made, in nanoseconds since the epoch; statx(2).

    :returns: None where the file system does not keep it.
    """
    answer = _answer
    if _statx(file, b"", _AT_EMPTY_PATH, _STATX_ALL, answer.address):
        return None
    (mask,) = _statx_mask.unpack_from(answer.buffer)
    if not mask & _STATX_BTIME:
        return None
    seconds, nanoseconds = _statx_btime.unpack_from(answer.buffer, _STATX_BTIME_OFFSET)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def file_system_type(file: int) -> int | None:
    """Return the magic number of an open file's file system, None if it fails; fstatfs(2)."""
    answer = _answer
    if _fstatfs(file, answer.address):
        return None
    return int(_file_system.unpack_from(answer.buffer)[0]) & _FILE_SYSTEM_MASK


def file_system_uuid(file: int) -> bytes | None:
    """Return what an open file's file system calls itself, FS_IOC_GETFSUUID; None if nothing."""
    answer = bytearray(1 + _UUID_BYTES)
    try:
        fcntl.ioctl(file, _FS_IOC_GETFSUUID, answer)
    except OSError:
        return None
    uuid = bytes(answer[1 : 1 + answer[0]])
    return uuid if any(uuid) else None


def is_in_memory(file: int) -> bool:
    """Return whether an open file's data is in memory and nowhere else."""
    return file_system_type(file) in {_TMPFS, _RAMFS}


# Pipes.


def tee(source: int, target: int, count: int) -> int:
    """Duplicate up to ``count`` bytes of one pipe into another without taking them.

    :returns: how many; 0 when nothing waits and the source has no writer.
    :raises BlockingIOError: nothing waits, or the target is full.
    :raises OSError: see the manual.
    """
    copied: int = _tee(source, target, count, os.SPLICE_F_NONBLOCK)
    if copied < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return copied


def pipe_events(pipe: int) -> int:
    """Return what poll(2) says of a pipe's read end; never waits, whoever has locked the pipe.

    :returns: POLLIN if bytes are in it, POLLHUP if no write end is open, or both, or neither.
    """
    look = select.poll()
    look.register(pipe, select.POLLIN)
    found = look.poll(0)
    return found[0][1] if found else 0


def bytes_waiting(pipe: int) -> int:
    """Return how many bytes are in a pipe; FIONREAD of pipe(7).

    An empty pipe is not asked, so that it cannot let anybody wait.
    """
    if not pipe_events(pipe) & select.POLLIN:
        return 0
    count = _answer.count
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def bytes_unread(sock: int) -> int:
    """Return a number of bytes that the other end of a UNIX socket has not read yet.

    It is 0 if and only if all is read, with the descriptors that came with it (SIOCOUTQ); otherwise
    it has what the kernel needs beside, too.
    """
    count = _answer.count
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]


def pipe_number(pipe: int) -> int:
    """Return a pipe's inode number, as ``/proc/PID/fd`` shows it: ``pipe:[N]``."""
    return os.fstat(pipe).st_ino


def pipe_capacity(pipe: int) -> int:
    """Return how many bytes fit into a pipe that nobody else holds yet: it waits for the lock."""
    return fcntl.fcntl(pipe, F_GETPIPE_SZ)


def set_pipe_capacity(pipe: int, size: int) -> int:
    """Make a pipe larger or smaller that nobody else holds yet: this waits for the lock.

    :returns: its capacity in bytes, which the kernel rounds up to a power of two.
    :raises PermissionError: the user's pipes would be too large together (pipe-user-pages-soft).
    :raises OSError: EBUSY, more than ``size`` bytes wait in it.
    """
    return fcntl.fcntl(pipe, F_SETPIPE_SZ, size)


def is_pipe_full(pipe: int) -> bool:
    """Return whether a pipe has no room, so that a write to it waits, as poll(2) says.

    The number of bytes does not tell. A pipe holds a number of pages, each with the bytes of one
    write or of some small ones, and is full when all are in use, with one byte in each or 4096.
    Only a write end knows; it is opened for this one question, and closed before anybody could miss
    the pipe's end.

    Opening it waits for the pipe's lock, as FIONREAD and splice(2) do: not to be asked of a pipe in
    which no bytes are, and which is not full therefore.

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
