"""A small event loop for a thread of its own, which readers take for a reactor.

What watches descriptors on the reactor (the guests' pipes, a clock) so works in a thread as well.
Other threads have things called in it; the longest that waits is called first, before a reader is,
and whoever takes long in the thread lets the others in between by :meth:`ThreadLoop.serve`.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

_logger = Logger()

_EVENTS = 64

#: How deep calls are nested that let others in.
_MOST_DEPTH = 2

#: Stands for the time since which a thread does what it does, while it does nothing.
IDLE = -1.0


class Event:
    """An eventfd(2).

    It is closed when nobody has it any more: a thread that answers late must not write to what has
    got its number.
    """

    def __init__(self, flags: int = 0) -> None:
        """:param flags: such as EFD_NONBLOCK."""
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | flags)

    def __del__(self) -> None:
        os.close(self.descriptor)

    def set(self) -> None:
        """Wake whoever takes it."""
        os.eventfd_write(self.descriptor, 1)

    def take(self) -> None:
        """Wait until it is set, and reset it.

        :raises BlockingIOError: it is not set, and does not wait.
        """
        os.eventfd_read(self.descriptor)


@implementer(IReactorFDSet)
class ThreadLoop:
    """Calls and readers of one thread, which does one after the other.

    :ivar calls: what is to be called, oldest first; anybody may take some out again.
    :ivar since: since when what it does now has lasted, by ``seconds``; negative while it waits.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        """:param seconds: a clock that never steps."""
        self.calls: deque[Callable[[], object]] = deque()
        self.since = IDLE
        self.seconds = seconds
        self._ended = False
        self._after: deque[Callable[[], object]] = deque()
        self._depth = 0
        self._readers: dict[int, IReadDescriptor] = {}
        self._epoll = select.epoll()
        # None once ended: who calls later wakes nobody.
        self._wake: Event | None = Event(os.EFD_NONBLOCK)
        self._epoll.register(self._wake.descriptor, select.EPOLLIN)

    # In any thread.

    def call(self, call: Callable[[], object], first: bool = False) -> None:
        """Call something in the thread.

        :param first: before all that waits.
        """
        if first:
            self.calls.appendleft(call)
        else:
            self.calls.append(call)
        wake = self._wake
        if wake is not None:
            wake.set()

    # In the thread.

    def run(self) -> None:
        """Call and read until :meth:`end`."""
        epoll = self._epoll
        # (the event itself in no variable: whoever has an exception of a call has this frame, too)
        number = -1 if self._wake is None else self._wake.descriptor
        while not self._ended:
            for found, _ in epoll.poll(-1, _EVENTS):
                if self._ended:
                    # (the event is closed, and its number may be another's)
                    break
                if found == number:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(number)
                self.serve()
                if found != number:
                    reader = self._readers.get(found)
                    if reader is not None and not self._ended:
                        self._do(reader.doRead)
                while self._after:
                    self._do(self._after.popleft())
        epoll.close()

    def call_after(self, call: Callable[[], object]) -> None:
        """Call something after what it does now, which may have let others in."""
        self._after.append(call)

    def end(self) -> None:
        """End the loop, after what it does now; what waits is not called."""
        self._ended = True
        self._wake = None

    def serve(self) -> None:
        """Call what waits; to be called now and then by what takes long.

        What is called so may let others in once more, and these may not: calls would be nested
        without a bound.
        """
        if self._depth >= _MOST_DEPTH or self._ended:
            return
        self._depth += 1
        outer = self.since
        try:
            for _ in range(len(self.calls)):
                try:
                    call = self.calls.popleft()
                except IndexError:  # withdrawn
                    break
                self._do(call)
                if self._ended:
                    break
        finally:
            self._depth -= 1
            if outer >= 0:
                self.since = self.seconds()

    def get_on(self) -> None:
        """Note that what it does now has got on, and lasts from now."""
        if self.since >= 0:
            self.since = self.seconds()

    def rest(self, wait: Callable[[], object]) -> None:
        """Wait for something; that is no work that lasts."""
        outer, self.since = self.since, IDLE
        wait()
        if outer >= 0:
            self.since = self.seconds()

    def _do(self, what: Callable[[], object]) -> None:
        self.since = self.seconds()
        try:
            what()
        except Exception:  # noqa: BLE001 (what comes next may fare better)
            _logger.failure("something in a thread failed")
        self.since = IDLE

    # IReactorFDSet; nobody here writes.

    def addReader(self, reader: IReadDescriptor) -> None:
        number: int = reader.fileno()
        self._readers[number] = reader
        self._epoll.register(number, select.EPOLLIN)

    def removeReader(self, reader: IReadDescriptor) -> None:
        for number, known in list(self._readers.items()):
            if known is reader:
                del self._readers[number]
                with contextlib.suppress(OSError):
                    self._epoll.unregister(number)

    def addWriter(self, writer: Any) -> None:
        raise NotImplementedError("nobody writes by a thread's loop")

    def removeWriter(self, writer: Any) -> None:
        """Do nothing, as there is none."""

    def removeAll(self) -> list[Any]:
        """Read no more; return the readers."""
        found = self.getReaders()
        for reader in found:
            self.removeReader(reader)
        return found

    def getReaders(self) -> list[Any]:
        return list(self._readers.values())

    def getWriters(self) -> list[Any]:
        return []
