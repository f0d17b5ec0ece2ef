"""Keeps a log's new files from getting the inode numbers of those that were removed lately.

File systems give such a number away again, ext4 to the very next file. A reader with a position
without a birth in the removed file would go on in the new one, and not be told of the gap. What
holds a number while its file has no name is in placeholders.py.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory
from twisted_virtlog.logs.files.placeholders import SMALL_BYTES, placeholders
from twisted_virtlog.logs.files.removal import close_quietly
from twisted_virtlog.values import MAX_BACKUPS

#: A position without a birth, in a file that was removed more files ago than these, may be taken
#: for one in another file.
_REMEMBERED_INODES = MAX_BACKUPS + 8

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

    __slots__ = ("_inodes", "_replaced_at")

    def __init__(self, inodes: Sequence[int] = ()) -> None:
        """Go on with what another process remembered."""
        self._inodes = deque(inodes, _REMEMBERED_INODES)
        self._replaced_at = _LONG_AGO

    @property
    def inodes(self) -> Sequence[int]:
        """The numbers that no new file is to get."""
        return self._inodes

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
        while tries and self._is_taken_for_removed(file):
            placeholders().hold(self, file)
            unmake()
            file = make()
            tries -= 1
        return file

    def _is_taken_for_removed(self, file: int) -> bool:
        status = os.fstat(file)
        return status.st_size == 0 and status.st_ino in self._inodes

    def release(self) -> None:
        """Let go of the descriptors that are held for the log."""
        placeholders().release(self)
