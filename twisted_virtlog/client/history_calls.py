"""The calls that find a log's bytes by time: a part of the table in :mod:`.calls`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from twisted_virtlog.client.call import Call, Performer, call, decoder, plain
from twisted_virtlog.client.errors import BadAnswer
from twisted_virtlog.client.members import position_member, time_member
from twisted_virtlog.values import Boot, Position, TimeMark, TimeRange

W = TypeVar("W")


class LogEvent(msgspec.Struct, frozen=True):
    """Something that happened to a log.

    :ivar position: the end of the log's file then.
    :ivar time: an aware time.
    :ivar kind: ``opened``, ``closed``, ``outage`` (the file cannot be written), ``recovered``,
        ``dropped`` (bytes are lost), ``cut`` (by another program), ``gap`` (between two files); a
        newer daemon may know others.
    :ivar bytes: how many bytes it is about; None where that says nothing.
    """

    position: Position
    time: datetime
    kind: str
    bytes: int | None = None


class LogFile(msgspec.Struct, frozen=True):
    """A file of a log, open for reading.

    :ivar birth: of a position in it.
    :ivar size: bytes of the log in it, uncompressed.
    :ivar compressed: whether the file itself holds them compressed.
    :ivar descriptor: close-on-exec. Whoever takes this value owns it, and must close it.
    :ivar gap: bytes are, or may be, missing between the file before it and this one.
    """

    inode: int
    birth: str
    size: int
    compressed: bool
    descriptor: int
    gap: bool = False


class LogFiles(msgspec.Struct, frozen=True):
    """Files of a log, the oldest first.

    :ivar more: there are newer ones; ask again with a position in the last of these.
    """

    files: Sequence[LogFile]
    more: bool


class _Ranges(msgspec.Struct, frozen=True):
    ranges: list[TimeRange]


class _File(msgspec.Struct, frozen=True):
    inode: int
    birth: str
    size: int
    compressed: bool = False
    gap: bool = False


class _Files(msgspec.Struct, frozen=True):
    files: list[_File]
    more: bool


_decode_times = plain(list[TimeMark])
_decode_boots = plain(list[Boot])
_decode_events = plain(list[LogEvent])


def _decode_ranges(text: bytes | msgspec.Raw, _descriptors: Sequence[int]) -> Sequence[TimeRange]:
    return decoder(_Ranges).decode(text).ranges


def _decode_files(text: bytes | msgspec.Raw, descriptors: Sequence[int]) -> LogFiles:
    result = decoder(_Files).decode(text)
    if len(result.files) != len(descriptors):
        raise BadAnswer(
            f"log.files was answered with {len(result.files)} files and {len(descriptors)}"
            " descriptors"
        )
    return LogFiles(
        [
            LogFile(file.inode, file.birth, file.size, file.compressed, descriptor, file.gap)
            for file, descriptor in zip(result.files, descriptors, strict=True)
        ],
        result.more,
    )


class HistoryCalls(Performer[W]):
    """The calls that find a log's bytes by time. Times are aware ones."""

    @call
    def locate(
        self, path: str, since: datetime | None = None, until: datetime | None = None
    ) -> Call[Sequence[TimeRange]]:
        """Return the ranges in which every byte is that may have arrived in a time, oldest first.

        :param since: None for the oldest byte kept.
        :param until: None for now.
        :raises ValueError: a time has no zone.
        """
        params = {"path": path, "since": time_member(since), "until": time_member(until)}
        return Call("log.locate", _decode_ranges, params)

    @call
    def times(
        self, path: str, start: Position | None = None, end: Position | None = None
    ) -> Call[Sequence[TimeMark]]:
        """Return what is known of when bytes arrived, oldest first.

        :param start: None for the oldest byte kept.
        :param end: None for the end of the log.
        """
        params = {"path": path, "start": position_member(start), "end": position_member(end)}
        return Call("log.times", _decode_times, params)

    @call
    def boots(self, path: str) -> Call[Sequence[Boot]]:
        """Return each opening of a log, oldest first, as far as its bytes are kept."""
        return Call("log.boots", _decode_boots, {"path": path})

    @call
    def events(self, path: str, since: datetime | None = None) -> Call[Sequence[LogEvent]]:
        """Return what happened to a log, oldest first, as far as its bytes are kept.

        :param since: None for all.
        :raises ValueError: the time has no zone.
        """
        params = {"path": path, "since": time_member(since)}
        return Call("log.events", _decode_events, params)

    @call
    def files(self, path: str, start: Position | None = None) -> Call[LogFiles]:
        """Return the files of a log, open for reading, at most 64; the caller owns the descriptors.

        For programs that read much, which costs the daemon nothing then.

        :param start: begin with the file that this position is in; None for the oldest.
        """
        params = {"path": path, "start": position_member(start)}
        return Call("log.files", _decode_files, params)
