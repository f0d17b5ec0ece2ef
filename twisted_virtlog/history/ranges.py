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
from datetime import datetime
from functools import lru_cache

from msgspec import Struct, structs

from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.moments import NO_BOOT, is_of_boot, moment, ms_of, wall_ms, wall_time
from twisted_virtlog.history.wall_times import HOUR_MS, WallTimes
from twisted_virtlog.values import KeptFile, Position, TimeMark, TimeRange, is_in_other_file

#: So many times are said before others are served.
_AT_ONCE = 64


class _File:
    """A file of a log: its ends, oldest first, each with the moments between which it was there.

    :ivar run: counts the runs of files between which bytes are missing.
    :ivar before: the last moment before all of its bytes, and ``known_before`` the last one of a
        boot; None where none is known.
    :ivar known_after: a moment of a boot that is after all of its bytes.
    """

    run = 0
    before: int | None = None
    known_before: int | None = None
    known_after: int

    def __init__(self, kept: KeptFile, marks: FileMarks, now: int | None) -> None:
        """:param now: of the last file, the present moment; else None."""
        self.kept = kept
        self.size = kept.size
        self._marks = marks
        self._count = len(marks)
        last = marks.offset(self._count - 1) if self._count else 0
        self.count = self._count + (last < self.size)
        if last < self.size:
            # What the file system says of the end, as no mark does.
            modified = moment(NO_BOOT, wall_ms(kept.modified_at))
            self._end = (modified, modified if now is None else now)

    def position(self, offset: int) -> Position:
        """Return a position in it."""
        return Position(self.kept.inode, offset, self.kept.birth)

    def offset(self, index: int) -> int:
        """Return where an end is."""
        return self._marks.offset(index) if index < self._count else self.size

    def since(self, index: int) -> int:
        """Return the first moment of an end."""
        return self._marks.since(index) if index < self._count else self._end[0]

    def until(self, index: int) -> int:
        """Return the last moment of an end."""
        return self._marks.until(index) if index < self._count else self._end[1]

    def begin(self, index: int) -> int:
        """Return where the bytes begin that end there."""
        return self.offset(index - 1) if index else 0

    def first(self) -> int:
        """Return the first end at which bytes end."""
        index = 0
        while index < self.count - 1 and not self.offset(index):
            index += 1
        return index

    def moments_before(self, index: int) -> tuple[int | None, int | None]:
        """Return a moment before the bytes that end there, and the last one of a boot."""
        if not index:
            return self.before, self.known_before
        first = found = self.until(index - 1)
        while not is_of_boot(found):
            index -= 1
            found = self.since(index)
            if is_of_boot(found):
                break
            if not index:
                return first, self.known_before
            found = self.until(index - 1)
        return first, found

    def moments_after(self, index: int) -> tuple[int, int]:
        """Return a moment after the bytes that end there, and the first one of a boot."""
        first = found = self.since(index)
        while not is_of_boot(found):
            found = self.until(index)
            if is_of_boot(found):
                break
            index += 1
            if index == self.count:
                return first, self.known_after
            found = self.since(index)
        return first, found


