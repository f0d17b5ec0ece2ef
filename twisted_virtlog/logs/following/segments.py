"""A log as those see it who follow it: parts of files, each of which leads to the next one."""

from __future__ import annotations

from typing import TypeAlias

from twisted_virtlog.values import Position, is_in_other_file, is_outdated

#: The number that no file has: of what is before the first byte of a log.
NO_INODE = 0


class Segment:
    """A part of a log that lies in one file, and was not cut in between.

    :ivar inode: of the file, and ``birth`` as it is in positions.
    :ivar begin: the offset of its first byte.
    :ivar end: up to where it can be read, as far as that is known; more may come while it is live.
    :ivar extent: up to where there ever were bytes: from ``end`` on they are lost.
    :ivar lost: how many bytes are lost after that, in files that were between it and the next one.
    :ivar is_live: what is written next may go into it.
    :ivar parted: bytes may be missing after it, and nobody knows how many.
    :ivar is_gone: its file cannot be found any more.
    :ivar is_device: it is no regular file, and holds nothing.
    :ivar is_aside: it leads to the others, and none of them to it.
    :ivar next: the one that follows; None if there is none yet.
    :ivar order: a higher one is newer.
    :ivar readers: how many read it, or one that leads to it from aside.
    :ivar flags: by which preadv(2) does not wait for a disk; -1 while that is not known.
    :ivar file: a descriptor of its own; -1 if it has none. See KeptFiles.
    :ivar is_packed: that is one of the packed file.
    :ivar used_at: when that was read last.
    """

    __slots__ = (
        "begin",
        "birth",
        "end",
        "extent",
        "file",
        "flags",
        "inode",
        "is_aside",
        "is_device",
        "is_gone",
        "is_live",
        "is_packed",
        "lost",
        "next",
        "order",
        "parted",
        "readers",
        "used_at",
    )

    def __init__(self, inode: int, birth: str, begin: int, end: int, order: int = 0) -> None:
        self.inode = inode
        self.birth = birth
        self.begin = begin
        self.end = self.extent = end
        self.lost = 0
        self.is_live = self.parted = self.is_gone = self.is_device = self.is_aside = False
        self.is_packed = False
        self.next: Segment | None = None
        self.order = order
        self.readers = 0
        self.file = self.flags = -1
        self.used_at = 0.0

    def at(self, offset: int) -> Position:
        """Return a position in it."""
        return Position(self.inode, offset, self.birth)

    def is_of(self, inode: int, birth: str) -> bool:
        """Return whether it lies in a file, as far as is known.

        :param birth: of the file, with or without a cut.
        """
        return self.inode == inode and not is_in_other_file(birth, self.birth)

    def has(self, position: Position) -> bool:
        """Return whether a position lies in it, as far as is known."""
        return (
            self.inode == position.inode
            and self.begin <= position.offset <= self.extent
            and not (position.birth and is_outdated(position.birth, self.birth))
        )


#: A segment, and an offset in its file.
Place: TypeAlias = "tuple[Segment, int]"


def before_all() -> Segment:
    """Return what is before the first byte of a log that is not there yet."""
    return Segment(NO_INODE, "", 0, 0)
