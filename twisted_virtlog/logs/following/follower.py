"""One who follows a log, as his connection sees him: in the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from zope.interface import implementer

from twisted_virtlog.interfaces import Answer, IFollower
from twisted_virtlog.logs.following.reading import Found, Reader
from twisted_virtlog.logs.following.segments import NO_INODE, Segment
from twisted_virtlog.logs.following.trail import Trail
from twisted_virtlog.values import Followed, FollowEnd, FollowerState, Position

_FIRST = Position(NO_INODE, 0)


class Follows(Protocol):
    """What followers need of all following."""

    def read(self, follower: Follower, max_bytes: int) -> Answer[Followed | FollowEnd | None]:
        """Read what comes next for one, where his log is."""

    def changed_patience(self, follower: Follower) -> None:
        """Take note of whether one is patient."""

    def left(self, follower: Follower) -> None:
        """Forget one."""


@implementer(IFollower)
class Follower:
    """See IFollower.

    :ivar path: of the log, as the client spelled it.
    :ivar reader: where he is, for the log's thread.
    :ivar trail: of the log; None before he has found it.
    :ivar state: what he is to go on with, as the daemon's former image stopped; None afterwards.
    :ivar end: what he reads next, whatever comes.
    """

    def __init__(
        self,
        follows: Follows,
        path: str,
        ready: Callable[[], None],
        until_closed: bool,
        from_opening: bool,
    ) -> None:
        """Begin nowhere yet."""
        self.path = path
        self.reader = Reader(self._woken, until_closed, from_opening)
        self.trail: Trail | None = None
        self.state: FollowerState | None = None
        self.end: FollowEnd | None = None
        self._follows = follows
        self._ready = ready
        self._waits = self._is_stopped = False
        self._spans: Sequence[tuple[Segment, int, int]] = ()

    def _woken(self) -> None:
        self._waits = False
        if not self._is_stopped:
            self._ready()

    @property
    def position(self) -> Position:
        if self.state is not None:
            return self.state.position or _FIRST
        reader = self.reader
        if reader.wants_opening:
            return reader.wanted or _FIRST
        segment, offset = reader.place
        return segment.at(offset)

    @property
    def waits(self) -> bool:
        return self._waits and self.end is None

    def read(self, max_bytes: int) -> Answer[Followed | FollowEnd | None]:
        if self.end is not None:
            return self.end
        if self._waits or self.state is not None or self.reader.has_left:
            return None
        answer: Answer[Followed | FollowEnd | None] = self._follows.read(self, max_bytes)
        return answer

    def take(self, found: Found) -> Followed | FollowEnd | None:
        """Return what was found, and remember where."""
        self._spans = found.spans
        self._waits = found.waits
        what = found.what
        if isinstance(what, FollowEnd):
            self.finish(what)
        return what

    def finish(self, end: FollowEnd) -> None:
        """Read this from now on, and nothing else."""
        self.end = end
        self._follows.left(self)

    def advance(self, end: Position) -> None:
        for segment, begin, until in reversed(self._spans):
            if segment.inode == end.inode and begin <= end.offset <= until:
                reader, trail = self.reader, self.trail
                reader.place = (segment, end.offset)
                is_other = segment is not reader.held and not reader.has_left
                if is_other and trail is not None and trail.thread.is_reactor:
                    # (at once, as the next read may be long in coming)
                    trail.put(reader, reader.place)
                return
        raise ValueError(f"{end} is not a position in what was read")

    def be_patient(self, is_patient: bool) -> None:
        self.reader.is_patient = is_patient
        self._follows.changed_patience(self)

    def stop(self) -> None:
        self._is_stopped = True
        self._follows.left(self)

    def suspended(self) -> FollowerState:
        if self.state is not None:
            return self.state
        reader, trail = self.reader, self.trail
        if reader.wants_opening or trail is None:
            return FollowerState(
                self.path,
                reader.wanted,
                from_opening=True,
                until_closed=reader.until_closed,
            )
        return trail.suspended(self.path, reader)
