"""The trail of one log: its files as they follow one another, for all who follow the log.

It is there while somebody follows the log, and belongs to the thread in which the log is. It is
told of each file that ends, so that it knows what comes next whatever the files are called then, or
if they have no name any more, and how many bytes are missing where one cannot be read.

A reader has no bytes here, but a place. What comes next is read from the log's own descriptor while
the log is open and its reader keeps up: nothing is opened for that. Of the files that end, those
are kept open that somebody has yet to read (see KeptFiles).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.handover.state import EndedFile
from twisted_virtlog.logs.files import identity
from twisted_virtlog.logs.files.log_directory import BY_PATH, LogDirectory, system_failure
from twisted_virtlog.logs.files.names import newest_first
from twisted_virtlog.logs.files.reader import (
    OPEN_FLAGS,
    File,
    WouldBlock,
    find_begin,
    open_files,
    read_packed_piece,
    read_piece,
)
from twisted_virtlog.logs.files.removal import close_quietly
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.standing import open_standing, standing_packed
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.following.kept_files import KeptFiles
from twisted_virtlog.logs.following.reading import NOTHING, Cold, Found, Reader, Walk
from twisted_virtlog.logs.following.segments import NO_INODE, Place, Segment, before_all
from twisted_virtlog.logs.observing import LogThread
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.reading import origin_of
from twisted_virtlog.syscalls import is_in_memory
from twisted_virtlog.values import Followed, FollowerState, Position, TrailPart

#: Files that end before somebody comes to them are kept open too, as long as those of a log hold no
#: more bytes than this together: in a flood of small files many end between two reads.
HELD_BYTES = 16 * 1024 * 1024


#: How often segments are joined: when so many have come.
_OFTEN = 64


class Trail:
    """The files of a log, in their order.

    :ivar real_path: of the log, without symbolic links.
    :ivar path: of its current file.
    :ivar thread: in which the log is.
    :ivar limits: of the log while it is not open.
    :ivar directory: reaches its files while it is not open.
    :ivar held: returns the paths of its held files while it is not open, the newest first.
    :ivar log: None while it is not open.
    :ivar writer: of the log, or of a message that is appended while it is not open.
    :ivar readers: all who follow it.
    """

    def __init__(
        self,
        real_path: str,
        path: str,
        thread: LogThread,
        limits: Limits,
        kept: KeptFiles,
        announce: Callable[[Iterable[Reader]], object],
        seconds: Callable[[], float],
    ) -> None:
        """Know nothing of any file; see :meth:`attach` and :meth:`look`.

        :param announce: wakes readers; called in the reactor's thread.
        :param seconds: a clock that never steps.
        """
        self.real_path = real_path
        self.path = path
        self.thread = thread
        self.limits = limits
        self.directory = BY_PATH
        self.held: Callable[[], Sequence[str]] = tuple
        self.log: OpenLog | None = None
        self.writer: Writer | None = None
        self.readers: dict[Reader, None] = {}
        self._waiting: dict[Reader, None] = {}
        self._kept = kept
        self._announce = announce
        self._seconds = seconds
        self._first = self._last = before_all()
        self._last.is_live = True
        # The last segment when those that are lost were joined.
        self._joined: Segment | None = None
        # Of the writer, when it was looked at last.
        self._uses = -1
        # What the daemon's former image knew, oldest first.
        self._restored: list[Segment] = []

    @property
    def _limits(self) -> Limits:
        return self.limits if self.log is None else self.log.policy.limits

    @property
    def _directory(self) -> LogDirectory:
        return self.directory if self.writer is None else self.writer.directory

    def _names(self) -> list[str]:
        """Return the paths of all files that the log may have, the newest first."""
        writer = self.writer
        held = self.held() if writer is None else writer.holding.names(writer)
        return [*newest_first(self.path, self._limits.max_backups), *held]

    def in_reactor(self, call: Callable[[], object]) -> None:
        """See kept_files.Home."""
        self.thread.in_reactor(call)

    def at_home(self, call: Callable[[], object]) -> None:
        """See kept_files.Home."""
        thread = self.thread

        def call_there() -> None:
            # (the log may have changed its thread meanwhile)
            if self.thread is thread:
                call()
            else:
                thread.in_reactor(lambda: self.at_home(call))

        thread.tell(call_there)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody who follows the log is in a hurry."""
        return not all(reader.is_patient for reader in self.readers)

    # What happens to the log.

    def attach(self, log: OpenLog) -> None:
        """Take note that the log is open, in this thread."""
        self.log, self.path = log, log.writer.path
        self.directory = log.writer.directory
        self._go_on_with(log.writer)

    def _go_on_with(self, writer: Writer) -> None:
        self.writer = writer
        self._uses = -1
        self._sync()

    def opened(self, log: OpenLog) -> None:
        """Take note that a guest has opened the log, or that this thread goes on with it."""
        self.attach(log)
        last = self._last
        for reader in self.readers:
            reader.was_open = True
            if reader.wants_opening:
                reader.wants_opening = False
                wanted = reader.wanted
                self.put(reader, (last, self._end_of(last)))
                if wanted is not None:
                    with contextlib.suppress(SystemFailure):
                        self.put(reader, self.find(wanted))
        self.wake()

    def guest_gone(self) -> None:
        """Take note that a guest is gone, and all that it left is written."""
        self._sync()
        last = self._last
        end = self._end_of(last)
        for reader in self.readers:
            if reader.until_closed and reader.was_open and reader.closes_at is None:
                reader.closes_at = (last, end)
        self.wake()

    def let_go(self) -> None:
        """Take note that the file, which is still open, is not written here any more."""
        self._sync()
        last, writer = self._last, self.writer
        if writer is not None and last.is_live:
            last.end = last.extent = self._end_of(last)
            self._keep_for_others(last, writer)
            with contextlib.suppress(OSError):
                # (otherwise it may be written to until the log is opened again)
                last.is_live = writer.file < 0 or os.fstat(writer.file).st_nlink > 0
        self.log = self.writer = None
        self.wake()

    def appending(self, writer: Writer) -> None:
        """Take note that a message will be appended to the log, which is not open."""
        writer.owner = _Appending(self)
        self._go_on_with(writer)

    def file_ends(self) -> None:
        """Take note that another file takes the place of the current one, which is still open."""
        self._sync()
        last, writer = self._last, self.writer
        if writer is None or not last.is_live or last.inode == NO_INODE:
            return
        last.end = last.extent = self._end_of(last)
        last.is_live = False
        self._keep_for_others(last, writer)

    def was_cut(self, before: int) -> None:
        """Take note that another program has cut the current file.

        :param before: its size then.
        """
        self._sync()
        if self.writer is not None:
            self._cut(before, self.writer.known_end.offset, self.writer.birth)

    def removed(self) -> None:
        """Take note that the files of the log, which is not open, were removed.

        What is open is read to its end; of the rest it is known how much is missing.
        """
        for segment in self._segments():
            if segment.inode != NO_INODE and not segment.is_device:
                # (another file may get its number)
                segment.is_live = False
                segment.is_gone |= segment.file < 0

    def paused(self) -> None:
        """Close all files, for a while."""
        self._sync()
        for segment in self._segments():
            self._kept.release(segment)

    def wake(self) -> None:
        """Wake those who have found nothing."""
        waiting = self._waiting
        if waiting:
            self._waiting = {}
            if self.thread.is_reactor:
                self._announce(waiting)
            else:
                self.thread.in_reactor(lambda: self._announce(waiting))

    # Who reads it.

    def add(self, reader: Reader) -> None:
        """Let somebody follow the log; he is to be put at a place, unless he wants an opening."""
        self.readers[reader] = None
        if self.log is not None:
            reader.was_open = True
            reader.wants_opening = False

    def put_at_end(self, reader: Reader) -> None:
        """Let a reader go on from the end of the log."""
        self.put(reader, (self._last, self._end_of(self._last)))

    def put(self, reader: Reader, place: Place) -> None:
        """Let a reader go on from a place."""
        reader.place = place
        self._hold(reader, place[0])
        self._forget_passed()

    def remove(self, reader: Reader) -> None:
        """Let somebody go."""
        if self.readers.pop(reader, self) is self:
            return
        self._waiting.pop(reader, None)
        held, reader.held = reader.held, None
        if held is not None:
            self._unhold(held)
        if not self.readers:
            for segment in self._segments():
                self._kept.release(segment)

    def _hold(self, reader: Reader, segment: Segment) -> None:
        held = reader.held
        if held is not segment:
            segment.readers += 1
            reader.held = segment
            if held is not None:
                self._unhold(held)

    def _unhold(self, segment: Segment) -> None:
        segment.readers -= 1
        while segment.is_aside and not segment.readers and segment.next is not None:
            self._kept.release(segment)
            segment = segment.next
            segment.readers -= 1
        self._forget_passed()

    def _forget_passed(self) -> None:
        """Forget the segments that all have read."""
        first = self._first
        if not self.readers:
            # (who goes on with what the former image knew has yet to come)
            return
        while not first.readers and first.next is not None:
            self._kept.release(first)
            first = first.next
        self._first = first

    def read(self, reader: Reader, max_bytes: int) -> Found:
        """Read what comes next.

        :raises Cold: it is not in memory, and this thread must not wait for it.
        :raises SystemFailure: the files cannot be read.
        """
        writer = self.writer
        if writer is not None and writer.uses != self._uses:
            self._sync()
        segment, offset = reader.place
        if segment is not reader.held:
            if reader.wants_opening:
                self._waiting[reader] = None
                return NOTHING
            self._hold(reader, segment)
        if segment is self._last and reader.closes_at is None:
            # The short way, as nearly always.
            end = self._end_of(segment)
            if offset >= end:
                return self._find_nothing(reader)
            room = end - offset
            data = self._read_at(segment, offset, room if room < max_bytes else max_bytes)
            if data and segment is self._last:
                until = offset + len(data)
                waits = until == end and writer is not None
                if waits:
                    self._find_nothing(reader)
                what = Followed((data,), segment.at(offset), segment.at(until))
                return Found(what, ((segment, offset, until),), waits)
        walk = Walk(reader, max_bytes)
        try:
            while self._take(walk) and walk.go_on():
                pass
        except Cold as cold:
            if not walk.has_found:
                raise
            os.close(cold.file)
        if walk.waits and (writer is not None or not walk.has_found):
            self._find_nothing(reader)
        return walk.found(writer is not None)

    def _take(self, walk: Walk) -> bool:
        """Read what is left of a segment; return whether that is all of it."""
        segment = walk.segment
        while True:
            count = min(walk.limit(self._end_of(segment)) - walk.offset, walk.left)
            if count <= 0 or segment.is_gone:
                return walk.left > 0
            data = self._read_at(segment, walk.offset, count)
            if data:
                walk.take(data)
            elif not segment.is_gone and self._end_of(segment) >= walk.offset + count:
                # (cut, and written again, in the meantime)
                return False

    def read_cold(self, cold: Cold, data: bytes) -> Found:
        """Return what a thread has read, if that is still what was meant."""
        segment, begin = cold.segment, cold.offset
        end = begin + len(data)
        if not data or end > self._end_of(segment):
            return Found(None)
        what = Followed((data,), segment.at(begin), segment.at(end))
        return Found(what, ((segment, begin, end),))

    def _find_nothing(self, reader: Reader) -> Found:
        """Have a reader woken when there is more."""
        self._waiting[reader] = None
        writer, last = self.writer, self._last
        if writer is not None:
            writer.asleep = True
        elif last.file >= 0 and all(one.place == (last, last.end) for one in self.readers):
            # (for an open log, its own descriptor is there)
            self._kept.release(last)
        return NOTHING

    def _end_of(self, segment: Segment) -> int:
        """Return up to where a segment can be read."""
        writer = self.writer
        if segment.is_live and writer is not None and segment is self._last:
            # (its last cut, if there was one, is its beginning)
            return max(segment.begin, writer.sure_end) if not segment.is_device else segment.end
        return segment.end

    def _read_at(self, segment: Segment, offset: int, count: int) -> bytes:
        """Read some of the bytes of a segment; b"" if they are not there, and that is known now."""
        writer = self.writer
        is_current = segment is self._last and segment.is_live and writer is not None
        is_packed = False
        if is_current and writer is not None and writer.is_readable:
            file = writer.file
        else:
            file = segment.file if segment.file >= 0 else self._open(segment)
            if file < 0:
                segment.is_gone = True
                return b""
            segment.used_at = self._seconds()
            is_packed = segment.is_packed
        flags = 0
        if self.thread.is_reactor:
            flags = segment.flags
            if flags < 0:
                # (where the data is in memory alone, the flag is not known)
                flags = segment.flags = 0 if is_in_memory(file) else os.RWF_NOWAIT
        try:
            read = read_packed_piece if is_packed else read_piece
            data = read(file, offset, count, flags, self.path)
        except WouldBlock:
            raise Cold(segment, offset, count, os.dup(file), is_packed) from None
        except SystemFailure as failure:
            if failure.errno != errno.ESTALE:
                raise
            data = b""
        if not data:
            # Another program has cut it.
            self._see_size(segment, file, writer if is_current else None, offset)
        return data

    def _see_size(self, segment: Segment, file: int, writer: Writer | None, offset: int) -> None:
        try:
            origin = origin_of(file) if segment.is_packed and segment.file == file else None
            size = os.fstat(file).st_size if origin is None else origin.size
        except OSError:
            size = 0
        if writer is not None:
            writer.see_size(size)
        elif segment is self._last and segment.is_live:
            self._cut(segment.end, min(size, offset), segment.birth)
        else:
            segment.end = max(segment.begin, min(segment.end, offset, size))

    # Files.

    def _segments(self) -> list[Segment]:
        """Return all segments that somebody may come to, the oldest first."""
        found = []
        segment: Segment | None = self._first
        while segment is not None:
            found.append(segment)
            segment = segment.next
        return found

    def _sync(self) -> None:
        """See which file is the current one."""
        writer = self.writer
        if writer is None or writer.uses == self._uses or not writer.is_open:
            return
        is_new, self._uses = self._uses < 0, writer.uses
        last = self._last
        known = writer.known_end
        inode, end = known.inode, known.offset
        if writer.file < 0:
            if last.is_device and last.inode == inode:
                return
            device = Segment(inode, "", 0, 0)
            device.is_device = True
            self._append(device)
            return
        birth = writer.birth
        if last.is_of(inode, birth) and (last.is_live or birth or end >= last.end):
            last.is_live, last.is_gone = True, False
            if is_new and end < last.end:
                # (while nobody wrote to it)
                self._cut(last.end, end, birth)
            else:
                # (that another program has cut it may be forgotten)
                last.birth = birth
            return
        if last.is_live:
            self._append_ended(writer)
        self._append(Segment(inode, birth, 0, 0))

    def _append_ended(self, writer: Writer) -> None:
        """Add the files that ended since the last one was current, as far as that is known."""
        last = self._last
        ended, findable = self._ended(writer)
        after = _number_of(last, ended)
        if after is not None:
            last.end = max(last.begin, ended[after].size)
            last.extent = max(last.extent, last.end)
            ended, findable = ended[:after], findable[:after]
        elif last.inode == NO_INODE:
            last.parted = writer.rollovers > len(ended)
        else:
            last.parted = True
            return
        segments, lost = _segments_of_ended(ended, findable)
        last.lost += lost
        for segment in reversed(segments):
            self._append(segment)

    def _ended(self, writer: Writer) -> tuple[Sequence[EndedFile], Sequence[bool]]:
        """Return the files that are known to have ended, the newest first, and which can be found.

        Where a file system says nothing that tells a file apart from later ones with its number,
        it can be found as long as it has a name.
        """
        ended, findable = writer.lineage.ended, []
        named: set[int] = set()
        if not all(one.birth for one in ended):
            named = self._named() - {writer.known_end.inode}
        for one in ended:
            findable.append(bool(one.birth) or one.inode in named)
            # (an older one with that number is another file)
            named.discard(one.inode)
        if ended and writer.hole is not None and ended[0].inode == writer.known_end.inode:
            # (the current file ends with the roll-over)
            return ended[1:], findable[1:]
        return ended, findable

    def _append(self, segment: Segment) -> None:
        """Go on in a segment, which is live."""
        last = self._last
        last.is_live = False
        segment.order = last.order + 1
        segment.is_live = True
        last.next = self._last = segment
        self._forget_passed()
        if not segment.order % _OFTEN:
            self._join_lost()

    def _join_lost(self) -> None:
        """Make one of segments that nobody can read any more: who never reads costs nothing."""
        if self._joined is self._last:
            # (of a log with many readers each asks for it at a hand-over)
            return
        self._joined = self._last
        needed = {reader.place[0] for reader in self.readers}
        needed.update(reader.closes_at[0] for reader in self.readers if reader.closes_at)
        named = self._named()
        needed.update(one for one in self._segments() if one.inode in named)
        needed.add(self._last)
        segment = self._first
        while (following := segment.next) is not None:
            if following.file >= 0 or following.readers or following in needed:
                segment = following
                continue
            segment.lost += following.extent - following.begin + following.lost
            segment.parted |= following.parted
            segment.next = following.next

    def _named(self, most: int | None = None) -> set[int]:
        """Return the inode numbers of the files that have one of the log's names.

        :param most: look at no more than the newest; None for all.
        """
        found = set()
        for name in self._names()[:most]:
            with contextlib.suppress(OSError):
                found.add(self._number(name))
        return found

    def _number(self, name: str) -> int:
        """Return the inode number of a file of the log, by its name.

        :raises OSError: there is none.
        """
        try:
            return self._directory.stat(name).st_ino
        except FileNotFoundError:
            found = standing_packed(self._directory, name)
            if found is None:
                raise
            return found.look.inode

    def _cut(self, before: int, size: int, birth: str) -> None:
        """Take note that another program has cut the last segment's file.

        :param before: its size before, and ``size`` afterwards.
        :param birth: of the file, after that.
        """
        last = self._last
        for segment in self._segments():
            if segment.is_of(last.inode, last.birth):
                segment.end = max(segment.begin, min(segment.end, size))
        last.end = max(last.begin, size)
        last.extent = max(last.end, before)
        if self.writer is not None:
            self._keep_for_others(last, self.writer)
        self._append(Segment(last.inode, birth, size, size))

    def _keep_for_others(self, segment: Segment, writer: Writer) -> None:
        """Keep the file of a segment, which the writer has open, for those who will read it."""
        if segment.file >= 0 or writer.file < 0:
            return
        if segment.end <= segment.begin:
            return
        is_wanted = is_read = False
        for reader in self.readers:
            at, offset = reader.place
            if at is segment:
                is_read |= offset < segment.end
            elif at.order < segment.order and not reader.wants_opening:
                is_wanted = True
            if is_read:
                break
        if not is_read:
            if not is_wanted:
                return
            held = sum(one.end - one.begin for one in self._segments() if one.file >= 0)
            if held + segment.end - segment.begin > HELD_BYTES:
                return
        with contextlib.suppress(OSError):
            self._kept.keep(segment, _opened_again(writer), self)

    def _open(self, segment: Segment) -> int:
        """Open the file of a segment; return -1 if there is none any more.

        :raises SystemFailure: it cannot be opened.
        """
        try:
            writer = self.writer
            is_current = segment is self._last and segment.is_live and writer is not None
            if is_current and writer is not None and writer.file >= 0:
                self._kept.keep(segment, _opened_again(writer), self)
                return segment.file
            for name in self._names():
                file, origin = _opened_if_there(name, self._directory)
                if file >= 0 and _is_of(segment, file, origin):
                    self._kept.keep(segment, file, self, is_packed=origin is not None)
                    return file
                close_quietly(file)
        except OSError as error:
            raise system_failure(f"Unable to open file: {self.path}", error, self.path) from error
        return -1

    def look(self) -> None:
        """See which file of the log, which is not open, is the newest one.

        :raises SystemFailure: it cannot be opened.
        """
        # (what is a backup now was known before, or is older)
        is_known = self._last.inode != NO_INODE or bool(self.readers)
        backups = 0 if is_known else self._limits.max_backups
        try:
            for name in newest_first(self.path, backups):
                file, origin = _opened_if_there(name, self._directory)
                if file >= 0:
                    try:
                        self._see(file, origin)
                    finally:
                        os.close(file)
                    break
        except OSError as error:
            raise system_failure(f"Unable to open file: {self.path}", error, self.path) from error

    def _see(self, file: int, origin: Origin | None) -> None:
        status = os.fstat(file)
        last = self._last
        if not stat.S_ISREG(status.st_mode):
            if not last.is_device:
                device = Segment(status.st_ino, "", 0, 0)
                device.is_device = True
                self._append(device)
            return
        if origin is None:
            origin = Origin(status.st_ino, identity.birth(file), status.st_size)
        inode, birth, size = origin.inode, origin.birth, origin.size
        if not last.is_of(inode, birth):
            last.parted |= last.is_live and last.inode != NO_INODE
            self._append(Segment(inode, birth, 0, size))
        elif size < last.end:
            self._cut(last.end, size, last.birth)
        else:
            last.end = last.extent = size

    def find(self, position: Position | None) -> Place:
        """Return the place of a position: one that leads on from there, if its file is gone.

        :param position: None for the oldest byte kept.
        :raises SystemFailure: a file cannot be opened.
        """
        self._sync()
        last = self._last
        if last.is_live:
            last.end = last.extent = self._end_of(last)
        if position is not None and position.inode != NO_INODE:
            # (of a file that was cut there are several)
            fitting = [one for one in self._segments() if one.has(position)]
            birth = position.birth
            fitting.sort(key=lambda one: one.birth == birth)
            if fitting:
                return fitting[-1], position.offset
            place = self._find_among_ended(position)
            if place is not None:
                return place
        else:
            position = None
            if self._first.inode == NO_INODE:
                return self._first, 0
        return self._find_by_name(position)

    def _find_among_ended(self, position: Position) -> Place | None:
        """Find a position in a file that the log's writer knows to have ended."""
        writer, first = self.writer, self._first
        if writer is None:
            return None
        ended, findable = self._ended(writer)
        number = next(
            (
                number
                for number, one in enumerate(ended)
                if one.inode == position.inode and position.birth in {"", one.birth}
            ),
            None,
        )
        if number is None or position.offset > ended[number].size:
            return None
        newer = -1 if first is self._last and first.is_live else _number_of(first, ended)
        if newer is None or newer >= number:
            return None
        between = slice(newer + 1, number)
        segments, lost = _segments_of_ended(ended[between], findable[between])
        size = ended[number].size
        own = Segment(ended[number].inode, ended[number].birth, 0, size if findable[number] else 0)
        own.extent, own.lost = size, lost
        for segment in (*segments, own):
            self._put_before(segment)
        return self._first, position.offset

    def _put_before(self, segment: Segment) -> None:
        """Put a segment before all others."""
        segment.order = self._first.order - 1
        segment.next = self._first
        self._first = segment

    def _find_by_name(self, position: Position | None) -> Place:
        writer = self.writer
        held = () if writer is not None else self.held()
        files = open_files(self.path, self._limits, position, writer, self._directory, held)
        try:
            if not files:
                target = self._last
                return self._lost(position, target) if position else (target, self._end_of(target))
            first, offset, gap = find_begin(files, position, writer)
            segments = self._segments_of(files)
            segment = segments[first]
            if position is not None and (gap or not files[first].has(position)):
                place = self._lost(position, segment, gap)
            else:
                place = segment, max(segment.begin, offset)
            if segment.file < 0 and not (segment is self._last and writer is not None):
                # (so that it is not lost before it is read for the first time)
                file = files[first]
                with contextlib.suppress(OSError):
                    copy = os.dup(file.descriptor)
                    self._kept.keep(segment, copy, self, is_packed=file.is_packed)
            return place
        except OSError as error:
            action = f"Unable to read from file {self.path}"
            raise SystemFailure(action, error.errno or errno.EIO, self.path) from error
        finally:
            for file in files:
                os.close(file.descriptor)

    def _segments_of(self, files: Sequence[File]) -> Sequence[Segment]:
        """Return the segments of files, oldest first; those that were not known come before all."""
        known = self._segments()
        found: list[Segment] = []
        newer: File | None = None
        for file in reversed(files):
            segment = next((one for one in known if one.is_of(file.inode, file.birth)), None)
            if segment is None:
                segment = Segment(file.inode, file.birth, 0, file.size)
                is_next = bool(found) and found[-1] is self._first
                segment.parted = newer is None or newer.parted or not is_next
                self._put_before(segment)
            found.append(segment)
            newer = file
        return found[::-1]

    def _lost(self, position: Position, target: Segment, gap: bool = True) -> Place:
        """Return the place of a position in a file that is gone, and leads to what is there."""
        lost = Segment(position.inode, position.birth, position.offset, position.offset)
        lost.is_aside = True
        lost.parted = gap
        self._lead(lost, target)
        return lost, position.offset

    @staticmethod
    def _lead(aside: Segment, target: Segment) -> None:
        aside.next = target
        aside.order = target.order - 1
        target.readers += 1

    # A hand-over.

    def suspended(self, path: str, reader: Reader) -> FollowerState:
        """Return what the next image needs to go on for a reader; in the reactor's thread.

        Of a log in another thread no file is looked at.

        :param path: by which he follows the log.
        """
        named: set[int] | None = None
        if self.thread.is_reactor:
            self._sync()
            self._see_cut()
            self._join_lost()
            named = self._named(1)
            if reader.place[0] is not self._last or self._last.inode not in named:
                named = self._named()
        segment: Segment | None
        segment, offset = reader.place
        position = segment.at(offset) if segment.inode != NO_INODE else None
        parts: list[TrailPart] = []
        closes_in = None
        while segment is not None:
            if reader.closes_at is not None and reader.closes_at[0] is segment:
                closes_in = len(parts)
            parts.append(self._part(segment, named))
            segment = segment.next
        return FollowerState(
            path,
            position,
            until_closed=reader.until_closed,
            was_open=reader.was_open,
            parts=tuple(parts),
            closes_in=closes_in,
            closes_at=reader.closes_at[1] if reader.closes_at else 0,
        )

    def _part(self, segment: Segment, named: set[int] | None) -> TrailPart:
        """Return what the next image is to know of a segment.

        :param named: the inode numbers of files that have names; None if they are not looked at.
        """
        writer, file, is_live = self.writer, -1, segment.is_live
        end = self._end_of(segment)
        if named is not None and segment.inode not in named:
            is_current = segment is self._last and is_live and writer is not None
            if is_current and writer is not None and segment.file < 0 and writer.file >= 0:
                with contextlib.suppress(OSError):
                    # (others may be in a state already)
                    file = _opened_again(writer)
                    self._kept.keep(segment, file, self, closes_others=False)
            file = segment.file
            # (the next image writes to what has the log's name)
            is_live &= not is_current
        return TrailPart(
            segment.inode,
            segment.birth,
            segment.begin,
            end,
            end if is_live else max(end, segment.extent),
            segment.lost,
            is_live,
            segment.parted,
            segment.is_aside,
            file,
        )

    def _see_cut(self) -> None:
        """See whether another program has cut the current file."""
        writer = self.writer
        if writer is not None and writer.file >= 0:
            with contextlib.suppress(OSError):
                writer.see_size(os.fstat(writer.file).st_size)

    def restore(self, parts: Sequence[TrailPart], files: set[int]) -> None:
        """Begin with the parts that the daemon's former image knew.

        :param files: the descriptors that were taken over already.
        """
        segments = [self._segment_of(part, files) for part in parts if not part.is_aside]
        if not segments:
            return
        self._restored = segments[:]
        last = self._last = segments[-1]
        for segment in reversed(segments[:-1]):
            segment.next, segment.order = last, last.order - 1
            last = segment
        self._first = last

    def resume(self, reader: Reader, state: FollowerState, files: set[int]) -> None:
        """Let a reader go on from where he was, among the parts that the former image knew.

        :param files: see :meth:`restore`.
        """
        # (all that one log's readers bring ends with the same part)
        known, there = self._restored[::-1], set(self._segments())
        segments: list[Segment] = []
        newer: Segment | None = None
        for number, part in enumerate(reversed(state.parts)):
            segment = known[number] if number < len(known) else None
            if segment in there and segment.is_of(part.inode, part.birth):
                self._take_file(segment, part.file, files)
            else:
                segment = self._segment_of(part, files)
                if newer is None or segment.is_aside or newer is not self._first:
                    segment.is_aside = True
                    self._lead(segment, newer or self._last)
                else:
                    self._put_before(segment)
                    self._restored.insert(0, segment)
            newer = segment
            segments.append(segment)
        segments.reverse()
        if not segments:
            # (he had not come so far before)
            self.put(reader, self.find(state.position))
            return
        offset = state.position.offset if state.position else 0
        self.put(reader, (segments[0], offset))
        if state.closes_in is not None:
            reader.closes_at = (segments[state.closes_in], state.closes_at)
        elif reader.until_closed and state.was_open and self.log is None:
            # (it was closed before this image knew of him)
            reader.closes_at = (self._last, self._end_of(self._last))

    def _segment_of(self, part: TrailPart, files: set[int]) -> Segment:
        segment = Segment(part.inode, part.birth, part.begin, part.end)
        segment.extent, segment.lost = part.extent, part.lost
        segment.is_live, segment.parted, segment.is_aside = (
            part.is_live,
            part.parted,
            part.is_aside,
        )
        self._take_file(segment, part.file, files)
        return segment

    def _take_file(self, segment: Segment, file: int, files: set[int]) -> None:
        """Take over a descriptor of the former image, once."""
        if file < 0 or file in files:
            return
        files.add(file)
        is_packed = False
        is_its = segment.file < 0 and _is_of(segment, file)
        if segment.file < 0 and not is_its:
            with contextlib.suppress(OSError):
                is_packed = is_its = _is_of(segment, file, origin_of(file))
        if is_its:
            with contextlib.suppress(OSError):
                self._kept.keep(segment, file, self, is_packed=is_packed)
        else:
            close_quietly(file)


