"""The process that serves pass_mount.py: it shows a directory at another place, as it is told.

Arguments: the directory, where to mount it, the type of the file system, and the descriptors of
what is wished, of a pipe on which it says that an operation is held, and of one that releases it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from harness import fuse
from harness.fuse import Operation, Request
from harness.guardian import Patience, say_ready, until_end
from harness.mounting import device_at, unmount_device

OPERATIONS = 64
_PR_SET_PDEATHSIG = 1
_SETTABLE_TIMES = (1 << 4, 1 << 5)
_MODE, _UID, _GID, _SIZE, _HANDLE = 1, 2, 4, 8, 64
#: Without an answer, by the protocol.
_UNANSWERED = {Operation.FORGET, Operation.BATCH_FORGET, Operation.INTERRUPT, Operation.DESTROY}


class Wishes:
    """What the test wishes of each operation: memory that it shares with the server.

    So a wish is there at once, even while the server is stopped.

    :ivar delay: by operation, seconds before it is done.
    :ivar error: an errno that it is refused with, 0 for none.
    :ivar chance: of being held before it is done; if it is negative, before it is answered.
    """

    BYTES = 3 * OPERATIONS * 8

    def __init__(self, descriptor: int) -> None:
        """:param descriptor: of a file of :attr:`BYTES` bytes."""
        memory = memoryview(mmap.mmap(descriptor, self.BYTES)).cast("d")
        self.delay = memory[:OPERATIONS]
        self.error = memory[OPERATIONS : 2 * OPERATIONS]
        self.chance = memory[2 * OPERATIONS :]

    def is_wished(self, operation: int) -> bool:
        """Return whether anything is wished of an operation."""
        return bool(self.delay[operation] or self.error[operation] or self.chance[operation])

    def is_chosen(self, operation: int) -> float:
        """Return whether an operation is to be held: 0, or its chance; then no other one is."""
        chance = self.chance[operation]
        if not chance or random.random() >= abs(chance):
            return 0.0
        for number in range(OPERATIONS):
            self.chance[number] = 0.0
        return chance


class _Node:
    """A file or directory that the kernel knows.

    :ivar descriptor: that only names it, so that it is found whatever it is called by then.
    :ivar known: so often the kernel was told of it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.known = 0

    @property
    def path(self) -> str:
        """Where it can be opened."""
        return f"/proc/self/fd/{self.descriptor}"


