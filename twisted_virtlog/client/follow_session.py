"""Following one log over restarts of the daemon, each byte once, without the sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from twisted_virtlog.client.calls import Chunk, Requests
from twisted_virtlog.client.errors import ClientError, Disconnected, RemoteError
from twisted_virtlog.client.history_calls import LogEvent
from twisted_virtlog.client.notifications import FeedData, FeedEnd, FollowedChunk, Notification
from twisted_virtlog.client.session import Session
from twisted_virtlog.client.subscriptions import Followed, follow_log, unfollow
from twisted_virtlog.values import Boot, Position

R = TypeVar("R")

_REQUESTS = Requests()

#: A piece of the rest of a log that was closed while nobody followed it.
_REST_BYTES = 65536
#: As the daemon may have kept a time in a coarser unit than it told it in before.
_SAME_TIME = timedelta(milliseconds=1)
_SYSTEM_ERROR = 1003
_NO_SUCH_LOG = 1002
_NOT_ALLOWED = 1011


@dataclass(frozen=True)
class Openings:
    """What is known of a log's openings at some time.

    :ivar latest: the latest of which the daemon knows, if it knows any.
    :ivar is_open: whether the log is open.
    """

    latest: Boot | None
    is_open: bool

    def closing(self, boots: Sequence[Boot], is_open: bool) -> Closing | None:
        """Return where the first close since then is; None if there was none.

        Of a log that was not open then, that is the close after its next opening.

        :param boots: those of which the daemon knows now, the oldest first.
        :param is_open: whether the log is open now.
        """
        later = self._later(boots)
        if not self.is_open:
            if not later:
                return None
            later = later[1:]
        if later:
            return Closing(later[0].start)
        return None if is_open else Closing(None)

    def _later(self, boots: Sequence[Boot]) -> Sequence[Boot]:
        latest = self.latest
        if latest is None:
            # (of an open log the daemon should know one: it keeps none, or has lost it)
            return [] if self.is_open else boots
        for index, boot in enumerate(boots):
            if abs(boot.opened_at - latest.opened_at) < _SAME_TIME:
                return boots[index + 1 :]
        return [boot for boot in boots if boot.opened_at > latest.opened_at]


@dataclass(frozen=True)
class Closing:
    """A log was closed.

    :ivar end: where its next opening begins; None if it was not opened again.
    """

    end: Position | None


class FollowSession(Session[FollowedChunk]):
    """A log that is followed.

    A connection that ends is followed by a subscription from the end of the last chunk on. Before
    there is one, it is from where the first began: the position that was asked for, or the one that
    the daemon answered with. If the log was not there then, that is {0, 0}, which is before its
    first byte: so nothing is left out that came while nobody was connected. The daemon cannot know
    whether the oldest byte that it has then is the first one, and says that there is a gap. That is
    taken back if the log was opened just there.

    :ivar position: where the first subscription began, once ``started``; with the inode number 0 if
        the log was not there yet.
    """

    def __init__(
        self, path: str, position: Position | None, since: datetime | None, until_closed: bool
    ) -> None:
        """Follow a log from a position, from a time, or from now on.

        :raises ValueError: both a position and a time are given, or the time has no zone.
        """
        super().__init__()
        self._path = path
        self._until_closed = until_closed
        self._first = follow_log(path, position, since, until_closed)
        #: Where to go on; None as long as nobody knows.
        self._next = position
        self._subscription: int | None = None
        self.position: Position | None = None
        self._openings: Openings | None = None
        self._boots: Sequence[Boot] = ()
        #: Where the log was opened, as far as the daemon has it.
        self._beginnings: Sequence[Position] = ()
        #: The close that came while nobody was connected; the bytes before it are read.
        self._closing: Closing | None = None

    @property
    def next_position(self) -> Position | None:
        """Where it goes on; None as long as nobody knows."""
        return self._next

    def move(self, position: Position) -> None:
        """Go on from another position, on the next connection."""
        self._next = position

    def _begin(self) -> None:
        if self._closing is not None:
            self._read_on(self._closing)
        elif self.started:
            again = follow_log(self._path, self._next, None, self._until_closed)
            self._ask(again, self._followed)
        else:
            self._ask(self._first, self._followed)

    def _followed(self, outcome: Followed | ClientError) -> None:
        if isinstance(outcome, ClientError):
            self._refuse(outcome)
            return
        self._subscription = outcome.subscription
        if self.position is None:
            self.position = outcome.position
        if self._next is None:
            self._next = outcome.position
        elif self._next.inode == 0:
            self._holding = True
            self._ask(_REQUESTS.events(self._path), self._know_beginnings)
        if self._until_closed:
            # The daemon ends with the first close after the subscription. One that comes while
            # there is none has to be found out.
            self._holding = True
            self._ask(_REQUESTS.boots(self._path), self._know_boots)
            self._ask(_REQUESTS.position(self._path), self._know_whether_open)
        elif not self._holding:
            self.started = True

    def _know_beginnings(self, outcome: Sequence[LogEvent] | ClientError) -> None:
        events = _unless_refused(outcome, ())
        self._beginnings = [event.position for event in events if event.kind == "opened"]
        if not self._until_closed:
            self._holding = False
            self.started = True

    def _know_boots(self, outcome: Sequence[Boot] | ClientError) -> None:
        self._boots = _unless_refused(outcome, ())

    def _know_whether_open(self, outcome: Position | ClientError) -> None:
        if isinstance(outcome, ClientError) and not isinstance(outcome, RemoteError):
            raise outcome
        is_open = not (
            isinstance(outcome, RemoteError) and outcome.code in {_NO_SUCH_LOG, _NOT_ALLOWED}
        )
        self._holding = False
        if self._openings is None:
            latest = self._boots[-1] if self._boots else None
            self._openings = Openings(latest, is_open)
            self.started = True
            return
        self._closing = self._openings.closing(self._boots, is_open)
        if self._closing is not None:
            # This subscription is one too late: it waits for the next close.
            self._held.clear()
            if self._subscription is not None:
                self._ask(unfollow(self._subscription), lambda _outcome: None)
                self._subscription = None
            self._read_on(self._closing)

    def _read_on(self, closing: Closing) -> None:
        if closing.end is not None and _is_same_place(closing.end, self._next):
            self.ended = "closed"
        else:
            rest = _REQUESTS.read(self._path, self._next, _REST_BYTES)
            self._ask(rest, lambda outcome: self._read(outcome, closing))

    def _read(self, outcome: Chunk | ClientError, closing: Closing) -> FollowedChunk | None:
        if isinstance(outcome, RemoteError) and outcome.code == _NO_SUCH_LOG:
            self.ended = "closed"
            return None
        if isinstance(outcome, ClientError):
            self._refuse(outcome)
            return None
        if not outcome.data:
            self.ended = "closed"
            return None
        gap = outcome.gap and not self._is_first_byte(outcome.start)
        chunk = FollowedChunk(outcome.data, outcome.start, outcome.end, gap)
        if closing.end is not None:
            chunk = cut(chunk, closing.end)
        self._next = chunk.end
        if len(chunk.data) < len(outcome.data):
            self.ended = "closed"
        else:
            self._read_on(closing)
        return chunk if chunk.data else None

    def _take(self, told: Notification) -> FollowedChunk | None:
        if told.subscription != self._subscription:
            # (unfollowed, with some of its news on the way)
            return None
        if isinstance(told, FeedData):
            gap = told.gap and not self._is_first_byte(told.start)
            self._next = told.end
            return FollowedChunk(told.data, told.start, told.end, gap, told.missed)
        if isinstance(told, FeedEnd):
            self._end(told)
        return None

    def _is_first_byte(self, start: Position) -> bool:
        """Return whether a log that was not there was opened at the first byte that comes of it."""
        return (
            self._next is not None
            and self._next.inode == 0
            and any(_is_same_place(start, beginning) for beginning in self._beginnings)
        )

    def _end(self, told: FeedEnd) -> None:
        if told.reason == "shutting down":
            raise Disconnected("the daemon is shutting down")
        if told.reason == "failed":
            data = told.error or {}
            reason = data.get("strerror") or data.get("errno") or "its files cannot be read"
            raise RemoteError(_SYSTEM_ERROR, f"cannot follow {self._path}: {reason}", told.error)
        self.ended = told.reason


def cut(chunk: FollowedChunk, end: Position) -> FollowedChunk:
    """Return a chunk without what comes from a position on, if that is in its first or last file.

    A file in between would have to be smaller than the chunk, and is not looked for.
    """
    length = len(chunk.data)
    if chunk.start.inode == end.inode and chunk.start.birth == end.birth:
        kept = end.offset - chunk.start.offset
    elif chunk.end.inode == end.inode and chunk.end.birth == end.birth:
        kept = length - (chunk.end.offset - end.offset)
    else:
        return chunk
    if not 0 <= kept < length:
        return chunk
    return FollowedChunk(chunk.data[:kept], chunk.start, end, chunk.gap, chunk.missed)


def _unless_refused(outcome: R | ClientError, otherwise: R) -> R:
    """Return a result; or something else if the daemon refuses, which may keep no history.

    :raises ClientError: the daemon does not refuse, but makes no sense.
    """
    if isinstance(outcome, RemoteError):
        return otherwise
    if isinstance(outcome, ClientError):
        raise outcome
    return outcome


def _is_same_place(one: Position, other: Position | None) -> bool:
    return other is not None and (one.inode, one.offset) == (other.inode, other.offset)
