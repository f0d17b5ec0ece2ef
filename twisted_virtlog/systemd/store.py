"""Keeps open logs in the service manager's descriptor store, so that they survive any crash.

The process may be killed between any two steps, so this holds at every moment: the record of a log
is written before its pipe is stored, and when a log is closed, its pipe is removed first. A journal
is replaced by a complete one under the other name. Messages go out in order, so the manager never
has a later step without the earlier ones.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Sequence
from functools import partial

from twisted.logger import Logger

from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import Kept, OpenLogState
from twisted_virtlog.systemd.inherited import Stored
from twisted_virtlog.systemd.journal import closed_record, header, open_record, worth_replacing
from twisted_virtlog.systemd.names import (
    CONFIGURATION,
    COUNTS,
    Room,
    dropping_name,
    lane_name,
    next_journal,
    pipe_inode,
    pipe_name,
    staging_name,
)
from twisted_virtlog.systemd.notify import Notifier

_STORE = "FDSTORE=1"
_REMOVE = "FDSTOREREMOVE=1"
_BARRIER = "BARRIER=1"
_NAME = "FDNAME="

#: Without this, systemd closes a pipe when its guest ends, with what is still in it.
_NO_POLL = "FDPOLL=0"

#: Those of the journal: two while it is replaced.
_JOURNAL_DESCRIPTORS = 2

#: How much of the room is for lanes, at most and in a small store. A lane takes four, and one more
#: for each log whose bytes its file refuses. The reactor takes one of these.
_MOST_FOR_LANES = 96
_PART_FOR_LANES = 8

#: How long to wait for the manager, in milliseconds; it answers sooner unless it is busy.
_PATIENCE_MS = 10_000

#: How long a lane waits for it, whose bytes must not be in a pipe that the manager does not have.
#: To store 9,000 pipes it takes 40 s.
_LANES_PATIENCE_MS = 60_000

#: That of the configuration's text.
_CONFIGURATION_DESCRIPTORS = 1

#: That of what is counted.
_COUNTS_DESCRIPTORS = 1

_OTHERS = _JOURNAL_DESCRIPTORS + _CONFIGURATION_DESCRIPTORS + _COUNTS_DESCRIPTORS


class DescriptorStore(Keeper):
    """The keeper of logs under a service manager that keeps descriptors."""

    _logger = Logger()

    def __init__(
        self,
        notifier: Notifier,
        most: int | None,
        former: Stored | Kept | None,
        changed: Callable[[], None],
        handed_over: Sequence[OpenLogState] = (),
    ) -> None:
        """Store nothing yet.

        :param most: how many descriptors the manager keeps; None if it does not say, 0 if it keeps
            none.
        :param former: what is in the store, or what the daemon's former image said about it; None
            if that is not known.
        :param changed: called when a log was opened or closed.
        :param handed_over: the logs that the daemon's former image handed over.
        """
        self._notifier = notifier
        self._refused = most == 0
        room = None if most is None else max(0, most - _OTHERS)
        for_lanes = min(_MOST_FOR_LANES, (most or 0) // _PART_FOR_LANES)
        self._room = Room(room, for_lanes)
        self._former = former
        self._restored = {pipe_name(os.fstat(log.pipe).st_ino) for log in self.restored()}
        self._changed = changed
        self._journal: int | None = None
        # (a newer release's)
        self._left: tuple[str, ...] = former.left if former else ()
        self._left_journal, self._left_generation = _left_journal(former)
        self._has_counts = isinstance(former, Kept) and former.counts
        for name in self._left:
            self._room.add(name)
        # (one of which nothing is known may be there: it is removed)
        self._journal_name = (former.journal if former else None) or next_journal(
            None, self._left_journal
        )
        self._journal_bytes = 0
        # By pipes' inodes. Those of former guests are not counted as open logs.
        self._records: dict[int, bytes] = {}
        self._of_former: set[int] = set()
        self._record_bytes = 0
        # Pipes by inode. Some wait until the manager takes more, so that their descriptors need not
        # be duplicated; for the others the store has no room.
        self._waiting: dict[int, int] = {}
        self._left_out: dict[int, int] = {}
        # Whether the journal is one for logs that have lanes, and which do, by pipes' inodes.
        self._with_lanes = False
        self._in_lanes: set[int] = set()
        # The names of lanes' records and of staging pipes that are in the store.
        self._of_lanes: set[str] = set()
        self._told_of_lanes = False
        # What another process had staged: the staging pipe's inode number, by that of the log's.
        self._taken_over: dict[int, int] = {}
        self._take_over_staged([*self.restored(), *handed_over])
        notifier.drained = self._store_waiting

    def __len__(self) -> int:
        """Return how many logs are open."""
        return len(self._records) - len(self._of_former)

    @property
    def keeps_anything(self) -> bool:
        """Whether the manager keeps descriptors, as far as is known."""
        return not self._refused

    @property
    def left(self) -> int:
        """The number of pipes that are left in the store for a newer release."""
        return sum(pipe_inode(name) is not None for name in self._left)

    # Keeper.

    def restored(self) -> Sequence[OpenLogState]:
        return self._former.logs if isinstance(self._former, Stored) else ()

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        former, self._former = self._former, None
        pipes = {self._note(log): log.pipe for log in logs}
        gone = [self._taken_over.pop(inode) for inode in self._taken_over.keys() - pipes.keys()]
        names = {pipe_name(inode) for inode in pipes}
        if isinstance(former, Stored):
            kept = names & self._restored
            useless = {*former.useless, *(self._restored - names)}
        elif isinstance(former, Kept):
            kept = names.difference(former.unstored)
            useless = {*former.unremoved, *former.lanes}
        else:
            kept, useless = set(), set()
        # A new journal: a crash may have torn the last line of the former one.
        self._replace_journal()
        # (the new journal may have taken the name of a useless one)
        for name in useless - kept - self._of_lanes - {self._journal_name}:
            self._tell(_REMOVE, _NAME + name)
        for name in kept:
            self._room.add(name)
        for inode, pipe in pipes.items():
            if pipe_name(inode) not in kept:
                self._store(inode, pipe)
        for number in gone:
            self.unstaging(number)

    def opened(self, log: OpenLogState) -> None:
        inode = self._note(log)
        self._append_of(inode)
        self._store(inode, log.pipe)
        self._changed()

    def outage(self, log: OpenLogState) -> None:
        self._append_of(self._note(log))

    def closed(self, pipe: int) -> None:
        self._record_bytes -= len(self._records.pop(pipe))
        self._of_former.discard(pipe)
        self._in_lanes.discard(pipe)
        if (staged := self._taken_over.get(pipe)) is not None:
            self.unstaging(staged)
        if self._left_out.pop(pipe, None) is None:
            name = pipe_name(pipe)
            if self._waiting.pop(pipe, None) is None:
                self._tell(_REMOVE, _NAME + name)
            self._room.remove(name)
        self._append(closed_record(pipe))
        if self._left_out:
            self._store(*self._left_out.popitem())
        self._changed()

    def keeps(self, pipe: int) -> bool:
        if self._former is not None:
            # Not begun: all that was restored is in the store still.
            return True
        return self._journal is not None and pipe_name(pipe) in self._room

    def settled(self) -> Callable[[], object]:
        return self._barrier(_PATIENCE_MS)

    def dropping(self, read_end: int) -> Callable[[], bool] | None:
        # (a store that is too small for it loses a count, but no byte)
        name = dropping_name(os.fstat(read_end).st_ino)
        if not self._store_of_lane(name, read_end, is_told=False):
            return None
        obeyed = self._barrier_end()
        return None if obeyed is None else _Obeyed(obeyed)

    def dropping_ended(self, number: int) -> None:
        self._remove_of_lane(dropping_name(number))

    def _barrier(self, patience_ms: int) -> Callable[[], object]:
        """Return what waits until the manager has obeyed all until now."""
        read_end = self._barrier_end()
        return (
            NO_KEEPER.settled()
            if read_end is None
            else partial(_wait_for_end, read_end, patience_ms)
        )

    def _barrier_end(self) -> int | None:
        """Return a read end whose write end is closed once the manager has obeyed all until now."""
        try:
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
        except OSError:
            return None
        # Closed when all before it is obeyed (sd_notify_barrier(3)), or there is nobody to tell.
        self._tell(_BARRIER, descriptor=write_end)
        os.close(write_end)
        return read_end

    # Keeper, for lanes.

    def lane(self, record: int) -> None:
        self._store_of_lane(lane_name(os.fstat(record).st_ino), record)

    def lane_ended(self, number: int) -> None:
        self._remove_of_lane(lane_name(number))

    def staging(self, read_end: int) -> Callable[[], object]:
        if not self._store_of_lane(staging_name(os.fstat(read_end).st_ino), read_end):
            return NO_KEEPER.staging(read_end)
        return self._barrier(_LANES_PATIENCE_MS)

    def unstaging(self, number: int) -> None:
        # (the journal may go on to say whose it was, as it is there no more)
        for pipe in [pipe for pipe, staged in self._taken_over.items() if staged == number]:
            del self._taken_over[pipe]
        self._remove_of_lane(staging_name(number))

    def _take_over_staged(self, logs: Sequence[OpenLogState]) -> None:
        """Keep what another process had staged of logs, until it is written."""
        unstored = self._former.unstored if isinstance(self._former, Kept) else ()
        for log in logs:
            if log.staged is None:
                continue
            try:
                inode, number = os.fstat(log.pipe).st_ino, os.fstat(log.staged).st_ino
            except OSError:
                # (whoever takes over the log tells of it)
                continue
            self._taken_over[inode] = number
            name = staging_name(number)
            if isinstance(self._former, Stored | Kept) and name not in unstored:
                self._room.add(name, of_lane=True)
                self._of_lanes.add(name)
            else:
                self._store_of_lane(name, log.staged)

    def _store_of_lane(self, name: str, descriptor: int, is_told: bool = True) -> bool:
        if self._refused:
            return False
        if not self._room.add(name, of_lane=True):
            if is_told and not self._told_of_lanes:
                self._told_of_lanes = True
                self._logger.warn(
                    "the service manager's store is full: what is on the way to files in lanes"
                    " would not outlive the daemon; raise FileDescriptorStoreMax"
                )
            return False
        self._of_lanes.add(name)
        self._tell(_STORE, _NAME + name, _NO_POLL, descriptor=descriptor)
        return True

    def _remove_of_lane(self, name: str) -> None:
        if name in self._of_lanes:
            self._of_lanes.remove(name)
            self._room.remove(name)
            self._tell(_REMOVE, _NAME + name)

    def keep_configuration(self, text: bytes) -> None:
        """Store the text of the configuration that holds, in place of the former one."""
        try:
            with open(os.memfd_create("configuration", os.MFD_CLOEXEC), "wb") as file:
                file.write(text)
                file.flush()
                self._tell(_REMOVE, _NAME + CONFIGURATION)
                self._tell(_STORE, _NAME + CONFIGURATION, _NO_POLL, descriptor=file.fileno())
        except OSError as error:
            self._logger.warn("the configuration's text cannot be kept: {error}", error=error)

    def keep_counts(self, file: int, is_stored: bool) -> None:
        """Store what is counted of logs, in place of what was stored by its name.

        :param is_stored: it comes from the store.
        """
        if not is_stored and not self._has_counts:
            self._tell(_REMOVE, _NAME + COUNTS)
            self._tell(_STORE, _NAME + COUNTS, _NO_POLL, descriptor=file)
        self._has_counts = True

    # A hand-over to the daemon's next image, and the end.

    def suspended(self) -> Kept:
        """Return what the next image needs to know of the store."""
        unstored = [pipe_name(inode) for inode in (*self._waiting, *self._left_out)]
        unremoved = []
        for message in self._notifier.unsent:
            what, _, rest = message.partition("\n")
            name = rest.partition("\n")[0].removeprefix(_NAME)
            if what == _STORE:
                unstored.append(name)
            elif what == _REMOVE:
                unremoved.append(name)
        return Kept(
            self._journal_name,
            tuple(unstored),
            tuple(unremoved),
            self._left,
            self._left_journal,
            self._left_generation,
            tuple(sorted(self._of_lanes)),
            self._has_counts and COUNTS not in unstored,
        )

    def stopping(self) -> None:
        """Store everything that waits, as the pipes are about to be closed."""
        for inode, pipe in self._waiting.items():
            self._send(inode, pipe)
        self._waiting.clear()

    def close(self) -> None:
        """Leave the store as it is."""
        self._drop_journal()

    def _tell(self, *lines: str, descriptor: int | None = None) -> None:
        if not self._refused:
            self._notifier.send(*lines, descriptor=descriptor)

    def _note(self, log: OpenLogState) -> int:
        """Remember a log's record; return the inode of its pipe."""
        inode = os.fstat(log.pipe).st_ino
        staged = self._taken_over.get(inode)
        record = open_record(inode, log, staged)
        if staged is None and (log.details is None or log.details.lane is None):
            self._in_lanes.discard(inode)
        else:
            self._in_lanes.add(inode)
        self._record_bytes += len(record) - len(self._records.get(inode, b""))
        self._records[inode] = record
        if log.details is not None and log.details.left is not None:
            self._of_former.add(inode)
        return inode

    def _store(self, inode: int, pipe: int) -> None:
        name = pipe_name(inode)
        if self._journal is None:
            return
        if self._room.add(name):
            if self._notifier.busy:
                self._waiting[inode] = pipe
            else:
                self._send(inode, pipe)
            return
        if not self._left_out:
            self._logger.warn(
                "the service manager's store is full with {count} logs; more are served, but would"
                " not outlive the daemon: raise FileDescriptorStoreMax",
                count=len(self._room),
            )
        self._left_out[inode] = pipe

    def _store_waiting(self) -> None:
        while self._waiting and not self._notifier.busy:
            inode = next(iter(self._waiting))
            self._send(inode, self._waiting.pop(inode))

    def _send(self, inode: int, pipe: int) -> None:
        self._tell(_STORE, _NAME + pipe_name(inode), _NO_POLL, descriptor=pipe)

    # The journal.

    def _append_of(self, inode: int) -> None:
        """Append the record of a log."""
        # (also where the journal is replaced, as the new one may not be stored before a crash)
        self._append(self._records[inode])
        if inode in self._in_lanes and not self._with_lanes and self._journal is not None:
            self._replace_journal()

    def _append(self, record: bytes) -> None:
        if self._journal is None:
            return
        try:
            written = os.write(self._journal, record)
        except OSError:
            written = 0
        self._journal_bytes += written
        # (if a new one cannot be written either, that is logged)
        if written != len(record) or worth_replacing(self._journal_bytes, self._record_bytes):
            self._replace_journal()

    def _replace_journal(self) -> None:
        """Write a complete journal and store it; only then remove the former one."""
        if self._refused:
            return
        former = self._journal_name
        name = next_journal(former, self._left_journal)
        # The generation is higher than any before: the store does not outlive the system.
        self._with_lanes = bool(self._in_lanes)
        content = header(time.monotonic_ns(), self._left_generation, self._with_lanes)
        content += b"".join(self._records.values())
        self._drop_journal()
        try:
            journal = os.memfd_create("journal", os.MFD_CLOEXEC)
            self._journal = journal
            if os.write(journal, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._drop_journal()
            self._logger.error(
                "the journal of open logs cannot be written: {error}; logs opened from now on"
                " would not outlive the daemon",
                error=error,
            )
            return
        # There is one with that name already if the process was once killed at this point.
        self._tell(_REMOVE, _NAME + name)
        self._tell(_STORE, _NAME + name, _NO_POLL, descriptor=journal)
        self._tell(_REMOVE, _NAME + former)
        self._journal_name = name
        self._journal_bytes = len(content)

    def _drop_journal(self) -> None:
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None


class _Obeyed:
    """Whether the manager has obeyed all until some moment; who asks does not wait."""

    def __init__(self, read_end: int) -> None:
        """:param read_end: of :meth:`DescriptorStore._barrier_end`; it is closed in time."""
        self._read_end = read_end
        self._look = select.poll()
        self._look.register(read_end, 0)

    def __call__(self) -> bool:
        if self._read_end >= 0 and self._look.poll(0):
            os.close(self._read_end)
            self._read_end = -1
        return self._read_end < 0

    def __del__(self) -> None:
        if self._read_end >= 0:
            os.close(self._read_end)


def _wait_for_end(read_end: int, patience_ms: int) -> None:
    """Wait until a pipe's write end is closed, and close the other end."""
    look = select.poll()
    look.register(read_end, 0)
    look.poll(patience_ms)
    os.close(read_end)


def _left_journal(former: Stored | Kept | None) -> tuple[str | None, int | None]:
    """Return the name and the generation of a newer release's journal."""
    if isinstance(former, Kept):
        return former.left_journal, former.left_generation
    if former is None or former.left_journal is None:
        return None, None
    return former.left_journal.name, former.left_journal.generation
