"""The counts of all logs: a slot for each that is open, and one for all that are not.

The first slot is that of the logs that are closed. A log that is closed is added to it, and its own
slot is free then. Between the two the first slot says whose was added, so that whoever finds it
after a kill does not add it again.

An account belongs to the thread that has its log. All else here any thread may ask for.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable

from msgspec import structs

from twisted_virtlog.logs.accounts.account import Account, ledger_of, now_us, time_of
from twisted_virtlog.logs.accounts.layout import (
    CLOSED,
    DROP_REASONS,
    DROPPED,
    KEY,
    KINDS,
    SINCE,
    SLOT,
    UNNAMED,
    WORD_BYTES,
    WRITTEN,
)
from twisted_virtlog.logs.accounts.memory import Memory
from twisted_virtlog.logs.accounts.slots import Slot, active_row
from twisted_virtlog.values import (
    Dropped,
    DropReason,
    Intake,
    Ledger,
    Outside,
    RemovedBytes,
    Storage,
    Written,
)

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

    def __init__(self) -> None:
        """Count nothing yet."""
        self._words = Memory().words
        self._lock = threading.Lock()
        self._closed = Slot(self._words, 0)
        self._words[SINCE] = now_us()
        self._free: list[int] = []
        # The first slot that was never used.
        self._next = SLOT
        # By the numbers of their pipes, and those of logs that have none.
        self._open: dict[int, Account] = {}
        self._unnamed: set[Account] = set()

    def make(self) -> Account:
        """Return an account of a log that has no pipe yet, or never."""
        with self._lock:
            slot = self._free.pop() if self._free else self._next
            if slot + SLOT > len(self._words):
                # (such a log is counted, and not with the others)
                return account_alone()
            if slot == self._next:
                self._next += SLOT
            account = Account(self._words, slot)
            account.number = UNNAMED
            self._unnamed.add(account)
            return account

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
        known = (self._open.get(number) for number in numbers)
        return next((account for account in known if account is not None), None) or self.make()

    def drop_elsewhere(self, number: int, count: int, reason: DropReason) -> None:
        """Count what was dropped of a log by another thread than its own, in that thread.

        :param number: of its guest's pipe.
        """
        account = self._open.get(number)
        if account is not None:
            account.drop_elsewhere(count, reason)

    def close(self, account: Account) -> None:
        """Add what a log had to what is counted of all, as it is closed; its account is gone."""
        with self._lock:
            self._open.pop(account.number, None)
            self._unnamed.discard(account)
            if account.words is not self._words:
                return
            words, slot, closed = self._words, account.slot, self._closed
            row = closed.row()
            _add(row, ledger_of(account.content()))
            row[CLOSED] = slot
            closed.hold(row)
            words[slot + KEY] = 0
            words[slot : slot + SLOT] = _ZEROS
            words[closed.at + CLOSED] = 0
            self._free.append(slot)

    def parts(self) -> tuple[array[int], list[Account]]:
        """Return the words of the logs that are closed, and the accounts of the others."""
        with self._lock:
            return self._closed.content(), [*self._open.values(), *self._unnamed]

    def all_together(self) -> Ledger:
        """Return what was counted of all logs, but for what waits and what is in files."""
        content, accounts = self.parts()
        row = active_row(content)
        for account in accounts:
            _add(row, ledger_of(account.content()))
        dropped = Dropped(*row[DROPPED : DROPPED + DROP_REASONS])
        written = Written(*row[WRITTEN : WRITTEN + KINDS])
        intake = Intake(written.guest + dropped.total, dropped, 0)
        return structs.replace(
            NO_LEDGER, since=time_of(content[SINCE]), intake=intake, written=written
        )


def _add(row: array[int], ledger: Ledger) -> None:
    """Add what a log had to the row of those that are closed."""
    written, dropped = ledger.written, ledger.intake.dropped
    for at, count in enumerate((written.guest, written.appended, written.notices), WRITTEN):
        row[at] += count
    for at, reason in enumerate(DropReason, DROPPED):
        row[at] += dropped.of(reason)
