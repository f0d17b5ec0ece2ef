"""Reads a log's files from a position on, through the newer files of the rotation."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from twisted_virtlog.errors import NoSuchLog, SystemFailure
from twisted_virtlog.logs.rotation import check_backups, oldest_first
from twisted_virtlog.logs.syscalls import is_in_memory
from twisted_virtlog.values import Excerpt, Position

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class WouldBlock(Exception):
    """What is to be read is not in memory."""


# The bytes of a short read come here first, as to make a buffer costs as much as to read. It is for
# the reactor's thread alone.
_short = memoryview(bytearray(64 * 1024))


class _File(NamedTuple):
    path: str
    descriptor: int
    inode: int
    size: int


class Reading:
    """One read: the files as they were named when it began, whatever rotation does meanwhile."""

    def __init__(self, path: str, max_backups: int, position: Position | None, final: bool) -> None:
        """Open a log's files and find the position in them.

        :param position: None for the oldest byte kept.
        :param final: see :class:`Excerpt`.
        :raises NoSuchLog: no file of the log exists.
        :raises SystemFailure: a file cannot be opened.
        :raises UnsupportedBackups: ``max_backups`` is over 32.
        """
        check_backups(path, max_backups)
        self._final = final
        self._files = _open_files(path, max_backups, position)
        if not self._files:
            raise NoSuchLog(f"no file of the log {path} exists", path)
        offset, self._gap = _begin(self._files[0], position)
        self._start = Position(self._files[0].inode, offset)

    def read(self, max_bytes: int) -> Excerpt:
        """Read; may wait for the disk.

        :raises SystemFailure: a file cannot be read.
        """
        return self._read(max_bytes, 0, _short[:0])

    def read_cached(self, max_bytes: int) -> Excerpt:
        """Read without waiting for the disk; preadv2(2) with RWF_NOWAIT.

        :raises WouldBlock: a part is not in the page cache, or the file system cannot tell.
        :raises SystemFailure: a file cannot be read.
        """
        return self._read(max_bytes, os.RWF_NOWAIT, _short)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file.descriptor)

    def _read(self, max_bytes: int, flags: int, short: memoryview) -> Excerpt:
        parts: list[bytes] = []
        left = max_bytes
        offset = self._start.offset
        for index, file in enumerate(self._files):
            if index:
                offset = 0
            while left and (data := _read_at(file, offset, left, flags, short)):
                parts.append(data)
                offset += len(data)
                left -= len(data)
            if not left:
                break
        return Excerpt(
            b"".join(parts), self._start, Position(file.inode, offset), self._gap, self._final
        )


def _open_files(path: str, max_backups: int, position: Position | None) -> list[_File]:
    """Open those from the one with the position on, or all if none has it; oldest first.

    Newest first in time, as virtlogd, so that one that is renamed meanwhile is not missed.
    """
    files: list[_File] = []
    name = path
    try:
        for name in reversed(oldest_first(path, max_backups)):
            try:
                descriptor = os.open(name, _OPEN_FLAGS)
            except FileNotFoundError:
                continue
            files.append(_File(name, descriptor, *_inode_and_size(descriptor)))
            if position is not None and files[-1].inode == position.inode:
                break
    except OSError as error:
        for file in files:
            os.close(file.descriptor)
        action = f"Unable to open file: {name}"
        raise SystemFailure(action, error.errno or errno.EIO, path) from error
    files.reverse()
    return files


def _inode_and_size(descriptor: int) -> tuple[int, int]:
    try:
        status = os.fstat(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return status.st_ino, status.st_size


def _begin(file: _File, position: Position | None) -> tuple[int, bool]:
    """Tell at which offset of the first file to begin, and whether bytes are missing before it."""
    if position is None:
        return 0, False
    if file.inode == position.inode and position.offset <= file.size:
        return position.offset, False
    # Rotated away; or the file was cut from outside: what is in it was written after the position.
    return 0, True


def _read_at(file: _File, offset: int, count: int, flags: int, short: memoryview) -> bytes:
    # Not more than the file held at the beginning needs a buffer, but for files without a size.
    room = min(count, file.size - offset) if file.size else count
    if room <= 0:
        return b""
    try:
        if not flags or (room > len(short) and is_in_memory(file.descriptor)):
            return os.pread(file.descriptor, room, offset)
        buffer = short[:room] if room <= len(short) else memoryview(bytearray(room))
        try:
            got = os.preadv(file.descriptor, [buffer], offset, flags)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or not is_in_memory(file.descriptor):
                raise
            # tmpfs does not know the flag, and has no disk to wait for.
            got = os.preadv(file.descriptor, [buffer], offset)
    except OSError as error:
        if flags and error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise WouldBlock from error
        action = f"Unable to read from file {file.path}"
        raise SystemFailure(action, error.errno or errno.EIO, file.path) from error
    return bytes(buffer[:got])
