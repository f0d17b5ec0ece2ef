"""Holds the files of the logs of one thread that would go before consumers have read them.

What all consumers have of all logs is known in one place for all threads, whose lock nobody holds
while a file is touched. A thread looks at the files of its own logs only, and removes only theirs;
what is to be removed of others is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec
from twisted.logger import Logger

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.history.records import Progress
from twisted_virtlog.logs.accounts.account import SeenFile
from twisted_virtlog.logs.consumers.consumers import ConsumedLog, Consumers
from twisted_virtlog.logs.consumers.progress import (
    LogFile,
    is_further,
    lag,
    unread_in,
)
from twisted_virtlog.logs.files.held import HELD_FILES, HeldFile, Unread, look_at, look_at_held
from twisted_virtlog.logs.files.lineage import Lineage
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import CURRENT, held_path, name_of, newest_first, packed_path
from twisted_virtlog.logs.files.removal import Remover
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.standing import remove_packed, standing
from twisted_virtlog.logs.files.writer import NOT_HOLDING, Holding, Writer
from twisted_virtlog.values import MAX_BACKUPS, ConsumerStatus, Position, RemovalReason


class Elsewhere(Protocol):
    """What is asked of other threads, in this one."""

    def drop_held(self, path: str) -> bool:
        """Have the oldest held file of a log removed, wherever that may be done.

        :param path: of the log, without symbolic links.
        :returns: whether that is under way, or done.
        """


class _LogHolding:
    """What holds the files of one log; see writer.Holding."""

    __slots__ = ("_holds", "hold", "path")

    def __init__(self, holds: Holds, path: str, hold: Sequence[str]) -> None:
        self._holds = holds
        self.path = path
        self.hold = hold

    def held_bytes(self, writer: Writer) -> int:
        return self._holds.held_bytes(self.path, writer)

    def names(self, writer: Writer) -> Sequence[str]:
        return self._holds.names(self.path, writer.path, writer.directory)

    def unread_of(self, writer: Writer, number: int, look: SeenFile) -> Unread | None:
        return self._holds.unread_of(self, writer, number, look)

    def keep(self, writer: Writer, path: str, unread: Unread) -> bool:
        return self._holds.keep(self, writer, path, unread)

    def kept(self) -> None:
        self._holds.bound(self.path)

    def went(self, unread: Unread) -> None:
        self._holds.went(self.path, unread)

    def unread(self) -> dict[str, int]:
        return self._holds.unread(self.path)


class Holds:
    """The held files of the logs of a thread."""

    _logger = Logger()

    def __init__(
        self,
        consumers: Consumers,
        remove: Remover,
        directory_of: Callable[[str], LogDirectory],
        elsewhere: Elsewhere,
    ) -> None:
        """Hold nothing yet.

        :param consumers: what all consumers have of all logs, those of other threads too.
        :param remove: removes files.
        :param directory_of: returns what reaches the files of a log that is not open, by its path.
        """
        self._consumers = consumers
        self._remove = remove
        self._directory_of = directory_of
        self._elsewhere = elsewhere
        # What was said of logs whose files could not be held, until one can be.
        self._said: dict[str, str] = {}

    def of(self, path: str, hold: Sequence[str]) -> Holding:
        """Return what holds the files of a log that is opened.

        :param path: of the log, without symbolic links.
        :param hold: consumers for which it is held from its beginning on.
        """
        return _LogHolding(self, path, hold) if self._consumers.is_wanted else NOT_HOLDING

    def attach(self, writer: Writer, path: str) -> None:
        """Take note who writes a log from now on, in this thread.

        :param path: of the log, without symbolic links.
        """
        log = self._consumers.of(path)
        if log is not None:
            log.writer = writer
            log.home = self

    def detach(self, writer: Writer, path: str) -> None:
        """Take note that somebody does not write a log any more."""
        log = self._consumers.of(path)
        if log is not None and log.writer is writer:
            log.writer = None

    # Which files there are.

    def _held(self, log: ConsumedLog, file: str, directory: LogDirectory) -> list[HeldFile]:
        """Return the held files of a log, which are looked for if nobody has done so.

        :param file: the path of its current file.
        """
        log.home = self
        if log.held is None:
            try:
                found = HELD_FILES.find(directory, file)
            except OSError:
                # (it is tried again; what is opened there will say what is wrong)
                return []
            self._consumers.found(log, found)
        assert log.held is not None
        return log.held

    def held(self, path: str, file: str, directory: LogDirectory) -> Sequence[HeldFile]:
        """Return the held files of a log, oldest first.

        :param path: of the log, without symbolic links.
        :param file: the path of its current file, and ``directory`` reaches it.
        """
        log = self._consumers.of(path)
        return () if log is None else self._held(log, file, directory)

    def names(self, path: str, file: str, directory: LogDirectory) -> Sequence[str]:
        """Return the paths of the held files of a log, the newest first."""
        held = self.held(path, file, directory)
        return [held_path(file, one.number) for one in reversed(held)]

    def held_bytes(self, path: str, writer: Writer) -> int:
        """Return the size of the held files of an open log together, as they are now."""
        log = self._consumers.of(path)
        if log is None:
            return 0
        count = 0
        with writer.directory:
            for one in list(self._held(log, writer.path, writer.directory)):
                look = look_at_held(writer.directory, writer.path, one.number)
                count += 0 if look is None else look.size
        return count

    def _files(
        self, log: ConsumedLog, writer: Writer | None, file: str, limits: Limits
    ) -> list[LogFile]:
        """Look at all files of a log, oldest first."""
        directory = self._directory_of(file) if writer is None else writer.directory
        lineage = Lineage() if writer is None else writer.lineage
        found: list[LogFile] = []
        with directory:
            held = self._held(log, file, directory)
            for name in newest_first(file, limits.max_backups):
                look = look_at(directory, name, 0)
                if look is not None:
                    birth = lineage.full(look.birth)
                    found.append(LogFile(look.inode, birth, look.size))
        found += [_log_file(one) for one in reversed(held)]
        return found[::-1]

    # A file that is about to go.

    def unread_of(
        self, holding: _LogHolding, writer: Writer, number: int, look: SeenFile
    ) -> Unread | None:
        """See Holding."""
        consumers = self._consumers
        log = consumers.of(holding.path)
        names = consumers.holders(log, holding.hold)
        if not names:
            return None
        going = look_at(writer.directory, name_of(writer.path, number), 0)
        if going is None or going.inode != look.inode:
            return None
        file = LogFile(going.inode, writer.lineage.full(going.birth), going.size)
        newer = newest_first(writer.path, number) if number != CURRENT else ()
        counts = self._counts(file, newer, (), writer.directory, _positions(log, names))
        return Unread(going, counts) if counts else None

    def _counts(
        self,
        file: LogFile,
        newer: Iterable[str],
        held: Iterable[HeldFile],
        directory: LogDirectory,
        positions: Mapping[str, Position | None],
    ) -> dict[str, int]:
        """Return how many bytes of a file come after positions, if there are any, by consumer.

        :param newer: the paths of the log's newer files, but for those that are held.
        :param held: the newer ones of these.
        """
        left = dict(positions)

        def leave_out(found: LogFile) -> None:
            for consumer, one in list(left.items()):
                if one is not None and found.has(one):
                    del left[consumer]

        inodes = {one.inode for one in positions.values() if one is not None}
        # (nearly always all have come as far as the newest, or are in the file itself)
        for name in newer:
            if not inodes or all(one is None or file.has(one) for one in left.values()):
                break
            try:
                found = standing(directory, name)
            except OSError:
                continue
            if found is None or found.look.inode not in inodes:
                continue
            look = look_at(directory, name, 0)
            if look is not None:
                leave_out(_log_file(look))
        for one in held:
            if one.inode in inodes:
                leave_out(_log_file(one))
        counts = {consumer: unread_in([file], 0, one) for consumer, one in left.items()}
        return {consumer: count for consumer, count in counts.items() if count}

    def keep(self, holding: _LogHolding, writer: Writer, path: str, unread: Unread) -> bool:
        """See Holding."""
        consumers = self._consumers
        log = consumers.made(holding.path)
        for name in unread.counts:
            if name in holding.hold and name not in log.progress:
                consumers.note(log, name, Progress())
        directory = writer.directory
        most = consumers.settings.max_bytes_of_log
        with directory:
            held = self._held(log, writer.path, directory)
            if 0 < most < unread.file.on_disk:
                return self._not_held(writer, f"it takes up more than hold_max_log, {most} bytes")
            try:
                number = _free_number(directory, writer.path, held[-1].number + 1 if held else 0)
                found, target = standing(directory, path), held_path(writer.path, number)
                if found is not None and found.origin is not None:
                    path, target = found.path, packed_path(target)
                else:
                    remove_packed(directory, path)
                directory.rename(path, target)
            except OSError as error:
                return self._not_held(writer, str(error))
        log.writer = writer
        consumers.added(log, msgspec.structs.replace(unread.file, number=number))
        self._said.pop(writer.path, None)
        return True

    def _not_held(self, writer: Writer, why: str) -> bool:
        if self._said.get(writer.path) != why:
            self._said[writer.path] = why
            self._logger.warn(
                "{path}: a file that consumers have not read cannot be held for them, and is"
                " removed: {why}",
                path=writer.path,
                why=why,
            )
        return False

    def went(self, path: str, unread: Unread) -> None:
        """See Holding."""
        consumers = self._consumers
        consumers.add_unread(consumers.made(path), unread.counts)

    # Held files that are to go.

    def bound(self, path: str) -> None:
        """Remove held files until a log's, and those of all, take up no more than they may.

        :param path: of a log of which another file is held, without symbolic links.
        """
        consumers = self._consumers
        log, most = consumers.of(path), consumers.settings.max_bytes_of_log
        if log is None or log.held is None:
            return
        while most and log.held and sum(file.on_disk for file in log.held) > most:
            if not self._drop_oldest(log, "hold_max_log"):
                break
        stuck: list[ConsumedLog] = []
        while consumers.over():
            oldest = consumers.oldest(stuck)
            if oldest is None:
                break
            if oldest.home is not self:
                # (it is gone when its thread comes to it)
                self._elsewhere.drop_held(oldest.path)
                stuck.append(oldest)
            elif not self._drop_oldest(oldest, "hold_max"):
                stuck.append(oldest)

    def drop(
        self,
        path: str,
        bound: str = "hold_max",
        reason: RemovalReason = RemovalReason.ROTATION,
    ) -> bool:
        """Remove the oldest held file of a log, whoever has not read it.

        :param path: of the log, without symbolic links.
        :param bound: what says so.
        :returns: whether that is done.
        """
        log = self._consumers.of(path)
        if log is None:
            return False
        log.home = self
        return self._drop_oldest(log, bound, reason)

    def _drop_oldest(
        self, log: ConsumedLog, bound: str, reason: RemovalReason = RemovalReason.ROTATION
    ) -> bool:
        """Remove the oldest held file of a log of this thread, whoever has not read it.

        :param bound: the key that says why.
        :returns: whether that is done.
        """
        if not log.held:
            return False
        oldest, *others = log.held
        writer, users = log.writer, self._consumers.settings.users
        path, backups = log.path, MAX_BACKUPS
        directory = self._directory_of(path)
        if writer is not None:
            path, backups, directory = writer.path, writer.limits.max_backups, writer.directory
        positions = _positions(log, [name for name in log.progress if name in users])
        with directory:
            newer = newest_first(path, backups)
            lost = self._counts(_log_file(oldest), newer, others, directory, positions)
        if not self._remove_oldest(log, reason):
            return False
        if lost:
            self._logger.info(
                "{path}: a held file of {bytes} bytes is removed before {consumers} read it, as"
                " {bound} allows no more",
                path=log.path,
                bytes=oldest.size,
                consumers=", ".join(sorted(lost)),
                bound=bound,
            )
        self._consumers.add_unread(log, lost)
        return True

    def _remove_oldest(self, log: ConsumedLog, reason: RemovalReason) -> bool:
        assert log.held
        oldest, writer = log.held[0], log.writer
        try:
            if writer is not None:
                writer.remove_held(oldest.number, oldest.size, reason)
            else:
                name, directory = held_path(log.path, oldest.number), self._directory_of(log.path)
                remove_packed(directory, name)
                self._remove(name, directory)
        except (OSError, SystemFailure) as error:
            self._logger.error(
                "{path}: a held file cannot be removed: {error}", path=log.path, error=error
            )
            return False
        self._consumers.gone(log)
        return True

    def settle(self, path: str, file: str, hold: Sequence[str], limits: Limits) -> None:
        """Remove the held files of a log that nobody has yet to read.

        :param path: of the log, without symbolic links, and ``file`` that of its current file.
        :param hold: see :meth:`of`.
        :param limits: of the log.
        """
        consumers = self._consumers
        log = consumers.of(path)
        if log is None:
            return
        directory = self._directory_of(file) if log.writer is None else log.writer.directory
        for name, progress in list(log.progress.items()):
            if name not in hold and progress.position is None and not progress.unread:
                # (it was held for it from its beginning on, and is not any more)
                consumers.forget(log, name)
        if not self._held(log, file, directory):
            consumers.drop_empty(log)
            return
        files = self._files(log, log.writer, file, limits)
        positions = []
        for name in consumers.holders(log, hold):
            known = log.progress.get(name)
            positions.append(None if known is None else known.position)
        while log.held and not any(unread_in(files, 0, position) for position in positions):
            if not self._remove_oldest(log, RemovalReason.ROTATION):
                break
            files = files[1:]
        consumers.drop_empty(log)

    # What consumers tell, and ask.

    def acknowledge(
        self,
        path: str,
        file: str,
        limits: Limits,
        writer: Writer | None,
        consumer: str,
        position: Position,
        at: datetime,
    ) -> None:
        """Take note that a consumer has read a log up to a position; it never goes back.

        :param path: of the log, without symbolic links, and ``file`` that of its current file.
        """
        log = self._consumers.made(path)
        if writer is not None:
            log.writer = writer
        before = log.progress.get(consumer) or Progress()
        former = before.position
        is_same = former is not None and (former.inode, former.birth) == (
            position.inode,
            position.birth,
        )
        files = () if is_same or former is None else self._files(log, writer, file, limits)
        if not is_further(files, position, former):
            position = former or position
        progress = msgspec.structs.replace(before, position=position, at=at)
        self._consumers.note(log, consumer, progress)

    def status(
        self, path: str, file: str, limits: Limits, writer: Writer | None, now: datetime
    ) -> list[ConsumerStatus]:
        """Return what each consumer has of a log, and has yet to read."""
        log = self._consumers.of(path)
        if log is None:
            return []
        files: Sequence[LogFile] | None = None
        current: LogFile | None = None
        if writer is not None:
            # (nearly always it is there, and nothing is to be looked at)
            current = LogFile(writer.known_end.inode, writer.birth, writer.known_end.offset)
        directory = self._directory_of(file) if writer is None else writer.directory
        held = self._held(log, file, directory)
        found = []
        for consumer, progress in sorted(log.progress.items()):
            position = progress.position
            if current is not None and position is not None and current.has(position):
                behind = current.after(position)
            else:
                if files is None:
                    files = self._files(log, writer, file, limits)
                behind = lag(files, position)
            seconds = None if progress.at is None else (now - progress.at).total_seconds()
            found.append(
                ConsumerStatus(
                    consumer,
                    path,
                    position,
                    behind,
                    0.0 if not behind else seconds,
                    sum(one.size for one in held),
                    progress.unread,
                )
            )
        return found

    def unread(self, path: str) -> dict[str, int]:
        """Return what went unread of a log since it was opened, by consumer."""
        log = self._consumers.of(path)
        progress = {} if log is None else log.progress
        return {name: one.unread_since_opening for name, one in sorted(progress.items())}

    def forget(self, path: str) -> None:
        """Forget a log whose files were removed, all of them."""
        log = self._consumers.of(path)
        if log is not None:
            self._consumers.forget_held(log)
            self._consumers.forget(log)


def _positions(log: ConsumedLog | None, names: Iterable[str]) -> dict[str, Position | None]:
    """Return up to where consumers have acknowledged, by their names."""
    progress = {} if log is None else log.progress
    return {name: progress[name].position if name in progress else None for name in names}


def _log_file(file: HeldFile) -> LogFile:
    return LogFile(file.inode, file.birth, file.size)


def _held_names(path: str, number: int) -> tuple[str, str]:
    name = held_path(path, number)
    return name, packed_path(name)


def _free_number(directory: LogDirectory, path: str, number: int) -> int:
    """Return a number that no held file of a log has; the first that is free from one on.

    :raises OSError: nobody can tell.
    """
    while any(map(directory.exists, _held_names(path, number))):
        # (somebody else put it there)
        number += 1
    return number
