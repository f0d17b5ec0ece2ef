"""The memory in which logs are counted: the process's own, or a file in memory, which outlives it.

The kernel has what the process stored there at any moment, so that a kill takes nothing with it. No
page of it is missing when it is used: a store to one that the system cannot have would end the
process. So the pages are had before, by a call that fails.
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress

from twisted_virtlog.logs.accounts.layout import SLOT, WORD_BYTES

#: Room for so many logs; what is not used takes no memory.
_MOST_SLOTS = 32 * 1024

SLOT_BYTES = SLOT * WORD_BYTES
_BYTES = _MOST_SLOTS * SLOT_BYTES

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Memory:
    """Words of zero to begin with, or as another process left them.

    :ivar words: signed ones of 64 bits.
    :ivar file: a descriptor of the file; None if there is none.
    """

    def __init__(self, file: int | None = None) -> None:
        """Take memory that ends with the process, or a file, which is the memory's from now on.

        :raises OSError: the file cannot be had in memory; it is closed.
        """
        self.file = file
        if file is None:
            taken = mmap.mmap(-1, _BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        else:
            try:
                if os.fstat(file).st_size != _BYTES:
                    os.ftruncate(file, _BYTES)
                self.reserve(SLOT_BYTES)
                taken = mmap.mmap(file, _BYTES)
            except BaseException:
                os.close(file)
                raise
        self.words = memoryview(taken).cast("q")

    def reserve(self, end: int) -> None:
        """Have all memory below a byte.

        :raises OSError: there is no room for it.
        """
        if end > _BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.file is not None:
            os.posix_fallocate(self.file, 0, end)

    def close(self) -> None:
        """Close the file; what is in it stays with whoever has it, too."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def this_boot() -> int:
    """Return a number of this start of the system; 0 if it has none."""
    with suppress(OSError, ValueError), open(_BOOT_ID, encoding="ascii") as file:
        # (as much as fits into a word)
        return int(file.read().strip().replace("-", "")[:15], 16)
    return 0
