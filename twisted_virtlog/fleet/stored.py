"""What is stored of logs: messages, whose logs they are of, and how they follow one another."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from twisted_virtlog.ship import headers as names
from twisted_virtlog.ship.messages import Piece
from twisted_virtlog.ship.subjects import NOBODY
from twisted_virtlog.values import Position, is_outdated


class Log(NamedTuple):
    """A log of a host.

    :ivar uuid: of its guest; None if it belongs to none, as is ``domain``, the guest's name.
    """

    subject: str
    host: str
    path: str
    driver: str
    uuid: str | None
    domain: str | None

    @property
    def title(self) -> str:
        """What it is called in messages and before lines."""
        return f"{self.host}:{self.path}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A message.

    :ivar sequence: its number in the stream.
    :ivar time: when all the bytes had come, by the clock of the host; aware.
    :ivar gap: whether bytes before it are missing, and how many where that is known.
    :ivar left: how many of those that were asked for come after it.
    :ivar skipped: how many of its first bytes are not in ``data``.
    :ivar begins_line: whether its first byte begins a line, as far as that is known.
    :ivar since: when the first of them came at the earliest; None for about the same time.
    """

    sequence: int
    log: Log
    data: bytes
    start: Position
    end: Position
    time: datetime
    gap: bool = False
    missed: int | None = None
    left: int = 0
    skipped: int = 0
    begins_line: bool = True
    since: datetime | None = None

    @property
    def earliest(self) -> datetime:
        """When the first of its bytes may have come."""
        return self.time if self.since is None else min(self.since, self.time)

    def after(self, count: int) -> Stored:
        """Return it without its first bytes."""
        if not count:
            return self
        start = Piece(self.data, self.start, self.end).position(count)
        return replace(
            self,
            data=self.data[count:],
            start=start,
            gap=False,
            missed=None,
            skipped=self.skipped + count,
        )

    def before(self, count: int) -> Stored:
        """Return it with its first bytes only."""
        if count >= len(self.data):
            return self
        end = Piece(self.data, self.start, self.end).position(count)
        return replace(self, data=self.data[:count], end=end)

    def by_file(self) -> list[tuple[bytes, Position]]:
        """Return its bytes of each of the two files that it may be from, with their positions."""
        count = len(self.data) - self.end.offset
        if _is_one_file(self.start, self.end) or not 0 <= count < len(self.data):
            return [(self.data, self.start)]
        second = Position(self.end.inode, 0, self.end.birth)
        if not count:
            return [(self.data, second)]
        return [(self.data[:count], self.start), (self.data[count:], second)]

    def may_have(self, position: Position) -> bool:
        """Return whether a position can be in it, of which the data need not be known."""
        offset = position.offset
        if _is_one_file(position, self.end):
            begin = self.start.offset if _is_one_file(position, self.start) else 0
            return begin <= offset < self.end.offset
        return _is_one_file(position, self.start) and self.start.offset <= offset

    def offset_of(self, position: Position) -> int | None:
        """Return how many of its bytes are before a position; None if that is not in it."""
        count = len(self.data)
        if _is_one_file(position, self.start):
            offset = position.offset - self.start.offset
            is_whole = _is_one_file(position, self.end)
            last = count if is_whole else count - self.end.offset
            return offset if 0 <= offset < last else None
        if _is_one_file(position, self.end):
            offset = count - (self.end.offset - position.offset)
            return offset if 0 <= offset < count else None
        return None


#: Messages as they are read; who needs no more of them closes this.
Messages: TypeAlias = "Generator[Stored, None, None]"


def stored_of(
    subject: str, headers: Mapping[str, str] | None, data: bytes, sequence: int, left: int = 0
) -> Stored | None:
    """Return what a message says; None if it is none of a log."""
    said = headers or {}
    start = names.position_of(said.get(names.START, ""))
    end = names.position_of(said.get(names.END, ""))
    tokens = subject.rsplit(".", 3)
    if start is None or end is None or len(tokens) < 4:
        return None
    try:
        time = _time(said[names.TIME])
        since = _time(said[names.SINCE]) if names.SINCE in said else None
        host, path = _text(said[names.HOST]), _text(said[names.PATH])
    except (KeyError, ValueError):
        return None
    uuid = None if tokens[2] == NOBODY else tokens[2]
    domain = _text(said[names.DOMAIN]) if names.DOMAIN in said else None
    log = Log(subject, host, path, _text(said.get(names.DRIVER, "")), uuid, domain)
    missed = said.get(names.MISSED)
    count = int(missed) if missed is not None and missed.isdecimal() else None
    return Stored(
        *(sequence, log, data, start, end, time, missed is not None, count, left),
        begins_line=said.get(names.CUT) not in {"begin", "both"},
        since=since,
    )


def with_gaps(messages: Iterable[Stored], end: Position | None = None) -> Iterator[Stored]:
    """Yield the messages of one log; where one was left out, the next one has a gap.

    :param end: of what comes before; None if nothing need be there.
    """
    for message in messages:
        is_left_out = end is not None and not message.gap and not _follows(end, message.start)
        yield replace(message, gap=True) if is_left_out else message
        end = message.end


class LastLines:
    """The last lines of messages, one that has no end yet included."""

    def __init__(self, count: int) -> None:
        """:param count: how many lines."""
        self._count = count
        self._messages: deque[tuple[Stored, int]] = deque()
        self._newlines = 0

    def add(self, message: Stored) -> None:
        """Take the next message."""
        newlines = message.data.count(b"\n")
        self._messages.append((message, newlines))
        self._newlines += newlines
        # (with one newline more the rest is enough, whether or not its last line is ended)
        while self._newlines - self._messages[0][1] > self._count:
            self._newlines -= self._messages.popleft()[1]

    @property
    def are_enough(self) -> bool:
        """Whether nothing that comes before could be one of these lines."""
        return self._newlines > self._count or not self._count

    def messages(self) -> list[Stored]:
        """Return the lines, the first message without what comes before them."""
        kept = self._messages
        if not self._count or not kept:
            return []
        is_ended = kept[-1][0].data.endswith(b"\n")
        skipped = self._newlines + (not is_ended) - self._count
        found = [message for message, _ in kept]
        while skipped > 0:
            newlines = found[0].data.count(b"\n")
            if newlines < skipped:
                skipped -= newlines
                del found[0]
                continue
            at = -1
            for _ in range(skipped):
                at = found[0].data.index(b"\n", at + 1)
            found[0] = found[0].after(at + 1)
            break
        return [message for message in found if message.data]


def is_same(position: Position, end: Position) -> bool:
    """Return whether a position, which may lack a birth, is the end of a log."""
    return _is_one_file(position, end) and position.offset == end.offset


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)


def _text(value: str) -> str:
    return unquote(value, errors="surrogateescape")


def _is_one_file(one: Position, other: Position) -> bool:
    return one.inode == other.inode and not is_outdated(one.birth, other.birth)


def _follows(end: Position, start: Position) -> bool:
    """Return whether nothing lies between two positions, as far as they say."""
    if _is_one_file(end, start):
        return end.offset == start.offset
    return start.offset == 0
