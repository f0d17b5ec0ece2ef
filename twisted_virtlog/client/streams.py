"""What asyncio and Twisted have in common where logs are followed: iterators to be awaited.

They await whatever their client has, futures or Deferreds: how to connect, to receive and to sleep
is a :class:`Way`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, final

from typing_extensions import Self

from twisted_virtlog.client.connecting import pauses, pauses_for_ever
from twisted_virtlog.client.errors import Disconnected, Unreachable
from twisted_virtlog.client.follow_session import FollowSession
from twisted_virtlog.client.notifications import FeedLog, FollowedChunk, Snapshot
from twisted_virtlog.client.session import Session
from twisted_virtlog.client.watch_session import WatchSession
from twisted_virtlog.values import Position

T = TypeVar("T")
E = TypeVar("E")
S = TypeVar("S", bound="Stream[Any]")


class Link(Protocol):
    """One connection to the daemon."""

    def send(self, data: bytes) -> None:
        """Send bytes, which the socket takes at once."""

    async def receive(self) -> tuple[bytes, Sequence[int]]:
        """Wait for bytes, but not before the reactor, or the loop, has turned.

        What is not awaited is not read, but for what comes at once.

        :returns: the bytes, empty at the end of the connection, and the descriptors with them.
        :raises Disconnected: the connection is lost.
        """

    def close(self) -> None:
        """Close it at once; whoever waits for bytes gets Disconnected."""


class Way(Protocol):
    """How to get to the daemon, and to wait.

    :ivar name: of the socket, for people.
    :ivar timeout: seconds that connecting and the first answer may take; None for no limit.
    """

    name: str
    timeout: float | None

    async def connect(self) -> Link | None:
        """Connect.

        :returns: None if the daemon's queue of connections is full.
        :raises Unreachable: there is no daemon.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def in_time(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something for no longer than ``timeout``.

        :raises TimedOut: it takes longer.
        """


class Stream(Generic[E]):
    """What comes of a session, over a connection of its own: an iterator to be awaited.

    It connects again when the connection ends, for as long as it takes. Nothing is read before it
    is awaited. Only one at a time may await it.
    """

    def __init__(self, way: Way, session: Session[E], reconnect: bool) -> None:
        self._way = way
        self._session = session
        self._reconnect = reconnect
        self._link: Link | None = None
        self._ended: str | None = None
        self._awaited = False
        #: What came together with the first answer.
        self._ahead: E | None = None
        self._pauses = pauses_for_ever()

    @property
    def ended(self) -> str | None:
        """Why nothing more comes; None while something may.

        ``closed`` is the end of a log that is followed until then, ``failed`` that of an error or
        a cancellation, and ``unfollowed`` is said after :meth:`aclose`.
        """
        return self._ended

    async def aclose(self) -> None:
        """End it, and close its connection at once."""
        self._end("unfollowed")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        if (item := await self._alone(self._next())) is None:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Self:
        """Return the iterator itself once the daemon has agreed; it ends with the block."""
        await self._alone(self._start())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self._end("unfollowed")

    def __del__(self) -> None:
        # (a loop that was left, over an iterator that has no name)
        if getattr(self, "_link", None) is not None:
            self._end("unfollowed")

    async def _alone(self, work: Coroutine[Any, Any, T]) -> T:
        if self._awaited:
            work.close()
            raise RuntimeError("it is awaited already")
        self._awaited = True
        try:
            return await work
        except BaseException:
            # A cancellation too: nobody may be left to take what comes.
            self._end("failed")
            raise
        finally:
            self._awaited = False

    async def _start(self) -> None:
        if self._session.started or self._ended is not None:
            return
        waits = pauses(self._way.name, self._way.timeout)
        while (link := await self._way.connect()) is None:
            await self._way.sleep(next(waits))
        self._adopt(link)
        await self._way.in_time(self._be_answered())

    async def _be_answered(self) -> None:
        while not self._session.started:
            await self._exchange()
            self._ahead = self._session.next()

    async def _next(self) -> E | None:
        await self._start()
        item, self._ahead = self._ahead, None
        while item is None and self._ended is None:
            try:
                if (item := self._session.next()) is not None:
                    # (a snapshot can be had of a daemon that is about to end as well)
                    if not isinstance(item, Snapshot):
                        self._pauses = pauses_for_ever()
                elif self._session.ended is not None:
                    self._end(self._session.ended)
                else:
                    await self._exchange()
            except Disconnected:
                if self._ended is not None:
                    # (closed by somebody else, while this waits)
                    return None
                if not self._reconnect:
                    raise
                self._disconnect()
                await self._way.sleep(next(self._pauses))
        return item

    async def _exchange(self) -> None:
        """Send what is to be sent, and receive once; connect before that if necessary."""
        if self._link is None:
            try:
                link = await self._way.connect()
            except Unreachable as error:
                raise Disconnected(str(error)) from error
            if link is None:
                raise Disconnected("the daemon's queue of connections is full")
            self._adopt(link)
        assert self._link is not None, "it was adopted"
        if text := self._session.to_send():
            self._link.send(text)
        self._session.receive(*await self._link.receive())

    def _adopt(self, link: Link) -> None:
        if self._ended is not None:
            link.close()
            raise Disconnected("it has ended")
        self._link = link
        self._session.connected()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._session.lost()

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._ahead = None
        self._disconnect()


@final
class Following(Stream[FollowedChunk]):
    """A log that is followed: an iterator of its chunks, to be awaited.

    Nothing is asked before it is awaited for the first time, by :meth:`started`, by ``async with``
    or by ``async for``. Once one of the first two has returned, all that is written from then on
    will come. After its connection has ended it goes on from the end of the last chunk, so each
    byte comes once.
    """

    def __init__(self, way: Way, session: FollowSession, reconnect: bool) -> None:
        """Follow; made by the ``follow`` of a client, which says what is raised."""
        super().__init__(way, session, reconnect)
        self._followed = session

    async def started(self) -> Position:
        """Wait until the log is followed.

        :returns: where that began; with the inode number 0 if the log is not there yet.
        :raises Unreachable: there is no daemon.
        :raises ClientError: as a call, if the daemon does not agree.
        """
        await self._alone(self._start())
        return self.position

    @property
    def position(self) -> Position:
        """Where it began, once it has started."""
        if self._followed.position is None:
            raise RuntimeError("it has not started")
        return self._followed.position

    def pause(self) -> Position:
        """Close its connection; it connects again when it is awaited the next time.

        It must have started, not be awaited now, and not be for the time until the log is closed.

        :returns: from where on it will go on: the end of the last chunk.
        """
        session = self._followed
        if self._ahead is not None:
            # (nobody has had it)
            session.move(self.position)
            self._ahead = None
        self._disconnect()
        if session.next_position is None:
            raise RuntimeError("it has not started")
        return session.next_position

    def move(self, position: Position) -> None:
        """Go on from another position after :meth:`pause`."""
        self._followed.move(position)


@final
class Watching(Stream[Snapshot | FeedLog]):
    """What happens to logs: an iterator of snapshots and of what happens after them.

    The first is a :class:`.Snapshot`, and so is the first after each time that the connection had
    ended: what happened meanwhile is the difference to what was known. What happens while a
    snapshot is made may both be in it and be told after it.
    """

    def __init__(self, way: Way, reconnect: bool) -> None:
        """Watch; made by the ``watch`` of a client."""
        super().__init__(way, WatchSession(), reconnect)


class Streaming:
    """What both clients add to the calls: iterators, each over a connection of its own."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def follow(
        self,
        path: str,
        position: Position | None = None,
        *,
        since: datetime | None = None,
        until_closed: bool = False,
        reconnect: bool = True,
    ) -> Following:
        """Follow a log, which need not be there yet; an iterator of its chunks, to be awaited.

        It has a connection of its own, so that this client is free for calls, and it does not end
        with this client. It begins when it is awaited for the first time (see
        :class:`.Following`), and raises then:
        :class:`.Unreachable` if there is no daemon, and what a call does if the daemon does not
        agree.

        :param position: where to begin; None for now, or for ``since``.
        :param since: an aware time; begin with the first byte that may have come since then.
        :param until_closed: end when the log is closed for the first time; if it is not open, after
            its next opening.
        :param reconnect: connect again for ever when the connection ends; False to raise
            :class:`.Disconnected` then.
        :raises ValueError: both a position and a time are given, or the time has no zone.
        """
        session = FollowSession(path, position, since, until_closed)
        return Following(self._way, session, reconnect)

    def watch(self, *, reconnect: bool = True) -> Watching:
        """Watch which logs there are; an iterator of what happens, to be awaited.

        It has a connection of its own, as what is followed has, and begins likewise.

        :param reconnect: connect again for ever when the connection ends.
        """
        return Watching(self._way, reconnect)
