"""Logs that are followed as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_virtlog.errors import LogError
from twisted_virtlog.interfaces import Answer, IFollower, IFollowing, IWatch
from twisted_virtlog.values import (
    EndReason,
    Followed,
    FollowEnd,
    FollowerState,
    Position,
    Watched,
)


@implementer(IFollower)
class FakeFollower:
    """A log that is in one file, of which a test says what it holds.

    :ivar text: all bytes of the file.
    :ivar read_at: the positions from which it was read, in order.
    :ivar slow: reads are answered by :meth:`answer`.
    :ivar end: what comes when all is read.
    :ivar is_patient: what comes may be later.
    :ivar waits: it says that nothing is left.
    :ivar missing: bytes that are missing before what comes next.
    """

    def __init__(self, state: FollowerState, ready: Callable[[], None]) -> None:
        self.state = state
        self.position = state.position or Position(7, 0, "b")
        self.text = b"." * self.position.offset
        self.read_at: list[int] = []
        self.slow = False
        self.end: FollowEnd | None = None
        self.missing: int | None = None
        self.stopped = False
        self.is_patient = False
        self.waits = False
        self.waiting: deque[Deferred[Followed | FollowEnd | None]] = deque()
        self._ready = ready

    def write(self, data: bytes) -> None:
        """Let bytes come."""
        self.text += data
        if not self.stopped:
            self._ready()

    def finish(self, reason: EndReason, error: LogError | None = None) -> None:
        """Let it end after all that it has."""
        self.end = FollowEnd(reason, error)
        self._ready()

    def answer(self) -> None:
        """Answer the oldest read that waits."""
        self.waiting.popleft().callback(self._next())

    def read(self, max_bytes: int) -> Answer[Followed | FollowEnd | None]:
        assert not self.stopped, "read after it was stopped"
        self.read_at.append(self.position.offset)
        if self.slow:
            later: Deferred[Followed | FollowEnd | None] = Deferred()
            self.waiting.append(later)
            return later
        return self._next(max_bytes)

    def _next(self, max_bytes: int = 1 << 16) -> Followed | FollowEnd | None:
        start = self.position
        data = self.text[start.offset : start.offset + max_bytes]
        if not data:
            return self.end
        end = Position(start.inode, start.offset + len(data), start.birth)
        final = self.end is not None and end.offset == len(self.text)
        gap = self.missing is not None
        return Followed((data,), start, end, gap, self.missing, final)

    def advance(self, end: Position) -> None:
        self.missing = None
        self.position = end

    def be_patient(self, is_patient: bool) -> None:
        self.is_patient = is_patient

    def stop(self) -> None:
        assert not self.stopped
        self.stopped = True

    def suspended(self) -> FollowerState:
        return FollowerState(self.state.path, self.position)


@implementer(IWatch)
class FakeWatch:
    """What happens to logs, as a test says."""

    def __init__(self, ready: Callable[[], None], before: Sequence[Watched]) -> None:
        self.events = deque(before)
        self.stopped = False
        self._ready = ready

    def happen(self, event: Watched) -> None:
        """Let something happen."""
        self.events.append(event)
        self._ready()

    def take(self) -> Watched | None:
        return self.events.popleft() if self.events else None

    def stop(self) -> None:
        self.stopped = True

    def suspended(self) -> tuple[Watched, ...]:
        return tuple(self.events)


@implementer(IFollowing)
class FakeFollowing:
    """Follows whatever it is asked to.

    :ivar followers: in the order of asking; likewise ``watches``.
    :ivar error: is raised in place of that.
    :ivar slow: requests are answered by :meth:`answer`.
    """

    def __init__(self) -> None:
        self.followers: list[FakeFollower] = []
        self.watches: list[FakeWatch] = []
        self.error: LogError | None = None
        self.slow = False
        self.waiting: deque[tuple[Deferred[IFollower], FakeFollower]] = deque()

    def follow(
        self,
        path: str,
        position: Position | None,
        until_closed: bool,
        ready: Callable[[], None],
        from_opening: bool = False,
    ) -> Answer[IFollower]:
        if self.error is not None:
            raise self.error
        state = FollowerState(path, position, from_opening, until_closed)
        follower = FakeFollower(state, ready)
        self.followers.append(follower)
        if self.slow:
            later: Deferred[IFollower] = Deferred()
            self.waiting.append((later, follower))
            return later
        return follower

    def answer(self) -> None:
        """Answer the oldest request that waits."""
        later, follower = self.waiting.popleft()
        later.callback(follower)

    def resume(self, state: FollowerState, ready: Callable[[], None]) -> IFollower:
        self.followers.append(FakeFollower(state, ready))
        return self.followers[-1]

    def watch(self, ready: Callable[[], None], before: Sequence[Watched] = ()) -> IWatch:
        self.watches.append(FakeWatch(ready, before))
        return self.watches[-1]

    def end_all(self) -> None:
        """Do nothing; a test ends each."""
