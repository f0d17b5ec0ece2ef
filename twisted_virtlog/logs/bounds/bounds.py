"""Bounds the room that the logs of one thread take up: the edge, which asks and removes files.

What all logs take up is known in one place for all threads, whose lock nobody holds while a file
is touched. A thread looks at the files of its own logs only, and removes only theirs; what is to be
removed of others is asked for, and whoever wanted the room is refused until it is there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.logger import Logger

from twisted_virtlog.errors import BoundReached, SystemFailure
from twisted_virtlog.logs.bounds.free_space import FreeSpace
from twisted_virtlog.logs.bounds.leases import BLOCK_BYTES, LEASE_BYTES
from twisted_virtlog.logs.bounds.on_disk import files_on_disk
from twisted_virtlog.logs.bounds.usage import (
    FilesOfLog,
    Reached,
    Usage,
    UsageOfLog,
    guest_of,
)
from twisted_virtlog.logs.files.held import UNIT_BYTES, HeldFile
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import backup_path
from twisted_virtlog.logs.files.removal import Remover
from twisted_virtlog.logs.files.standing import remove_packed
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.policy import HostBounds, Policy
from twisted_virtlog.values import Domain, RemovalReason

#: So many files are removed at once for one log; if that is not enough, it waits.
_MOST_REMOVED = 64


class Written(Protocol):
    """An open log."""

    writer: Writer


class Elsewhere(Protocol):
    """What is asked of other threads, in this one."""

    def trim(self, path: str) -> bool:
        """Have the oldest backup of a log removed, wherever that may be done.

        :param path: of the log, without symbolic links.
        :returns: whether that is done already.
        """

    def refused(self) -> None:
        """Take note that a log may not grow, by what is known of the files of others."""


class Held(Protocol):
    """The held files of the logs of this thread."""

    def held(self, path: str, file: str, directory: LogDirectory) -> Sequence[HeldFile]:
        """Return those of a log, oldest first; see Holds."""

    def drop(self, path: str, bound: str, reason: RemovalReason) -> bool:
        """Remove the oldest one of a log, whoever has not read it; return whether that is done."""


class _LogBound:
    """The bound of one log, which has a usage.

    :ivar path: of the log, without symbolic links.
    :ivar base: up to where its file took up its usage says.
    :ivar uses: the writer's, when its backups were looked at.
    """

    __slots__ = ("base", "bounds", "log", "path", "uses", "writer")

    def __init__(self, bounds: Bounds, writer: Writer, path: str) -> None:
        self.bounds = bounds
        self.writer = writer
        self.path = path
        self.log: UsageOfLog | None = None
        self.base = 0
        self.uses = -1

    def reach(self, writer: Writer, size: int) -> int:
        """See Bound."""
        return self.bounds.reach(self, size)

    def take_back(self) -> int:
        """See Holder; another thread may call it, in the middle of a write."""
        writer = self.writer
        writer.ask_bound()
        end = writer.known_end.offset
        if self.uses == writer.uses:
            grown = max(0, end - self.base)
            if writer.lent is not None and self.log is not None:
                # (the thread that it is lent to may write all of it yet)
                grown = max(grown, self.log.leased)
        else:
            # (the former file may have grown by all that it was granted)
            grown = end + (self.log.leased if self.log else 0)
        return -(-grown // BLOCK_BYTES) * BLOCK_BYTES


class Bounds:
    """How much room the logs of a thread may take up.

    A log is bound when it is opened, and again when other settings hold, or another guest has it.
    """

    _logger = Logger()

    def __init__(
        self,
        settings: HostBounds,
        usage: Usage,
        logs: Mapping[str, Written],
        seconds: Callable[[], float],
        remove: Remover,
        is_log: Callable[[str], bool],
        directory_of: Callable[[str], LogDirectory],
        elsewhere: Elsewhere,
        held: Held,
    ) -> None:
        """Bound nothing yet.

        :param usage: what all logs take up, those of other threads too.
        :param logs: the thread's open logs, as they come and go.
        :param seconds: a clock that never steps.
        :param remove: removes files.
        :param is_log: whether a path is that of a log, whatever it is called.
        :param directory_of: returns what reaches the files of a log that is not open, by its path.
        """
        self._usage = usage
        self._logs = logs
        self._seconds = seconds
        self._remove = remove
        self._is_log = is_log
        self._directory_of = directory_of
        self._elsewhere = elsewhere
        self._held = held
        self.set(settings)

    def set(self, settings: HostBounds) -> None:
        """Let other settings hold, for logs that are bound from now on."""
        self._settings = settings
        self._space = FreeSpace(settings.keep_free, _free_on, self._seconds, self._take_back)

    def _take_back(self) -> None:
        for log in self._logs.values():
            log.writer.ask_bound()

    def bind(self, writer: Writer, path: str, domain: Domain | None, policy: Policy) -> None:
        """Bound what a log may take up, if anything is to be.

        :param path: of the log, without symbolic links.
        :param domain: the guest that has it.
        """
        settings = self._settings
        if not settings.counts:
            self.unbind(writer)
            if not settings.keep_free:
                return
        bound = _LogBound(self, writer, path)
        if settings.counts:
            files, usage = self._look(bound), self._usage
            guest = guest_of(domain, path)
            with usage.lock:
                bound.log = usage.open(path, guest, policy.quota, files, bound)
        writer.bound = bound

    def unbind(self, writer: Writer) -> None:
        """Let go of a log, before its file is closed."""
        bound = writer.bound
        if bound is None:
            return
        if isinstance(bound, _LogBound) and bound.log is not None:
            files, usage = self._look(bound), self._usage
            with usage.lock:
                usage.close(bound.log, bound, files)
        writer.bound = None

    def _look(self, bound: _LogBound) -> FilesOfLog:
        """Return what a log's files take up; what is known of it where they must not be touched."""
        writer = bound.writer
        bound.uses = writer.uses
        if writer.owner.leads_away(writer.file):
            return FilesOfLog() if bound.log is None else bound.log.files
        most, directory = writer.limits.max_backups, writer.directory
        with directory:
            held = self._held.held(bound.path, writer.path, directory)
            return files_on_disk(directory, writer.path, most, self._is_log, held)

    # To grow.

    def reach(self, bound: _LogBound, size: int) -> int:
        """Return up to which size the current file of a log may grow; see writer.Bound."""
        writer = bound.writer
        status = os.fstat(writer.file)
        on_disk = status.st_blocks * UNIT_BYTES
        # (what its last block has room for takes up nothing more)
        base = bound.base = max(size, on_disk)
        granted = LEASE_BYTES
        if self._space.keep:
            granted = self._space.lease(writer.file, status.st_dev, max(1, len(self._logs)))
            if base + granted <= size:
                raise self._no_free_space(writer)
        log = bound.log
        if log is not None:
            granted = min(granted, self._granted(bound, log, on_disk))
            if base + granted <= size:
                granted = self._make_room(log)
                if not granted:
                    self._elsewhere.refused()
                    raise self._used_up(writer, log)
        return base + granted

    def _granted(self, bound: _LogBound, log: UsageOfLog, on_disk: int) -> int:
        usage = self._usage
        files = None if bound.uses == bound.writer.uses else self._look(bound)
        with usage.lock:
            if files is not None:
                usage.set_files(log, files)
            usage.set_current(log, on_disk)
            return usage.ask(log)

    def _make_room(self, log: UsageOfLog) -> int:
        """Make room for a log: take back leases, and remove backups of its guest, oldest first.

        :returns: what it is granted then.
        """
        usage, stuck = self._usage, set[UsageOfLog]()
        with usage.lock:
            usage.take_back(log, self._seconds())
            granted = usage.ask(log)
        for _ in range(_MOST_REMOVED):
            if granted:
                break
            with usage.lock:
                logs = [one for one in usage.oldest(log.guest) if one not in stuck]
                reached = usage.reached(log)
            if not logs or reached is None:
                break
            if not self._remove_oldest(logs[0], reached):
                stuck.add(logs[0])
            with usage.lock:
                granted = usage.ask(log)
        return granted

    def _remove_oldest(self, log: UsageOfLog, reached: Reached) -> bool:
        holder = log.holder
        if isinstance(holder, _LogBound) and holder.bounds is self:
            return self._trim(holder, log, _why(reached))
        return self._elsewhere.trim(log.path)

    # To remove.

    def trim(self, path: str, writer: Writer | None) -> bool:
        """Remove the oldest backup of a log, as its guest needs room for another one.

        :param path: of the log, without symbolic links.
        :param writer: None if it is not open; nobody may open it meanwhile.
        :returns: whether there was one.
        """
        usage = self._usage
        with usage.lock:
            log = usage.of(path)
        if log is None:
            return False
        reason = "its guest wants to write more than its bounds allow"
        if writer is None:
            return self._trim_closed(log, reason)
        bound = writer.bound
        return isinstance(bound, _LogBound) and self._trim(bound, log, reason)

    def _trim(self, bound: _LogBound, log: UsageOfLog, reason: str) -> bool:
        writer, files = bound.writer, self._look(bound)
        removed = False
        if files.held:
            removed = self._drop_held(bound.path)
        elif files.backups:
            number = files.backups[0].number
            try:
                removed = writer.remove_backup(number)
            except SystemFailure as failure:
                self._logger.error("{failure}, though {why}", failure=failure, why=reason)
            if removed:
                self._tell(backup_path(writer.path, number), reason)
        # (what the current file takes up is known when it asks; its lease counts until then)
        self._note(log, FilesOfLog(log.files.current, files.backups, files.held), removed)
        return removed

    def _drop_held(self, path: str) -> bool:
        return self._held.drop(path, "the bounds of its guest", RemovalReason.QUOTA)

    def _trim_closed(self, log: UsageOfLog, reason: str) -> bool:
        directory, removed = self._directory_of(log.path), False
        most = max((backup.number + 1 for backup in log.files.backups), default=0)
        try:
            with directory:
                held = self._held.held(log.path, log.path, directory)
                files = files_on_disk(directory, log.path, most, self._is_log, held)
                if files.held:
                    removed = self._drop_held(log.path)
                elif files.backups:
                    backup = backup_path(log.path, files.backups[0].number)
                    remove_packed(directory, backup)
                    self._remove(backup, directory)
                    removed = True
                    self._tell(backup, reason)
        except OSError as error:
            self._logger.error(
                "{path}: its oldest file cannot be removed, though {why}: {error}",
                path=log.path,
                why=reason,
                error=error,
            )
            return False
        self._note(log, files, removed)
        return removed

    def _note(self, log: UsageOfLog, files: FilesOfLog, removed: bool) -> None:
        if removed:
            files = files.without_first()
        with self._usage.lock:
            self._usage.set_files(log, files)

    def _tell(self, path: str, reason: str) -> None:
        self._logger.info("removed {path}: {reason}", path=path, reason=reason)

    def changed(self, path: str, writer: Writer | None) -> None:
        """Take note that the files of a log take up less room than before.

        :param path: of the log, without symbolic links.
        :param writer: None if it is not open.
        """
        if writer is not None:
            bound = writer.bound
            if isinstance(bound, _LogBound):
                # (they are looked at when it asks)
                bound.uses = -1
            return
        usage = self._usage
        with usage.lock:
            log = usage.of(path)
        if log is not None:
            directory, most = self._directory_of(path), len(log.files.backups)
            with directory:
                self._note(log, files_on_disk(directory, path, most, self._is_log), removed=False)

    def forget(self, path: str) -> None:
        """Forget a log whose files were removed."""
        with self._usage.lock:
            log = self._usage.of(path)
            if log is not None:
                self._usage.found(path, log.guest.name, log.quota, FilesOfLog())

    # To refuse.

    def _no_free_space(self, writer: Writer) -> BoundReached:
        return BoundReached(
            f"Unable to write to file {writer.path}",
            errno.ENOSPC,
            writer.path,
            f"its file system is to have {self._space.keep} bytes free (host_keep_free)",
        )

    def _used_up(self, writer: Writer, log: UsageOfLog) -> BoundReached:
        with self._usage.lock:
            reached = self._usage.reached(log)
        action = f"Unable to write to file {writer.path}"
        # (another thread may have made room just now)
        why = "other logs of its guest are being removed" if reached is None else _why(reached)
        return BoundReached(action, errno.EDQUOT, writer.path, why)


def _why(reached: Reached) -> str:
    if reached.of_host:
        return f"the logs of all guests use up {reached.limit} bytes (host_max_use)"
    return f"quota of {reached.limit} bytes of this guest is used up"


def _free_on(file: int) -> int:
    """Return the bytes that are free on the file system of a file, for others than root."""
    room = os.fstatvfs(file)
    return room.f_bavail * room.f_frsize
