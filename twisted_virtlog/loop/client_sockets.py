"""Many descriptors as one on the reactor: an epoll set of our own, with a reactor's face.

Twisted's reactor sets up a logging context around each event, which costs more than an answer does.
Here one such context serves all clients that are ready, and each of them is called directly.

A client that asks again as soon as it is answered would find the process asleep each time; to wake
up and to come through the reactor takes longer than an answer. So after such a client was answered,
the set is looked at for some microseconds more (as kernels do with network cards), and no longer
once it was in vain.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.guard import guarded

#: So many descriptors are seen to at once.
_EVENTS = 64

#: A client that asks again within so many seconds of an answer will be waited for. It includes the
#: process's wake-up and the reactor's turn.
_SOON_SECONDS = 100e-6

#: So long, after each answer.
_POLL_SECONDS = 50e-6

#: After so many seconds the reactor has its turn, whatever clients ask.
_TURN_SECONDS = 0.001

#: When a client was waited for in vain, the next so many turns wait for nobody.
_TURNS_WITHOUT = 16

#: Clients that are more than this come in numbers by themselves.
_FEW = 2

# A hang-up or an error is found out by reading or writing.
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR


@implementer(IReactorFDSet, IReadDescriptor)
class EventSet:
    """See the module. Takes descriptors that raise nothing and close themselves."""

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        calm: Callable[[], bool] = lambda: True,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Register with the reactor; :meth:`close` unregisters.

        :param calm: tells whether nothing else hurries, so that the set may keep the reactor.
        :param seconds: a clock that never steps.
        """
        self._reactor = reactor
        self._calm = calm
        self._seconds = seconds
        self._served_at = 0.0
        self._turns_without = 0
        self._epoll = select.epoll()
        self._readers: dict[int, IReadDescriptor] = {}
        self._writers: dict[int, IWriteDescriptor] = {}
        self._held = False
        reactor.addReader(self)

    # IReactorFDSet.

    def addReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        descriptor = reader.fileno()
        if descriptor not in self._readers:
            self._change(descriptor, self._mask(descriptor) | select.EPOLLIN)
            self._readers[descriptor] = reader

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """See IReactorFDSet."""
        descriptor = writer.fileno()
        if descriptor not in self._writers:
            self._change(descriptor, self._mask(descriptor) | select.EPOLLOUT)
            self._writers[descriptor] = writer

    def removeReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        if self._readers.pop(reader.fileno(), None) is not None:
            self._change(reader.fileno(), self._mask(reader.fileno()), known=True)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """See IReactorFDSet."""
        if self._writers.pop(writer.fileno(), None) is not None:
            self._change(writer.fileno(), self._mask(writer.fileno()), known=True)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """See IReactorFDSet."""
        removed: dict[int, IReadDescriptor | IWriteDescriptor] = {**self._readers, **self._writers}
        for descriptor in removed:
            self._epoll.unregister(descriptor)
        self._readers.clear()
        self._writers.clear()
        return list(removed.values())

    def getReaders(self) -> list[IReadDescriptor]:
        """See IReactorFDSet."""
        return list(self._readers.values())

    def getWriters(self) -> list[IWriteDescriptor]:
        """See IReactorFDSet."""
        return list(self._writers.values())

    def hold(self) -> None:
        """Let all wait until :meth:`release`."""
        self._held = True
        self._reactor.removeReader(self)

    def release(self) -> None:
        """See to those that are ready again."""
        self._held = False
        self._reactor.addReader(self)

    def close(self) -> None:
        """Watch nothing any more."""
        self._reactor.removeReader(self)
        self._epoll.close()

    # IReadDescriptor.

    def fileno(self) -> int:
        """See IReadDescriptor; -1 once closed."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        """See IReadDescriptor."""
        return "clients"

    def connectionLost(self, reason: Failure) -> None:
        """See IReadDescriptor; the reactor has ended."""

    @guarded("watching the clients failed")
    def doRead(self) -> None:
        """Serve the clients that are ready, and what they ask next."""
        soon = self._seconds() - self._served_at < _SOON_SECONDS
        served = self.serve_ready()
        self._served_at = now = self._seconds()
        if not (soon and 0 < served <= _FEW):
            return
        if self._turns_without:
            self._turns_without -= 1
        elif self._calm():
            self._serve_next(now)

    def serve_ready(self) -> int:
        """See to those that are ready.

        :returns: how many.
        """
        if self._held or self._epoll.closed:
            return 0
        events = self._epoll.poll(0, _EVENTS)
        for descriptor, event in events:
            try:
                # (what one does may remove another)
                reader = self._readers.get(descriptor)
                if reader is not None and event & _READABLE:
                    reader.doRead()
                writer = self._writers.get(descriptor)
                if writer is not None and event & _WRITABLE:
                    writer.doWrite()
            except Exception:  # noqa: BLE001 (nobody else's connection may suffer)
                self._give_up(descriptor)
        return len(events)

    def _give_up(self, descriptor: int) -> None:
        """Watch no longer what failed, as it would fail again at once, and tell it so."""
        self._logger.failure("a descriptor failed")
        failure = Failure()
        try:
            reader, writer = self._readers.get(descriptor), self._writers.get(descriptor)
            if reader is not None:
                self.removeReader(reader)
            if writer is not None:
                self.removeWriter(writer)
            failed = reader or writer
            if failed is not None:
                failed.connectionLost(failure)
        except Exception:  # noqa: BLE001 (as above)
            self._logger.failure("a descriptor that failed cannot be closed")

    def _serve_next(self, now: float) -> None:
        """See to what is asked from now on, until nobody asks for a while or others have a turn."""
        turn_ends = now + _TURN_SECONDS
        poll_ends = now + _POLL_SECONDS
        while now < poll_ends:
            served = self.serve_ready()
            now = self._seconds()
            if served:
                self._served_at = now
                if served > _FEW or now > turn_ends or not self._calm():
                    return
                poll_ends = now + _POLL_SECONDS
        self._turns_without = _TURNS_WITHOUT

    def _mask(self, descriptor: int) -> int:
        mask = select.EPOLLIN if descriptor in self._readers else 0
        return mask | (select.EPOLLOUT if descriptor in self._writers else 0)

    def _change(self, descriptor: int, mask: int, known: bool | None = None) -> None:
        if known is None:
            known = self._mask(descriptor) != 0
        if not known:
            self._epoll.register(descriptor, mask)
        elif mask:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.unregister(descriptor)
