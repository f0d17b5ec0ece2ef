"""Watches the pipes of guests whose output is awaited apart from all others, as they rest less.

A watch looks at all of its pipes after each rest. Were they one, a single log that somebody follows
would make all others cost as if they were followed, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet

from twisted_virtlog.loop.guest_pipes import PipeWatch, Watched

#: The longest rest of pipes whose output is awaited.
AWAITED_REST_SECONDS = 0.001


class Awaitable(Watched, Protocol):
    """A pipe's reader.

    :ivar is_awaited: whether somebody waits for what comes, and is in a hurry.
    """

    is_awaited: bool


class Watch(Protocol):
    """What watches guests' pipes: PipeWatch, or GuestWatches."""

    def add(self, pipe: int, reader: Awaitable) -> None:
        """Watch a pipe's read end; see PipeWatch."""

    def add_or_poll(self, pipe: int, reader: Awaitable) -> None:
        """Watch the read end of a pipe that must not be given up; see PipeWatch."""

    def remove(self, pipe: int) -> None:
        """Stop watching a pipe; see PipeWatch."""

    def changed(self, pipe: int, reader: Awaitable) -> None:
        """Watch a pipe as its reader is awaited now, or is no more, if it is watched at all."""

    def close(self) -> None:
        """Stop watching."""


class GuestWatches:
    """All guests' pipes, in two watches."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        between: Callable[[], object] = lambda: 0,
    ) -> None:
        """Register with the reactor; :meth:`close` unregisters.

        :param between: see PipeWatch.
        """
        self._reactor = reactor
        self._between = between
        self._usual = PipeWatch(reactor, between=between)
        # Made when it is needed.
        self._awaited: PipeWatch | None = None

    def add(self, pipe: int, reader: Awaitable) -> None:
        """Watch a pipe's read end; see PipeWatch."""
        self._of(reader).add(pipe, reader)

    def add_or_poll(self, pipe: int, reader: Awaitable) -> None:
        """Watch the read end of a pipe that must not be given up; see PipeWatch."""
        self._of(reader).add_or_poll(pipe, reader)

    def remove(self, pipe: int) -> None:
        """Stop watching a pipe; see PipeWatch."""
        self._usual.remove(pipe)
        if self._awaited is not None:
            self._awaited.remove(pipe)

    def changed(self, pipe: int, reader: Awaitable) -> None:
        """Watch a pipe as its reader is awaited now, or is no more, if it is watched at all.

        :raises OSError: it cannot be watched there; it is not watched any more.
        """
        awaited = self._awaited
        if pipe in self._usual or (awaited is not None and pipe in awaited):
            self.remove(pipe)
            self.add_or_poll(pipe, reader)

    @property
    def is_calm(self) -> bool:
        """Whether no pipe is known to be filling fast."""
        return self._usual.is_calm and (self._awaited is None or self._awaited.is_calm)

    def __len__(self) -> int:
        return len(self._usual) + (0 if self._awaited is None else len(self._awaited))

    def close(self) -> None:
        """Stop watching."""
        self._usual.close()
        if self._awaited is not None:
            self._awaited.close()

    def _of(self, reader: Awaitable) -> PipeWatch:
        if not reader.is_awaited:
            return self._usual
        if self._awaited is None:
            self._awaited = PipeWatch(self._reactor, AWAITED_REST_SECONDS, self._between)
        return self._awaited
