"""Where a directory's files are served, and so may be looked at and removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, execute

from twisted_virtlog.loop.threads import InThread

T = TypeVar("T")


class Place(Protocol):
    """A directory, and the threads in which its logs and its files are looked after.

    :ivar path: the directory's, without symbolic links; or, if it cannot be resolved, as it was
        named.
    :ivar keeps_reactor: :meth:`change` keeps the reactor waiting, so what takes long is left to
        :meth:`look`.
    """

    path: str
    keeps_reactor: bool

    def look(self, call: Callable[[], T]) -> Deferred[T]:
        """Run a call that may have to wait for the file system.

        :returns: its result, later; fails with LogError if the file system does not answer. What
            the call has opened must not be open any more when it ends, as nobody may be told.
        """

    def change(self, call: Callable[[], T]) -> Deferred[T]:
        """Run a call during which no log is opened there, in whatever thread opens them.

        :returns: its result; as for :meth:`look`.
        """

    def is_in_use(self, path: str) -> bool:
        """Return whether a file must stay; for a call that is run by :meth:`change`.

        :param path: its path without symbolic links; nothing of it needs to be touched.
        """


#: Finds the place of a directory by its path, without touching what may not answer. Fails with
#: LogError if that cannot be told, as a file system does not answer.
Where = Callable[[str], Deferred[Place]]


class Here:
    """A directory whose logs are opened in the reactor's thread."""

    keeps_reactor = True

    def __init__(self, path: str, in_thread: InThread, is_in_use: Callable[[str], bool]) -> None:
        """:param path: see :class:`Place`; likewise ``is_in_use``."""
        self.path = path
        self._in_thread = in_thread
        self._is_in_use = is_in_use

    def look(self, call: Callable[[], T]) -> Deferred[T]:
        """See Place."""
        return self._in_thread(call)

    def change(self, call: Callable[[], T]) -> Deferred[T]:
        """See Place."""
        return execute(call)

    def is_in_use(self, path: str) -> bool:
        """See Place."""
        return self._is_in_use(path)