class PassThrough:
    """Does what the kernel asks for with the files of a directory."""

    def __init__(self, directory: Path) -> None:
        """:param directory: what is shown; it must not be below the mount."""
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        self._nodes = {1: _Node(root)}
        self._numbers: dict[tuple[int, int], int] = {self._identity(root): 1}
        self._next = 2
        # (an operation that is delayed is done in a thread of its own)
        self._lock = threading.Lock()
        self._table: dict[int, Callable[[Request, bytes], bytes]] = {
            Operation.LOOKUP: self._lookup,
            Operation.FORGET: self._forget,
            Operation.BATCH_FORGET: self._batch_forget,
            Operation.GETATTR: self._getattr,
            Operation.SETATTR: self._setattr,
            Operation.READLINK: lambda head, _: os.fsencode(os.readlink("", dir_fd=self._fd(head))),
            Operation.SYMLINK: self._symlink,
            Operation.MKDIR: self._mkdir,
            Operation.UNLINK: self._unlink,
            Operation.RMDIR: self._rmdir,
            Operation.RENAME: self._rename,
            Operation.RENAME2: self._rename2,
            Operation.LINK: self._link,
            Operation.OPEN: self._open,
            Operation.CREATE: self._create,
            Operation.READ: self._read,
            Operation.WRITE: self._write,
            Operation.RELEASE: self._release,
            Operation.FLUSH: lambda _, __: b"",
            Operation.FSYNC: lambda _, __: b"",
            Operation.STATFS: self._statfs,
            Operation.OPENDIR: self._opendir,
            Operation.READDIR: self._readdir,
            Operation.RELEASEDIR: self._release,
            Operation.FSYNCDIR: lambda _, __: b"",
            Operation.INIT: lambda _, body: fuse.init(body),
            Operation.INTERRUPT: lambda _, __: b"",
            Operation.DESTROY: lambda _, __: b"",
        }

    def done(self, head: Request, body: bytes) -> bytes:
        """Do it; give what is answered.

        :raises OSError: it is refused.
        """
        if head.operation not in self._table:
            raise OSError(errno.ENOSYS, "not supported")
        with self._lock:
            return self._table[head.operation](head, body)

    # What the kernel knows.

    @staticmethod
    def _identity(descriptor: int) -> tuple[int, int]:
        status = os.stat(descriptor)
        return status.st_dev, status.st_ino

    def _fd(self, head: Request) -> int:
        return self._nodes[head.node].descriptor

    def _lookup(self, head: Request, body: bytes) -> bytes:
        return self._entry(head, fuse.name(body))

    def _entry(self, head: Request, name: bytes) -> bytes:
        """Return the kernel's description of a file in a directory."""
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._fd(head))
        identity = self._identity(descriptor)
        number = self._numbers.get(identity)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._numbers[identity] = number
            self._nodes[number] = _Node(descriptor)
        else:
            os.close(descriptor)
        node = self._nodes[number]
        node.known += 1
        status = os.stat(node.descriptor)
        return fuse.ENTRY.pack(number, 0, 0, 0, 0, 0) + fuse.attributes(status)

    def _forget(self, head: Request, body: bytes) -> bytes:
        self._forget_one(head.node, *fuse.NODE.unpack_from(body))
        return b""

    def _batch_forget(self, _: Request, body: bytes) -> bytes:
        count, _unused = fuse.FORGET_COUNT.unpack_from(body)
        entries = body[fuse.FORGET_COUNT.size :][: count * fuse.FORGET.size]
        for number, times in fuse.FORGET.iter_unpack(entries):
            self._forget_one(number, times)
        return b""

    def _forget_one(self, number: int, times: int) -> None:
        node = self._nodes[number]
        node.known -= times
        if node.known <= 0 and number != 1:
            del self._nodes[number]
            del self._numbers[self._identity(node.descriptor)]
            os.close(node.descriptor)

    # Attributes.

    def _getattr(self, head: Request, _: bytes) -> bytes:
        status = os.stat(self._fd(head))
        return fuse.ATTRIBUTES_HEAD.pack(0, 0, 0) + fuse.attributes(status)

    def _setattr(self, head: Request, body: bytes) -> bytes:
        valid, handle, size, _, atime, mtime, _, atimensec, mtimensec, _, mode, _, uid, gid = (
            fuse.SETATTR.unpack_from(body)
        )
        path = self._nodes[head.node].path
        if valid & _MODE:
            os.chmod(path, stat.S_IMODE(mode))
        if valid & (_UID | _GID):
            os.chown(path, uid if valid & _UID else -1, gid if valid & _GID else -1)
        if valid & _SIZE:
            os.truncate(handle if valid & _HANDLE else path, size)
        if any(valid & time_bit for time_bit in _SETTABLE_TIMES):
            before = os.stat(path)
            of_access, of_change = _SETTABLE_TIMES
            times = (
                atime * 10**9 + atimensec if valid & of_access else before.st_atime_ns,
                mtime * 10**9 + mtimensec if valid & of_change else before.st_mtime_ns,
            )
            os.utime(path, ns=times)
        return self._getattr(head, b"")

    def _statfs(self, head: Request, _: bytes) -> bytes:
        of = os.statvfs(self._nodes[head.node].path)
        counts = of.f_blocks, of.f_bfree, of.f_bavail, of.f_files, of.f_ffree
        return fuse.STATFS.pack(*counts, of.f_bsize, of.f_namemax, of.f_frsize)

    # Names.

    def _symlink(self, head: Request, body: bytes) -> bytes:
        name, target, _ = body.split(b"\0", 2)
        os.symlink(target, name, dir_fd=self._fd(head))
        return self._made(head, name)

    def _mkdir(self, head: Request, body: bytes) -> bytes:
        mode, _ = fuse.MKDIR.unpack_from(body)
        name = fuse.name(body[fuse.MKDIR.size :])
        os.mkdir(name, mode, dir_fd=self._fd(head))
        return self._made(head, name)

    def _made(self, head: Request, name: bytes) -> bytes:
        """Give what was made to whoever asked for it."""
        os.chown(name, head.uid, head.gid, dir_fd=self._fd(head), follow_symlinks=False)
        return self._entry(head, name)

    def _unlink(self, head: Request, body: bytes) -> bytes:
        os.unlink(fuse.name(body), dir_fd=self._fd(head))
        return b""

    def _rmdir(self, head: Request, body: bytes) -> bytes:
        os.rmdir(fuse.name(body), dir_fd=self._fd(head))
        return b""

    def _rename(self, head: Request, body: bytes) -> bytes:
        (into,) = fuse.NODE.unpack_from(body)
        return self._renamed(head, into, body[fuse.NODE.size :])

    def _rename2(self, head: Request, body: bytes) -> bytes:
        into, flags = fuse.RENAME2.unpack_from(body)
        if flags:
            raise OSError(errno.EINVAL, "not supported")
        return self._renamed(head, into, body[fuse.RENAME2.size :])

    def _renamed(self, head: Request, into: int, names: bytes) -> bytes:
        before, after, _ = names.split(b"\0", 2)
        to = self._nodes[into].descriptor
        os.rename(before, after, src_dir_fd=self._fd(head), dst_dir_fd=to)
        return b""

    def _link(self, head: Request, body: bytes) -> bytes:
        (number,) = fuse.NODE.unpack_from(body)
        name = fuse.name(body[fuse.NODE.size :])
        os.link(self._nodes[number].path, name, dst_dir_fd=self._fd(head), follow_symlinks=True)
        return self._entry(head, name)

    # Open files.

    def _open(self, head: Request, body: bytes) -> bytes:
        flags, _ = fuse.OPEN.unpack_from(body)
        handle = os.open(self._nodes[head.node].path, self._passed_on(flags))
        return fuse.OPENED.pack(handle, 0, 0)

    def _create(self, head: Request, body: bytes) -> bytes:
        flags, mode, _, _ = fuse.CREATE.unpack_from(body)
        name = fuse.name(body[fuse.CREATE.size :])
        flags = self._passed_on(flags) | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(name, flags, mode, dir_fd=self._fd(head))
        try:
            entry = self._made(head, name)
        except OSError:
            os.close(handle)
            raise
        return entry + fuse.OPENED.pack(handle, 0, 0)

    @staticmethod
    def _passed_on(flags: int) -> int:
        """Take out what the kernel does by itself, with the offsets that it gives."""
        return flags & ~(os.O_APPEND | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL | os.O_DIRECT)

    def _read(self, _: Request, body: bytes) -> bytes:
        handle, offset, size = fuse.TRANSFER.unpack_from(body)
        return os.pread(handle, size, offset)

    def _write(self, _: Request, body: bytes) -> bytes:
        handle, offset, size = fuse.TRANSFER.unpack_from(body)
        data = memoryview(body)[fuse.TRANSFER_BYTES :][:size]
        return fuse.WRITTEN.pack(os.pwrite(handle, data, offset))

    def _release(self, _: Request, body: bytes) -> bytes:
        os.close(*fuse.HANDLE.unpack_from(body))
        return b""

    def _opendir(self, head: Request, _: bytes) -> bytes:
        handle = os.open(self._nodes[head.node].path, os.O_RDONLY | os.O_DIRECTORY)
        return fuse.OPENED.pack(handle, 0, 0)

    def _readdir(self, _: Request, body: bytes) -> bytes:
        handle, offset, size = fuse.TRANSFER.unpack_from(body)
        with os.scandir(handle) as entries:
            all_of_them = sorted((entry.name, entry.inode()) for entry in entries)
        found = b""
        for next_offset, (text, inode) in enumerate(all_of_them[offset:], offset + 1):
            name = os.fsencode(text)
            entry = fuse.ENTRY_OF_DIRECTORY.pack(inode, next_offset, len(name), 0) + name
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found


