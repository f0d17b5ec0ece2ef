"""Looks at what the files of a log take up on their disk."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable

from twisted_virtlog.logs.bounds.usage import Backup, FilesOfLog
from twisted_virtlog.logs.files.held import UNIT_BYTES, HeldFile
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import backup_path
from twisted_virtlog.logs.files.standing import standing_packed


def files_on_disk(
    directory: LogDirectory,
    name: str,
    max_backups: int,
    is_other: Callable[[str], bool],
    held: Iterable[HeldFile] = (),
) -> FilesOfLog:
    """Return what a log's files take up, with backups that an earlier configuration left.

    :param directory: reaches them.
    :param name: of the current file.
    :param is_other: whether what is called as a backup is another log, by its name.
    :param held: its held files, oldest first.
    """
    current = _status(directory, name)
    backups = []
    for number in itertools.count():
        backup = backup_path(name, number)
        found = [] if is_other(backup) else _statuses(directory, backup)
        if found:
            size = sum(status.st_blocks for status in found) * UNIT_BYTES
            backups.append(Backup(number, size, found[0].st_mtime_ns))
        elif number >= max_backups:
            # (those that were left have no holes)
            break
    return FilesOfLog(
        0 if current is None else current.st_blocks * UNIT_BYTES,
        tuple(reversed(backups)),
        tuple(Backup(one.number, one.on_disk, one.modified_ns) for one in held),
    )


def _statuses(directory: LogDirectory, name: str) -> list[os.stat_result]:
    """Return the status of a backup and of the packed one: both while it is being packed."""
    status = _status(directory, name)
    found = [] if status is None else [status]
    with contextlib.suppress(OSError):
        packed = standing_packed(directory, name)
        if packed is not None:
            found.append(packed.status)
    return found


def _status(directory: LogDirectory, name: str) -> os.stat_result | None:
    """Return the status of a regular file; None if there is none, or it cannot be asked."""
    try:
        status = directory.lstat(name)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
