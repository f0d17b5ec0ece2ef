"""Which files a log has, and what tells each of them apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone

from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.logs.files.reader import open_files
from twisted_virtlog.logs.files.rotation import Limits, check_backups
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.values import KeptFile


def inventory(path: str, limits: Limits, writer: Writer | None) -> Sequence[KeptFile]:
    """Return the files of a log, oldest first, by the rules of who reads them.

    :param writer: of the log, if it is open; its current file is there whatever its name.
    :raises NoSuchLog: no file of the log exists.
    :raises SystemFailure: a file cannot be opened.
    :raises UnsupportedBackups: ``max_backups`` is over 32.
    """
    check_backups(path, limits.max_backups)
    files = open_files(path, limits, None, writer)
    try:
        found: list[KeptFile] = []
        for file in files:
            modified = datetime.fromtimestamp(file.modified_ns / 1e9, timezone.utc)
            found.append(KeptFile(file.inode, file.birth, file.size, modified, "", file.parted))
    finally:
        for file in files:
            os.close(file.descriptor)
    if not found:
        raise NoSuchLog(f"no file of the log {path} exists", path)
    return found
