"""Packs a file of a log into another, and unpacks it again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from twisted_virtlog.packed.codec import Packer
from twisted_virtlog.packed.format import (
    FRAME_BYTES,
    Origin,
    frame_sizes,
    origin_frame,
    table_frame,
)
from twisted_virtlog.packed.reading import read_packed


def pack(source: int, target: int, origin: Origin) -> Iterator[None]:
    """Pack a file into an empty one, a frame at a time; yield between two.

    :param source: its descriptor.
    :param target: a descriptor of the other one.
    :param origin: what is to be known of it; so many bytes are packed.
    :raises OSError: one cannot be read or written; ENODATA, the file is shorter than it should be.
    :raises NoZstd: there is no zstd.
    """
    packer = Packer()
    begin = origin_frame(origin)
    _write(target, begin)
    lengths = []
    offset = 0
    for size in frame_sizes(origin.size):
        yield
        frame = packer.pack(_read(source, offset, size))
        _write(target, frame)
        lengths.append(len(frame))
        offset += size
    _write(target, table_frame(len(begin), lengths, origin.size))


def unpack_file(source: int, target: int, origin: Origin) -> None:
    """Unpack a packed file into an empty one.

    :param source: a descriptor of the packed file.
    :param target: a descriptor of the other one.
    :param origin: what the packed file says.
    :raises OSError: one cannot be read or written, see :func:`read_packed`.
    """
    offset = 0
    while data := read_packed(source, offset, FRAME_BYTES):
        _write(target, data)
        offset += len(data)
    if offset != origin.size:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def _read(file: int, offset: int, size: int) -> bytes:
    parts = []
    while size:
        data = os.pread(file, size, offset)
        if not data:
            raise OSError(errno.ENODATA, "the file is shorter than it was")
        parts.append(data)
        offset += len(data)
        size -= len(data)
    return b"".join(parts)


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
