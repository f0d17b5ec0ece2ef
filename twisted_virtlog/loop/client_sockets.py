"""Watches all clients' sockets as one descriptor on the reactor: an epoll set of its own.

Twisted's reactor sets up a logging context around each event, which costs more than an answer. Here
one context serves all clients that are ready, and each of them is called directly.

Clients that ask again as soon as they are answered would find the process asleep each time, and to
wake up and pass through the reactor takes longer than an answer. So after answering such clients
the set polls for some microseconds (as kernels do with network cards). It stops doing so for a
while after polling in vain.

For as long as the clients' turn lasts, a client who has used up its share of time (shares.py) and
is the only one who wants anything need not wait for others' turns: to give way to nobody costs as
much as several answers.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.guard import guarded
from twisted_virtlog.loop.shares import TOGETHER_SECONDS

#: The most descriptors that are served at once.
_EVENTS = 64

#: A client that asks again within this time of an answer is waited for. It includes the wake-up of
#: the process and the reactor's turn.
_SOON_SECONDS = 100e-6

#: How long to wait for it, after each answer.
_POLL_SECONDS = 50e-6

#: After waiting for a client in vain, this many turns wait for nobody.
_TURNS_WITHOUT = 16

# Reading or writing finds out about a hang-up or an error.
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR


class IClientEvents(IReactorFDSet):
    """A reactor, as clients' sockets see it."""

    # (zope's interfaces have no self)
    def addHangUp(one: IReadDescriptor) -> None:  # noqa: N805
        """Call the connectionLost of a descriptor when its other end is closed.

        One that only has shut down its writing side is readable for ever; this is for those that
        are not read any more.
        """

    def removeHangUp(one: IReadDescriptor) -> None:  # noqa: N805
        """Do so no more."""


