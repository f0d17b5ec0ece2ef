"""Removes a log's old files, without making the reactor wait until a large one's data is freed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from functools import partial

#: What ext4 frees in a millisecond or two. To have another thread do it costs a tenth of that.
LARGE_BYTES = 4 * 1024 * 1024

# Of O_PATH: it needs no right to read, and keeps the data all the same.
_HOLD_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

#: Calls what it is given, in another thread or later.
Later = Callable[[Callable[[], None]], object]


class Remover:
    """Removes a file's name at once, and has ``later`` free the data of a large one."""

    def __init__(self, later: Later) -> None:
        self._later = later

    def __call__(self, path: str) -> int:
        """Remove a file, if there is one.

        :returns: its inode; 0 if there is none.
        :raises OSError: it cannot be removed.
        """
        try:
            status = os.lstat(path)
            held = _hold(path) if _is_large(status) else -1
            try:
                os.unlink(path)
            finally:
                if held >= 0:
                    self._later(partial(os.close, held))
        except FileNotFoundError:
            return 0
        return status.st_ino


#: Waits for the data of large files, too.
AT_ONCE = Remover(lambda call: call())


def _is_large(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size >= LARGE_BYTES


def _hold(path: str) -> int:
    """Open a file so that its data outlives its name; -1 if there is no descriptor for it."""
    with contextlib.suppress(OSError):
        return os.open(path, _HOLD_FLAGS)
    return -1
