"""Keeps a log's new files from getting the inode numbers of those that were removed lately.

File systems give such a number away again, ext4 to the very next file. A reader with a position
without a birth in the removed file would go on in the new one, and not be told of the gap. What
holds a number while its file has no name is in placeholders.py.

A packed file is still asked for by the number of the one that it was, so no new file may get that,
however often files are replaced.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory
from twisted_virtlog.logs.files.placeholders import SMALL_BYTES, placeholders
from twisted_virtlog.logs.files.removal import close_quietly
from twisted_virtlog.values import MAX_BACKUPS

#: A position without a birth, in a file that was removed more files ago than these, may be taken
#: for one in another file. (A packed file was removed as well, and may be there for as long as all
#: backups are.)
_REMEMBERED_INODES = 2 * MAX_BACKUPS + 8

#: A log that rolls over more often is flooded. To make one file more costs some 50 microseconds on
#: ext4, which it does only once for a new file.
_CALM_SECONDS = 1.0

# One object for all logs.
_LONG_AGO = -_CALM_SECONDS


class Remove(Protocol):
    """Removes a file."""

    def __call__(self, path: str, directory: LogDirectory) -> int:
        """Return the inode number of the file, or 0 if there was none.

        :raises OSError: it cannot be removed.
        """


class RemovedFiles:
    """The files of one log that were removed lately, by their inode numbers, oldest first."""

    __slots__ = ("_inodes", "_packed", "_replaced_at")

    def __init__(self, inodes: Sequence[int] = ()) -> None:
        """Go on with what another process remembered."""
        self._inodes = deque(inodes, _REMEMBERED_INODES)
        # One object for all logs of which nothing is packed.
        self._packed: Collection[int] = ()
        self._replaced_at = _LONG_AGO

    @property
    def inodes(self) -> Sequence[int]:
        """The numbers that no new file is to get."""
        return self._inodes

    def set_packed(self, inodes: Collection[int]) -> None:
        """Take note which numbers the packed files of the log had before; there are no others."""
        self._packed = inodes

    def add_packed(self, inode: int) -> None:
        """Take note of the number that a file had which is packed now."""
        self._packed = {*self._packed, inode}

    def forget_packed(self, inode: int) -> None:
        """Take note that a packed file is removed, by the number that it had before."""
        self._packed = {one for one in self._packed if one != inode}
        self._inodes.append(inode)

    def remove(
        self,
        path: str,
        remove: Remove,
        max_size: int,
        directory: LogDirectory = BY_PATH,
    ) -> None:
        """Remove a file, and remember its number.

        :param max_size: of the log's files, in bytes; 0 if there is no limit.
        :param directory: reaches the file.
        :raises OSError: it cannot be removed.
        """
        held = placeholders().open_small(path, directory) if 0 < max_size <= SMALL_BYTES else -1
        inode = 0
        try:
            inode = remove(path, directory)
        finally:
            if inode and held >= 0:
                placeholders().hold(self, held)
            else:
                close_quietly(held)
        if inode:
            self._inodes.append(inode)

    def replace(self, make: Callable[[], int], unmake: Callable[[], object]) -> int:
        """Make a file, and make it again while it has the number of one that was removed.

        :param make: makes it, or opens what is there; returns its descriptor.
        :param unmake: removes its name.
        :returns: the descriptor.
        """
        tries = 0
        if self._inodes:
            now = time.monotonic()
            tries = _REMEMBERED_INODES if now - self._replaced_at >= _CALM_SECONDS else 1
            self._replaced_at = now
        file = make()
        for number in range(_REMEMBERED_INODES):
            if not self._is_taken_for_another(file, number < tries):
                break
            placeholders().hold(self, file)
            unmake()
            file = make()
        return file

    def _is_taken_for_another(self, file: int, counts_removed: bool) -> bool:
        """Return whether a new file has the number of one that was packed, or was removed."""
        if not counts_removed and not self._packed:
            return False
        status = os.fstat(file)
        if status.st_size:
            return False
        inode = status.st_ino
        return inode in self._packed or (counts_removed and inode in self._inodes)

    def release(self) -> None:
        """Let go of the descriptors that are held for the log."""
        placeholders().release(self)
