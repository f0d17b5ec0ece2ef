"""An entry in the table of methods, and what methods need from the daemon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from twisted_virtlog.interfaces import (
    Answer,
    IAdministration,
    IConsumers,
    IFollowing,
    IHistory,
    ILogHandler,
    IMetrics,
    InSlices,
)
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.text import Encoding
from twisted_virtlog.values import Position

P = TypeVar("P", bound=msgspec.Struct)
V = TypeVar("V")


class ServingSocket(Struct, frozen=True):
    """A socket on which the methods are served.

    :ivar server: the name of the server, as in ``daemon.clients``.
    :ivar address: an absolute path, or NUL and an abstract name.
    :ivar read_only: whether only methods that are marked so are served there.
    """

    server: str
    address: bytes
    read_only: bool


class Subscribing(Protocol):
    """What the connection that asks follows; see Subscriptions."""

    def follow(
        self, path: str, position: Position | None, until_closed: bool, encoding: Encoding
    ) -> Answer[tuple[int, Position]]:
        """Follow a log; return the number of the subscription, and where it begins."""

    def watch(self) -> int:
        """Watch which logs there are; return the number of the subscription."""

    def unfollow(self, number: int) -> None:
        """End a subscription, and tell so at once."""


class Services(Struct, frozen=True):
    """What the methods need from the daemon.

    :ivar handler: the logs.
    :ivar administration: the daemon's servers and settings.
    :ivar sockets: returns where the methods are served now.
    :ivar reexec: hands over to the daemon's next image, or to the virtlogd at a path.
    :ivar in_slices: does what is long by itself.
    :ivar following: follows logs.
    :ivar history: what is known of logs' past.
    :ivar metrics: what is counted and measured.
    :ivar consumers: who has read what of logs.
    :ivar subscriptions: of the connection that asks; None for methods that need none.
    :ivar uid: of the user who asks; -1 for methods that need none.
    """

    handler: ILogHandler
    administration: IAdministration
    sockets: Callable[[], tuple[ServingSocket, ...]]
    reexec: Callable[[str | None, int | None], Answer[None]]
    in_slices: InSlices
    following: IFollowing
    history: IHistory
    metrics: IMetrics
    consumers: IConsumers
    subscriptions: Subscribing | None = None
    uid: int = -1


class Example(Struct, Generic[P], frozen=True):
    """A call of a method and a possible answer, for documentation.

    :ivar name: what it does, in a few words.
    """

    name: str
    params: P
    result: object


class Method(Struct, Generic[P, V], frozen=True):
    """One method: its name, its types, and how it is carried out.

    :ivar params: decodes and checks its parameters.
    :ivar result: the type of its result, for documentation.
    :ivar ask: asks the daemon; it, or its Deferred, may fail with a DaemonError.
    :ivar present: makes the result from the daemon's answer; one that may be long is a LongResult
        or a SlicedResult.
    :ivar example: one call.
    :ivar errors: codes that it may answer in addition to JSON-RPC's own.
    :ivar descriptors: returns the descriptors that go with an answer; the caller owns them.
    :ivar most_descriptors: how many descriptors an answer may come with, if that is to be asked for
        before it is carried out; see :meth:`IConnection.claim_descriptors`.
    :ivar read_only: whether it is served on the read-only socket.
    :ivar needs_stream: whether it sends descriptors, or texts that were not requested, so that it
        is not served over HTTP.
    :ivar subscribes: whether it is about the subscriptions of its connection.
    :ivar asks_user: whether it matters which user asks.
    """

    name: str
    summary: str
    params: ParamsDecoder[P]
    result: Any
    ask: Callable[[Services, P], Answer[V]]
    present: Callable[[V, P], object]
    example: Example[P]
    errors: tuple[Code, ...] = ()
    descriptors: Callable[[V], Sequence[int]] | None = None
    most_descriptors: int = 0
    read_only: bool = False
    needs_stream: bool = False
    subscribes: bool = False
    asks_user: bool = False

    @property
    def alias(self) -> str:
        """Its other name, for programs whose names cannot have dots."""
        return self.name.replace(".", "_")


def as_it_is(value: V, _params: object) -> V:
    """Present an answer that is a result already."""
    return value


def true(_value: object, _params: object) -> bool:
    """Present the answer of a method that has no result of its own."""
    return True
