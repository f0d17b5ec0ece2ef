"""Reaches the files of a log whose directory belongs to somebody who may wish the daemon ill.

Who owns a directory may put links in its place, in the place of those above it that he owns, and in
the place of its files, at any moment. So the directory is opened by its path from the root on with
no link allowed (openat2(2), or name by name where the kernel cannot do so), and all that is done to
its files is done from there, to bare names, and follows none. The path has no ``..``, so there is
no way but down.

A hard link is no link to follow: the file itself has two names. What is opened to be read or
written must have one. To look at the number of its names is not enough: somebody may remove his as
soon as the file is open, and the number is 1 again. So it is looked whether the name by which the
file was opened is still there, after everybody is done who was changing the directory.

Nothing stays open. Whoever has much to do holds the directory (``with``) meanwhile.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Mapping, Sequence

from twisted_virtlog.logs.files.log_directory import (
    UNNAMED_FLAGS,
    FileSystem,
    LogDirectory,
    Refused,
    link_unnamed,
    looks_by,
)
from twisted_virtlog.syscalls import RESOLVE_NO_SYMLINKS, openat2, wait_for_directory

_DIRECTORY_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LISTING_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Who else may remove names in a directory.
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Beneath(LogDirectory):
    """The directory of a log below ``log_roots``."""

    __slots__ = (
        "_begun",
        "_directory",
        "_holders",
        "_is_safe",
        "_now",
        "_path",
        "_roots",
        "has_packed",
    )

    def __init__(self, path: str | None, roots: Sequence[str], has_packed: bool = True) -> None:
        """Open nothing yet.

        :param path: of the directory, without links; None for one that is not below a root, in
            which everything is refused.
        :param roots: as they are written, for messages.
        :param has_packed: see LogDirectory.
        """
        self.has_packed = has_packed
        self._path = path
        self._roots = roots
        self._holders = 0
        self._directory = -1
        # Whether nobody else may change the directory that is open.
        self._is_safe = False
        # Which directory it is, and which one it was when a roll-over began.
        self._now = self._begun = (0, 0)

    def __enter__(self) -> None:
        """Hold the directory from the first use on."""
        self._holders += 1

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self._holders -= 1
        if not self._holders and self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def begin(self) -> None:
        """Take note which directory it is now, and find out that it can be reached.

        :raises OSError: it cannot.
        """
        with self:
            self._reach()
            self._begun = self._now

    def is_as_begun(self) -> bool:
        """Return whether it is the same one as then.

        :raises OSError: it cannot be reached.
        """
        with self:
            self._reach()
            return self._begun in {(0, 0), self._now}

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open a file that has no other name.

        :raises Refused: it has, or is a symbolic link.
        :raises OSError: it cannot be opened.
        """
        with self:
            directory, name = self._reach(), _name(path)
            try:
                file = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise self._link() from error
                raise
            # (one that was made has no other name, and what is only looked up is not changed)
            if not flags & (os.O_EXCL | os.O_PATH):
                try:
                    self._check(file, path)
                except BaseException:
                    os.close(file)
                    raise
            return file

    def _check(self, file: int, path: str) -> None:
        """Refuse a file that has another name than the one by which it was opened."""
        if os.fstat(file).st_nlink > 1:
            raise self._other_name()
        if self._is_safe:
            return
        look = os.open(".", _LISTING_FLAGS, dir_fd=self._directory)
        try:
            wait_for_directory(look)
        finally:
            os.close(look)
        # (of one whose name was removed, the kernel says so after it)
        if os.readlink(f"/proc/self/fd/{file}") != f"{self._path}/{_name(path)}":
            raise self._other_name()

    def lstat(self, path: str) -> os.stat_result:
        """See LogDirectory."""
        with self:
            return os.stat(_name(path), dir_fd=self._reach(), follow_symlinks=False)

    def looks(self, paths: Sequence[str]) -> list[os.stat_result | None]:
        """See LogDirectory."""
        with self:
            return looks_by(self.lstat, paths)

    def stat(self, path: str) -> os.stat_result:
        """Return the same as :meth:`lstat`: no link is followed."""
        return self.lstat(path)

    def exists(self, path: str) -> bool:
        """Return whether anything has a name.

        :raises OSError: nobody can tell.
        """
        try:
            self.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def names(self, path: str) -> Mapping[int, str]:
        """See LogDirectory."""
        with self:
            look = os.open(".", _LISTING_FLAGS, dir_fd=self._reach())
        try:
            with os.scandir(look) as entries:
                return {entry.inode(): entry.name for entry in entries}
        finally:
            os.close(look)

    def rename(self, source: str, target: str) -> None:
        """See LogDirectory."""
        with self:
            directory = self._reach()
            os.rename(_name(source), _name(target), src_dir_fd=directory, dst_dir_fd=directory)

    def unlink(self, path: str) -> None:
        """See LogDirectory."""
        with self:
            os.unlink(_name(path), dir_fd=self._reach())

    def make_unnamed(self, path: str) -> int:
        """See LogDirectory."""
        with self:
            return os.open(".", UNNAMED_FLAGS, 0o600, dir_fd=self._reach())

    def link(self, file: int, path: str) -> None:
        """See LogDirectory."""
        with self:
            link_unnamed(file, _name(path), self._reach())

    def mark(self, path: str, attribute: str) -> None:
        """See LogDirectory; a file that has another name gets none."""
        file = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            os.getxattr(file, attribute)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
            os.setxattr(file, attribute, b"1")
        finally:
            os.close(file)

    def file_system(self, path: str) -> FileSystem | None:
        """See LogDirectory."""
        try:
            with self:
                directory = self._reach()
                try:
                    device = self.lstat(path).st_dev
                except FileNotFoundError:
                    device = os.fstat(directory).st_dev
                return device, os.fstatvfs(directory).f_fsid
        except OSError:
            return None

    def longest_name(self, path: str) -> int:
        """See LogDirectory."""
        with self:
            return os.fpathconf(self._reach(), "PC_NAME_MAX")

    def _reach(self) -> int:
        """Return the directory's descriptor, which is open as long as it is held.

        :raises Refused: a link is on its way.
        :raises OSError: it cannot be opened.
        """
        if self._directory >= 0:
            return self._directory
        if self._path is None:
            raise Refused(errno.EPERM, "it is not below log_roots", self._roots)
        try:
            directory = open_directory(self._path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._link() from error
            raise
        self._directory = directory
        status = os.fstat(directory)
        self._now = status.st_dev, status.st_ino
        is_ours = status.st_uid in {0, os.geteuid()}
        self._is_safe = is_ours and not status.st_mode & _OTHERS_MAY_WRITE
        return directory

    def _link(self) -> Refused:
        explanation = "a symbolic link is on its way, which log_roots forbids"
        return Refused(errno.ELOOP, explanation, self._roots)

    def _other_name(self) -> Refused:
        explanation = "the file has another name (a hard link), which log_roots forbids"
        return Refused(errno.EMLINK, explanation, self._roots)


def open_directory(path: str) -> int:
    """Open a directory with O_PATH, if no symbolic link is on the way.

    :param path: absolute, without ``.`` and ``..``.
    :raises OSError: ELOOP, there is a link; ENOENT, ENOTDIR and others, see openat2(2).
    """
    if _has_openat2():
        return openat2(path, _DIRECTORY_FLAGS, RESOLVE_NO_SYMLINKS)
    return walk(path)


def walk(path: str) -> int:
    """Do the same as :func:`open_directory` where the kernel cannot: open name by name."""
    directory = os.open("/", _DIRECTORY_FLAGS)
    for name in path.split("/"):
        if not name:
            continue
        above = directory
        try:
            directory = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=above)
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
            raise
        finally:
            os.close(above)
    return directory


@functools.cache
def _has_openat2() -> bool:
    """Return whether the kernel knows openat2(2), and no filter of system calls forbids it."""
    try:
        os.close(openat2("/", _DIRECTORY_FLAGS, RESOLVE_NO_SYMLINKS))
    except OSError as error:
        return error.errno not in {errno.ENOSYS, errno.EPERM}
    return True


def _name(path: str) -> str:
    return path.rpartition("/")[2]
