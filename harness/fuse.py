"""The kernel's protocol of FUSE, as much as tests need: the numbers, and how they lie in memory.

See linux/fuse.h. A request is read from /dev/fuse whole, and answered by one write.
"""

from __future__ import annotations

import enum
import os
import struct
from pathlib import Path
from typing import NamedTuple

from harness.mounting import MS_NODEV, MS_NOSUID, mount

#: Of the protocol that is spoken here; a newer kernel does with it.
MAJOR, MINOR = 7, 31
#: What a request may carry, and how large a buffer takes any.
MOST_BYTES = 128 * 1024
BUFFER_BYTES = MOST_BYTES + 64 * 1024

_BIG_WRITES = 1 << 5
_BACKGROUND = 64


class Operation(enum.IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    RENAME2 = 45


class Request(NamedTuple):
    """The head of a request.

    :ivar operation: an :class:`Operation`, or a number that has no name here.
    :ivar node: the file or directory that it is about.
    """

    length: int
    operation: int
    unique: int
    node: int
    uid: int
    gid: int
    pid: int


REQUEST = struct.Struct("=IIQQIIIxxxx")
ANSWER = struct.Struct("=IiQ")
INIT = struct.Struct("=IIII")
#: Node, generation, how long both may be kept: not at all, so that the server is always asked.
ENTRY = struct.Struct("=QQQQII")
ATTRIBUTES_HEAD = struct.Struct("=QII")
ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
OPENED = struct.Struct("=QIi")
GETATTR = struct.Struct("=IIQ")
#: What is valid, handle, size, times with their nanoseconds, mode, owner.
SETATTR = struct.Struct("=IxxxxQQQQQQIIIIIIIxxxx")
OPEN = struct.Struct("=II")
CREATE = struct.Struct("=IIII")
MKDIR = struct.Struct("=II")
NODE = struct.Struct("=Q")
RENAME2 = struct.Struct("=QIxxxx")
#: Handle, offset, size; what follows is of no interest.
TRANSFER = struct.Struct("=QQI")
TRANSFER_BYTES = 40
HANDLE = struct.Struct("=Q")
WRITTEN = struct.Struct("=Ixxxx")
STATFS = struct.Struct("=QQQQQIIIxxxx24x")
FORGET = struct.Struct("=QQ")
FORGET_COUNT = struct.Struct("=II")
ENTRY_OF_DIRECTORY = struct.Struct("=QQII")

_INIT_ANSWER = struct.Struct("=IIIIHHIIHHI28x")


def mounted(point: Path, kind: str) -> int:
    """Mount a file system that is served by whoever has the descriptor.

    :param kind: its type, as ``fuse`` or ``fuse.name``.
    :returns: the descriptor; when it is closed everywhere, all that waits fails with ENOTCONN.
    :raises OSError: it cannot be mounted.
    """
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    try:
        mount("harness", point, kind, MS_NOSUID | MS_NODEV, options)
    except OSError:
        os.close(device)
        raise
    return device


def request(data: bytes) -> Request:
    """Read the head of a request."""
    return Request(*REQUEST.unpack_from(data))


def answer(unique: int, error: int, body: bytes = b"") -> bytes:
    """Write down an answer.

    :param error: an errno, 0 if all went well.
    """
    return ANSWER.pack(ANSWER.size + len(body), -error, unique) + body


def init(body: bytes) -> bytes:
    """Answer the first request: what this server can do."""
    _, _, readahead, flags = INIT.unpack_from(body)
    return _INIT_ANSWER.pack(
        MAJOR,
        MINOR,
        readahead,
        flags & _BIG_WRITES,
        _BACKGROUND,
        _BACKGROUND,
        MOST_BYTES,
        1,
        0,
        0,
        0,
    )


def attributes(status: os.stat_result) -> bytes:
    """Write down what stat(2) says of a file."""
    times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    return ATTRIBUTES.pack(
        status.st_ino,
        status.st_size,
        status.st_blocks,
        *(time // 10**9 for time in times),
        *(time % 10**9 for time in times),
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        status.st_rdev & 0xFFFFFFFF,
        status.st_blksize,
        0,
    )


def name(body: bytes) -> bytes:
    """Read a name, which ends with a NUL."""
    return body.partition(b"\0")[0]
