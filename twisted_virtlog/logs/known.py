"""Which logs the daemon knows: those that it has opened or written to, by their real paths."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

#: As many as the service manager keeps pipes of open logs; some 2 MB with paths of usual length.
MOST = 16384


class Known(Protocol):
    """Remembers logs; see KnownLogs."""

    def __contains__(self, path: str) -> bool:
        """Return whether a log is known, by its real path."""

    def __len__(self) -> int:
        """Return how many are known."""

    def add(self, path: str) -> None:
        """Remember a log."""

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


class KnownLogs:
    """A set of paths that forgets those that were not named for the longest time.

    :param most: how many paths are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # (a dict keeps the order of insertion)
        self._paths: dict[str, None] = {}
        self._used: set[str] | None = None

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, path: str) -> None:
        """Remember a log.

        :param path: without symbolic links, so that a file that somebody puts in its place by a
            link is not taken for the log.
        """
        self.note_use(path)
        self._put(path)

    def _put(self, path: str) -> None:
        self._paths.pop(path, None)
        self._paths[path] = None
        if len(self._paths) > self._most:
            del self._paths[next(iter(self._paths))]

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
        self._paths.pop(path, None)

    def paths(self) -> tuple[str, ...]:
        """Return all of them, the one named last at the end."""
        return tuple(self._paths)

    def add_earlier(self, paths: Iterable[str]) -> None:
        """Remember logs that were named before all that are known now."""
        later = self.paths()
        for path in (*paths, *later):
            self._put(path)
