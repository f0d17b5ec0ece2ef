"""Reads packed files from anywhere: a frame at a time, as that is what can be unpacked."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

from twisted_virtlog.packed.codec import NoZstd, unpack
from twisted_virtlog.packed.format import (
    FOOTER_BYTES,
    FRAME_BYTES,
    ORIGIN_BYTES,
    Frame,
    NotPacked,
    Origin,
    parse_origin,
    parse_table,
    table_bytes,
)

#: Reads a packed file itself, from an offset on, up to a number of bytes; fewer only at its end.
ReadAt: TypeAlias = "Callable[[int, int], bytes]"

#: Of so many files a thread has the table, and the last frame that it has unpacked.
_MOST_FILES = 4

_Key: TypeAlias = "tuple[int, int, int, int]"


def origin_of(file: int) -> Origin | None:
    """Return which file of a log was packed; None if this is no packed file.

    :param file: a descriptor that may be read.
    :raises OSError: it cannot be read.
    """
    try:
        return parse_origin(os.pread(file, ORIGIN_BYTES, 0))[0]
    except NotPacked:
        return None


def frames_of(read: ReadAt, size: int) -> tuple[Origin, Sequence[Frame]]:
    """Return which file of a log was packed, and its frames.

    :param size: of the packed file, in bytes.
    :raises NotPacked: this is no packed file, or it is broken.
    :raises OSError: it cannot be read.
    """
    origin, length = parse_origin(read(0, ORIGIN_BYTES))
    table_length = table_bytes(read(max(0, size - FOOTER_BYTES), FOOTER_BYTES), size)
    table = read(size - table_length, table_length)
    if len(table) != table_length:
        raise NotPacked("it was cut")
    return origin, parse_table(table, origin, length, size)


class _Known:
    """What is known of a packed file.

    :ivar number: of the frame that was unpacked last, and ``data`` what was in it.
    """

    __slots__ = ("data", "frames", "number", "size")

    def __init__(self, size: int, frames: Sequence[Frame]) -> None:
        self.size = size
        self.frames = frames
        self.number = -1
        self.data = b""


class _OfThread(threading.local):
    """What each thread knows; whoever reads a frame in parts does not unpack it for each."""

    def __init__(self) -> None:
        self.files: OrderedDict[_Key, _Known] = OrderedDict()


_of_thread = _OfThread()


def read_packed(file: int, offset: int, count: int, read: ReadAt | None = None) -> bytes:
    """Read bytes of the log from a packed file.

    :param file: its descriptor.
    :param offset: in the log's file that it was; likewise ``count``.
    :param read: reads the packed file itself; by default, waiting for the disk.
    :returns: up to ``count`` bytes, no further than to the end of a frame; b"" only at the end.
    :raises OSError: it cannot be read; EIO, it is broken; ENOPKG, there is no zstd.
    """
    status = os.fstat(file)
    key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    files = _of_thread.files
    read = read or (lambda at, length: os.pread(file, length, at))
    try:
        known = files.get(key)
        if known is None:
            origin, frames = frames_of(read, status.st_size)
            known = files[key] = _Known(origin.size, frames)
            if len(files) > _MOST_FILES:
                files.popitem(last=False)
        else:
            files.move_to_end(key)
        if not 0 <= offset < known.size or count <= 0:
            return b""
        number, begin = divmod(offset, FRAME_BYTES)
        if number != known.number:
            frame = known.frames[number]
            known.data = unpack(read(frame.at, frame.packed), frame.size)
            known.number = number
    except NoZstd as error:
        raise OSError(errno.ENOPKG, str(error)) from error
    except ValueError as error:
        raise OSError(errno.EIO, f"{os.strerror(errno.EIO)}: packed file: {error}") from error
    return known.data[begin : begin + count]
