"""Lets writes fail as on a disk that is full or dead, and acts in the middle of a write.

Calls of this process are intercepted, where they concern regular files; nothing is mounted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

#: One write in this many loses a byte, if any is to.
_LOSES_ONE_OF = 200


class BrokenDisk:
    """What the file system does.

    :ivar room: bytes that may be written still; None for plenty.
    :ivar dead: the errno with which the descriptor that is written next fails for ever.
    :ivar names: how many changes of names are refused from now on.
    :ivar between: called once, right before the next write.
    :ivar free: returns how many bytes are free, as the daemon is told; None for what is true.
    :ivar removing: is told of each path that is removed, before it is.
    """

    def __init__(self, loses: bool = False) -> None:
        """:param loses: let a byte be lost now and then."""
        self._loses = loses
        self._splices = 0
        self.room: int | None = None
        self.dead: int | None = None
        self.names = 0
        self.free: Callable[[], int] | None = None
        self.between: Callable[[], object] | None = None
        self.removing: Callable[[str], object] = lambda _: None
        self._descriptor = -1
        self._splice, self._pwrite, self._close = os.splice, os.pwrite, os.close
        self._rename, self._unlink = os.rename, os.unlink
        self._fstatvfs = os.fstatvfs

    @contextmanager
    def installed(self) -> Iterator[BrokenDisk]:
        """Let this process write to it."""
        with (
            patch.object(os, "splice", self.splice),
            patch.object(os, "pwrite", self.pwrite),
            patch.object(os, "close", self.close),
            patch.object(os, "rename", self.rename),
            patch.object(os, "unlink", self.unlink),
            patch.object(os, "fstatvfs", self.fstatvfs),
        ):
            yield self

    def heal(self) -> None:
        """Let all succeed from now on."""
        self.room = self.dead = self.between = self.free = None
        self.names = 0
        self._descriptor = -1

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is going to fail."""
        return self.room is None and self.dead is None and not self.names and not self.between

    def _allowed(self, file: int, count: int) -> int:
        """Return how many bytes may be written."""
        act, self.between = self.between, None
        if act is not None:
            act()
        if self.dead is not None:
            if self._descriptor < 0:
                self._descriptor = file
            if self._descriptor == file:
                raise _error(self.dead)
        if self.room is None:
            return count
        allowed = min(count, self.room)
        if not allowed:
            raise _error(errno.ENOSPC)
        self.room -= allowed
        return allowed

    def splice(
        self,
        source: int,
        target: int,
        count: int,
        offset_src: int | None = None,
        offset_dst: int | None = None,
        flags: int = 0,
    ) -> int:
        """See os.splice."""
        if offset_dst is not None:
            count = self._allowed(target, count)
            self._splices += 1
            if self._loses and self._splices % _LOSES_ONE_OF == 0:
                os.read(source, 1)
        return self._splice(source, target, count, offset_src, offset_dst, flags)

    def pwrite(self, file: int, data: Any, offset: int) -> int:
        """See os.pwrite."""
        return self._pwrite(file, data[: self._allowed(file, len(data))], offset)

    def fstatvfs(self, descriptor: int) -> os.statvfs_result:
        """See os.fstatvfs."""
        found = self._fstatvfs(descriptor)
        if self.free is None:
            return found
        free = max(0, self.free()) // found.f_frsize
        # (the number of the file system is no part of the sequence)
        fields = (*found[:4], free, *found[5:], found.f_fsid)
        return os.statvfs_result(fields)

    def close(self, descriptor: int) -> None:
        """See os.close."""
        if descriptor == self._descriptor:
            self.dead, self._descriptor = None, -1
        self._close(descriptor)

    def rename(self, source: str, target: str) -> None:
        """See os.rename."""
        self._refuse_names()
        if os.path.lexists(target):
            self.removing(target)
        self._rename(source, target)

    def unlink(self, path: str) -> None:
        """See os.unlink."""
        self._refuse_names()
        self.removing(path)
        self._unlink(path)

    def remove(self, path: str) -> None:
        """Remove a file as another program does."""
        self._unlink(path)

    def move(self, source: str, target: str) -> None:
        """Rename a file as another program does."""
        self._rename(source, target)

    def _refuse_names(self) -> None:
        if self.names:
            self.names -= 1
            raise _error(errno.EACCES)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
