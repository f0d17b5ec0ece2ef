"""Adds up what all logs have written and lost, in slices, while logs are opened and closed."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Sequence
from typing import Protocol

from twisted_virtlog.logs.accounts.account import ELSEWHERE_REASONS
from twisted_virtlog.logs.accounts.layout import (
    DROP_REASONS,
    DROPPED,
    ELSEWHERE,
    END,
    KIND,
    KINDS,
    START,
    WRITTEN,
)
from twisted_virtlog.logs.accounts.slots import Slot, active_row
from twisted_virtlog.values import ByteSums, Dropped, DropReason, Written

#: So many logs are added up before others are served.
_LOGS_AT_ONCE = 32

#: Those of the reasons that have words of their own, among all.
_ELSEWHERE = [tuple(DropReason).index(reason) for reason in ELSEWHERE_REASONS]


class Parts(Protocol):
    """What all accounts consist of; see Accounts."""

    def parts(self) -> tuple[array[int], Sequence[Slot]]:
        """Return the words of the logs that are closed, and the accounts of the others."""


def summed(accounts: Parts) -> Generator[None, None, ByteSums]:
    """Add up; a log that is closed meanwhile is counted once, and so is one that is opened."""
    closed, accounts_open = accounts.parts()
    counted: dict[Slot, array[int]] = {}
    sums = array("q", bytes(8 * (KINDS + DROP_REASONS)))
    for start in range(0, len(accounts_open), _LOGS_AT_ONCE):
        for account in accounts_open[start : start + _LOGS_AT_ONCE]:
            counted[account] = counts = _counts(account.content())
            _add(sums, counts, 1)
        yield
    closed_now, open_now = accounts.parts()
    if closed_now != closed or len(open_now) != len(accounts_open):
        present = set(open_now)
        for account in counted.keys() - present:
            # (its bytes are among those of the closed ones, or it had none)
            _add(sums, counted[account], -1)
        for account in present - counted.keys():
            _add(sums, _counts(account.content()), 1)
    _add(sums, _counts(closed_now, of_log=False), 1)
    # (to free them all at once takes a millisecond)
    while counted:
        yield
        for _ in range(min(_LOGS_AT_ONCE, len(counted))):
            counted.popitem()
    return ByteSums(Written(*sums[:KINDS]), Dropped(*sums[KINDS:]))


def _counts(words: array[int], of_log: bool = True) -> array[int]:
    """Return what a slot has of bytes written, by kind, and lost, by reason.

    :param of_log: the slot is that of a log, and not of all that are closed.
    """
    row = active_row(words)
    written, lost = row[WRITTEN : WRITTEN + KINDS], row[DROPPED : DROPPED + DROP_REASONS]
    if of_log:
        # (what is in the current file is counted by its end alone)
        written[row[KIND]] += row[END] - row[START]
        for at, reason in enumerate(_ELSEWHERE, ELSEWHERE):
            lost[reason] += words[at]
    return written + lost


def _add(sums: array[int], counts: array[int], sign: int) -> None:
    for at, count in enumerate(counts):
        sums[at] += sign * count
