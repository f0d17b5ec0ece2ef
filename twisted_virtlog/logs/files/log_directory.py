"""Reaches the files of a log by their names: all that is done to one by its name is done here.

A log's files are in one directory. Here they are reached by their paths, wherever these lead, as
with virtlogd.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from twisted_virtlog.errors import LeadsOut, SystemFailure

#: The device, and the file system's own identifier: another disk may get the device's number.
FileSystem: TypeAlias = "tuple[int, int]"


UNNAMED_FLAGS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC


class Refused(OSError):
    """What a name leads to is not to be touched, as log_roots says."""

    def __init__(self, number: int, explanation: str, roots: Sequence[str]) -> None:
        """:param explanation: why, in words, which ``number`` (an errno) has no room for."""
        super().__init__(number, os.strerror(number))
        self.explanation = explanation
        self.roots = roots


def system_failure(action: str, error: OSError, path: str) -> SystemFailure:
    """Return what is told of an error.

    :param action: what was tried, in the words of SystemFailure.
    :param path: of the log.
    """
    number = error.errno or errno.EIO
    if isinstance(error, Refused):
        return LeadsOut(action, number, path, error.explanation, error.roots)
    return SystemFailure(action, number, path)


def link_unnamed(file: int, name: str, directory: int) -> None:
    """Give a file that was made without a name one.

    :param directory: a descriptor of the directory in which it is.
    :raises OSError: it cannot have it.
    """
    os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=directory, follow_symlinks=True)


def looks_by(
    lstat: Callable[[str], os.stat_result], paths: Sequence[str]
) -> list[os.stat_result | None]:
    """Look at several names in a row; see :meth:`LogDirectory.looks`."""
    found: list[os.stat_result | None] = []
    for path in paths:
        try:
            found.append(lstat(path))
        except OSError:
            found.append(None)
    return found


class LogDirectory:
    """The directory of a log's files, each of which is named by its path.

    :ivar has_packed: whether a file may be packed, so that it is looked for by that name as well.
    """

    __slots__ = ()

    has_packed = True

    def __enter__(self) -> None:
        """Hold the directory for several operations."""

    def __exit__(self, *_: object) -> None:
        """Let go of it."""

    def begin(self) -> None:
        """Take note which directory it is now.

        :raises OSError: it cannot be reached.
        """

    def is_as_begun(self) -> bool:
        """Return whether it is the same one as then.

        :raises OSError: it cannot be reached.
        """
        return True

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Return a new descriptor of a file, by the flags of the system call.

        :raises OSError: it cannot be opened.
        """
        return os.open(path, flags, mode)

    def lstat(self, path: str) -> os.stat_result:
        """Return the status of what has a name, a link's own.

        :raises OSError: nothing has it.
        """
        return os.lstat(path)

    def looks(self, paths: Sequence[str]) -> list[os.stat_result | None]:
        """Return the same of several names, with None for each that nothing has."""
        return looks_by(os.lstat, paths)

    def stat(self, path: str) -> os.stat_result:
        """Return the status of the file that a name leads to.

        :raises OSError: it leads nowhere.
        """
        return os.stat(path)

    def exists(self, path: str) -> bool:
        """Return whether anything has a name, as a link that leads nowhere."""
        try:
            os.lstat(path)
        except OSError:
            return False
        return True

    def names(self, path: str) -> Mapping[int, str]:
        """Return the names in the directory in which a file is, by inode numbers.

        :raises OSError: it cannot be listed.
        """
        with os.scandir(os.path.dirname(path) or ".") as entries:
            return {entry.inode(): entry.name for entry in entries}

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, in place of the one that had it.

        :raises OSError: it cannot be renamed.
        """
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name.

        :raises OSError: it cannot be removed.
        """
        os.unlink(path)

    def make_unnamed(self, path: str) -> int:
        """Make a file that has no name; return a descriptor to read and write it.

        It is gone with its last descriptor, unless :meth:`link` names it.

        :param path: of a file beside which it is to be.
        :raises OSError: EOPNOTSUPP, the file system has no such files; and others.
        """
        return os.open(os.path.dirname(path) or ".", UNNAMED_FLAGS, 0o600)

    def link(self, file: int, path: str) -> None:
        """Give a file a name that nothing has yet.

        :param file: its descriptor.
        :raises OSError: it cannot have it.
        """
        directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_CLOEXEC)
        try:
            link_unnamed(file, os.path.basename(path), directory)
        finally:
            os.close(directory)

    def mark(self, path: str, attribute: str) -> None:
        """Give a file an extended attribute, unless it has it.

        :raises OSError: it can have none.
        """
        try:
            os.getxattr(path, attribute, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
            os.setxattr(path, attribute, b"1", follow_symlinks=False)

    def file_system(self, path: str) -> FileSystem | None:
        """Return the file system that a name leads to; None if it leads nowhere."""
        for name in (path, os.path.dirname(path)):
            try:
                return os.stat(name).st_dev, os.statvfs(name).f_fsid
            except FileNotFoundError:
                continue
            except OSError:
                break
        return None

    def longest_name(self, path: str) -> int:
        """Return how many bytes the names of files may have where one is.

        :raises OSError: the directory cannot be asked.
        """
        return os.pathconf(os.path.dirname(path) or ".", "PC_NAME_MAX")


#: The one that reaches all files.
BY_PATH = LogDirectory()


class _NothingPacked(LogDirectory):
    """The same, where nobody packs files."""

    __slots__ = ()

    has_packed = False


#: To look for each file by two names costs as much as opening a log does.
NOTHING_PACKED: LogDirectory = _NothingPacked()
