"""Finds the held files of logs: those that rotation would have removed, kept for consumers."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.names import held_path, parse_held
from twisted_virtlog.logs.files.removal import HOLD_FLAGS
from twisted_virtlog.logs.files.standing import standing

_LISTING_SECONDS = 1.0

#: The unit of st_blocks, whatever the file system's blocks are.
UNIT_BYTES = 512


class HeldFile(msgspec.Struct, frozen=True, gc=False):
    """A held file, as it was looked at.

    :ivar number: of its name; see names.
    :ivar birth: its own, see identity.
    :ivar size: in bytes.
    :ivar on_disk: the bytes that it takes up.
    :ivar modified_ns: when it was written last, in nanoseconds since 1970.
    """

    number: int
    inode: int
    birth: str
    size: int
    on_disk: int
    modified_ns: int


class Unread(msgspec.Struct, frozen=True, gc=False):
    """A file that is about to go, and is not read.

    :ivar file: as it was looked at; its number says nothing.
    :ivar counts: how many bytes of it each consumer has yet to read, of those that have any.
    """

    file: HeldFile
    counts: Mapping[str, int]


def look_at_held(directory: LogDirectory, path: str, number: int) -> HeldFile | None:
    """Look at one of a log's held files; None if there is none of this number.

    :param path: of the log.
    """
    return look_at(directory, held_path(path, number), number)


def look_at(directory: LogDirectory, name: str, number: int) -> HeldFile | None:
    """Look at a file that is to be held, or is; None if it is no regular file.

    :param name: by which it is reached, or the packed file that stands for it.
    :param number: that it has, or gets.
    """
    with contextlib.suppress(OSError):
        found = standing(directory, name)
        if found is None:
            return None
        if found.origin is not None:
            origin, status = found.origin, found.status
            on_disk = status.st_blocks * UNIT_BYTES
            return HeldFile(
                number, origin.inode, origin.birth, origin.size, on_disk, status.st_mtime_ns
            )
        file = directory.open(name, HOLD_FLAGS)
        try:
            status = os.fstat(file)
            if stat.S_ISREG(status.st_mode):
                return HeldFile(
                    number,
                    status.st_ino,
                    identity.birth(file),
                    status.st_size,
                    status.st_blocks * UNIT_BYTES,
                    status.st_mtime_ns,
                )
        finally:
            os.close(file)
    return None


class HeldListing:
    """The held files in the directory that was listed last, by their logs; any thread may ask.

    When the daemon starts, thousands of logs may ask of one directory. So it is listed for all of
    them at once, and not more than once a second: nobody but the daemon adds held files, and it
    knows those of the logs that it has asked for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """:param clock: says seconds, and never steps."""
        self._clock = clock
        self._lock = threading.Lock()
        self._parent = ""
        self._numbers: Mapping[str, Sequence[int]] = {}
        self._listed_at = 0.0

    def find(self, directory: LogDirectory, path: str) -> list[HeldFile]:
        """Return the held files of a log, the oldest first.

        :param directory: reaches them.
        :raises OSError: the directory cannot be listed.
        """
        parent, _, name = path.rpartition("/")
        with directory:
            numbers = self._listing(directory, path, parent).get(name, ())
            looks = (look_at_held(directory, path, number) for number in sorted(numbers))
            return [look for look in looks if look is not None]

    def _listing(
        self, directory: LogDirectory, path: str, parent: str
    ) -> Mapping[str, Sequence[int]]:
        with self._lock:
            if self._parent != parent or self._clock() > self._listed_at + _LISTING_SECONDS:
                self._numbers = held_numbers(directory.names(path).values())
                self._parent, self._listed_at = parent, self._clock()
            return self._numbers


def held_numbers(names: Iterable[str]) -> Mapping[str, Sequence[int]]:
    """Return the numbers of the held files among some names, by the names of their logs."""
    found: dict[str, list[int]] = {}
    for parsed in {parse_held(name) for name in names}:
        if parsed is not None:
            found.setdefault(parsed[0], []).append(parsed[1])
    return found


#: For all logs of the process.
HELD_FILES = HeldListing()
