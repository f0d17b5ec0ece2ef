"""What a sink does, and says: up to where a log is stored, and what became of a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from twisted_virtlog.ship.messages import Message
from twisted_virtlog.values import Domain, Position


class Unavailable(Exception):
    """Nothing can be stored now, or nobody knows whether something was."""


class Overtaken(Exception):
    """Something else was stored of the log meanwhile."""


class Refused(Exception):
    """The message cannot be stored.

    :ivar is_final: whether it is of no use to try the same again.
    """

    def __init__(self, reason: str, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Checkpoint(NamedTuple):
    """What a sink has of a log.

    :ivar sequence: the number of what stands last; 0 if there is nothing, or nothing is numbered.
    :ivar end: up to where the log is shipped; None if nothing says so.
    """

    sequence: int
    end: Position | None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message comes from.

    :ivar host: what the host is called in the fleet.
    :ivar domain: the guest that the log belongs to; None if it belongs to none.
    """

    host: str
    path: str
    driver: str
    domain: Domain | None

    @property
    def uuid(self) -> str | None:
        """The guest's; None if there is none."""
        return None if self.domain is None else self.domain.uuid


class Sink(Protocol):
    """Where messages go."""

    async def connect(self) -> None:
        """Begin to connect, and connect again whenever it is needed.

        :raises Unavailable: it has to be tried again later.
        :raises Refused: somebody has to change something first.
        """

    async def check(self) -> str:
        """Connect once, without storing or making anything; return what was found.

        :raises Unavailable: it cannot be reached.
        :raises Refused: it can, and nothing can be stored there.
        """

    async def close(self) -> None:
        """Let go of it."""

    async def checkpoint(self, source: Source) -> Checkpoint:
        """Return what is stored of a log, if the sink can say so.

        :raises Unavailable: it could, but not now.
        """

    async def publish(self, source: Source, message: Message, expected: int) -> int:
        """Store a message, and wait until it is.

        :param expected: the number of what stands last, as it was found or stored.
        :returns: its own number.
        :raises Overtaken: something else stands there.
        :raises Refused: it cannot be stored.
        :raises Unavailable: it cannot be stored now, or nobody knows whether it is.
        """
