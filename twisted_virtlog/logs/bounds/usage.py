"""Knows the usage of all logs: what their files take up, guest by guest, and who may have more.

A log that is open has a lease: bytes by which its file may grow before it is asked what it takes
up. Leases count as used. So no bound is passed, and the logs are seldom asked. Where a bound is
reached the leases of others are taken back first, as far as they were not used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Protocol

from msgspec import Struct, field

from twisted_virtlog.handover.state import NO_UUID
from twisted_virtlog.logs.bounds.leases import LEASE_BYTES, lease
from twisted_virtlog.logs.policy import HostBounds
from twisted_virtlog.values import Domain

#: Leases are taken back no more often, as long as all who want more are refused; and so many of
#: all logs at once, as there may be ten thousand.
TAKE_BACK_SECONDS = 1.0
MOST_TAKEN_BACK = 256


class Backup(Struct, frozen=True):
    """A backup of a log, or a held file.

    :ivar number: see names.
    :ivar size: bytes on disk.
    :ivar modified_ns: when it was written last, of the wall clock.
    """

    number: int
    size: int
    modified_ns: int


class FilesOfLog(Struct, frozen=True):
    """What a log's files take up.

    :ivar current: bytes on disk of the current file; 0 if there is none.
    :ivar backups: oldest first.
    :ivar held: those that are held for consumers, oldest first.
    """

    current: int = 0
    backups: Sequence[Backup] = ()
    held: Sequence[Backup] = ()

    @property
    def size(self) -> int:
        """Bytes on disk of all of them."""
        return self.current + sum(one.size for one in (*self.held, *self.backups))

    @property
    def may_go(self) -> Sequence[Backup]:
        """Those that may be removed for room, in the order in which they are."""
        return (*self.held, *self.backups)

    def without_first(self) -> FilesOfLog:
        """Return what is left when the first of those is removed."""
        if self.held:
            return FilesOfLog(self.current, self.backups, self.held[1:])
        return FilesOfLog(self.current, self.backups[1:])


class Holder(Protocol):
    """Writes a log that is open."""

    def take_back(self) -> int:
        """Let the log ask before it grows any more.

        :returns: by how many bytes it has grown since it asked last, at most.
        """


class Guest(Struct, eq=False):
    """What the logs of one guest take up together.

    :ivar quota: bytes that they may; 0 for no limit.
    :ivar used: bytes that their files take up.
    :ivar leased: bytes by which they may grow.
    :ivar open: how many of them are open.
    :ivar taken_back_at: when leases were taken back, in seconds of a clock that never steps.
    """

    name: str
    quota: int = 0
    used: int = 0
    leased: int = 0
    open: int = 0
    logs: dict[str, UsageOfLog] = field(default_factory=dict)
    taken_back_at: float = -math.inf


class UsageOfLog(Struct, eq=False):
    """What one log takes up.

    :ivar path: the log's, without symbolic links.
    :ivar quota: what its policy says for its guest; 0 for nothing.
    :ivar holder: who writes it; None while it is not open.
    """

    path: str
    guest: Guest
    quota: int = 0
    files: FilesOfLog = FilesOfLog()
    leased: int = 0
    holder: Holder | None = None


class Reached(Struct, frozen=True):
    """A bound that is reached.

    :ivar limit: in bytes.
    :ivar of_host: it is that of all logs together, and not of one guest.
    """

    limit: int
    of_host: bool


def guest_of(domain: Domain | None, path: str) -> str:
    """Return the name of the guest to whom a log counts.

    :param path: of the log; one without a guest's UUID is a guest of its own.
    """
    if domain is None or domain.uuid == NO_UUID:
        return path
    return domain.uuid.lower()


class Usage:
    """What all logs take up.

    :ivar lock: to be had by who does anything here, if several threads do; for no longer than that.
    :ivar max_use: bytes on disk that all logs together may take up; 0 for no limit.
    :ivar used: bytes that they do; ``leased``: by which they may grow.
    """

    def __init__(self, lock: AbstractContextManager[object] | None = None) -> None:
        self.lock = nullcontext() if lock is None else lock
        self.max_use = 0
        self.used = 0
        self.leased = 0
        self._open = 0
        self._guests: dict[str, Guest] = {}
        self._logs: dict[str, UsageOfLog] = {}
        self._taken_back_at = -math.inf
        # Those that have leases, whose order is that in which they had none before.
        self._lessees: dict[UsageOfLog, None] = {}

    def set(self, settings: HostBounds) -> None:
        """Let other settings hold; forget all that is known if nothing needs to be."""
        with self.lock:
            self.max_use = settings.max_use
            if not settings.counts:
                self._clear()

    # Which logs there are.

    def open(
        self, path: str, guest: str, quota: int, files: FilesOfLog, holder: Holder
    ) -> UsageOfLog:
        """Take note that somebody writes a log from now on, whoever did before.

        :param quota: what its policy says; 0 for nothing.
        """
        log = self._put(path, guest, quota)
        self._give_back(log)
        self._hold(log, holder)
        self.set_files(log, files)
        return log

    def _hold(self, log: UsageOfLog, holder: Holder | None) -> None:
        more = (holder is not None) - (log.holder is not None)
        log.holder = holder
        log.guest.open += more
        self._open += more

    def close(self, log: UsageOfLog, holder: Holder, files: FilesOfLog | None) -> None:
        """Take note that a log is not written any more, unless somebody else does by now.

        :param files: None if they could not be looked at.
        """
        if log.holder is not holder or not self._has(log):
            return
        self._hold(log, None)
        self._give_back(log)
        if files is not None:
            self.set_files(log, files)
        self._forget_empty(log)

    def found(self, path: str, guest: str, quota: int, files: FilesOfLog) -> None:
        """Take note of the files of a log that is not open; nothing if it is."""
        known = self._logs.get(path)
        if known is not None and known.holder is not None:
            return
        log = self._put(path, guest, quota)
        self.set_files(log, files)
        self._forget_empty(log)

    def _clear(self) -> None:
        for guest in self._guests.values():
            guest.quota = 0
            guest.logs.clear()
        self._guests.clear()
        self._lessees.clear()
        self._logs.clear()
        self.used = self.leased = self._open = 0

    def of(self, path: str) -> UsageOfLog | None:
        """Return the usage of a log; None if nothing is known of it."""
        return self._logs.get(path)

    def closed(self) -> Sequence[UsageOfLog]:
        """Return the usage of logs that are not open."""
        return [log for log in self._logs.values() if log.holder is None]

    def is_open(self, path: str) -> bool:
        """Return whether somebody writes a log."""
        log = self._logs.get(path)
        return log is not None and log.holder is not None

    def _put(self, path: str, name: str, quota: int) -> UsageOfLog:
        """Return the usage of a log, which belongs to a guest from now on."""
        log = self._logs.get(path)
        if log is not None and log.guest.name != name:
            # (another guest has the log now)
            self._take_out(log)
            log = None
        if log is None:
            guest = self._guests.setdefault(name, Guest(name))
            log = self._logs[path] = guest.logs[path] = UsageOfLog(path, guest)
        log.quota = quota
        self._see_quota(log.guest)
        return log

    def _take_out(self, log: UsageOfLog) -> None:
        guest = log.guest
        self._give_back(log)
        self.set_files(log, FilesOfLog())
        self._hold(log, None)
        del self._logs[log.path], guest.logs[log.path]
        if guest.logs:
            self._see_quota(guest)
        else:
            del self._guests[guest.name]

    def _forget_empty(self, log: UsageOfLog) -> None:
        if log.holder is None and log.files == FilesOfLog() and self._has(log):
            self._take_out(log)

    def _has(self, log: UsageOfLog) -> bool:
        """Return whether a log was not forgotten since it was opened."""
        return self._logs.get(log.path) is log

    @staticmethod
    def _see_quota(guest: Guest) -> None:
        guest.quota = min((log.quota for log in guest.logs.values() if log.quota), default=0)

    # What they take up.

    def set_files(self, log: UsageOfLog, files: FilesOfLog) -> None:
        """Take note of what a log takes up."""
        if not self._has(log):
            return
        more = files.size - log.files.size
        log.files = files
        log.guest.used += more
        self.used += more

    def set_current(self, log: UsageOfLog, size: int) -> None:
        """Take note of what a log's current file takes up."""
        if size != log.files.current:
            self.set_files(log, FilesOfLog(size, log.files.backups, log.files.held))

    # Who may have more.

    def ask(self, log: UsageOfLog) -> int:
        """Return by how many bytes a log's file may grow before it asks again.

        What it takes up now is known.
        """
        self._give_back(log)
        guest, granted = log.guest, LEASE_BYTES
        if guest.quota:
            left = guest.quota - guest.used - guest.leased
            granted = lease(left, max(1, guest.open))
        if self.max_use:
            left = self.max_use - self.used - self.leased
            granted = min(granted, lease(left, max(1, self._open)))
        self._lease(log, granted)
        return granted

    def _lease(self, log: UsageOfLog, count: int) -> None:
        if self._has(log):
            log.leased += count
            log.guest.leased += count
            self.leased += count
            if log.leased:
                self._lessees[log] = None
            else:
                self._lessees.pop(log, None)

    def _give_back(self, log: UsageOfLog) -> None:
        self._lease(log, -log.leased)

    def reached(self, log: UsageOfLog) -> Reached | None:
        """Return the bound by which a log may not grow; None if it may."""
        guest = log.guest
        if guest.quota and not lease(guest.quota - guest.used - guest.leased, 1):
            return Reached(guest.quota, of_host=False)
        if self.max_use and not lease(self.max_use - self.used - self.leased, 1):
            return Reached(self.max_use, of_host=True)
        return None

    def take_back(self, log: UsageOfLog, now: float) -> bool:
        """Take back what others have that share the bound by which a log may not grow.

        If that is the one of all logs, those that have had leases for the longest are the first.

        :param now: in seconds of a clock that never steps.
        :returns: whether anything was taken back.
        """
        reached = self.reached(log)
        if reached is None:
            return False
        guest = log.guest
        since = self._taken_back_at if reached.of_host else guest.taken_back_at
        if now - since < TAKE_BACK_SECONDS:
            return False
        if reached.of_host:
            self._taken_back_at = now
        else:
            guest.taken_back_at = now
        taken = False
        others = islice(self._lessees, MOST_TAKEN_BACK) if reached.of_host else guest.logs.values()
        for other in list(others):
            if other.leased and other is not log and other.holder is not None:
                self.set_current(other, other.files.current + other.holder.take_back())
                self._give_back(other)
                taken = True
        return taken

    def oldest(self, guest: Guest) -> Sequence[UsageOfLog]:
        """Return the logs of a guest that have files that may go, in the order in which they are.

        What is held goes before any backup, then the oldest.
        """
        logs = [log for log in guest.logs.values() if log.files.may_go]
        return sorted(logs, key=lambda log: (not log.files.held, log.files.may_go[0].modified_ns))