@implementer(IClientEvents, IReadDescriptor)
class EventSet:
    """The set; to its descriptors it is the reactor.

    :ivar served: how many times a descriptor was served.

    They must close themselves, and should raise nothing: one that does is removed.
    """

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        calm: Callable[[], bool] = lambda: True,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Register with the reactor; :meth:`close` unregisters.

        :param calm: returns whether nothing else is urgent, so that the set may keep the reactor.
        :param seconds: a clock that never steps.
        """
        self._reactor = reactor
        self._calm = calm
        self._seconds = seconds
        self.served = 0
        self._served_at = 0.0
        self._turns_without = 0
        # When the clients' turn ends that has begun last, and how many were ready at once in it.
        self._turn_ends = 0.0
        self._ready = 0
        self._epoll = select.epoll()
        self._readers: dict[int, IReadDescriptor] = {}
        self._writers: dict[int, IWriteDescriptor] = {}
        # Those that send nothing more.
        self._hang_ups: dict[int, IReadDescriptor] = {}
        self._held = False
        reactor.addReader(self)

    # IClientEvents.

    def addReader(self, reader: IReadDescriptor) -> None:
        descriptor = reader.fileno()
        if descriptor not in self._readers:
            self._change(descriptor, self._mask(descriptor) | select.EPOLLIN)
            self._readers[descriptor] = reader

    def addWriter(self, writer: IWriteDescriptor) -> None:
        descriptor = writer.fileno()
        if descriptor not in self._writers:
            self._change(descriptor, self._mask(descriptor) | select.EPOLLOUT)
            self._writers[descriptor] = writer

    def removeReader(self, reader: IReadDescriptor) -> None:
        if self._readers.pop(reader.fileno(), None) is not None:
            self._change(reader.fileno(), self._mask(reader.fileno()), known=True)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        if self._writers.pop(writer.fileno(), None) is not None:
            self._change(writer.fileno(), self._mask(writer.fileno()), known=True)

    def addHangUp(self, one: IReadDescriptor) -> None:
        descriptor = one.fileno()
        if descriptor not in self._hang_ups:
            self._change(descriptor, self._mask(descriptor) | select.EPOLLHUP)
            self._hang_ups[descriptor] = one

    def removeHangUp(self, one: IReadDescriptor) -> None:
        if self._hang_ups.pop(one.fileno(), None) is not None:
            self._change(one.fileno(), self._mask(one.fileno()), known=True)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        removed: dict[int, IReadDescriptor | IWriteDescriptor] = {
            **self._hang_ups,
            **self._readers,
            **self._writers,
        }
        for descriptor in removed:
            self._epoll.unregister(descriptor)
        self._readers.clear()
        self._writers.clear()
        self._hang_ups.clear()
        return list(removed.values())

    def getReaders(self) -> list[IReadDescriptor]:
        return list(self._readers.values())

    def getWriters(self) -> list[IWriteDescriptor]:
        return list(self._writers.values())

    def hold(self) -> None:
        """Serve nobody until :meth:`release`."""
        self._held = True
        self._reactor.removeReader(self)

    def release(self) -> None:
        """Serve those that are ready again."""
        self._held = False
        self._reactor.addReader(self)

    def close(self) -> None:
        """Watch nothing from now on."""
        self._reactor.removeReader(self)
        self._epoll.close()

    # IReadDescriptor.

    def fileno(self) -> int:
        """Return the set's descriptor; -1 once closed."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "clients"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("watching the clients failed")
    def doRead(self) -> None:
        """Serve the clients that are ready, and what they ask next."""
        now = self._seconds()
        soon = now - self._served_at < _SOON_SECONDS
        self._turn_ends = now + TOGETHER_SECONDS
        served = self.serve_ready()
        self._served_at = now = self._seconds()
        if not (soon and served):
            return
        if self._turns_without:
            self._turns_without -= 1
        elif self._calm():
            self._serve_next(now)

    def serve_ready(self) -> int:
        """Serve those that are ready; return how many they were."""
        if self._held or self._epoll.closed:
            return 0
        events = self._epoll.poll(0, _EVENTS)
        self._ready = len(events)
        self.served += self._ready
        for descriptor, event in events:
            try:
                # (one may remove another)
                reader = self._readers.get(descriptor)
                if reader is not None and event & _READABLE:
                    reader.doRead()
                writer = self._writers.get(descriptor)
                if writer is not None and event & _WRITABLE:
                    writer.doWrite()
                if event & select.EPOLLHUP and descriptor in self._hang_ups:
                    self._hang_ups[descriptor].connectionLost(Failure(ConnectionDone()))
            except Exception:  # noqa: BLE001 (no other connection may suffer)
                self._give_up(descriptor)
        return len(events)

    def is_alone(self, descriptor: int) -> bool:
        """Return whether a client that is being served may go on, as nobody else wants anything.

        It may not when the clients' turn is over, or it was not served in one.
        """
        if self._ready > 1 or self._seconds() >= self._turn_ends or not self._calm():
            return False
        if self._held or self._epoll.closed:
            return False
        return not any(ready != descriptor for ready, _ in self._epoll.poll(0, 2))

    def _give_up(self, descriptor: int) -> None:
        """Drop a descriptor that failed, as it would fail again at once, and tell its owner."""
        self._logger.failure("a descriptor failed")
        failure = Failure()
        try:
            reader, writer = self._readers.get(descriptor), self._writers.get(descriptor)
            waiting = self._hang_ups.get(descriptor)
            if reader is not None:
                self.removeReader(reader)
            if writer is not None:
                self.removeWriter(writer)
            if waiting is not None:
                self.removeHangUp(waiting)
            failed = reader or writer or waiting
            if failed is not None:
                failed.connectionLost(failure)
        except Exception:  # noqa: BLE001 (as above)
            self._logger.failure("a descriptor that failed cannot be closed")

    def _serve_next(self, now: float) -> None:
        """Serve what is asked next, until nobody asks for a while or it is the turn of others."""
        turn_ends = self._turn_ends
        poll_ends = now + _POLL_SECONDS
        while now < poll_ends:
            served = self.serve_ready()
            now = self._seconds()
            if served:
                self._served_at = now
                if now > turn_ends or not self._calm():
                    return
                poll_ends = now + _POLL_SECONDS
        self._turns_without = _TURNS_WITHOUT

    def _mask(self, descriptor: int) -> int:
        mask = select.EPOLLIN if descriptor in self._readers else 0
        # (a hang-up is always told; that it is asked for says only that the descriptor is watched)
        mask |= select.EPOLLHUP if descriptor in self._hang_ups else 0
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
