"""Accounts for what one who follows a log was sent: all that was written, less what he was told.

What is written is numbered, so that a few bytes say where they belong. After a gap of unknown size
the numbers tell how much is missing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bench.ledger import Mistake
from twisted_virtlog.client import Position
from twisted_virtlog.client.feed import FeedData
from twisted_virtlog.logs.files.names import newest_first

#: "%015d" and a line end.
LINE_BYTES = 16

#: So many bytes in a row have a whole number in them.
TELLING_BYTES = 2 * LINE_BYTES - 1

#: So much of what happened is shown with a mistake.
_RECENT = 5

_BLOCK_LINES = 1 << 14
_BLOCK_BYTES = LINE_BYTES * _BLOCK_LINES


@lru_cache(128)
def _block(number: int) -> bytes:
    first = number * _BLOCK_LINES
    return b"".join(b"%015d\n" % line for line in range(first, first + _BLOCK_LINES))


def text(begin: int, until: int) -> bytes:
    """Return a part of what is written, as offsets say."""
    blocks = range(begin // _BLOCK_BYTES, -(-until // _BLOCK_BYTES))
    if not blocks:
        return b""
    whole = _block(blocks[0]) if len(blocks) == 1 else b"".join(map(_block, blocks))
    skipped = blocks[0] * _BLOCK_BYTES
    return whole[begin - skipped : until - skipped]


def begin_of(data: bytes) -> int:
    """Return the offset of the first of some bytes.

    :param data: at least :data:`TELLING_BYTES`.
    :raises Mistake: they were never written like this.
    """
    line = data.find(b"\n", 0, LINE_BYTES) + 1
    number = data[line : line + LINE_BYTES - 1]
    if not line or not number.isdigit():
        raise Mistake(f"{data[:80]!r} was never written")
    return int(number) * LINE_BYTES - line


@dataclass
class Sums:
    """What all were sent.

    :ivar received: bytes.
    :ivar gaps: that were told, of them ``unknown`` without a number of bytes.
    :ivar missed: bytes in these gaps.
    """

    received: int = 0
    gaps: int = 0
    unknown: int = 0
    missed: int = 0

    def add(self, other: Sums) -> None:
        """Sum up."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Files:
    """The files of a log, as its path and their names say now; rotation may go on meanwhile."""

    def __init__(self, path: str, max_backups: int) -> None:
        self._path = path
        self._max_backups = max_backups

    def keep(self, begin: int, until: int) -> str | None:
        """Return the file that has some of what was written; None if none has."""
        for path, file in self._opened():
            first = _first(file)
            if first is not None and first < until and begin < first + os.fstat(file).st_size:
                return path
        return None

    def have(self, position: Position, front: int) -> bool:
        """Return whether a position, at an offset of what was written, lies in one of them."""
        for _, file in self._opened():
            status = os.fstat(file)
            if status.st_ino != position.inode or status.st_size < position.offset:
                continue
            if position.offset < TELLING_BYTES:
                first = _first(file)
                return first is not None and first + position.offset == front
            before = os.pread(file, TELLING_BYTES, position.offset - TELLING_BYTES)
            return before == text(front - TELLING_BYTES, front)
        return False

    def _opened(self) -> Iterator[tuple[str, int]]:
        """Yield path and descriptor of those that are part of the log, newest first."""
        for number, path in enumerate(newest_first(self._path, self._max_backups)):
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                if number:
                    return
                continue
            try:
                yield path, file
            finally:
                os.close(file)


def _first(file: int) -> int | None:
    """Return the offset of a file's first byte; None if it holds too little to tell."""
    head = os.pread(file, TELLING_BYTES, 0)
    return begin_of(head) if len(head) == TELLING_BYTES else None