class Server:
    """Reads requests and answers them, as is wished."""

    def __init__(
        self, device: int, files: PassThrough, wishes: Wishes, held: int, release: int
    ) -> None:
        """:param held: where it says what it holds, and ``release`` where it waits then."""
        self._device = device
        self._files = files
        self._wishes = wishes
        self._held = held
        self._release = release

    def serve(self) -> None:
        """Do so until the mount ends."""
        while True:
            try:
                data = os.read(self._device, fuse.BUFFER_BYTES)
            except OSError as error:
                # A request was given up while it was taken.
                if error.errno == errno.ENOENT:
                    continue
                return
            head = fuse.request(data)
            if head.operation < OPERATIONS and self._wishes.is_wished(head.operation):
                threading.Thread(target=self._do_as_wished, args=(head, data), daemon=True).start()
            else:
                self._answer(head, *self._do(head, data))

    def _do_as_wished(self, head: Request, data: bytes) -> None:
        chosen = self._wishes.is_chosen(head.operation)
        if chosen > 0:
            self._hold(head)
        time.sleep(self._wishes.delay[head.operation])
        refused = int(self._wishes.error[head.operation])
        done = (refused, b"") if refused else self._do(head, data)
        if chosen < 0:
            self._hold(head)
        self._answer(head, *done)

    def _hold(self, head: Request) -> None:
        os.write(self._held, bytes([head.operation]))
        os.read(self._release, 1)

    def _do(self, head: Request, data: bytes) -> tuple[int, bytes]:
        try:
            return 0, self._files.done(head, data[fuse.REQUEST.size : head.length])
        except OSError as error:
            return error.errno or errno.EIO, b""

    def _answer(self, head: Request, error: int, body: bytes) -> None:
        if head.operation in _UNANSWERED:
            return
        try:
            os.write(self._device, fuse.answer(head.unique, error, body))
        except OSError as failure:
            # Nobody waits any more, or the mount has ended.
            if failure.errno not in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED):
                raise


