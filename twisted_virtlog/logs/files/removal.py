"""Removes a log's old files, without making the reactor wait until a large one's data is freed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from functools import partial
from typing import Protocol

from twisted_virtlog.logs.files.log_directory import BY_PATH

#: From this size on another thread is to free a file's data: it takes longer than telling a thread.
LARGE_BYTES = 256 * 1024

#: The same limit where there is only one processor, and the thread keeps the reactor waiting.
LARGE_BYTES_ALONE = 4 * 1024 * 1024

#: Where a file system has less room than this, a file's room is given back at once: whoever removes
#: a file for the sake of the next one is to find the room that it had.
AMPLE_BYTES = 256 * 1024 * 1024

#: O_PATH needs no right to read, and keeps the data all the same.
HOLD_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

#: Calls what it is given, in another thread or later.
Later = Callable[[Callable[[], None]], object]


class Patient(Protocol):
    """A thread that stands back for the reactor's."""

    @property
    def is_busy(self) -> bool:
        """Whether it has anything to do."""

    def call(self, call: Callable[[], object]) -> None:
        """Call something in its turn."""


class Names(Protocol):
    """The names by which files are removed: their paths, or those in one directory."""

    def open(self, path: str, flags: int) -> int:
        """Return a new descriptor of a file."""

    def lstat(self, path: str) -> os.stat_result:
        """Return the status of what has a name."""

    def unlink(self, path: str) -> None:
        """Remove a name."""


class Remover:
    """Removes a file's name at once, and has ``later`` free the data of a large one."""

    def __init__(self, later: Later, processors: int, patient: Patient | None = None) -> None:
        """Remove nothing yet.

        :param processors: how many the process may use.
        :param patient: frees in its turn what is not so large, while it is busy anyhow.
        """
        self._later = later
        self._large = LARGE_BYTES if processors > 1 else LARGE_BYTES_ALONE
        self._patient = patient

    def __call__(self, path: str, directory: Names = BY_PATH) -> int:
        """Remove a file, if there is one.

        :returns: its inode; 0 if there is none.
        :raises OSError: it cannot be removed.
        """
        inode, held = 0, -1
        # Whatever is wrong, unlink(2) reports it, as virtlogd does.
        with contextlib.suppress(OSError):
            status = directory.lstat(path)
            inode = status.st_ino
            if stat.S_ISREG(status.st_mode) and status.st_size >= self._least:
                held = directory.open(path, HOLD_FLAGS)
        try:
            directory.unlink(path)
        except FileNotFoundError:
            return 0
        finally:
            if held >= 0:
                self._let_go(held, status.st_size)
        return inode

    @property
    def _least(self) -> int:
        """From which size on another thread is to free a file's data now."""
        patient = self._patient
        return self._large if patient is None or not patient.is_busy else LARGE_BYTES

    def _let_go(self, held: int, size: int) -> None:
        patient = self._patient
        if not has_ample_room(held):
            os.close(held)
        elif patient is not None and patient.is_busy and size < LARGE_BYTES_ALONE:
            patient.call(partial(os.close, held))
        else:
            self._later(partial(os.close, held))


#: Frees the data of large files in the caller's thread, too.
AT_ONCE = Remover(lambda call: call(), 1)


def close_quietly(file: int) -> None:
    """Close a descriptor, if there is one: -1 means that there is not.

    Linux closes it even when it reports an error of a write that was put off (NFS).
    """
    if file >= 0:
        with contextlib.suppress(OSError):
            os.close(file)


def has_ample_room(file: int) -> bool:
    """Return whether an open file's file system has it; False if it cannot be asked."""
    with contextlib.suppress(OSError):
        room = os.fstatvfs(file)
        return room.f_bavail * room.f_frsize >= AMPLE_BYTES
    return False
