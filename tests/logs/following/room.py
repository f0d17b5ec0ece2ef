"""Logs that are followed, on a reactor that turns by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.logs.fakes import World
from twisted_virtlog.interfaces import Answer, IFollower
from twisted_virtlog.logs.following.following import Following
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.observing import REACTOR_THREAD
from twisted_virtlog.values import Followed, FollowEnd, FollowerState, Position

T = TypeVar("T")


def numbered(count: int) -> bytes:
    """Return so many lines of eight bytes."""
    return b"".join(b"%07d\n" % number for number in range(count))


class Turns:
    """Calls what is to be called later, when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.resting: list[Callable[[], object]] = []

    def later(self, work: Callable[[], object]) -> None:
        """See Shares."""
        self.waiting.append(work)

    def rest(self, seconds: float, work: Callable[[], object]) -> None:
        """See Shares."""
        self.resting.append(work)

    def turn(self) -> bool:
        """Call what waits now; return whether anything did."""
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()
        return bool(waiting)

    def run(self) -> None:
        """Let all have rested, and call what waits until nothing does."""
        while self.turn() or self.resting:
            resting, self.resting = self.resting, []
            self.waiting += resting


class OneHandler:
    """All logs are those of one handler."""

    def __init__(self, handler: LogHandler) -> None:
        self._handler = handler

    def ask_where_it_is(
        self, path: str, call: Callable[[LogHandler, str], Answer[T]], action: str
    ) -> Answer[T]:
        """Ask it."""
        return call(self._handler, path)


class Client:
    """Follows a log as a conversation does.

    :ivar got: what came, in order.
    :ivar calls: how often it was told to read.
    """

    def __init__(self) -> None:
        self.got: list[Followed | FollowEnd] = []
        self.calls = 0
        self.is_ready = True
        self.follower: IFollower | None = None

    def ready(self) -> None:
        """See IFollowing."""
        self.calls += 1
        self.is_ready = True

    def take(self, max_bytes: int = 1 << 16) -> Followed | FollowEnd | None:
        """Read once."""
        assert self.follower is not None
        answer: Any = self.follower.read(max_bytes)
        if isinstance(answer, Deferred):
            found: list[Any] = []
            answer.addBoth(found.append)
            (answer,) = found
            if isinstance(answer, Failure):
                answer.raiseException()
        if answer is None:
            self.is_ready = False
            return None
        self.got.append(answer)
        if isinstance(answer, Followed):
            self.follower.advance(answer.end)
        return answer  # type: ignore[no-any-return]

    def take_all(self, max_bytes: int = 1 << 16) -> list[Followed | FollowEnd]:
        """Read until there is nothing; return what came."""
        found: list[Followed | FollowEnd] = []
        while self.is_ready:
            one = self.take(max_bytes)
            if one is not None:
                found.append(one)
            if isinstance(one, FollowEnd):
                break
        return found

    @property
    def text(self) -> bytes:
        """All bytes that came."""
        return b"".join(b"".join(one.pieces) for one in self.got if isinstance(one, Followed))

    @property
    def gaps(self) -> list[int | None]:
        """What was said to be missing."""
        return [one.missed for one in self.got if isinstance(one, Followed) and one.gap]

    @property
    def end(self) -> FollowEnd | None:
        """The end, once it came."""
        last = self.got[-1] if self.got else None
        return last if isinstance(last, FollowEnd) else None


class LaneClient(Client):
    """Follows a log as a conversation does, when answers may come later."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Deferred[Any] | None = None

    def go_on(self) -> None:
        """Read, unless that is under way."""
        if self.asked is None and self.is_ready and self.end is None and self.follower is not None:
            answer: Any = self.follower.read(1 << 16)
            if isinstance(answer, Deferred):
                self.asked = answer
                answer.addBoth(self._came)
            else:
                self._came(answer)

    def _came(self, found: Any) -> None:
        self.asked = None
        if isinstance(found, Failure):
            found.raiseException()
        if found is None:
            self.is_ready = False
            return
        self.got.append(found)
        if isinstance(found, Followed) and self.follower is not None:
            self.follower.advance(found.end)


class Room(World):
    """A log handler whose logs are followed."""

    def __init__(
        self, directory: Path, *arguments: Any, most_files: int = 256, **more: Any
    ) -> None:
        self.turns = Turns()
        self._most_files = most_files
        super().__init__(directory, *arguments, **more)

    def make_handler(self, *arguments: Any, **more: Any) -> LogHandler:
        """Make the handler, and what follows its logs."""
        self.following = Following(self.clock, self.turns.later, self.turns.rest, self._most_files)
        handler = LogHandler(
            *arguments, observer=self.following.observer_of(REACTOR_THREAD), **more
        )
        self.following.begin(OneHandler(handler))
        return handler

    def follow(
        self,
        position: Position | None = None,
        until_closed: bool = False,
        path: str | None = None,
        from_opening: bool = False,
    ) -> Client:
        """Follow a log."""
        client = Client()
        answer = self.following.follow(
            self._named(path), position, until_closed, client.ready, from_opening
        )
        assert not isinstance(answer, Deferred)
        client.follower = answer
        return client

    def resume(self, state: FollowerState) -> Client:
        """Go on where another image stopped."""
        client = Client()
        client.follower = self.following.resume(state, client.ready)
        return client

    def run(self) -> None:
        """Let pipes be read, and everybody be woken."""
        self.reactor.run()
        self.turns.run()

    def close(self) -> None:
        """Stop following, then the daemon."""
        self.following.end_all()
        self.turns.run()
        super().close()
