"""A lane's lock: no two processes are in the same file system's logs at once.

A process that was killed while a thread of it waits for a file system goes on in one thing: what
that thread has begun happens when the file system answers. A successor that touched the same files,
or the pipe that the thread takes from, before that process is gone would lose bytes or have them
twice. Neither its number nor what a service manager says tells when it is gone; a lock of flock(2)
does, as the kernel gives it up with the process's last thread.

A lock is a file in a directory of the daemon's own, named after the mount and the file system. The
same file system may be found at another mount point by the successor (a bind mount), and another
one at the same (a lazy unmount, and a new mount). So whoever takes a lock also waits for those that
have either in common with it.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress

from twisted_virtlog.escaping import as_file_name
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.loop.processes import Life, birth, has_open, life_of, wait_for_end

_SUFFIX = ".lock"

_NUMBERS = re.compile("[0-9]+:[0-9]+")

#: Between the mount point and the file system in a lock's name; neither has it.
_BETWEEN = "@"

#: How long a holder's end is waited for before the lock is tried again.
_WAIT_SECONDS = 1.0


class Held(Exception):
    """Another process has the lock, and lives: two daemons would write the same logs.

    :ivar pid: its number.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid} has the lock, and is alive")
        self.pid = pid


def lock_path(directory: str, mount: Mount) -> str:
    """Return the path of the lock of a lane.

    :param directory: of the daemon's locks.
    :param mount: by which the lane's file system was found.
    """
    point = as_file_name(os.fsencode(mount.point))
    device = mount.device
    if not _NUMBERS.fullmatch(device):
        # It stands for one that is not known. (OpenSSL, which this loads, takes 4 MiB.)
        import hashlib  # noqa: PLC0415

        device = hashlib.sha256(device.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return os.path.join(directory, f"{point}{_BETWEEN}{device}{_SUFFIX}")


class LaneLock:
    """The lock of one lane, to be used by the lane's thread alone.

    Its descriptor is closed by an exec, and must never be given to anybody.
    """

    def __init__(self, path: str) -> None:
        """Take nothing yet.

        :param path: of :func:`lock_path`.
        """
        self._path = path
        self._directory, self._name = os.path.split(path)
        # -1 while the lock is not held.
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock; wait for a process that is dying until it is gone.

        The directory is made if need be. That nobody has the lock of a process that ended in order
        is found at once.

        :raises Held: another process has it, or one of the same mount point or file system, and is
            not dying.
        :raises OSError: the file cannot be made or locked.
        """
        self._descriptor = self._taken()
        try:
            for name in os.listdir(self._directory):
                if name != self._name and self._is_related(name):
                    self._wait_for(os.path.join(self._directory, name))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock up, and remove its file and, with the last one, the directory.

        Never while a thread waits for the file system: then the lock is to end with the process.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor == -1:
            return
        # (while it is held, so that nobody else's file is removed)
        _remove(self._path, descriptor)
        # A child that has not come to its exec has the descriptor too, and the lock with it.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
        with suppress(OSError):
            os.rmdir(self._directory)

    def _taken(self) -> int:
        """Wait for the lock; return its descriptor."""
        me = _this_process()
        while True:
            os.makedirs(self._directory, 0o700, exist_ok=True)
            try:
                descriptor = _opened(self._path, os.O_CREAT)
            except FileNotFoundError:
                # Whoever had the last lock has just removed the directory.
                continue
            try:
                if self._is_free(descriptor, self._path, me):
                    # If its holder has removed the file meanwhile, this lock keeps nobody out.
                    if _is_at(self._path, descriptor):
                        os.ftruncate(descriptor, 0)
                        os.pwrite(descriptor, me + b"\n", 0)
                        taken, descriptor = descriptor, -1
                        return taken
                elif _holder(descriptor) == me:
                    # It was this process's own before an exec, and a child that waits on its way
                    # to an exec of its own has kept it: neither will touch the files.
                    _remove(self._path, descriptor)
            finally:
                if descriptor != -1:
                    os.close(descriptor)

    def _wait_for(self, path: str) -> None:
        """Wait until nobody has another lock, and remove its file."""
        me = _this_process()
        while True:
            try:
                descriptor = _opened(path)
            except FileNotFoundError:
                return
            try:
                if self._is_free(descriptor, path, me):
                    _remove(path, descriptor)
                    return
                if _holder(descriptor) == me:
                    # Another lane's of this process.
                    return
            finally:
                os.close(descriptor)

    @staticmethod
    def _is_free(descriptor: int, path: str, me: bytes) -> bool:
        """Try to lock a file; if a dying process has it, wait a while for its end.

        :raises Held: a process that lives has it, and is not this one.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if holder != me:
                pid = _pid_of(holder)
                # (another process may have the number by now)
                if life_of(pid) is Life.LIVING and has_open(pid, os.path.realpath(path)):
                    raise Held(pid) from None
                # One that is gone has left the lock to a child on its way to an exec; one that is
                # not known has not written its number yet.
                wait_for_end(pid, _WAIT_SECONDS)
            return False
        return True

    def _is_related(self, name: str) -> bool:
        """Return whether a file is a lock of the same mount point or the same file system."""
        if not name.endswith(_SUFFIX):
            return False
        point, _, device = name.removesuffix(_SUFFIX).rpartition(_BETWEEN)
        own_point, _, own_device = self._name.removesuffix(_SUFFIX).rpartition(_BETWEEN)
        return own_point == point or own_device == device


def _opened(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)


def _this_process() -> bytes:
    """Return what is written into a lock's file."""
    return b"%d %d" % (os.getpid(), birth())


def _holder(descriptor: int) -> bytes:
    """Return what its holder has written into a lock's file; empty if nobody has."""
    return os.pread(descriptor, 64, 0).rstrip(b"\n")


def _pid_of(holder: bytes) -> int:
    """Return the number of a process that has written something; -1 if that is none."""
    try:
        return int(holder.partition(b" ")[0])
    except ValueError:
        return -1


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(path: str, descriptor: int) -> None:
    """Remove a lock's file, unless another one has its path by now."""
    with suppress(OSError):
        if _is_at(path, descriptor):
            os.unlink(path)
