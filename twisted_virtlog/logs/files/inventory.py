"""Which files a log has, and what tells each of them apart."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.history.file_system import file_system_id
from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory
from twisted_virtlog.logs.files.reader import File, open_files
from twisted_virtlog.logs.files.rotation import Limits, check_backups
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.values import (
    MAX_OPENED_FILES,
    KeptFile,
    OpenedFile,
    OpenedFiles,
    Position,
)


def inventory(
    path: str,
    limits: Limits,
    writer: Writer | None,
    directory: LogDirectory = BY_PATH,
    held: Sequence[str] = (),
) -> Sequence[KeptFile]:
    """Return the files of a log, oldest first, by the rules of who reads them.

    :param writer: of the log, if it is open; its current file is there whatever its name.
    :param directory: reaches the files of a log that is not open.
    :param held: the paths of its held files, the newest first.
    :raises NoSuchLog: no file of the log exists.
    :raises SystemFailure: a file cannot be opened.
    :raises UnsupportedBackups: ``max_backups`` is over 32.
    """
    files = _open(path, limits, None, writer, directory, held)
    try:
        return [_kept(file) for file in files]
    finally:
        _close(files)


def opened(
    path: str,
    limits: Limits,
    start: Position | None,
    writer: Writer | None,
    directory: LogDirectory = BY_PATH,
    held: Sequence[str] = (),
) -> OpenedFiles:
    """Return the same files, open, from the one on that a position is in.

    :param start: None, or a position in none of them, for all.
    """
    files = _open(path, limits, start, writer, directory, held)
    try:
        found = [OpenedFile(_kept(file), file.descriptor) for file in files if _is_regular(file)]
    except BaseException:
        _close(files)
        raise
    taken = {file.descriptor for file in found[:MAX_OPENED_FILES]}
    _close(file for file in files if file.descriptor not in taken)
    return OpenedFiles(tuple(found[:MAX_OPENED_FILES]), len(found) > MAX_OPENED_FILES)


def _open(
    path: str,
    limits: Limits,
    start: Position | None,
    writer: Writer | None,
    directory: LogDirectory,
    held: Sequence[str],
) -> Sequence[File]:
    check_backups(path, limits.max_backups)
    files = open_files(path, limits, start, writer, directory, held)
    if not files:
        raise NoSuchLog(f"no file of the log {path} exists", path)
    return files


def _kept(file: File) -> KeptFile:
    modified = datetime.fromtimestamp(file.modified_ns / 1e9, timezone.utc)
    file_system = file_system_id(file.descriptor)
    return KeptFile(
        file.inode, file.birth, file.size, modified, file_system, file.parted, file.is_packed
    )


def _is_regular(file: File) -> bool:
    return stat.S_ISREG(os.fstat(file.descriptor).st_mode)


def close(files: OpenedFiles) -> None:
    """Close files that nobody wants any more, in the thread that opened them."""
    for file in files.files:
        os.close(file.descriptor)


def _close(files: Iterable[File]) -> None:
    for file in files:
        os.close(file.descriptor)
