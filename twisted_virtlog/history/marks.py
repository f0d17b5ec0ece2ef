"""When the bytes of one file came, as far as that is known: a few numbers for each mark.

A mark says that the end of the file was at an offset from one moment to another. So a byte between
the offsets of two marks came after the former's last moment, and before the latter's first. Each
mark is true by itself: one that is left out makes times less exact, and none wrong.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator

from twisted_virtlog.history.moments import THIS_BOOT, is_of_boot, moment

#: How many bytes of the index a mark takes there, with all that is around it.
BYTES_OF_MARK = 30

#: How many marks any file may have, and how large a part of its bytes they may take if it is large.
_FEWEST = 64
_PART_OF_FILE = 0.006

#: More would take long to read, and say when each tenth of a percent of a large file came.
_MOST = 1 << 14

#: Offset, first and last moment.
_NUMBERS = 3
_NUMBER = "q"

#: How many bytes a mark takes by itself.
BYTES_ALONE = _NUMBERS * array(_NUMBER).itemsize


def most_marks(size: int) -> int:
    """Return how many marks a file of so many bytes may have."""
    return min(max(_FEWEST, int(size * _PART_OF_FILE) // BYTES_OF_MARK), _MOST)


class FileMarks:
    """The marks of a file, by their offsets, which never fall."""

    __slots__ = ("_numbers",)

    def __init__(self, kept: bytes = b"") -> None:
        """:param kept: what :meth:`kept` has returned, or several of those in their order."""
        numbers = self._numbers = array(_NUMBER)
        # (what a disk has cut off is left out)
        numbers.frombytes(kept[: len(kept) // BYTES_ALONE * BYTES_ALONE])
        if sys.byteorder == "big":
            numbers.byteswap()

    def __len__(self) -> int:
        return len(self._numbers) // _NUMBERS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileMarks) and self._numbers == other._numbers

    __hash__ = None  # type: ignore[assignment]  # (it changes)

    def __repr__(self) -> str:
        return f"FileMarks({list(self)})"

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield the offset, the first and the last moment of each."""
        numbers = iter(self._numbers)
        return zip(numbers, numbers, numbers, strict=True)

    def offset(self, index: int) -> int:
        """Return where a mark is."""
        return self._numbers[index * _NUMBERS]

    def since(self, index: int) -> int:
        """Return the first moment of a mark."""
        return self._numbers[index * _NUMBERS + 1]

    def until(self, index: int) -> int:
        """Return the last moment of a mark."""
        return self._numbers[index * _NUMBERS + 2]

    @property
    def end(self) -> int:
        """The offset of the last mark; 0 if there is none."""
        return self._numbers[-_NUMBERS] if self._numbers else 0

    def last(self) -> tuple[int, int, int] | None:
        """Return the offset, the first and the last moment of the last mark, if there is one."""
        if not self._numbers:
            return None
        offset, since, until = self._numbers[-_NUMBERS:]
        return offset, since, until

    def add(self, offset: int, since: int, until: int) -> None:
        """Add a mark, at the end of the file or where it was already.

        :param offset: not below the last mark's: see :meth:`cut`.
        """
        numbers = self._numbers
        if numbers and numbers[-_NUMBERS] == offset:
            numbers[-1] = max(numbers[-1], until)
        else:
            numbers.extend((offset, since, until))

    def add_all(self, others: Iterable[tuple[int, int, int]]) -> None:
        """Add marks that follow."""
        for offset, since, until in others:
            self.add(offset, since, until)

    def cut(self) -> None:
        """Take note that the file was cut, and it is not known how far.

        What is in it now came after it was made, and no more is known.
        """
        del self._numbers[_NUMBERS if self._numbers and not self._numbers[0] else 0 :]

    def trim(self, size: int) -> None:
        """Take note that the end of the file was lost, and what is left stayed as it was."""
        numbers = self._numbers
        while numbers and numbers[-_NUMBERS] > size:
            del numbers[-_NUMBERS:]

    def thin(self, most: int) -> None:
        """Leave out every second mark, again and again, until there are no more than so many.

        The first and the last stay, and of two neighbours the one at which the file rested longer.

        :param most: 2 or more.
        """
        # (marks that were kept apart may be at the same offset)
        found: list[tuple[int, int, int]] = []
        for offset, since, until in self:
            if found and found[-1][0] == offset:
                found[-1] = (offset, found[-1][1], max(found[-1][2], until))
            else:
                found.append((offset, since, until))
        while len(found) > most:
            between = found[1:-1]
            left = [max(pair, key=_rest) for pair in zip(between[::2], between[1::2], strict=False)]
            found = [found[0], *left, found[-1]]
        self._numbers = array(_NUMBER, [number for mark in found for number in mark])

    def in_boot(self, boot: int) -> FileMarks:
        """Return the same with the boot's number in place of THIS_BOOT."""
        other = FileMarks()
        # (no offset is as large as a moment of that boot, which is the last one)
        begin = moment(THIS_BOOT, 0)
        earlier = begin - moment(boot, 0)
        other._numbers = array(
            _NUMBER, [one - earlier if one >= begin else one for one in self._numbers]
        )
        return other

    def kept(self) -> bytes:
        """Return all as bytes, the same on every machine."""
        if sys.byteorder != "big":
            return self._numbers.tobytes()
        numbers = self._numbers[:]
        numbers.byteswap()
        return numbers.tobytes()


def _rest(mark: tuple[int, int, int]) -> int:
    """Return for how long a file rested at a mark; that of a mark of no boot is not known."""
    _offset, since, until = mark
    return until - since if is_of_boot(since) else 0
