"""Asks a file what tells it apart from an earlier file with the same inode number: its birth.

File systems give the inode number of a removed file away again, ext4 and xfs to the very next one.
What is asked comes from the file itself, so that it need not be kept anywhere, and is the same
after a restart, a rename or a new mount:

- the file handle (``h``, then its type): the file systems that can serve NFS put a generation into
  it. FUSE and FAT make that up whenever they load an inode, so theirs are not asked.
- else the time of birth (``t``), as precise as the file system keeps it.

See births.py for what the text means.
"""

from __future__ import annotations

import binascii
import ctypes
import hashlib
import struct
import threading

_AT_EMPTY_PATH = 0x1000
# As of Linux 6.5; a handle that identifies a file but need not open it.
_AT_HANDLE_FID = 0x200
_MAX_HANDLE_BYTES = 128
_LONG_BYTES = 32
# A long handle is shown by a digest.
_DIGEST_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# struct file_handle: the size of the handle and its type; the handle follows.
_handle_begin = struct.Struct("=Ii")
# struct statfs begins with the type of the file system.
_file_system = struct.Struct("@l")

#: File systems, by the magic number of statfs(2), whose handles do not last: FUSE, FAT, exFAT.
_VOLATILE = frozenset({0x65735546, 0x4D44, 0x2011BAB0})

#: Types of handles that are an inode number and a generation; the generation comes first or last.
#: One that is 0 says nothing.
_INODE_AND_GENERATION = {(1, 8): 4, (0x81, 12): 8, (1, 12): 0}

# The whole mask, as some file systems keep a precise time only if its kin is asked for.
_STATX_ALL = 0xFFF
_STATX_BTIME = 0x800
_statx_mask = struct.Struct("=I")
_statx_btime = struct.Struct("=qI")
_STATX_BTIME_OFFSET = 80

_libc = ctypes.CDLL(None, use_errno=True)


_Pointer = ctypes.c_void_p
_name_to_handle_at = _libc.name_to_handle_at
_name_to_handle_at.argtypes = (ctypes.c_int, ctypes.c_char_p, _Pointer, _Pointer, ctypes.c_int)
_fstatfs = _libc.fstatfs
_fstatfs.argtypes = (ctypes.c_int, _Pointer)
_statx = _libc.statx
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, _Pointer)


class _Answer(threading.local):
    """What the kernel fills in, and where; to make a buffer costs as much as the call."""

    def __init__(self) -> None:
        # struct file_handle, struct statfs or struct statx; each is shorter than this.
        self.buffer = bytearray(512)
        self._held = (ctypes.c_char * len(self.buffer)).from_buffer(self.buffer)
        self._mount_id = ctypes.c_int()
        self.address = ctypes.addressof(self._held)
        self.mount_id_address = ctypes.addressof(self._mount_id)


_answer = _Answer()


def birth(file: int) -> str:
    """Return what tells an open regular file apart; "" where its file system tells nothing.

    :param file: its descriptor, open in any way, O_PATH too.
    """
    return _handle(file) or _birth_time(file)


def _handle(file: int) -> str:
    answer = _answer
    buffer, address, mount_id = answer.buffer, answer.address, answer.mount_id_address
    for flags in (_AT_EMPTY_PATH, _AT_EMPTY_PATH | _AT_HANDLE_FID):
        _handle_begin.pack_into(buffer, 0, _MAX_HANDLE_BYTES, 0)
        if not _name_to_handle_at(file, b"", address, mount_id, flags):
            break
    else:
        return ""
    size, kind = _handle_begin.unpack_from(buffer)
    data = buffer[_handle_begin.size : _handle_begin.size + size]
    generation = _INODE_AND_GENERATION.get((kind, size))
    if generation is not None and data[generation : generation + 4] == b"\0\0\0\0":
        return ""
    if _fstatfs(file, address) or _file_system.unpack_from(buffer)[0] in _VOLATILE:
        return ""
    if size > _LONG_BYTES:
        data[:] = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
    return (
        f"h{kind:x}.{binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b'=').decode()}"
    )


def _birth_time(file: int) -> str:
    answer = _answer
    if _statx(file, b"", _AT_EMPTY_PATH, _STATX_ALL, answer.address):
        return ""
    (mask,) = _statx_mask.unpack_from(answer.buffer)
    if not mask & _STATX_BTIME:
        return ""
    seconds, nanoseconds = _statx_btime.unpack_from(answer.buffer, _STATX_BTIME_OFFSET)
    return f"t.{seconds * 1_000_000_000 + nanoseconds:x}"
