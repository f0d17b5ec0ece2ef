"""What is kept of files and logs, as values: pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from twisted_virtlog.history.marks import FileMarks
from twisted_virtlog.history.wall_times import WallTimes
from twisted_virtlog.values import Domain, KeptFile, LogEvent, Position, birth_without_cut


class FileKey(msgspec.Struct, frozen=True, gc=False):
    """What tells a file apart from all others, whatever its name, also after a reboot.

    :ivar file_system: see KeptFile.
    :ivar birth: the part of the file's birth that comes from the file itself; never "".
    """

    file_system: str
    birth: str


def key_of(birth: str, file_system: str) -> FileKey | None:
    """Return the key of a file; None if nothing tells it apart, so that nothing is kept of it.

    :param birth: of a position in it.
    """
    own = birth_without_cut(birth)
    return FileKey(file_system, own) if own else None


def key_of_kept(file: KeptFile) -> FileKey | None:
    """Return the key of a file of a log; None if nothing tells it apart."""
    return key_of(file.birth, file.file_system)


class FileTimes(msgspec.Struct, frozen=True):
    """When the bytes of files came, for :class:`twisted_virtlog.history.ranges.Arrivals`.

    :ivar marks: of each file that was asked for; without any where none are known.
    :ivar walls: what the wall clock showed meanwhile, and until now.
    :ivar now: the present moment.
    """

    marks: Sequence[FileMarks]
    walls: WallTimes
    now: int


class Opening(msgspec.Struct, frozen=True, gc=False):
    """A time that a log was opened.

    :ivar start: the end of its file then, and ``file_system`` the one of that file.
    :ivar opened_at: an aware time, UTC.
    :ivar closed_at: likewise; None if it is open still, or nobody knows.
    :ivar end: the end of its file when it was closed; None if that is not known.
    """

    start: Position
    file_system: str
    opened_at: datetime
    driver: str
    domain: Domain | None
    closed_at: datetime | None = None
    end: Position | None = None


class KnownLog(msgspec.Struct, frozen=True, gc=False):
    """A log that was opened or appended to once.

    :ivar path: without symbolic links.
    :ivar driver: whoever opened it last, or appended to it if nobody did; ``domain`` likewise.
    :ivar first_at: when it was first opened or appended to; an aware time, UTC.
    :ivar opened_at: when it was opened last; None if it was never.
    :ivar closed_at: when it was closed after that; None if it was not, or nobody knows.
    :ivar position: the end of its file when it was opened, closed or appended to last.
    """

    path: str
    driver: str
    domain: Domain | None
    first_at: datetime
    opened_at: datetime | None
    closed_at: datetime | None
    position: Position


class LogHistory(msgspec.Struct, frozen=True):
    """What happened to a log.

    :ivar openings: each time that it was opened, oldest first.
    :ivar events: what happened to it, its openings and closings too, oldest first.
    """

    openings: Sequence[Opening] = ()
    events: Sequence[LogEvent] = ()


class Progress(msgspec.Struct, frozen=True, gc=False):
    """What a consumer has of a log; see :mod:`twisted_virtlog.logs.consumers`.

    :ivar position: up to where it has acknowledged; None if it has acknowledged nothing, and the
        log is held for it from its beginning.
    :ivar unread: bytes that went before it had acknowledged them.
    :ivar unread_before: how many of them when the log was opened last.
    :ivar at: when it acknowledged last; an aware time, None for never.
    """

    position: Position | None = None
    unread: int = 0
    unread_before: int = 0
    at: datetime | None = None

    @property
    def unread_since_opening(self) -> int:
        """Bytes that went unread since the log was opened."""
        return self.unread - self.unread_before
