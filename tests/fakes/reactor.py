"""A reactor that turns when a test says so, over real descriptors."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.client_sockets import IClientEvents

T = TypeVar("T")


@implementer(IClientEvents)
class FakeReactor:
    """Keeps who reads and writes, and serves those that are ready, as Twisted's reactors do.

    :ivar readers: those registered, oldest first; so ``writers``, and ``hang_ups``.
    :ivar additions: how often a reader was added.
    :ivar refuses: addReader and addWriter fail, as at the limit max_user_watches of epoll(7).
    """

    def __init__(self) -> None:
        self.refuses = False
        self.readers: dict[Any, None] = {}
        self.writers: dict[Any, None] = {}
        self.hang_ups: dict[Any, None] = {}
        self.additions = 0

    def addReader(self, reader: IReadDescriptor) -> None:
        assert reader.fileno() != -1
        self._refuse()
        self.additions += 1
        self.readers[reader] = None

    def addWriter(self, writer: IWriteDescriptor) -> None:
        assert writer.fileno() != -1
        self._refuse()
        self.writers[writer] = None

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.readers.pop(reader, None)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        self.writers.pop(writer, None)

    def addHangUp(self, one: IReadDescriptor) -> None:
        self._refuse()
        self.hang_ups[one] = None

    def removeHangUp(self, one: IReadDescriptor) -> None:
        self.hang_ups.pop(one, None)

    def removeAll(self) -> list[Any]:
        found = [*{**self.readers, **self.writers}]
        self.readers.clear()
        self.writers.clear()
        return found

    def getReaders(self) -> list[Any]:
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        return list(self.writers)

    def turn(self) -> bool:
        """Serve all that are ready now; report whether any was."""
        ready = self._ready()
        self._serve(ready)
        return bool(ready)

    def turn_after(self, first: Callable[[], T]) -> T:
        """Turn once more, but call something after it is known who is ready, and before they are.

        :returns: its result.
        """
        ready = self._ready()
        result = first()
        self._serve(ready)
        return result

    def run(self) -> None:
        """Turn until nobody is ready."""
        while self.turn():
            pass

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn until something is so, for which threads may be at work."""
        while not condition():
            self.turn()

    def result(self, later: Deferred[Any]) -> Any:
        """Turn until a result is there; a failure is returned."""
        found: list[Any] = []
        later.addBoth(found.append)
        while not found:
            self.turn()
        return found[0]

    def _ready(self) -> list[tuple[Any, int]]:
        poll = select.poll()
        watched = {}
        for each in {**self.readers, **self.writers}:
            reads, writes = each in self.readers, each in self.writers
            poll.register(each.fileno(), select.POLLIN * reads | select.POLLOUT * writes)
            watched[each.fileno()] = each
        return [(watched[descriptor], event) for descriptor, event in poll.poll(0)]

    def _serve(self, ready: list[tuple[Any, int]]) -> None:
        for each, event in ready:
            # (one that was served before may have removed it)
            if each.fileno() != -1 and (each in self.readers or each in self.writers):
                self._dispatch(each, event)

    def _dispatch(self, each: Any, event: int) -> None:
        if event & (select.POLLHUP | select.POLLERR) and not event & select.POLLIN:
            self.removeReader(each)
            self.removeWriter(each)
            each.connectionLost(Failure(ConnectionLost()))
            return
        if event & select.POLLIN:
            each.doRead()
        if event & select.POLLOUT and each.fileno() != -1:
            each.doWrite()

    def _refuse(self) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
