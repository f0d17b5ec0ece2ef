"""The memory in which logs are counted."""

from __future__ import annotations

import mmap

from twisted_virtlog.logs.accounts.layout import SLOT, WORD_BYTES

#: Room for so many logs; what is not used takes no memory.
MOST_SLOTS = 32 * 1024

_BYTES = MOST_SLOTS * SLOT * WORD_BYTES


class Memory:
    """Words of zero to begin with.

    :ivar words: signed ones of 64 bits.
    """

    def __init__(self) -> None:
        """Take memory that ends with the process."""
        private = mmap.mmap(-1, _BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.words = memoryview(private).cast("q")
