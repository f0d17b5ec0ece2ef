"""Which logs the daemon knows: those that it has opened or written to, by their real paths.

Of each it is known who opened it last, as that decides how it is kept also while it is closed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from twisted_virtlog.values import Domain

#: As many as the service manager keeps pipes of open logs; some 2 MB with paths of usual length.
MOST = 16384


class Opener(NamedTuple):
    """Who opened a log last, or appended to it if nobody did.

    :ivar driver: None if nobody knows.
    :ivar domain: the guest, if one was named.
    """

    driver: str | None
    domain: Domain | None


#: Nobody knows who it was.
NOBODY = Opener(None, None)


class Known(Protocol):
    """Remembers logs; see KnownLogs."""

    def __contains__(self, path: str) -> bool:
        """Return whether a log is known, by its real path."""

    def __len__(self) -> int:
        """Return how many are known."""

    def add(self, path: str, opener: Opener = NOBODY) -> None:
        """Remember a log, and who opened it, if that is known."""

    def opener(self, path: str) -> Opener:
        """Return who opened a log."""

    def note_use(self, path: str) -> None:
        """Take note, in any thread, that a log is used; :meth:`add` does so itself."""

    def discard(self, path: str) -> None:
        """Forget a log, of which nothing is there any more."""

    def uses(self) -> AbstractContextManager[Container[str]]:
        """Return the logs that are used from now on, as long as the context lasts."""

    def paths(self) -> tuple[str, ...]:
        """Return all of them."""

    def add_earlier(self, paths: Iterable[str]) -> None:
        """Remember logs that were named before."""

    def add_opened(self, logs: Iterable[tuple[str, Opener]]) -> None:
        """Remember logs that were named before, and who had opened them."""


class KnownLogs:
    """A set of paths that forgets those that were not named for the longest time.

    :param most: how many paths are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # (a dict keeps the order of insertion)
        self._openers: dict[str, Opener] = {}
        self._used: set[str] | None = None

    def __contains__(self, path: str) -> bool:
        return path in self._openers

    def __len__(self) -> int:
        return len(self._openers)

    def add(self, path: str, opener: Opener = NOBODY) -> None:
        """Remember a log.

        :param path: without symbolic links, so that a file that somebody puts in its place by a
            link is not taken for the log.
        :param opener: if nobody knows, whoever was named before.
        """
        self.note_use(path)
        self._put(path, opener)

    def _put(self, path: str, opener: Opener) -> None:
        former = self._openers.pop(path, NOBODY)
        self._openers[path] = former if opener == NOBODY else opener
        if len(self._openers) > self._most:
            del self._openers[next(iter(self._openers))]

    def opener(self, path: str) -> Opener:
        """Return who opened a log last."""
        return self._openers.get(path, NOBODY)

    def note_use(self, path: str) -> None:
        """Take note, in any thread, that a log is used; :meth:`add` does so itself."""
        used = self._used
        if used is not None:
            used.add(path)

    @contextmanager
    def uses(self) -> Iterator[Container[str]]:
        """Return the logs that are used from now on, as long as the context lasts."""
        used = self._used = set()
        try:
            yield used
        finally:
            self._used = None

    def discard(self, path: str) -> None:
        """Forget a log, if it is known."""
        self._openers.pop(path, None)

    def paths(self) -> tuple[str, ...]:
        """Return all of them, the one named last at the end."""
        return tuple(self._openers)

    def add_earlier(self, paths: Iterable[str]) -> None:
        """Remember logs that were named before all that are known now."""
        self.add_opened((path, NOBODY) for path in paths)

    def add_opened(self, logs: Iterable[tuple[str, Opener]]) -> None:
        """Remember logs that were opened before all that are known now were named."""
        later = tuple(self._openers.items())
        for path, opener in (*logs, *later):
            self._put(path, opener)
