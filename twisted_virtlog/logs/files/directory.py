"""A directory whose files may be removed: listed, compared and removed without following links.

Everything is done relative to a descriptor of the directory, so that somebody who may rename
directories cannot have files removed elsewhere, by a symbolic link at the right moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from twisted_virtlog.logs.files.cleaning import Found
from twisted_virtlog.logs.files.names import parse_name

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# O_PATH needs neither the right to read nor a device that answers.
_HOLD_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Contents:
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

        :param path: if it is a symbolic link it is refused.
        :raises OSError: it cannot be opened.
        """
        self.path = path
        self.descriptor = os.open(path, _DIRECTORY_FLAGS)

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
