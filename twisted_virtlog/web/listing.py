"""The list of logs, asked of the daemon once for all who look at it, and not while nobody does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_virtlog.client import ClientError, FeedLog
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.daemon import Daemon
from twisted_virtlog.web.rows import Rows

#: From one list to the next, which rates are made of.
INTERVAL_SECONDS = 2.0
#: The second list comes so soon, so that there is a rate to be seen.
_FIRST_INTERVAL_SECONDS = 0.5
#: So many times as long as a list took is nothing asked then.
_LIST_SHARE = 10
_AGAIN_SECONDS = 1.0
#: So often those that are closed are asked for, too: of removed ones nobody tells.
_CLOSED_SECONDS = 60.0
#: So long after the last one has looked the rates are there for whoever comes, as who types what he
#: looks for, or turns to the next part, comes again and again.
_GRACE_SECONDS = 10.0
#: Who looks is not told more often than this, nor so often that it takes more than one part in
#: :data:`_TELL_SHARE` of the time: of many logs each page takes some milliseconds to make.
_TELL_SECONDS = 0.1
_TELL_SHARE = 10

_log = Logger()


class Listing:
    """Knows the logs while somebody looks, and for some seconds more.

    :ivar rows: the logs.
    :ivar lost: why they cannot be asked for now; None if they can.
    :ivar is_known: whether it was asked since somebody looks.
    """

    def __init__(self, daemon: Daemon[Client], clock: IReactorTime) -> None:
        self._daemon = daemon
        self._clock = clock
        self._lookers = 0
        self._work: list[Deferred[None]] = []
        self._ending: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []
        self._telling: IDelayedCall | None = None
        # From when to when those who wait are not told again.
        self._told_at = 0.0
        self._rest = 0.0
        # From when on closed logs are asked for again.
        self._closed_at = 0.0
        self.rows = Rows()
        self.lost: str | None = None
        self.is_known = False

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Keep what is known up to date, as long as the context lasts."""
        self._lookers += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if not self._work:
            self._closed_at = 0.0
            self._work = [self._begin(self._list), self._begin(self._watch)]
        try:
            yield
        finally:
            self._lookers -= 1
            if not self._lookers and self._work:
                self._ending = self._clock.callLater(_GRACE_SECONDS, self.close)

    def close(self) -> None:
        """Know nothing any more, until somebody looks again."""
        for call in (self._ending, self._telling):
            if call is not None and call.active():
                call.cancel()
        self._ending = self._telling = None
        work, self._work = self._work, []
        for one in work:
            one.cancel()
        self.rows, self.lost, self.is_known = Rows(), None, False

    async def change(self) -> None:
        """Wait for something new; it is told some time later, with what else has changed then."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        begun = Deferred.fromCoroutine(self._go_on(work))
        begun.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return begun

    async def _go_on(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin with work again if it fails as nobody has thought of."""
        while True:
            try:
                await work()
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001 (whatever it is, who looks is told)
                _log.failure("the list of logs is not what it should be")
                self.lost = "the list of logs is old: the page's program has made a mistake"
                self._closed_at = 0.0
                self._tell()
            await deferLater(self._clock, _AGAIN_SECONDS)

    async def _list(self) -> None:
        pause = _FIRST_INTERVAL_SECONDS
        while True:
            asked = self._clock.seconds()
            closed = asked >= self._closed_at
            if closed:
                self._closed_at = asked + _CLOSED_SECONDS
            try:
                logs = await (await self._daemon.client()).list(closed=closed)
            except ClientError as error:
                self.lost = str(error)
                self._closed_at = 0.0
                wait, pause = _AGAIN_SECONDS, _FIRST_INTERVAL_SECONDS
            else:
                now = self._clock.seconds()
                if not self.rows.listed(logs, now, closed):
                    self._closed_at = 0.0
                self.lost, self.is_known = None, True
                wait, pause = max(pause, _LIST_SHARE * (now - asked)), INTERVAL_SECONDS
            self._tell()
            await deferLater(self._clock, wait)

    async def _watch(self) -> None:
        while True:
            try:
                async for told in (await self._daemon.client()).watch():
                    if not isinstance(told, FeedLog):
                        # (what was closed before is not told)
                        self._closed_at = 0.0
                    elif self.is_known:
                        self.rows.told(told.log)
                        self._tell()
            except ClientError:
                # (the list says so)
                pass
            await deferLater(self._clock, _AGAIN_SECONDS)

    def _tell(self) -> None:
        """Tell those who wait, soon."""
        if self._telling is None:
            left = self._told_at + self._rest - self._clock.seconds()
            self._telling = self._clock.callLater(min(max(0.0, left), self._rest), self._wake)

    def _wake(self) -> None:
        self._telling = None
        began = self._clock.seconds()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            # (it has been called if it was cancelled)
            if not one.called:
                one.callback(None)
        self._told_at = self._clock.seconds()
        self._rest = max(_TELL_SECONDS, _TELL_SHARE * (self._told_at - began))
