"""What is noted of logs and their files, as values: pure."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias

import msgspec

from twisted_virtlog.history.records import FileKey, Progress
from twisted_virtlog.values import Domain, LogEvent, Position

#: The number of a file, where its end was, and since and until when.
MARK = struct.Struct("=qqqq")

#: Stands for an end: the file was cut.
CUT = -1

#: At most so many deeds wait.
MOST_DEEDS = 20_000


class FileBegun(msgspec.Struct, frozen=True, gc=False):
    """A file of a log is known by a number from now on."""

    number: int
    key: FileKey
    path: str


class FileEnded(msgspec.Struct, frozen=True, gc=False):
    """Nothing more is noted of a file by its number."""

    number: int


class How(enum.Enum):
    """How a log became known."""

    OPENED = "opened"
    #: It was open already when this process began to know it.
    ADOPTED = "adopted"
    #: It is not open.
    APPENDED = "appended"


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A log was opened, or became known in another way.

    :ivar position: the end of its file then.
    :ivar at: when it was opened, or appended to; an aware time.
    """

    path: str
    driver: str
    domain: Domain | None
    position: Position
    file_system: str
    at: datetime
    how: How = How.OPENED


class Closed(msgspec.Struct, frozen=True, gc=False):
    """A log was closed."""

    path: str
    position: Position | None
    file_system: str
    at: datetime


class Happened(msgspec.Struct, frozen=True, gc=False):
    """Something else happened to a log."""

    path: str
    event: LogEvent
    file_system: str


class FilesGone(msgspec.Struct, frozen=True, gc=False):
    """Files were removed."""

    keys: tuple[FileKey, ...]


class LogGone(msgspec.Struct, frozen=True, gc=False):
    """Nothing of a log is there any more.

    :ivar files: of which it was found that they are gone; if there are others, it was opened since.
        None: it is gone, whatever it had.
    """

    path: str
    files: frozenset[FileKey] | None = None


class Acknowledged(msgspec.Struct, frozen=True, gc=False):
    """A consumer has come further in a log, or has missed something of it."""

    path: str
    consumer: str
    progress: Progress


class ConsumerGone(msgspec.Struct, frozen=True, gc=False):
    """What a consumer had of logs is forgotten.

    :ivar consumer: None for all consumers.
    :ivar path: None for all logs.
    """

    consumer: str | None
    path: str | None


#: Whatever is not a mark.
Deed: TypeAlias = (
    FileBegun
    | FileEnded
    | Opened
    | Closed
    | Happened
    | FilesGone
    | LogGone
    | Acknowledged
    | ConsumerGone
)


class Taken(msgspec.Struct, frozen=True):
    """What was noted until now.

    :ivar raw: all marks as one; see :meth:`marks`.
    :ivar deeds: in their order.
    :ivar lost_marks: how many had to be forgotten, and ``lost_deeds`` likewise.
    """

    raw: bytes
    deeds: list[Deed]
    lost_marks: int
    lost_deeds: int

    def marks(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield in their order the number of a file, its end, and since and until when.

        An end that is CUT says that the file was cut.
        """
        # (what a disk has cut off is left out)
        return MARK.iter_unpack(self.raw[: len(self.raw) // MARK.size * MARK.size])
