"""Bytes that one thread drops: they are counted before they are thrown away.

Where a keeper keeps pipes, they go through one that it has too, the *drop pipe*, as nothing else
would tell of them after a kill: see accounts/drop_record.py. The pipe is empty between two calls.
As long as the keeper does not have it nobody waits for that: the bytes go to /dev/null at once, as
they do where nothing is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from twisted_virtlog.handover.keeper import NO_KEEPER, StagingKeeper
from twisted_virtlog.logs.accounts.account import Account
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.drop_record import DropRecord
from twisted_virtlog.syscalls import pipe_number, set_pipe_capacity
from twisted_virtlog.values import DropReason

#: What the drop pipe holds where the kernel allows it.
_CAPACITY_BYTES = 256 * 1024


class _DropPipe:
    """The drop pipe, with the record of what enters it.

    :ivar is_kept: returns whether the keeper has it by now.
    """

    def __init__(
        self, read_end: int, write_end: int, record: DropRecord, is_kept: Callable[[], bool]
    ) -> None:
        self.read_end = read_end
        self.write_end = write_end
        self.record = record
        self.is_kept = is_kept


class Drops:
    """What one thread drops; all is for that thread alone."""

    def __init__(self, accounts: Accounts | None = None, keeper: StagingKeeper = NO_KEEPER) -> None:
        """Make what bytes are thrown into, /dev/null, and no drop pipe yet.

        :param accounts: of all logs; None if none of them outlive the process.
        :param keeper: keeps the drop pipe.
        """
        self._accounts = accounts
        self._keeper = keeper
        self._is_prepared = False
        self._pipe: _DropPipe | None = None
        self.sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def prepare(self) -> None:
        """Make the drop pipe and have it kept, once; that nobody can is no mistake."""
        if self._is_prepared or self._accounts is None:
            return
        self._is_prepared = True
        with suppress(OSError):
            # (no descriptor is left)
            self._make(self._accounts)

    def _make(self, accounts: Accounts) -> None:
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        is_kept = self._keeper.dropping(read_end)
        record = None if is_kept is None else accounts.drop_record(pipe_number(read_end))
        if is_kept is None or record is None:
            os.close(read_end)
            os.close(write_end)
            return
        with suppress(OSError):
            # (the user's other pipes use up the limit)
            set_pipe_capacity(read_end, _CAPACITY_BYTES)
        self._pipe = _DropPipe(read_end, write_end, record, is_kept)

    def drop(
        self,
        pipe: int,
        count: int,
        account: Account,
        reason: DropReason,
        last: Callable[[bytes], object] | None = None,
        elsewhere: bool = False,
    ) -> int:
        """Take up to ``count`` bytes out of a pipe, and lose and count them; never waits.

        :param pipe: is non-blocking.
        :param account: of their log.
        :param last: is told the last of so many bytes, if the pipe held as many.
        :param elsewhere: the thread is not that of the log; see Account.drop_elsewhere.
        :returns: how many were taken; fewer if the pipe held fewer.
        """
        self.prepare()
        kept, dropped = self._pipe, 0
        if kept is None or not kept.record.counts(account) or not kept.is_kept():
            kept = None
        while dropped < count:
            most = count - dropped
            if kept is None:
                moved = self._throw(pipe, most, last)
                _count(account, moved, reason, elsewhere)
            else:
                kept.record.begin(account, reason, elsewhere)
                moved = _spliced(pipe, kept.write_end, most)
                if moved:
                    _count(account, moved, reason, elsewhere)
                    kept.record.counted()
                    self._throw(kept.read_end, moved, last if moved == most else None)
                kept.record.end()
            if not moved:
                break
            dropped += moved
        return dropped

    def _throw(self, pipe: int, most: int, last: Callable[[bytes], object] | None) -> int:
        """Throw away up to ``most`` bytes that are in a pipe; return how many."""
        if last is None:
            return _spliced(pipe, self.sink, most)
        # (to read one byte takes one call less than to look at it first)
        thrown = _spliced(pipe, self.sink, most - 1) if most > 1 else 0
        if thrown == most - 1:
            with suppress(BlockingIOError):
                byte = os.read(pipe, 1)
                if byte:
                    last(byte)
                    thrown += 1
        return thrown

    def close(self) -> None:
        """Close all; the keeper lets go of the drop pipe."""
        os.close(self.sink)
        kept, self._pipe = self._pipe, None
        if kept is not None:
            self._keeper.dropping_ended(pipe_number(kept.read_end))
            if self._accounts is not None:
                self._accounts.drop_record_ended(kept.record)
            os.close(kept.read_end)
            os.close(kept.write_end)


def _spliced(pipe: int, write_end: int, most: int) -> int:
    """Move bytes from a pipe; return how many."""
    try:
        return os.splice(pipe, write_end, most, flags=os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return 0


def _count(account: Account, count: int, reason: DropReason, elsewhere: bool) -> None:
    if elsewhere:
        account.drop_elsewhere(count, reason)
    elif count:
        account.drop(count, reason)
