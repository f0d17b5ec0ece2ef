"""A directory whose files may be removed: listed, compared and removed without following links.

Everything is done relative to a descriptor of the directory, so that somebody who may rename
directories cannot have files removed elsewhere, by a symbolic link at the right moment.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress

from msgspec import Struct

from twisted_virtlog.logs.files.cleaning import Found
from twisted_virtlog.logs.files.names import (
    CURRENT,
    backup_path,
    held_path,
    packed_path,
    parse_name,
)
from twisted_virtlog.logs.files.removal import HOLD_FLAGS
from twisted_virtlog.values import MAX_BACKUPS

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Contents(Struct, frozen=True):
    """What was in a directory.

    :ivar files: its regular files that are named as logs.
    :ivar directories: the names of its subdirectories, sorted.
    """

    files: Sequence[Found]
    directories: Sequence[str]


class Directory:
    """An open directory.

    :ivar path: as it was named.
    :ivar descriptor: the directory's.
    """

    def __init__(self, path: str) -> None:
        """Open it; :meth:`close` closes it.

        :param path: without symbolic links; if one leads elsewhere by now, it is refused.
        :raises OSError: it cannot be opened.
        """
        self.path = path
        self.descriptor = os.open(path, _DIRECTORY_FLAGS)
        try:
            # (the flags refuse a link in the last place only)
            if os.readlink(f"/proc/self/fd/{self.descriptor}") != path:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except BaseException:
            os.close(self.descriptor)
            raise

    def contents(self) -> Contents:
        """Read it. What is in subdirectories is not touched, nor whether they are mounts.

        :raises OSError: it cannot be read.
        """
        files: list[Found] = []
        directories: list[str] = []
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.name)
                elif parse_name(entry.name) and entry.is_file(follow_symlinks=False):
                    # Someone may remove it meanwhile.
                    with suppress(FileNotFoundError):
                        files.append(_found(entry.name, entry.stat(follow_symlinks=False)))
        return Contents(files, sorted(directories))

    def find(self, name: str) -> Found | None:
        """Return a regular file; None if there is none of this name.

        :raises OSError: it cannot be looked at.
        """
        try:
            status = self.lstat(name)
        except FileNotFoundError:
            return None
        except OSError as error:
            # (a directory may not even be asked for a name that no file of it can have)
            if error.errno != errno.ENAMETOOLONG:
                raise
            return None
        return _found(name, status) if stat.S_ISREG(status.st_mode) else None

    def files_of(
        self, name: str, is_other: Callable[[str], bool], held: Iterable[int] = ()
    ) -> Sequence[Found]:
        """Return the regular files of a log, the oldest first, however many backups it may have.

        :param name: of its current file.
        :param is_other: whether the file at a path, which is called as a backup, is another log.
        :param held: the numbers of its held files, oldest first.
        :raises OSError: one cannot be looked at.
        """
        found: list[Found] = []
        for number in itertools.count(CURRENT):
            names = [name]
            if number != CURRENT:
                one = backup_path(name, number)
                # (of both, the one that is not looked at goes first)
                names = [one, packed_path(one)]
            files = [
                self.find(one)
                for one in names
                if number == CURRENT or not is_other(os.path.join(self.path, one))
            ]
            found += (file for file in files if file is not None)
            if number > MAX_BACKUPS and not any(files):
                # (virtlogd may have been told to keep more; they have no holes)
                break
        paths = (held_path(name, number) for number in held)
        looks = (self.find(one) for path in paths for one in (packed_path(path), path))
        return [*(look for look in looks if look is not None), *reversed(found)]

    def hold(self, files: Iterable[Found]) -> Sequence[int]:
        """Open files so that their data outlives their names, if all are still as found.

        Freeing a large file's data takes a file system time; whoever holds the file decides when.

        :returns: descriptors to close, in order of the files; none if a file has changed or gone.
        :raises OSError: one cannot be opened.
        """
        held = []
        with ExitStack() as undo:
            for one in files:
                try:
                    descriptor = self.open(one.name, HOLD_FLAGS)
                except FileNotFoundError:
                    return ()
                undo.callback(os.close, descriptor)
                held.append(descriptor)
                if _found(one.name, os.fstat(descriptor)) != one:
                    return ()
            undo.pop_all()
        return held

    # See removal.Names.

    def open(self, name: str, flags: int) -> int:
        """Return a new descriptor of a file.

        :raises OSError: it cannot be opened.
        """
        return os.open(name, flags, dir_fd=self.descriptor)

    def lstat(self, name: str) -> os.stat_result:
        """Return the status of what has a name, a link's own.

        :raises OSError: nothing has it.
        """
        return os.lstat(name, dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        """Remove a name.

        :raises OSError: it cannot be removed.
        """
        os.unlink(name, dir_fd=self.descriptor)

    def close(self) -> None:
        """Close the directory."""
        os.close(self.descriptor)


def _found(name: str, status: os.stat_result) -> Found:
    return Found(name, status.st_ino, status.st_mtime_ns, status.st_size)