class _Stretch(Struct):
    """Bytes one after the other, and between which times they came.

    :ivar first: the number of the file in which they begin, and ``start`` where in it.
    :ivar since: milliseconds since 1970; -inf where nothing is known.
    :ivar off: by how many milliseconds a byte may have come outside the time that is asked for.
    """

    first: int
    start: int
    last: int
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
        self._files = files = [
            _file(one, of_file, now if number == len(kept) else None, is_watched)
            for number, (one, of_file) in enumerate(zip(kept, marks, strict=True), 1)
        ]
        run = 0
        before: int | None = None
        known: int | None = None
        for file in files:
            run += file.kept.parted
            file.run, file.before, file.known_before = run, before, known
            if file.count:
                before, known = file.moments_before(file.count)
        after = now
        for file in reversed(files):
            file.known_after = after
            if file.count:
                after = file.moments_after(0)[1]
        # Those that have bytes.
        self._full = [file for file in files if file.size]

    def locate(self, since: datetime | None, until: datetime | None) -> list[TimeRange]:
        """Return the ranges in which every byte is that may have arrived in a time, oldest first.

        :param since: an aware time; None for the first byte kept.
        :param until: an aware time; None for now.
        """
        low = -math.inf if since is None else wall_ms(since)
        high = math.inf if until is None else wall_ms(until)
        found: list[_Stretch] = []
        if self._full:
            for stretch in self._in_files(0, len(self._full) - 1, low, high):
                last = found[-1] if found else None
                if last is not None and self._adjoin(last, stretch):
                    last.last, last.end = stretch.last, stretch.end
                    last.since = min(last.since, stretch.since)
                    last.until = max(last.until, stretch.until)
                    last.off = max(last.off, stretch.off)
                else:
                    found.append(stretch)
        return [self._range(stretch) for stretch in found]

    def _range(self, stretch: _Stretch) -> TimeRange:
        is_known = stretch.since > -math.inf
        return TimeRange(
            start=self._full[stretch.first].position(stretch.start),
            end=self._full[stretch.last].position(stretch.end),
            since=wall_time(max(0, int(stretch.since)) if is_known else 0),
            until=wall_time(int(stretch.until)),
            exact_s=stretch.off / 1000 if is_known else None,
        )

    def _adjoin(self, one: _Stretch, other: _Stretch) -> bool:
        """Return whether one stretch begins where another ends, and no bytes are missing."""
        if one.last == other.first:
            return one.end == other.start
        before, after = self._full[one.last], self._full[other.first]
        return (
            before.run == after.run
            and one.last + 1 == other.first
            and one.end == before.size
            and not other.start
        )

    def _in_files(self, first: int, last: int, low: float, high: float) -> Iterator[_Stretch]:
        """Yield what may have come in a time of the bytes in some files.

        What lies wholly inside or outside is not looked at any closer.
        """
        if first == last:
            yield from self._in_file(first, 0, self._full[first].count - 1, low, high)
            return
        one, other = self._full[first], self._full[last]
        since, until = self._came(one, one.first(), other, other.count - 1)
        if until < low or since > high:
            return
        if low <= since and until <= high and one.run == other.run:
            yield _Stretch(first, 0, last, other.size, since, until, 0)
            return
        middle = (first + last) // 2
        yield from self._in_files(first, middle, low, high)
        yield from self._in_files(middle + 1, last, low, high)

    def _in_file(
        self, number: int, first: int, last: int, low: float, high: float
    ) -> Iterator[_Stretch]:
        """Yield the same of the bytes that end at one end of a file to another."""
        file = self._full[number]
        start, end = file.begin(first), file.offset(last)
        if start == end:
            return
        # (to ends at which no bytes end it does not matter when they were there)
        while file.offset(first) == start:
            first += 1
        while file.begin(last) == end:
            last -= 1
        since, until = self._came(file, first, file, last)
        if until < low or since > high:
            return
        off = max(0, low - since, until - high)
        if not off or first == last:
            yield _Stretch(number, start, number, end, since, until, off)
            return
        middle = (first + last) // 2
        yield from self._in_file(number, first, middle, low, high)
        yield from self._in_file(number, middle + 1, last, low, high)

    def _came(self, one: _File, first: int, other: _File, last: int) -> tuple[float, float]:
        """Return between which times bytes came, in milliseconds since 1970.

        :param first: the end, in one file, of the first ones; ``last`` likewise in the other.
        """
        before, known_before = one.moments_before(first)
        after, known_after = other.moments_after(last)
        since, until = self._known(known_before, known_after)
        # What the file system says, by a clock that may have stepped between.
        if before is not None and not is_of_boot(before):
            earliest = ms_of(before) - self._doubt(known_before, known_after)
            since = earliest if since < earliest <= until else since
        if not is_of_boot(after):
            latest = ms_of(after) + self._doubt(known_before, known_after)
            until = latest if since <= latest < until else until
        return since, until

    def _known(self, before: int | None, after: int) -> tuple[float, float]:
        """Return what was shown between two moments of boots."""
        if before is not None:
            return self._walls.between(before, after)
        # (nobody watched before the first time that anybody did)
        return -math.inf, self._walls.between(self._walls.first(after), after)[1] + HOUR_MS

    @lru_cache(maxsize=4)  # noqa: B019 (an object for one question)
    def _doubt(self, before: int | None, after: int) -> int:
        """Return how inexact times of a file system are between two moments of boots."""
        if before is not None:
            return self._walls.doubt(before, after)
        return self._walls.doubt(self._walls.first(after), after) + HOUR_MS

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
        latest = self._walls.latest(moment) if is_of_boot(moment) else ms_of(moment)
        return wall_time(latest)


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
