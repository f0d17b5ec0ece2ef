"""Keeps the inode numbers of removed files taken, so that no new file of their log gets them.

A small file stays open when its name is removed. A larger one is let go, for its room; if the next
file gets its number, the name of that is removed, and it stays open, empty, while another is made.
Only a few descriptors may be used so: whoever came first gives his up.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Hashable

from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory
from twisted_virtlog.logs.files.removal import HOLD_FLAGS, close_quietly, has_ample_room

#: Descriptors for all logs of a thread together.
MOST = 64

#: A file up to this size is kept with what it holds: somebody may be reading it still.
SMALL_BYTES = 64 * 1024


class Placeholders:
    """Files without a name, each held for an owner."""

    def __init__(self, most: int = MOST) -> None:
        """:param most: how many are held at once."""
        self._most = most
        self._held: OrderedDict[tuple[Hashable, int], None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._held)

    def open_small(self, path: str, directory: LogDirectory = BY_PATH) -> int:
        """Open a file that is about to be removed, to hold it.

        :returns: a descriptor; -1 if it is not to be held.
        """
        try:
            file = directory.open(path, HOLD_FLAGS)
        except OSError:
            return -1
        with contextlib.suppress(OSError):
            status = os.fstat(file)
            if (
                stat.S_ISREG(status.st_mode)
                and status.st_size <= SMALL_BYTES
                and has_ample_room(file)
            ):
                return file
        close_quietly(file)
        return -1

    def hold(self, owner: Hashable, file: int) -> None:
        """Take over a descriptor."""
        self._held[owner, file] = None
        while len(self._held) > self._most:
            close_quietly(self._held.popitem(last=False)[0][1])

    def release(self, owner: Hashable) -> None:
        """Close all that are held for an owner."""
        for key in [key for key in self._held if key[0] is owner]:
            del self._held[key]
            close_quietly(key[1])

    def release_all(self) -> None:
        """Close all, as descriptors are short."""
        while self._held:
            close_quietly(self._held.popitem()[0][1])


class _OfThread(threading.local):
    """What each thread has."""

    def __init__(self) -> None:
        self.placeholders = Placeholders()


_of_thread = _OfThread()


def placeholders() -> Placeholders:
    """Return this thread's: to close one may wait for a file system that does not answer."""
    return _of_thread.placeholders
