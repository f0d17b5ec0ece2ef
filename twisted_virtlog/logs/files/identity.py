"""Asks a file what tells it apart from an earlier file with the same inode number: its birth.

File systems give the inode number of a removed file away again, ext4 and xfs to the very next one.
What is asked comes from the file itself, so that it need not be kept anywhere, and is the same
after a restart, a rename or a new mount:

- the file handle (``h``, then its type): the file systems that can serve NFS put a generation into
  it. FUSE and FAT make that up whenever they load an inode, so theirs are not asked.
- else the time of birth (``t``), as precise as the file system keeps it.

What the text means is in values.py.
"""

from __future__ import annotations

import binascii

from twisted_virtlog.syscalls import birth_time_ns, file_handle, file_system_type

_LONG_BYTES = 32
# A long handle is shown by a digest.
_DIGEST_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

#: File systems, by the magic number of statfs(2), whose handles do not last: FUSE, FAT, exFAT; and
#: one that cannot be asked.
_VOLATILE = frozenset({0x65735546, 0x4D44, 0x2011BAB0, None})

#: Types of handles that are an inode number and a generation; the generation comes first or last.
#: One that is 0 says nothing.
_INODE_AND_GENERATION = {(1, 8): 4, (0x81, 12): 8, (1, 12): 0}


def birth(file: int) -> str:
    """Return what tells an open regular file apart; "" where its file system tells nothing.

    :param file: its descriptor, opened in any way, with O_PATH too.
    """
    return _handle(file) or _birth_time(file)


def _handle(file: int) -> str:
    handle = file_handle(file)
    if handle is None:
        return ""
    kind, data = handle
    generation = _INODE_AND_GENERATION.get((kind, len(data)))
    if generation is not None and data[generation : generation + 4] == b"\0\0\0\0":
        return ""
    if file_system_type(file) in _VOLATILE:
        return ""
    if len(data) > _LONG_BYTES:
        # Hardly any file system has such, and OpenSSL, which this loads, takes 4 MiB.
        import hashlib  # noqa: PLC0415

        data = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
    text = binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode()
    return f"h{kind:x}.{text}"


def _birth_time(file: int) -> str:
    time = birth_time_ns(file)
    return "" if time is None else f"t.{time:x}"
