"""Opens a log's file, and knows where it is: what a path leads to, and on which file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.logs.files.log_directory import BY_PATH, FileSystem, LogDirectory
from twisted_virtlog.logs.files.names import longest_suffix
from twisted_virtlog.logs.files.rotation import Limits

# O_NONBLOCK: opening a FIFO that nobody reads must fail, not wait.
_OPEN_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

_MAKE_FLAGS = _OPEN_FLAGS | os.O_RDWR | os.O_EXCL

_FILE_MODE = 0o600

#: With a shorter name the suffixes of backups fit on any file system that logs are on.
_LONG_NAME_BYTES = 100

#: Errors after which a descriptor may fail for ever while its path is fine, or will be: the disk,
#: the server or the process behind the file system is gone, or has forgotten the file.
ERRORS_OF_DESCRIPTOR = frozenset(
    {
        errno.EIO,
        errno.EREMOTEIO,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOMEDIUM,
        errno.EROFS,
        errno.EUCLEAN,
        errno.ESTALE,
        errno.EBADF,
        errno.ENOTCONN,
        errno.ECONNABORTED,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
    }
)


def check_name(path: str, limits: Limits, directory: LogDirectory = BY_PATH) -> None:
    """Refuse a log whose backups' names would not fit, so that it could never be rotated.

    :raises SystemFailure: ENAMETOOLONG.
    """
    if path.isascii() and len(path) - path.rfind("/") <= _LONG_NAME_BYTES:
        # (as nearly all; each character is a byte)
        return
    suffix = longest_suffix(limits.max_backups) if limits.max_size else ""
    length = len(os.fsencode(os.path.basename(path)))
    if not suffix or length < _LONG_NAME_BYTES:
        return
    try:
        most = directory.longest_name(path)
    except OSError:
        # Opening the file will report what is wrong.
        return
    fits = most - len(suffix)
    if fits < length <= most:
        action = (
            f"Unable to open file: {path}: its name has {length} bytes, and at most {fits}"
            f" leave room for the names of its backups, up to {suffix}"
        )
        raise SystemFailure(action, errno.ENAMETOOLONG, path)


def link_target(path: str) -> str:
    """Name the file that a log's path leads to: it is rotated, not a link to it.

    Otherwise a rollover would put a file in the link's place, and other names of the log would
    lead to its backup.
    """
    return os.path.realpath(path) if os.path.islink(path) else path


def open_file(path: str, directory: LogDirectory = BY_PATH) -> tuple[int, bool]:
    """Open a log's file to write to it, and, as :class:`Tail` wants, to read it if that is allowed.

    :returns: its descriptor, and whether it was made, which no link led to then.
    :raises OSError: it cannot be opened.
    """
    if not directory.exists(path):
        try:
            return directory.open(path, _MAKE_FLAGS, _FILE_MODE), True
        except FileExistsError:
            pass
    # A FIFO or a device is opened to write only: who has it open at its other end sees a reader.
    if _is_regular(path, directory):
        with contextlib.suppress(PermissionError):
            return directory.open(path, _OPEN_FLAGS | os.O_RDWR, _FILE_MODE), False
    return directory.open(path, _OPEN_FLAGS | os.O_WRONLY, _FILE_MODE), False


def _is_regular(path: str, directory: LogDirectory) -> bool:
    try:
        return stat.S_ISREG(directory.stat(path).st_mode)
    except OSError:
        return False


def is_readable(file: int) -> bool:
    """Return whether a descriptor may be read from."""
    return fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR


def file_system_of(file: int) -> FileSystem:
    """Return the file system of an open file, or one that does not exist if it cannot be asked."""
    try:
        return os.fstat(file).st_dev, os.fstatvfs(file).f_fsid
    except OSError:
        return -1, -1
