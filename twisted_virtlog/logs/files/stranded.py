"""Takes back bytes that were written behind a hole, and writes them where their file ends.

The bytes are noted with the log's other details before the file is touched, so that a process that
goes on after a crash can do the rest: :func:`put_back` finds out how far the former one came.

The file is cut first, and the bytes are written then. Who copies the file meanwhile misses bytes
that come later; the other way around there would be copies that have them twice.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from twisted_virtlog.handover.state import Stranded
from twisted_virtlog.logs.files.tail import Tail

#: How often in a row another program may cut the file meanwhile.
_MOST_CUTS = 100

#: Is told what is stranded now, which replaces what it was told before.
Note = Callable[[Stranded], object]


def take_back(file: int, inode: int, offset: int, tail: Tail, note: Note) -> bool:
    """Cut a file where another program cut it while it was written.

    :param inode: the file's number.
    :param offset: where the write began that made the hole.
    :param note: is told of the bytes that are to be written by :func:`put_back`.
    :returns: whether there are such bytes.
    :raises OSError: what was noted is to be put back nevertheless.
    """
    cut = tail.find_cut(file, offset)
    if cut >= offset:
        return False
    noted = False
    for _ in range(_MOST_CUTS):
        end = os.fstat(file).st_size
        if end <= cut:
            # Cut once more, with all that stood behind the hole.
            break
        note(Stranded(inode, cut, end, os.pread(file, max(0, end - offset), offset)))
        noted = True
        if os.fstat(file).st_size == end:
            os.ftruncate(file, cut)
            return True
    if noted:
        note(Stranded(inode, cut, cut, b""))
    return noted


def put_back(stranded: Stranded, file: int, inode: int, tail: Tail | None, note: Note) -> None:
    """Write what was taken back at the end of a file, of which a part may be done already.

    :param inode: the file's number; another than that of ``stranded`` if it was replaced.
    :raises OSError: the file cannot be written, or is cut again and again.
    """
    for _ in range(_MOST_CUTS):
        offset, data = _place(stranded, file, inode)
        if tail is not None and offset != tail.end and tail.look(file, offset) != offset:
            continue
        written, error = _write(file, data, offset)
        cut = offset
        if tail is not None and written and tail.is_cut(file, offset, written):
            cut = tail.find_cut(file, offset)
        if cut < offset:
            stranded = Stranded(inode, cut, offset + written, data)
            note(stranded)
        elif error is not None and written:
            # What is there now may be cut or removed before the rest is written.
            end = offset + written
            note(Stranded(inode, end, end, data[written:]))
        if error is not None:
            raise error
        if cut >= offset:
            return
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _place(stranded: Stranded, file: int, inode: int) -> tuple[int, bytes]:
    """Return where to write, and what of the bytes is not there yet."""
    size = os.fstat(file).st_size
    data = stranded.data
    if inode != stranded.inode:
        return size, data
    if size == stranded.end and stranded.end > stranded.offset:
        os.ftruncate(file, stranded.offset)
        return stranded.offset, data
    begun = size - stranded.offset
    if 0 < begun <= len(data) and _begins_with(file, stranded.offset, data[:begun]):
        data = data[begun:]
    return size, data


def _begins_with(file: int, offset: int, data: bytes) -> bool:
    try:
        return os.pread(file, len(data), offset) == data
    except OSError:
        return False


def _write(file: int, data: bytes, offset: int) -> tuple[int, OSError | None]:
    """Write as much as the file takes; return how many bytes, and why not all."""
    left = memoryview(data)
    try:
        while left:
            written = os.pwrite(file, left, offset)
            if not written:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            left = left[written:]
            offset += written
    except OSError as error:
        return len(data) - len(left), error
    return len(data), None
