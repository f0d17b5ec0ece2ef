"""Keeps the table of mounts up to date: asks each time, and reads it again when it has changed.

The kernel tells a change once for each open file of mountinfo, by POLLPRI. So there are two: one is
asked before each answer, the other wakes the reactor. The latter is in an epoll set of its own, as
POLLIN, for which the reactor asks, is always ready. When the reactor finds the set ready, that uses
the change up: nothing is to be taken from the set.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.logs.lanes.mounts import MOUNTINFO, Mounts
from twisted_virtlog.loop.guard import guarded

_CHUNK = 1 << 16

#: The table is read again if it changes meanwhile, but not for ever: the next to ask does so too.
_MOST_READS = 10


@implementer(IReadDescriptor)
class MountTable:
    """The mounts of this process, as of now. Any thread may ask.

    Where the kernel does not tell them, there are none, and a path's mount is not known.
    """

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet, path: str = MOUNTINFO) -> None:
        """Read the table, and register with the reactor; :meth:`close` unregisters.

        :param path: of mountinfo.
        """
        self._reactor = reactor
        self._path = path
        self._lock = threading.Lock()
        self._observers: list[Callable[[], object]] = []
        self._text = b""
        self._mounts = self._told = Mounts("")
        self._poll = select.poll()
        self._is_stale = False
        self._is_said = False
        # None and -1 where the table cannot be read, and once closed.
        self._file = self._noticed = -1
        self._set: select.epoll | None = None
        try:
            self._open()
        except OSError as error:
            self._cannot_read(error)
            self._let_go()
            return
        reactor.addReader(self)
        with self._lock:
            self._told = self._read()

    def now(self) -> Mounts:
        """Return the present table: the same object as long as it has not changed."""
        with self._lock:
            if self._file >= 0 and (self._poll.poll(0) or self._is_stale):
                return self._read()
            return self._mounts

    def afresh(self) -> Mounts:
        """Read the table, also if no change was told, and return it.

        When a directory is renamed, the mounts below it have other paths, and nobody is told.

        :returns: the same object as before if nothing has changed.
        """
        with self._lock:
            return self._mounts if self._file < 0 else self._read()

    def observe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call something in the reactor's thread whenever mounts have changed.

        :returns: ends that.
        """
        self._observers.append(callback)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._observers.remove(callback)

        return end

    def close(self) -> None:
        """Stay as it is from now on, and tell nobody."""
        if self._set is not None:
            self._reactor.removeReader(self)
        self._observers.clear()
        with self._lock:
            self._let_go()

    # IReadDescriptor.

    def fileno(self) -> int:
        """Return the set's descriptor; -1 where there is none."""
        return -1 if self._set is None else self._set.fileno()

    def logPrefix(self) -> str:
        return "mounts"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("telling that mounts have changed failed")
    def doRead(self) -> None:
        """Tell those who observe."""
        if self._set is None:
            return
        mounts = self.now()
        if mounts is self._told:
            return
        self._told = mounts
        for callback in list(self._observers):
            callback()

    # With the lock held.

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._noticed = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._poll.register(self._file, select.POLLPRI)
        self._set = select.epoll()
        self._set.register(self._noticed, select.EPOLLPRI)

    def _read(self) -> Mounts:
        """Read the table until it does not change meanwhile."""
        text = b""
        try:
            for _ in range(_MOST_READS):
                text = _whole(self._file)
                self._is_stale = bool(self._poll.poll(0))
                if not self._is_stale:
                    break
        except OSError as error:
            self._cannot_read(error)
        if text != self._text:
            self._mounts = Mounts(os.fsdecode(text), self._mounts)
            self._text = text
        return self._mounts

    def _cannot_read(self, error: OSError) -> None:
        if not self._is_said:
            self._is_said = True
            self._logger.error(
                "{path}: cannot be read, so it is not known which file lies on which mount:"
                " {reason}",
                path=self._path,
                reason=error.strerror,
            )

    def _let_go(self) -> None:
        if self._set is not None:
            self._set.close()
            self._set = None
        for file in (self._file, self._noticed):
            if file >= 0:
                os.close(file)
        self._file = self._noticed = -1


def _whole(file: int) -> bytes:
    """Read a file from its beginning on; mountinfo comes in pieces of a page, whole lines each."""
    parts = []
    os.lseek(file, 0, os.SEEK_SET)
    while part := os.read(file, _CHUNK):
        parts.append(part)
    return b"".join(parts)
