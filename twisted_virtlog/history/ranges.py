"""Which bytes of a log came in a time, and when: from its files and their marks.

The bytes of a log are in order, and so are the moments at which they came, whatever the wall clock
showed. So each stretch of bytes between two marks came between two moments, and :class:`WallTimes`
knows what the wall clock can have shown then. A stretch belongs to the answer if that may lie in
the time that is asked for. For what has no marks the file system's times stand in: the bytes of a
file came before it was written last, and after the file before it was.

How exact a range is: no byte of it came by more seconds outside the time that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from msgspec import structs

from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.moments import NO_BOOT, is_of_boot, moment, ms_of, wall_ms, wall_time
from twisted_virtlog.history.wall_times import HOUR_MS, WallTimes
from twisted_virtlog.values import KeptFile, Position, TimeMark, TimeRange, is_in_other_file

#: So many times are said before others are served.
_AT_ONCE = 64


class _File:
    """A file of a log: its ends, oldest first, each with the moments between which it was there.

    :ivar before: the last moment before all of its bytes, and ``known_before`` the last one of a
        boot; None where none is known.
    :ivar known_after: a moment of a boot that is after all of its bytes.
    """

    before: int | None = None
    known_before: int | None = None
    known_after: int

    def __init__(self, kept: KeptFile, marks: FileMarks, now: int | None) -> None:
        """:param now: of the last file, the present moment; else None."""
        self.kept = kept
        self._marks = marks
        self._count = len(marks)
        self.size = kept.size
        last = marks.offset(self._count - 1) if self._count else 0
        modified = moment(NO_BOOT, wall_ms(kept.modified_at))
        # What the file system says of the end, if no mark does.
        self._end = (modified, modified if now is None else now)
        self.count = self._count + (last < self.size)

    def offset(self, index: int) -> int:
        """Return where an end is."""
        return self._marks.offset(index) if index < self._count else self.size

    def since(self, index: int) -> int:
        """Return the first moment of an end."""
        return self._marks.since(index) if index < self._count else self._end[0]

    def until(self, index: int) -> int:
        """Return the last moment of an end."""
        return self._marks.until(index) if index < self._count else self._end[1]

    def position(self, offset: int) -> Position:
        """Return a position in it."""
        return Position(self.kept.inode, offset, self.kept.birth)

    def begin(self, index: int) -> int:
        """Return where the bytes begin that end there."""
        return self.offset(index - 1) if index else 0

    def moments_before(self, index: int) -> tuple[int | None, int | None]:
        """Return a moment before the bytes that end there, and the last one of a boot."""
        if not index:
            return self.before, self.known_before
        first = self.until(index - 1)
        for earlier in range(index - 1, -1, -1):
            for found in (self.until(earlier), self.since(earlier)):
                if is_of_boot(found):
                    return first, found
        return first, self.known_before

    def moments_after(self, index: int) -> tuple[int, int]:
        """Return a moment after the bytes that end there, and the first one of a boot."""
        first = self.since(index)
        for later in range(index, self.count):
            for found in (self.since(later), self.until(later)):
                if is_of_boot(found):
                    return first, found
        return first, self.known_after


@dataclass(slots=True)
class _Stretch:
    """Bytes one after the other, and between which times they came.

    :ivar since: milliseconds since 1970; -inf where nothing is known.
    :ivar off: by how many milliseconds a byte may have come outside the time that is asked for.
    """

    first: _File
    start: int
    last: _File
    end: int
    since: float
    until: float
    off: float


class Arrivals:
    """When the bytes of one log came."""

    def __init__(
        self,
        kept: Sequence[KeptFile],
        marks: Sequence[FileMarks],
        walls: WallTimes,
        now: int,
        is_watched: bool,
    ) -> None:
        """Take what is known.

        :param kept: the files, oldest first.
        :param marks: of each file; none if there are none.
        :param walls: what the wall clock showed in the boots that the marks name, until now.
        :param now: the present moment.
        :param is_watched: the daemon writes the last file, and would know if somebody had cut it.
            So a mark beyond its size says that it has grown since.
        """
        self._walls = walls
        self._files = [
            _file(one, of_file, now if number == len(kept) else None, is_watched)
            for number, (one, of_file) in enumerate(zip(kept, marks, strict=True), 1)
        ]
        before: int | None = None
        known: int | None = None
        for file in self._files:
            file.before, file.known_before = before, known
            if file.count:
                before, known = file.moments_before(file.count)
        after = now
        for file in reversed(self._files):
            file.known_after = after
            if file.count:
                after = file.moments_after(0)[1]

    def locate(self, since: datetime | None, until: datetime | None) -> list[TimeRange]:
        """Return the ranges in which every byte is that may have arrived in a time, oldest first.

        :param since: an aware time; None for the first byte kept.
        :param until: an aware time; None for now.
        """
        low = -math.inf if since is None else wall_ms(since)
        high = math.inf if until is None else wall_ms(until)
        found: list[_Stretch] = []
        for stretch in self._all_within(low, high):
            last = found[-1] if found else None
            if last is not None and self._adjoin(last, stretch):
                last.last, last.end = stretch.last, stretch.end
                last.since = min(last.since, stretch.since)
                last.until = max(last.until, stretch.until)
                last.off = max(last.off, stretch.off)
            else:
                found.append(stretch)
        return [_range(stretch) for stretch in found]

    def _adjoin(self, last: _Stretch, next_one: _Stretch) -> bool:
        """Return whether a stretch begins where another one ends, and no bytes are missing."""
        if last.last is next_one.first:
            return last.end == next_one.start
        if last.end < last.last.size or next_one.start:
            return False
        files = self._files
        between = files[files.index(last.last) + 1 : files.index(next_one.first) + 1]
        return not any(file.kept.parted for file in between) and not any(
            file.size for file in between[:-1]
        )

    def _all_within(self, low: float, high: float) -> Iterator[_Stretch]:
        for file in self._files:
            if file.size:
                yield from self._within(file, 0, file.count - 1, low, high)

    def _within(
        self, file: _File, first: int, last: int, low: float, high: float
    ) -> Iterator[_Stretch]:
        """Yield what may have come in a time of the bytes that end at one end of a file to another.

        What lies wholly inside or outside is not looked at any closer.
        """
        start, end = file.begin(first), file.offset(last)
        if start == end:
            return
        since, until = self._came(file, first, last)
        if until < low or since > high:
            return
        off = max(0.0, low - since, until - high)
        if not off or first == last:
            yield _Stretch(file, start, file, end, since, until, off)
            return
        middle = (first + last) // 2
        yield from self._within(file, first, middle, low, high)
        yield from self._within(file, middle + 1, last, low, high)

    def _came(self, file: _File, first: int, last: int) -> tuple[float, float]:
        """Return between which times bytes came, in milliseconds since 1970."""
        before, known_before = file.moments_before(first)
        after, known_after = file.moments_after(last)
        since, until, doubt = self._known(known_before, known_after)
        # What the file system says, by a clock that may have stepped between.
        if before is not None and not is_of_boot(before):
            earliest = ms_of(before) - doubt
            since = earliest if since < earliest <= until else since
        if not is_of_boot(after):
            latest = ms_of(after) + doubt
            until = latest if since <= latest < until else until
        return since, until

    @lru_cache(maxsize=4)  # noqa: B019 (an object for one question)
    def _known(self, before: int | None, after: int) -> tuple[float, float, int]:
        """Return what was shown between two moments of boots, and how inexact other times are."""
        walls = self._walls
        if before is not None:
            return (*walls.between(before, after), walls.doubt(before, after))
        # (nobody watched before the first time that anybody did)
        first = walls.first(after)
        doubt = walls.doubt(first, after) + HOUR_MS
        return -math.inf, walls.between(first, after)[1] + HOUR_MS, doubt

    def times(
        self, start: Position | None, end: Position | None
    ) -> Generator[None, None, list[TimeMark]]:
        """Return what is known of when bytes arrived, oldest first; in slices.

        :param start: None for the oldest byte kept. What names no file that is kept does likewise.
        :param end: None for the end of the log.
        """
        found: list[TimeMark] = []
        files = self._files
        first, lowest = self._place(start, (0, 0))
        last, highest = self._place(end, (len(files) - 1, math.inf))
        for number in range(first, last + 1):
            file = files[number]
            for index in range(file.count):
                if not index % _AT_ONCE:
                    yield
                offset = file.offset(index)
                if (number, offset) < (first, lowest) or (number, offset) > (last, highest):
                    continue
                mark = TimeMark(file.position(offset), self._latest(file.since(index)))
                # (a mark may stand in two pieces)
                if not found or found[-1].position != mark.position:
                    found.append(mark)
        return found

    def _place(self, position: Position | None, otherwise: tuple[int, float]) -> tuple[int, float]:
        """Return the number of the file that a position names, and where in it."""
        if position is not None:
            for number, file in enumerate(self._files):
                kept = file.kept
                if kept.inode == position.inode and not is_in_other_file(
                    position.birth, kept.birth
                ):
                    return number, position.offset
        return otherwise

    def _latest(self, moment: int) -> datetime:
        """Return the latest that the wall clock may have shown at a moment."""
        if is_of_boot(moment):
            return wall_time(self._walls.between(moment, moment)[1])
        return wall_time(ms_of(moment))


def _file(kept: KeptFile, marks: FileMarks, now: int | None, is_watched: bool) -> _File:
    """Take a file with its marks, as far as they can be of what is in it."""
    last = marks.last()
    if last is not None and last[0] > kept.size:
        if now is not None and is_watched:
            kept = structs.replace(kept, size=last[0])
        else:
            marks = FileMarks(marks.kept())
            marks.cut()
    return _File(kept, marks, now)


def _range(stretch: _Stretch) -> TimeRange:
    first, start = stretch.first, stretch.start
    is_known = -math.inf < stretch.since
    return TimeRange(
        start=first.position(start),
        end=stretch.last.position(stretch.end),
        since=wall_time(max(0, int(stretch.since)) if is_known else 0),
        until=wall_time(int(stretch.until)),
        exact_s=stretch.off / 1000 if is_known else None,
    )
