"""The counts of all logs: a slot for each that is open, and one for all that are not.

The first slot is that of the logs that are closed. A log that is closed is added to it, and its own
slot is free then. Between the two the first slot says whose was added, so that whoever finds it
after a kill does not add it again.

An account belongs to the thread that has its log. All else here any thread may ask for.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Collection, Iterable

from msgspec import structs

from twisted_virtlog.logs.accounts.account import Account, now_us, sums_of, time_of
from twisted_virtlog.logs.accounts.drop_record import DropRecord
from twisted_virtlog.logs.accounts.layout import (
    BEGINNING,
    BOOT,
    CLOSED,
    DROPPING,
    KEY,
    SINCE,
    SLOT,
    UNNAMED,
    USED,
    WORD_BYTES,
    WRITTEN,
)
from twisted_virtlog.logs.accounts.memory import Memory
from twisted_virtlog.logs.accounts.slots import Slot
from twisted_virtlog.values import (
    ByteSums,
    Dropped,
    DropReason,
    Intake,
    Ledger,
    Outside,
    RemovedBytes,
    Storage,
    Written,
)

#: Memory is had for so many logs at once.
_WORDS_AT_ONCE = 127 * SLOT

_ZEROS = memoryview(array("q", bytes(SLOT * WORD_BYTES)))

#: That of no logs.
NO_LEDGER = Ledger(
    time_of(0),
    Intake(0, Dropped(), 0),
    Written(),
    Storage(0, 0, 0, RemovedBytes(), Outside()),
    {},
    True,
)


def account_alone() -> Account:
    """Return an account that belongs to no others."""
    return Account(memoryview(bytearray(SLOT * WORD_BYTES)).cast("q"), 0)


class Accounts:
    """The accounts of all logs."""

    def __init__(self, memory: Memory | None = None, boot: int = 0) -> None:
        """Go on with what another process counted.

        :param memory: in which that is; by default one that ends with this process.
        :param boot: a number of this start of the system: what was counted before is no more.
        """
        self._memory = memory = memory or Memory()
        words = self._words = memory.words
        self._lock = threading.Lock()
        self._closed = Slot(words, 0)
        self._free: list[int] = []
        # By the numbers of their pipes, and those of logs that have none.
        self._open: dict[int, Account] = {}
        self._unnamed: set[Account] = set()
        # Slots of another process by the numbers of their pipes, with which nobody goes on yet.
        self._left: dict[int, Slot] = {}
        # So many words can be used.
        self._reserved = SLOT
        if words[KEY] == BEGINNING and words[BOOT] == boot:
            self._find()
            return
        # (from the last to the first, so that a kill in between leaves it as not begun)
        words[KEY] = 0
        words[:SLOT] = _ZEROS
        words[USED] = SLOT
        words[BOOT] = boot
        words[SINCE] = now_us()
        words[KEY] = BEGINNING

    def _find(self) -> None:
        """Find what another process has counted."""
        words = self._words
        counted = words[self._closed.at + CLOSED]
        if counted:
            # (and may not be free yet)
            words[counted + KEY] = 0
        for first in range(SLOT, words[USED], SLOT):
            if words[first + KEY] == UNNAMED:
                # (a message that was being appended to a log that was not open)
                self._add(Slot(words, first))
            elif words[first + KEY] == DROPPING:
                # (what it was about is counted by now, see drop_record.count_dropped)
                self._empty(first)
            elif words[first + KEY]:
                self._left[words[first + KEY]] = Slot(words, first)
            else:
                self._empty(first)

    @property
    def file(self) -> int | None:
        """A descriptor of what is counted, for the next image; None if it ends with the process."""
        return self._memory.file

    def keep_only(self, numbers: Collection[int]) -> None:
        """Count the logs as closed with which nobody goes on that had them in another process.

        :param numbers: of the pipes of those that somebody goes on with, now or soon.
        """
        with self._lock:
            gone = [number for number in self._left if number not in numbers]
            for number in gone:
                self._add(self._left.pop(number))

    def end(self) -> None:
        """Let go of the memory; nobody counts any more."""
        self._memory.close()

    def make(self) -> Account:
        """Return an account of a log that has no pipe yet, or never."""
        with self._lock:
            slot = self._free_slot()
            if slot is None:
                return account_alone()
            account = Account(self._words, slot)
            account.number = UNNAMED
            self._unnamed.add(account)
            return account

    def _free_slot(self) -> int | None:
        """Take a slot; None if there is no memory for it."""
        return self._free.pop() if self._free else self._new_slot()

    def _new_slot(self) -> int | None:
        """Take a slot that was never used; None if there is no memory for it.

        A log without is counted all the same, and not with the others.
        """
        slot: int = self._words[USED]
        end = slot + SLOT
        try:
            if end > self._reserved:
                self._memory.reserve((end + _WORDS_AT_ONCE) * WORD_BYTES)
                self._reserved = end + _WORDS_AT_ONCE
        except OSError:
            return None
        self._words[USED] = end
        return slot

    def name(self, account: Account, number: int) -> None:
        """Say which pipe's guest has the log now.

        :param number: the pipe's inode number.
        """
        with self._lock:
            self._open.pop(account.number, None)
            self._unnamed.discard(account)
            account.number = number
            self._open[number] = account

    def adopt(self, numbers: Iterable[int]) -> Account:
        """Return the account of a log that somebody goes on with.

        :param numbers: of its pipes, the present one's first.
        """
        for number in numbers:
            account = self._open.get(number)
            if account is not None:
                return account
            with self._lock:
                left = self._left.pop(number, None)
                if left is not None:
                    account = self._open[number] = Account(self._words, left.slot)
                    return account
        return self.make()

    def account_of(self, number: int) -> Account:
        """Return the account of a log, to count what another thread than its own drops.

        :param number: of its guest's pipe.
        :returns: if it has none, one that belongs to no others.
        """
        with self._lock:
            account, left = self._open.get(number), self._left.get(number)
        if account is not None:
            return account
        return account_alone() if left is None else Account(self._words, left.slot)

    def drop_elsewhere(self, number: int, count: int, reason: DropReason) -> None:
        """Count what was dropped of a log by another thread than its own, in that thread.

        :param number: of its guest's pipe.
        """
        self.account_of(number).drop_elsewhere(count, reason)

    def drop_record(self, pipe: int) -> DropRecord | None:
        """Return a record of what a thread drops; None if there is no memory for it.

        :param pipe: the inode number of the pipe through which the bytes go.
        """
        with self._lock:
            slot = self._free_slot()
            return None if slot is None else DropRecord(self._words, slot, pipe)

    def drop_record_ended(self, record: DropRecord) -> None:
        """Let the slot of a record be that of something else."""
        with self._lock:
            self._words[record.slot + KEY] = 0
            self._words[record.slot : record.slot + SLOT] = _ZEROS
            self._free.append(record.slot)

    def close(self, account: Account) -> None:
        """Add what a log had to what is counted of all, as it is closed; its account is gone."""
        with self._lock:
            self._open.pop(account.number, None)
            self._unnamed.discard(account)
            if account.words is self._words:
                self._add(account)

    def _add(self, log: Slot) -> None:
        """Add what a log had to what is counted of all that are closed, and free its slot."""
        sums = sums_of(log)
        # (of many logs nothing is written)
        if any(sums):
            row = self._closed.row()
            for at, count in enumerate(sums, WRITTEN):
                row[at] += count
            row[CLOSED] = log.slot
            self._closed.hold(row)
        self._empty(log.slot)

    def _empty(self, slot: int) -> None:
        """Let a slot be another log's, whose log is counted, or never was."""
        words = self._words
        words[slot + KEY] = 0
        words[slot : slot + SLOT] = _ZEROS
        words[self._closed.at + CLOSED] = 0
        self._free.append(slot)

    def parts(self) -> tuple[array[int], list[Slot]]:
        """Return the words of the logs that are closed, and what the others have."""
        with self._lock:
            others = [*self._open.values(), *self._unnamed, *self._left.values()]
            return self._closed.content(), others

    def ledger(self, sums: ByteSums) -> Ledger:
        """Return the ledger of all logs, but for what waits and what is in files.

        :param sums: of all, as they were added up.
        """
        written, dropped = sums.written, sums.dropped
        intake = Intake(written.guest + dropped.total, dropped, 0)
        since = time_of(self._words[SINCE])
        return structs.replace(NO_LEDGER, since=since, intake=intake, written=written)
