"""How far a consumer has come in a log, and what of a file it has not read: pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from twisted_virtlog.values import Position, is_in_other_file, is_outdated


class LogFile(msgspec.Struct, frozen=True, gc=False):
    """A file of a log.

    :ivar birth: with its last cut, as far as that is known; see Position.
    :ivar size: in bytes.
    """

    inode: int
    birth: str
    size: int

    def has(self, position: Position) -> bool:
        """Return whether a position lies in it, as far as is known."""
        return self.inode == position.inode and not (
            position.birth and is_in_other_file(position.birth, self.birth)
        )

    def after(self, position: Position) -> int:
        """Return how many of its bytes come after a position that lies in it."""
        if is_outdated(position.birth, self.birth):
            # (it was cut: what is in it was written after the position)
            return self.size
        return max(0, self.size - position.offset)


def find(files: Sequence[LogFile], position: Position | None) -> int | None:
    """Return the number of the file that a position lies in.

    :param files: oldest first.
    :returns: None if it is in none of them: it is before them all, as its file is gone.
    """
    if position is not None:
        # (an older one that has the same number is another file)
        for number in reversed(range(len(files))):
            if files[number].has(position):
                return number
    return None


def unread_in(files: Sequence[LogFile], number: int, position: Position | None) -> int:
    """Return how many bytes of a file come after a position, of which all files are known."""
    place = find(files, position)
    if place is None or position is None or place < number:
        return files[number].size
    return files[number].after(position) if place == number else 0


def lag(files: Sequence[LogFile], position: Position | None) -> int:
    """Return how many bytes of a log come after a position."""
    place = find(files, position)
    if place is None or position is None:
        return sum(file.size for file in files)
    newer = sum(file.size for file in files[place + 1 :])
    return files[place].after(position) + newer


def is_further(files: Sequence[LogFile], position: Position, former: Position | None) -> bool:
    """Return whether a position is not before another one.

    Of two whose files are gone, it is taken for the further one.
    """
    if former is None:
        return True
    if (position.inode, position.birth) == (former.inode, former.birth):
        return position.offset >= former.offset
    place, before = find(files, position), find(files, former)
    if place is None or before is None:
        return before is None
    if place != before:
        return place > before
    return files[place].after(position) <= files[place].after(former)
