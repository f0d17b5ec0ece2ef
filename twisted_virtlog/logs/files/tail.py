"""Notices that another program cut a log's file in the middle of a write, and finds out where.

A write asks the file for its size and then moves bytes to that offset. A cut between the two calls
(``copytruncate``) leaves NULs from the cut to the offset. Nothing can keep others from cutting: a
lease is not granted while somebody reads the file, and splice(2) refuses files opened for append.
So after each write one byte is compared, the mark, which was not NUL before: it is NUL now if the
file was cut at it or below. What a write moves goes into the file at once, under the file's lock,
so that the NULs end exactly where the write began.

Guests may write NULs themselves. A byte that is NUL is never taken as a mark, and the NULs of a
guest that is known to write them are kept: fewer than a block too many if the file was cut in its
middle, none if it was cut to nothing.
"""

from __future__ import annotations

import os

#: A write of at most this many bytes is read back whole with the mark, by one call.
_SHORT_BYTES = 1024

#: How far a cut is looked for, a part at a time. Only file systems that cannot tell where holes
#: are have more NULs to read than a block holds.
_PART_BYTES = 64 * 1024
_MOST_BYTES = 16 * 1024 * 1024

#: A file with more pieces between its holes was not written by this daemon alone.
_MOST_PIECES = 64


class Tail:
    """What is known of the end of one file.

    :ivar end: the size of the file after the latest write; -1 if that is not known.
    :ivar mark: the offset of a byte that is not NUL; -1 if none is known.
    """

    __slots__ = ("_begins", "_nuls", "end", "mark")

    def __init__(self) -> None:
        """Know nothing yet; see :meth:`look`."""
        self.end = -1
        self.mark = -1
        # Whether the file's first byte is known not to be NUL, and whether NULs were seen.
        self._begins = False
        self._nuls = False

    def look(self, file: int, size: int) -> int:
        """Look for a mark, as the file is not as it was left after the latest write.

        :param size: of the file.
        :returns: the size that was looked at: a smaller one if the file was cut meanwhile.
        """
        self.mark, self._begins = -1, False
        try:
            while size:
                begin = max(0, size - _SHORT_BYTES)
                first, seen = os.pread(file, 1, 0), os.pread(file, size - begin, begin)
                if len(seen) < size - begin:
                    size = os.fstat(file).st_size
                    continue
                self._see_first(first)
                self._see(begin, seen)
                break
        except OSError:
            self.forget()
            return size
        self.end = size
        return size

    def is_cut(self, file: int, offset: int, count: int) -> bool:
        """Return whether the file was cut before bytes were written at its former end.

        To be called after each write, and before the next one.

        :param offset: where the write began: the size of which :meth:`look` was told, or
            :attr:`end`.
        :param count: how many bytes were written.
        """
        self.end = end = offset + count
        mark = self.mark
        try:
            if mark >= 0 and end - mark <= _SHORT_BYTES:
                seen = os.pread(file, end - mark, mark)
                if seen and b"\0" not in seen:
                    # As nearly always.
                    self.mark = mark + len(seen) - 1
                    return False
                return self._is_cut(seen[:1], mark, seen)
            before = b"?"
            if mark >= 0:
                before = os.pread(file, 1, mark)
            elif not offset:
                self._see_first(os.pread(file, 1, 0))
            begin = max(offset, end - _SHORT_BYTES)
            return self._is_cut(before, begin, os.pread(file, end - begin, begin))
        except OSError:
            self.forget()
            return False

    def _is_cut(self, before: bytes, begin: int, seen: bytes) -> bool:
        if before == b"\0":
            return True
        self._see(begin, seen)
        return False

    def _see_first(self, first: bytes) -> None:
        self._begins = first > b"\0"
        if self._begins:
            self.mark = 0
        else:
            self._nuls = True

    def _see(self, begin: int, seen: bytes) -> None:
        """Take the last byte that is not NUL as the mark, if there is one."""
        if not seen:
            # Cut since, but not in the middle of a write.
            self.forget()
            return
        if b"\0" in seen:
            self._nuls = True
            seen = seen.rstrip(b"\0")
        if seen:
            self.mark = begin + len(seen) - 1

    def forget(self) -> None:
        """Forget all about the file's end."""
        self.end = self.mark = -1

    def find_cut(self, file: int, offset: int) -> int:
        """Find where the file was cut, after :meth:`is_cut` said so.

        :param offset: where the write began.
        :returns: the size that the file was cut to, which is :attr:`end` now, too; or ``offset``
            if the NULs cannot be told from what the guest wrote.
        :raises OSError: the file cannot be read.
        """
        begins, self._begins = self._begins, False
        self.forget()
        if begins and os.pread(file, 1, 0) == b"\0":
            self.end = 0
            return 0
        pieces = _pieces(file, offset)
        if pieces is None:
            return offset
        left = _MOST_BYTES
        for first, end in reversed(pieces):
            here = end
            while here > first:
                if left <= 0:
                    return offset
                part = min(_PART_BYTES, here - first)
                here -= part
                left -= part
                text = os.pread(file, part, here)
                kept = text.rstrip(b"\0")
                if kept:
                    self._begins = begins
                    self.mark = here + len(kept) - 1
                    # (a guest that writes NULs may have done so just below the cut)
                    self.end = end if self._nuls or b"\0" in kept else self.mark + 1
                    return self.end
        self.end = pieces[0][1] if self._nuls and pieces and not pieces[0][0] else 0
        return self.end


def _pieces(file: int, end: int) -> list[tuple[int, int]] | None:
    """Return where a file below ``end`` has data and no holes, in order; None if that is too long.

    A file system that knows no holes has one piece.
    """
    found: list[tuple[int, int]] = []
    offset = 0
    while offset < end and len(found) < _MOST_PIECES:
        try:
            begin = os.lseek(file, offset, os.SEEK_DATA)
        except OSError:
            # ENXIO: nothing but a hole follows.
            return found
        if begin >= end:
            return found
        offset = os.lseek(file, begin, os.SEEK_HOLE)
        found.append((begin, min(offset, end)))
    return found if offset >= end else None
