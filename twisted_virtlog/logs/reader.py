"""Reads a log's files from a position on, through the newer files of the rotation."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from twisted_virtlog.errors import NoSuchLog, SystemFailure
from twisted_virtlog.logs.rotation import check_backups, oldest_first
from twisted_virtlog.values import Excerpt, Position

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class WouldBlock(Exception):
    """What is to be read is not in memory."""


@dataclass(frozen=True, slots=True)
class _File:
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
        with contextlib.ExitStack() as opened:
            files = _open_files(path, max_backups, opened)
            if not files:
                raise NoSuchLog(f"no file of the log {path} exists", path)
            first, offset, self._gap = _find(files, position)
            self._files = files[first:]
            self._start = Position(self._files[0].inode, offset)
            self._opened = opened.pop_all()

    def read(self, max_bytes: int) -> Excerpt:
        """Read; may wait for the disk.

        :raises SystemFailure: a file cannot be read.
        """
        return self._read(max_bytes, 0)

    def read_cached(self, max_bytes: int) -> Excerpt:
        """Read without waiting for the disk; preadv2(2) with RWF_NOWAIT.

        :raises WouldBlock: a part is not in the page cache, or the file system cannot tell.
        :raises SystemFailure: a file cannot be read.
        """
        return self._read(max_bytes, os.RWF_NOWAIT)

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def _read(self, max_bytes: int, flags: int) -> Excerpt:
        parts: list[bytes] = []
        left = max_bytes
        offset = self._start.offset
        for index, file in enumerate(self._files):
            if index:
                offset = 0
            while left and (data := _read_at(file, offset, left, flags)):
                parts.append(data)
                offset += len(data)
                left -= len(data)
            if not left:
                break
        return Excerpt(
            b"".join(parts), self._start, Position(file.inode, offset), self._gap, self._final
        )


def _open_files(path: str, max_backups: int, opened: contextlib.ExitStack) -> list[_File]:
    """Open those that exist; oldest first in the result, but newest first in time, as virtlogd."""
    files = []
    for name in reversed(oldest_first(path, max_backups)):
        try:
            descriptor = os.open(name, _OPEN_FLAGS)
            opened.callback(os.close, descriptor)
            status = os.fstat(descriptor)
        except FileNotFoundError:
            continue
        except OSError as error:
            action = f"Unable to open file: {name}"
            raise SystemFailure(action, error.errno or errno.EIO, path) from error
        files.append(_File(name, descriptor, status.st_ino, status.st_size))
    return files[::-1]


def _find(files: Sequence[_File], position: Position | None) -> tuple[int, int, bool]:
    """Tell in which file to begin, at which offset, and whether bytes are missing before it."""
    if position is None:
        return 0, 0, False
    for index, file in enumerate(files):
        if file.inode == position.inode:
            if position.offset <= file.size:
                return index, position.offset, False
            # The file was cut from outside: what is in it was written after the position.
            return index, 0, True
    return 0, 0, True


def _read_at(file: _File, offset: int, count: int, flags: int) -> bytes:
    # Not more than the file held at the beginning needs a buffer, but for files without a size.
    room = min(count, file.size - offset) if file.size else count
    if room <= 0:
        return b""
    buffer = bytearray(room)
    try:
        got = os.preadv(file.descriptor, [buffer], offset, flags)
    except OSError as error:
        if flags and error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise WouldBlock from error
        action = f"Unable to read from file {file.path}"
        raise SystemFailure(action, error.errno or errno.EIO, file.path) from error
    return bytes(memoryview(buffer)[:got])
