"""Looks at what the files of a log take up on their disk."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted_virtlog.logs.bounds.usage import Backup, FilesOfLog
from twisted_virtlog.logs.files.held import UNIT_BYTES, HeldFile
from twisted_virtlog.logs.files.names import backup_path


class Statuses(Protocol):
    """Reaches the files of a log by their names."""

    def lstat(self, path: str, /) -> os.stat_result:
        """Return the status of what has a name, a link's own; may raise OSError."""


def files_on_disk(
    directory: Statuses,
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
        status = None if is_other(backup) else _status(directory, backup)
        if status is not None:
            backups.append(Backup(number, status.st_blocks * UNIT_BYTES, status.st_mtime_ns))
        elif number >= max_backups:
            # (those that were left have no holes)
            break
    return FilesOfLog(
        0 if current is None else current.st_blocks * UNIT_BYTES,
        tuple(reversed(backups)),
        tuple(Backup(one.number, one.on_disk, one.modified_ns) for one in held),
    )


def _status(directory: Statuses, name: str) -> os.stat_result | None:
    """Return the status of a regular file; None if there is none, or it cannot be asked."""
    try:
        status = directory.lstat(name)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
