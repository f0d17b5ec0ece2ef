"""Whose bytes are in the staging pipes of a lane: a file in memory, which outlives a crash.

A staging pipe serves one log after the other. So that no byte in it is ever without an owner, its
log is named here before the first byte of that enters it. A place has 16 bytes, which one write
changes as a whole: a process that is killed leaves the former owner or the new one.

The service manager keeps the file beside the pipes.
"""

from __future__ import annotations

import errno
import os
import struct

# The first place says what this is.
_BEGINNING = b"virtlog lanes 1\n"

#: The inode number of a staging pipe and that of the guest's pipe whose bytes are in it.
_place = struct.Struct("=QQ")


class Ownership:
    """The record of one lane.

    :ivar file: its descriptor.
    :ivar number: its inode number.
    """

    def __init__(self) -> None:
        """Make an empty one.

        :raises OSError: no descriptor or no memory is left.
        """
        self.file = os.memfd_create("lane", os.MFD_CLOEXEC)
        self.number = os.fstat(self.file).st_ino
        self._free: list[int] = []
        self._next = 1
        try:
            os.write(self.file, _BEGINNING)
        except BaseException:
            os.close(self.file)
            raise

    def place(self) -> int:
        """Return a place for a staging pipe that nobody owns yet."""
        if self._free:
            return self._free.pop()
        place = self._next
        self._next += 1
        return place

    def name(self, place: int, staging: int, pipe: int) -> None:
        """Name the owner of a staging pipe, which is empty.

        :param staging: its inode number.
        :param pipe: the inode number of the guest's pipe.
        :raises OSError: no memory is left; nothing has changed.
        """
        entry = _place.pack(staging, pipe)
        if os.pwrite(self.file, entry, place * _place.size) != _place.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def give_back(self, place: int) -> None:
        """Let another staging pipe have a place, as that which had it is closed."""
        self._free.append(place)

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)


def owners(content: bytes) -> dict[int, int] | None:
    """Read the record of a lane.

    :returns: for each staging pipe's inode number that of its guest's pipe; None if this release
        does not understand it.
    """
    if not content.startswith(_BEGINNING):
        return None
    whole = len(content) // _place.size * _place.size
    return {
        staging: pipe
        for staging, pipe in _place.iter_unpack(content[_place.size : whole])
        if staging and pipe
    }
