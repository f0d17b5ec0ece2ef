"""What a thread is about to drop: counted by the next process if this one is killed meanwhile.

Nothing else tells of a byte that is dropped, so each goes through a pipe that outlives the process,
and is counted before it is thrown away. While bytes enter that pipe, the record says of which log
they are and what was counted of it before: what is in the pipe comes on top. Once they are counted
the record says so, and what is still in the pipe is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted_virtlog.logs.accounts.account import ELSEWHERE_REASONS, Account
from twisted_virtlog.logs.accounts.layout import (
    COUNTED,
    DROP_BEFORE,
    DROP_COUNT,
    DROP_LOG,
    DROP_PIPE,
    DROP_STATE,
    DROPPED,
    DROPPING,
    ELSEWHERE,
    KEY,
    NO_DROP,
    ROWS,
    SLOT,
    TAKING,
    USED,
)
from twisted_virtlog.logs.accounts.slots import Slot
from twisted_virtlog.values import DropReason

_REASONS = tuple(DropReason)


class DropRecord:
    """The record of one thread, in a slot of its own."""

    def __init__(self, words: memoryview, slot: int, pipe: int) -> None:
        """Take a slot of zeros.

        :param words: of the memory.
        :param slot: the first word of the slot.
        :param pipe: the inode number of the pipe through which the bytes go.
        """
        self.slot = slot
        self._words = words
        words[slot + DROP_PIPE] = pipe
        words[slot + KEY] = DROPPING

    def counts(self, account: Account) -> bool:
        """Return whether an account is in the memory in which the record is."""
        return account.words is self._words

    def begin(self, account: Account, reason: DropReason, elsewhere: bool) -> None:
        """Note that bytes are about to enter the pipe, which is empty.

        :param elsewhere: the thread is not that of the log.
        """
        words, slot = self._words, self.slot
        if elsewhere:
            count = ELSEWHERE + ELSEWHERE_REASONS.index(reason)
            before = words[account.slot + count]
        else:
            count = DROPPED + _REASONS.index(reason)
            before = words[account.at + count]
        words[slot + DROP_LOG] = account.slot
        words[slot + DROP_COUNT] = count
        words[slot + DROP_BEFORE] = before
        words[slot + DROP_STATE] = TAKING

    def counted(self) -> None:
        """Note that what is in the pipe is counted."""
        self._words[self.slot + DROP_STATE] = COUNTED

    def end(self) -> None:
        """Note that the pipe is empty."""
        self._words[self.slot + DROP_STATE] = NO_DROP


def count_dropped(words: memoryview, waiting: Mapping[int, int]) -> None:
    """Count what a former process was dropping when it was killed.

    This may itself be interrupted at any moment, and be done again.

    :param waiting: how many bytes are in each pipe that outlived it, by inode numbers.
    """
    for slot in range(SLOT, words[USED], SLOT):
        if words[slot + KEY] != DROPPING or words[slot + DROP_STATE] != TAKING:
            continue
        more = waiting.get(words[slot + DROP_PIPE])
        if more is not None:
            log, count = words[slot + DROP_LOG], words[slot + DROP_COUNT]
            total = words[slot + DROP_BEFORE] + more
            if count < ROWS:
                words[log + count] = total
            else:
                account = Slot(words, log)
                row = account.row()
                row[count] = total
                account.hold(row)
        words[slot + DROP_STATE] = COUNTED
