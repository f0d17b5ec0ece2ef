"""A directory whose files may be removed: listed, compared and removed without following links.

Everything is done relative to a descriptor of the directory, so that somebody who may rename
directories cannot have files removed elsewhere, by a symbolic link at the right moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress

from twisted_virtlog.logs.files.cleaning import Found
from twisted_virtlog.logs.files.names import parse_name

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# O_PATH needs neither the right to read nor a device that answers.
_HOLD_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Directory:
    """An open directory, and what was in it.

    :ivar path: as it was named.
    :ivar descriptor: the directory's.
    :ivar files: its regular files that are named as logs.
    :ivar directories: the names of its subdirectories.
    """

    def __init__(self, path: str, below: Directory | None = None) -> None:
        """Open and read it; :meth:`close` closes it.

        :param below: the directory that ``path`` is a name in. A symbolic link is refused then.
        :raises OSError: it cannot be opened or read.
        """
        if below is None:
            self.path = path
            self.descriptor = os.open(path, _DIRECTORY_FLAGS)
        else:
            self.path = below.path_of(path)
            flags = _DIRECTORY_FLAGS | os.O_NOFOLLOW
            self.descriptor = os.open(path, flags, dir_fd=below.descriptor)
        self.files: list[Found] = []
        self.directories: list[str] = []
        try:
            self._read()
        except BaseException:
            self.close()
            raise
        self.directories.sort()

    def _read(self) -> None:
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self.directories.append(entry.name)
                elif parse_name(entry.name) and entry.is_file(follow_symlinks=False):
                    # Someone may remove it meanwhile.
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        self.files.append(_found(entry.name, status))

    def times_below(self) -> list[int]:
        """Return when its files and those of its subdirectories were last written to.

        In nanoseconds since the epoch. What cannot be read is left out.
        """
        times = [one.modified_ns for one in self.files]
        for name in self.directories:
            with suppress(OSError), closing(Directory(name, self)) as below:
                times += [one.modified_ns for one in below.files]
        return times

    def path_of(self, name: str) -> str:
        """Return the path of what has a name in this directory."""
        return os.path.join(self.path, name)

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
                    descriptor = os.open(one.name, _HOLD_FLAGS, dir_fd=self.descriptor)
                except FileNotFoundError:
                    return ()
                undo.callback(os.close, descriptor)
                held.append(descriptor)
                if _found(one.name, os.fstat(descriptor)) != one:
                    return ()
            undo.pop_all()
        return held

    def remove(self, name: str) -> None:
        """Remove a name.

        :raises OSError: it cannot be removed.
        """
        os.unlink(name, dir_fd=self.descriptor)

    def close(self) -> None:
        """Close the directory."""
        os.close(self.descriptor)


def _found(name: str, status: os.stat_result) -> Found:
    return Found(name, status.st_ino, status.st_mtime_ns)
