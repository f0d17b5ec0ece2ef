"""What a call concerns that is under way: which log, which client.

The watch for stalls asks this of the objects whose methods the reactor is in, so that it need not
know what the daemon is made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct


class Client(Struct, frozen=True):
    """A client, by its process and its user.

    :ivar pid: of its process.
    :ivar uid: of its user.
    """

    pid: int
    uid: int


class Concern(Struct, frozen=True):
    """What a call concerns, as far as one of those in it knows.

    :ivar path: of the log.
    :ivar real_path: the same without symbolic links, if it is known.
    :ivar client: the client that asked for it.
    """

    path: str | None = None
    real_path: str | None = None
    client: Client | None = None

    def with_others(self, others: Concern) -> Concern:
        """Add what others know, where this says nothing."""
        client = others.client if self.client is None else self.client
        if self.path is None or (self.real_path is None and self.path == others.path):
            return Concern(others.path, others.real_path, client)
        return Concern(self.path, self.real_path, client)


@runtime_checkable
class Concerned(Protocol):
    """An object whose methods may be what the reactor stands still in."""

    def concern(self, names: Mapping[str, object]) -> Concern:
        """Return what a call of one of its methods concerns.

        It is called in another thread while the method is under way, so it does no more than read
        attributes. It may raise anything, as the object need not be whole: that says nothing.

        :param names: the method's arguments and other local variables.
        """
