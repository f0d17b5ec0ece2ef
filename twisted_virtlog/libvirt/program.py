"""A table of procedures, and how to find the procedure that a message calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from msgspec import Struct

from twisted_virtlog.errors import DaemonError
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.libvirt.errors import Refused, rpc_failure
from twisted_virtlog.libvirt.messages import (
    SERIAL_AT,
    SERIAL_END,
    ErrorBody,
    Header,
    MessageType,
    Status,
)
from twisted_virtlog.libvirt.xdr import XDRType

S = TypeVar("S")
A = TypeVar("A")
V = TypeVar("V")

_CALLS = frozenset((MessageType.CALL, MessageType.CALL_WITH_FDS))
_OK = Status.OK

#: Of frames up to this size it is remembered what they ask for; and of how many.
SHORT_BYTES = 512
_MOST_CALLS = 1024


class Procedure(Struct, Generic[S, A, V], frozen=True):
    """One procedure: its number, its types, and how it is carried out.

    :ivar ask: asks the service; it, or its Deferred, may fail with Refused or a DaemonError.
    :ivar present: makes the results from the service's answer; may raise Refused.
    :ivar explain: returns how this procedure reports an error of the service.
    :ivar descriptors: returns the descriptors that go with an answer, which is then of type
        REPLY_WITH_FDS; the caller owns them.
    :ivar closes: whether the connection is closed once the answer is sent.
    :ivar slices: returns what makes the results' bytes, in parts, of an answer that is long; None
        if this one is not.
    """

    number: int
    name: str
    arguments: XDRType[A]
    results: XDRType[Any]
    ask: Callable[[S, A], Answer[V]]
    present: Callable[[V, A], object]
    explain: Callable[[DaemonError, A], ErrorBody]
    descriptors: Callable[[V], Sequence[int]] | None = None
    closes: bool = False
    slices: Callable[[V, A], Generator[None, None, list[bytes]] | None] | None = None


class Program(Generic[S]):
    """A table of procedures.

    :ivar procedures: by number.
    """

    def __init__(
        self, number: int, version: int, procedures: Sequence[Procedure[S, Any, Any]]
    ) -> None:
        self.number = number
        self.version = version
        self.procedures = MappingProxyType({entry.number: entry for entry in procedures})


class Served(Struct, Generic[S], frozen=True):
    """A program, and the service that its procedures ask."""

    program: Program[S]
    service: S


class Call(Struct, frozen=True):
    """What a client asks for.

    :ivar procedure: of what is asked.
    :ivar service: that is asked.
    :ivar arguments: of the procedure.
    """

    procedure: Procedure[Any, Any, Any]
    service: Any
    arguments: Any


class RecentCalls(dict[bytes, Call]):
    """What short frames ask for that came lately, from any client of a socket.

    Clients ask the same over and over, and all that such a frame adds is its serial: the key is the
    frame without it.
    """

    def add(self, frame: bytes, call: Call) -> None:
        """Take note of what a frame asks for, if it is no longer than :data:`SHORT_BYTES`."""
        if len(frame) <= SHORT_BYTES:
            if len(self) >= _MOST_CALLS:
                self.clear()
            self[frame[:SERIAL_AT] + frame[SERIAL_END:]] = call


class ServedPrograms(dict[tuple[int, int], Served[Any]]):
    """What one socket serves, by program and version.

    :ivar recent: what clients asked it lately.
    """

    def __init__(self, served: Iterable[Served[Any]]) -> None:
        """Serve some programs."""
        super().__init__(((each.program.number, each.program.version), each) for each in served)
        self.recent = RecentCalls()


def serving(*served: Served[Any]) -> ServedPrograms:
    """Return what a socket serves, given its programs."""
    return ServedPrograms(served)


def dispatch(
    programs: ServedPrograms, header: Header
) -> tuple[Procedure[Any, Any, Any], Any] | None:
    """Find the procedure that a message calls, with the checks of virtlogd in their order.

    :returns: the procedure and its service; None if the message is to be ignored.
    :raises Refused: the call is answered with an error.
    """
    served = programs.get((header.program, header.version))
    if header.type not in _CALLS:
        return None
    if served is None:
        program, version = _signed(header.program), _signed(header.version)
        raise Refused(rpc_failure(f"Cannot find program {program} version {version}"))
    if header.status != _OK:
        raise Refused(rpc_failure(f"Unexpected message status {header.status}"))
    procedure = served.program.procedures.get(header.procedure)
    if procedure is None:
        raise Refused(rpc_failure(f"unknown procedure: {header.procedure}"))
    return procedure, served.service


def _signed(word: int) -> int:
    # libvirt prints these unsigned numbers with %d.
    return word - (1 << 32) if word >> 31 else word