def _number_of(segment: Segment, ended: Sequence[EndedFile]) -> int | None:
    """Return which of some files that ended a segment lies in; None if that is not known."""
    numbers = [
        number
        for number, one in enumerate(ended)
        if segment.is_of(one.inode, one.birth) and (one.birth or not segment.birth)
    ]
    # (if nothing tells it from others, several may have had its number)
    return numbers[0] if numbers and (segment.birth or len(numbers) == 1) else None


def _segments_of_ended(
    ended: Sequence[EndedFile], findable: Sequence[bool]
) -> tuple[list[Segment], int]:
    """Return the segments of files that ended, and how many bytes are lost before them.

    :param ended: the newest first, as the segments are.
    :param findable: of which it is known what tells them apart from later files with their numbers;
        the others are lost.
    """
    segments = []
    lost = 0
    for one, is_findable in zip(ended, findable, strict=True):
        if is_findable:
            segment = Segment(one.inode, one.birth, 0, one.size)
            segment.lost, lost = lost, 0
            segments.append(segment)
        else:
            lost += one.size
    return segments, lost


class _Appending:
    """Owns the writer of a message that is appended to a log that is not open."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def leads_away(self, file: int) -> bool | None:
        return None

    def moved_away(self) -> None:
        """Do nothing."""

    def note(self) -> None:
        """Do nothing."""

    def woken(self) -> None:
        """Do nothing: all are woken when the message is written."""

    def file_ends(self) -> None:
        self._trail.file_ends()

    def was_cut(self, size: int) -> None:
        self._trail.was_cut(size)


def _opened_again(writer: Writer) -> int:
    """Open the current file of a writer to read it.

    :raises OSError: it cannot be opened.
    """
    if writer.is_readable:
        return os.dup(writer.file)
    return os.open(f"/proc/self/fd/{writer.file}", OPEN_FLAGS)


def _is_of(segment: Segment, file: int, origin: Origin | None = None) -> bool:
    """Return whether a segment lies in an open file.

    :param origin: what it says if it is packed.
    """
    if origin is not None:
        return segment.is_of(origin.inode, origin.birth)
    try:
        status = os.fstat(file)
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_ino == segment.inode
        and segment.is_of(status.st_ino, identity.birth(file))
    )


def _opened_if_there(path: str, directory: LogDirectory) -> tuple[int, Origin | None]:
    """Open a file to read it; return its descriptor, and what it says if it is packed.

    :returns: -1 if there is none.
    :raises OSError: it cannot be opened.
    """
    try:
        return open_standing(directory, path, OPEN_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return -1, None