class Account:
    """What one was sent of one log.

    :ivar front: up to which offset he has, or was told that he misses it.
    :ivar position: where he is to go on, if the connection ends.
    :ivar recently: what happened to him last, in words.
    """

    def __init__(self, files: Files, front: int, position: Position) -> None:
        self.recently: deque[str] = deque(maxlen=_RECENT)
        self.front = front
        self.position = position
        self.sums = Sums()
        self._files = files
        # He has not got anything since he followed the log anew.
        self._is_fresh = False
        self._was_found = True
        self._was_meddled_with = False
        # What came after a gap, while it does not tell where it belongs.
        self._strange: bytearray | None = None

    def follow_anew(self, forgotten: int) -> None:
        """Take note that he follows the log once more, from where he was.

        :param forgotten: the end of what was cut from a file that the daemon may have taken for
            whole since: it knows of a cut for as long as the log is open.
        """
        self.recently.append(f"followed anew from {self.position}, at {self.front}")
        self._is_fresh = True
        self._was_found = self.front > forgotten
        if not self._was_found:
            self._strange = bytearray()

    def meddle(self) -> None:
        """Take note that bytes of the log were removed other than by rotation."""
        self._was_meddled_with = True

    def is_complete(self, written: int) -> bool:
        """Return whether he has all that was written, or was told what he misses."""
        if self._strange and len(self._strange) < TELLING_BYTES:
            begin = written - len(self._strange)
            if text(begin, written) == self._strange:
                self._locate(begin, written)
        if self.front != written or self._strange is not None:
            return False
        self._was_meddled_with = False
        return True

    def take(self, chunk: FeedData, written: int) -> None:
        """Take what he is sent.

        :param written: how much has been written, or is being written.
        :raises Mistake: that is not what comes next.
        """
        self.recently.append(f"{_shown(chunk)}, at {self.front}")
        if chunk.start.inode == chunk.end.inode and chunk.start.birth == chunk.end.birth:
            length = chunk.end.offset - chunk.start.offset
            if length != len(chunk.data):
                raise Mistake(f"{length} bytes lie between the positions of {_shown(chunk)}")
        if chunk.gap:
            # (asked now, as rotation removes it soon)
            self._was_found &= self._files.have(self.position, self.front)
            self._see_gap(chunk, written)
        elif chunk.missed is not None or not chunk.data:
            raise Mistake(f"there is no reason for {_shown(chunk)}")
        self.sums.received += len(chunk.data)
        self.position = chunk.end
        if self._strange is None:
            self._match(chunk.data, written)
        else:
            self._strange += chunk.data
            if len(self._strange) >= TELLING_BYTES:
                self._locate(begin_of(bytes(self._strange)), written)
        if self._strange is None:
            self._is_fresh, self._was_found = False, True

    def ended(self, closed: int) -> None:
        """Take note that the log was closed after so much, and that nothing more comes.

        :raises Mistake: he has not got all of it.
        """
        if self._strange is not None:
            self._skip(closed - len(self._strange))
            self._match(bytes(self._strange), closed)
            self._strange = None
        if self.front != closed:
            raise Mistake(f"{self.front} of {closed} bytes came before the log was closed")

    def _see_gap(self, chunk: FeedData, written: int) -> None:
        self.sums.gaps += 1
        if self._strange:
            # Too short to tell where it belongs; it is where it fits first.
            at = text(self.front, written).find(self._strange)
            if at < 0:
                raise Mistake(f"{bytes(self._strange)!r} was not written after {self.front}")
            self._locate(self.front + at, written)
        if chunk.missed is None or self._strange is not None:
            self.sums.unknown += 1
            self._strange = bytearray()
        else:
            self._skip(self.front + chunk.missed)

    def _locate(self, begin: int, written: int) -> None:
        strange, self._strange = self._strange, None
        assert strange is not None
        self._skip(begin)
        self._match(bytes(strange), written)

    def _skip(self, begin: int) -> None:
        """Go on elsewhere, as he was told."""
        front, self.front = self.front, begin
        if self._is_fresh and not self._was_found:
            # It begins with the oldest byte kept.
            self.sums.missed += max(begin - front, 0)
        elif begin > front:
            kept = self._files.keep(front, begin)
            if kept is not None:
                raise Mistake(f"{front} to {begin} were said to be missing, and {kept} has them")
            self.sums.missed += begin - front
        elif begin < front:
            raise Mistake(f"what comes begins at {begin}, and {front} bytes were there already")
        elif not self._was_meddled_with:
            raise Mistake(f"a gap was told at {front}, where nothing is missing")

    def _match(self, data: bytes, written: int) -> None:
        until = self.front + len(data)
        if until > written:
            raise Mistake(f"{until} bytes have come, and {written} were written")
        expected = text(self.front, until)
        if data != expected:
            at = next(n for n, byte in enumerate(data) if byte != expected[n])
            raise Mistake(f"{data[at : at + 80]!r} came at {self.front + at} of {written}")
        self.front = until


def _shown(chunk: FeedData) -> str:
    return (
        f"{len(chunk.data)} bytes from {chunk.start} to {chunk.end}, gap {chunk.gap},"
        f" missed {chunk.missed}"
    )
