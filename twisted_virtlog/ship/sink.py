"""What a sink does, and says: up to where a log is stored, and what became of a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from twisted_virtlog.values import Position


class Unavailable(Exception):
    """Nothing can be stored now, or nobody knows whether something was."""


class Overtaken(Exception):
    """Something else was stored on the subject meanwhile."""


class Refused(Exception):
    """The message cannot be stored, now or later."""


class Checkpoint(NamedTuple):
    """What stands last on a subject.

    :ivar sequence: its number; 0 if there is nothing.
    :ivar end: up to where the log is shipped; None if nothing says so.
    """

    sequence: int
    end: Position | None


class Sink(Protocol):
    """Where messages go."""

    async def checkpoint(self, subject: str) -> Checkpoint:
        """Return what stands last on a subject.

        :raises Unavailable: nobody can say.
        """

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str], expected: int
    ) -> int:
        """Store a message, and wait until it is.

        :param expected: the number of what stands last on the subject.
        :returns: its own number.
        :raises Overtaken: something else stands there.
        :raises Refused: it can never be stored.
        :raises Unavailable: it cannot be stored now, or nobody knows whether it is.
        """
