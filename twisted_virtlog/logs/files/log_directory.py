"""Reaches the files of a log by their names: all that is done to one by its name is done here.

A log's files are in one directory. Here they are reached by their paths, wherever these lead, as
with virtlogd.
"""

from __future__ import annotations

import errno
import os
from typing import TypeAlias

#: The device, and the file system's own identifier: another disk may get the device's number.
FileSystem: TypeAlias = "tuple[int, int]"


class LogDirectory:
    """The directory of a log's files, each of which is named by its path."""

    __slots__ = ()

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
