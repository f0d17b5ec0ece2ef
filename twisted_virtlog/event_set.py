"""Many descriptors as one on the reactor: an epoll set of our own, with a reactor's face.

Twisted's reactor sets up a logging context around each event, which costs more than an answer does.
Here one such context serves all clients that are ready, and each of them is called directly.
"""

from __future__ import annotations

import select

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: So many descriptors are seen to in one turn of the reactor.
_EVENTS = 64

# A hang-up or an error is found out by reading or writing.
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR


@implementer(IReactorFDSet, IReadDescriptor)
class EventSet:
    """See the module. Takes descriptors that raise nothing and close themselves."""

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        """Register with the reactor; :meth:`close` unregisters."""
        self._reactor = reactor
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

    def doRead(self) -> None:
        """See to those that are ready."""
        if self._held:
            return
        for descriptor, event in self._epoll.poll(0, _EVENTS):
            try:
                # (what one does may remove another)
                reader = self._readers.get(descriptor)
                if reader is not None and event & _READABLE:
                    reader.doRead()
                writer = self._writers.get(descriptor)
                if writer is not None and event & _WRITABLE:
                    writer.doWrite()
            except Exception:  # noqa: BLE001 (nobody else's connection may suffer)
                self._logger.failure("a descriptor failed")

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
