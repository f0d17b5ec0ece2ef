"""A file system that does not answer: FUSE, whose server is here and says nothing.

Whoever looks up, opens or asks for anything on it waits until it is aborted. So it shows that
something is not touched: a request that waits is a touch. It needs root, and should be mounted in a
mount namespace of one's own, so that nothing of it stays when the process is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path

_DEVICE = "/dev/fuse"
_CONNECTIONS = "/sys/fs/fuse/connections"

_MNT_DETACH = 2

# Of linux/fuse.h: length, opcode, unique, and what does not matter here.
_request = struct.Struct("=IIQ24x")
# Of the request FUSE_INIT: major, minor, max_readahead, flags.
_init_in = struct.Struct("=IIII")
# Length, error, unique.
_answer = struct.Struct("=IiQ")
# Major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran.
_init_out = struct.Struct("=IIIIHHII36x")
_FUSE_INIT = 26
_MINOR = 31
_LARGEST_WRITE = 1 << 17
_LARGEST_REQUEST = _LARGEST_WRITE + (1 << 12)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount something.

    :raises OSError: see mount(2).
    """
    arguments = [os.fsencode(text) for text in (source, target, kind)]
    if _libc.mount(*arguments, flags, data.encode()):
        raise _error(target)


def unmount(target: Path, flags: int = _MNT_DETACH) -> None:
    """Unmount what is topmost at a place, at once by default: what is open there stays open.

    :raises OSError: see umount2(2).
    """
    if _libc.umount2(os.fsencode(target), flags):
        raise _error(target)


def _error(path: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path))


class HungMount:
    """A file system that is mounted and does not answer.

    :ivar path: where it is mounted.
    :ivar device: ``MAJOR:MINOR`` of it.
    """

    def __init__(self, path: Path, kind: str = "fuse") -> None:
        """Mount it.

        :param kind: the type in mountinfo, ``fuse`` or ``fuse.NAME``.
        """
        self.path = path
        self._file = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            data = f"fd={self._file},rootmode=40000,user_id=0,group_id=0"
            mount("hung", path, kind, data=data)
            self._begin()
        except BaseException:
            self._close()
            raise
        self.device = _device_of(path)

    def is_touched(self, seconds: float = 0) -> bool:
        """Return whether anybody asks for anything and waits for the answer.

        :param seconds: wait so long for somebody to do so.
        """
        waiting = select.poll()
        waiting.register(self._file, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def take(self) -> int:
        """Take a request, which there must be, and do not answer.

        As of then not even SIGKILL ends who waits for it.

        :returns: its opcode, of linux/fuse.h.
        """
        _, opcode, _ = _request.unpack_from(os.read(self._file, _LARGEST_REQUEST))
        return int(opcode)

    def abort(self) -> None:
        """Let all who wait fail, as if the server had died: ENOTCONN, or ECONNABORTED."""
        minor = self.device.partition(":")[2]
        with contextlib.suppress(OSError):
            Path(_CONNECTIONS, minor, "abort").write_text("1")
        self._close()

    def _begin(self) -> None:
        """Answer the first request, which the kernel makes by itself."""
        request = os.read(self._file, _LARGEST_REQUEST)
        _, opcode, unique = _request.unpack_from(request)
        assert opcode == _FUSE_INIT
        major, minor, readahead, _ = _init_in.unpack_from(request, _request.size)
        size = _answer.size + _init_out.size
        os.write(
            self._file,
            _answer.pack(size, 0, unique)
            + _init_out.pack(major, min(minor, _MINOR), readahead, 0, 0, 0, _LARGEST_WRITE, 1),
        )

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


@contextlib.contextmanager
def hung_mount(path: Path, kind: str = "fuse") -> Iterator[HungMount]:
    """Have a file system that does not answer; nobody waits any more in the end.

    :param path: a directory.
    :param kind: see :class:`HungMount`.
    """
    hung = HungMount(path, kind)
    try:
        yield hung
    finally:
        hung.abort()
        # (it may be unmounted already)
        with contextlib.suppress(OSError):
            unmount(path)


def _device_of(path: Path) -> str:
    """Return the file system of what was mounted last at a place; mountinfo has it, untouched."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return [fields[2] for fields in map(str.split, file) if fields[4] == str(path)][-1]