class _Child:
    """The server, as the process knows it that guards it.

    :ivar unmounted: it has ended by itself, as its mount has: another may have its number by now.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._has_ended = False
        self.unmounted = False
        self._patience = Patience()

    def look(self) -> None:
        """End it if it was stopped for too long."""
        if self._has_ended:
            return
        if self._has_ended:
            return
        found, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if found and os.WIFSTOPPED(status):
            self._patience.begin()
        elif found:
            self._patience.end()
            self._has_ended = not os.WIFCONTINUED(status)
            self.unmounted = self._has_ended and os.WIFEXITED(status)
        if self._patience.is_over:
            self.end()

    def end(self) -> None:
        """End it, so that all that waits for it goes on, with an error."""
        if not self._has_ended:
            os.kill(self._pid, signal.SIGKILL)


def main(directory: Path, point: Path, kind: str, wishes: int, held: int, release: int) -> None:
    """Mount it, serve it in a child, and end both with standard input."""
    device = fuse.mounted(point, kind)
    number = device_at(point)
    assert number is not None
    # Open until the end, so that no other mount gets the number, which would be taken away for it.
    root = os.open(point, os.O_PATH | os.O_DIRECTORY)
    pid = os.fork()
    if not pid:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(nothing, descriptor)
        os.close(root)
        Server(device, PassThrough(directory), Wishes(wishes), held, release).serve()
        os._exit(0)
    os.close(device)
    child = _Child(pid)
    say_ready(pid, number)
    try:
        until_end(lambda _: None, child.look)
    finally:
        child.look()
        child.end()
        if not child.unmounted:
            unmount_device(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
