"""The pid file: one daemon at a time holds its lock, as with libvirt's daemons.

A daemon that cannot end, as a thread of it waits for a file system, has the lock as long as that
takes. Its file gives way to a new one.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress

from msgspec import Struct

from twisted_virtlog.loop.processes import is_dying

_MODE = 0o644

#: struct flock of fcntl(2): type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")


class PidFileError(Exception):
    """The pid file cannot be locked or written; the message is libvirt's."""


class PidFile(Struct, frozen=True):
    """A pid file that this process holds.

    Its lock is one of fcntl(2), which belongs to the process: it outlasts an exec if its descriptor
    does, and the same process may take it again.

    :ivar descriptor: -1 when no file was asked for.
    """

    path: str
    descriptor: int

    def release(self) -> None:
        """Remove the file, and release the lock."""
        if self.descriptor != -1:
            with suppress(OSError):
                os.unlink(self.path)
            os.close(self.descriptor)


def acquire(path: str, pid: int) -> PidFile:
    """Write a process id into a file and lock it; one that a dead daemon left is taken over.

    That of a daemon that is dying is replaced.

    :param path: empty for no file.
    :raises PidFileError: another process holds it, or it cannot be made.
    """
    if not path:
        return PidFile(path, -1)
    while True:
        descriptor = _open(path)
        try:
            if not _lock(path, descriptor):
                os.close(descriptor)
                continue
            # Its former holder may have removed it just now: then this file has no name.
            if _is_at(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(pid).encode(), 0)
                return PidFile(path, descriptor)
        except OSError as error:
            os.close(descriptor)
            raise PidFileError(f"Failed to write pid file '{path}': {error.strerror}") from error
        except PidFileError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        # (O_NONBLOCK for a FIFO, whose other end may never be opened)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(path, flags, _MODE)
    except OSError as error:
        raise PidFileError(f"Failed to open pid file '{path}': {error.strerror}") from error


def _lock(path: str, descriptor: int) -> bool:
    """Lock a file, or remove it if its holder is dying; return whether it is locked."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    except OSError as error:
        with suppress(OSError):
            if is_dying(_holder(descriptor)):
                _remove(path, descriptor)
                return False
        raise PidFileError(f"Failed to acquire pid file '{path}': {error.strerror}") from error
    return True


def _holder(descriptor: int) -> int:
    """Return the number of the process that has locked a file.

    :returns: 0 if nobody has by now, or one that is in another namespace.
    """
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    *_, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return int(pid)


def _remove(path: str, descriptor: int) -> None:
    """Remove a file that a dying process has locked, and not what another one puts in its place.

    :raises OSError: it cannot be removed, or another process is about to do so.
    """
    # (a lock of another kind, for those alone that would remove it)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if _is_at(path, descriptor):
        os.unlink(path)


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
