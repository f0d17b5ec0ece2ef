"""The table of calls: the daemon's methods as a client sees them, what to ask and how to read it.

Each function here and in :mod:`.admin_calls` is a method of every client, with this signature and
this documentation; the clients differ in how they wait for the result.
"""

from __future__ import annotations

import binascii
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
import pybase64

from twisted_virtlog.client.errors import BadAnswer
from twisted_virtlog.values import Closed, Domain, Opened, Position

R = TypeVar("R")

#: The most that one ``log.read`` may ask for.
MAX_READ_BYTES = 4 * 1024 * 1024
DEFAULT_READ_BYTES = 1024 * 1024


class Chunk(msgspec.Struct, frozen=True):
    """Bytes read from a log.

    :ivar data: the bytes, exactly as they were written; empty at the live end.
    :ivar start: where they begin.
    :ivar end: where to go on reading.
    :ivar gap: the position asked for was rotated away, so ``start`` is the oldest byte kept.
    """

    data: bytes
    start: Position
    end: Position
    gap: bool


class LogInfo(msgspec.Struct, frozen=True):
    """An open log, as ``log.list`` shows it.

    :ivar opened_at: an aware time.
    :ivar bytes: bytes written to files since the log was opened.
    :ivar rollovers: files begun anew since the log was opened.
    :ivar state: ``open``, or ``failing`` with the reason in ``error``; a newer daemon may know
        others.
    :ivar pipe: the pipe's inode number, N where ``/proc/PID/fd`` shows ``pipe:[N]``; None if the
        daemon does not say it.
    """

    path: str
    driver: str
    domain: Domain | None
    position: Position
    opened_at: datetime
    bytes: int
    rollovers: int
    state: str
    error: str | None = None
    pipe: int | None = None


class DaemonInfo(msgspec.Struct, frozen=True):
    """What the daemon tells of itself.

    :ivar started_at: an aware time.
    :ivar uptime_s: seconds since then, of a clock that never steps.
    :ivar limits: by name, as ``{"max_size": 2097152}``.
    :ivar counts: totals since the start, by name.
    """

    name: str
    version: str
    pid: int
    started_at: datetime
    uptime_s: float
    limits: dict[str, Any]
    counts: dict[str, Any]


class _OpenResult(msgspec.Struct, frozen=True):
    position: Position


class _ReadResult(msgspec.Struct, frozen=True):
    data: str
    start: Position
    end: Position
    gap: bool


@dataclass(frozen=True)
class Call(Generic[R]):
    """One request that waits to be sent.

    :ivar decode: makes the result's JSON text and its descriptors the value that the caller gets.
        Raises :class:`msgspec.MsgspecError` or :class:`BadAnswer` and then takes no descriptor.
    :ivar descriptors: how many descriptors come with the result.
    """

    method: str
    decode: Callable[[bytes | msgspec.Raw, Sequence[int]], R]
    params: Mapping[str, object] = field(default_factory=dict)
    descriptors: int = 0


def _decoder(result: type[R]) -> msgspec.json.Decoder[R]:
    # Not strict: numbers that not every JSON reader holds exactly come as strings of digits.
    return msgspec.json.Decoder(result, strict=False)


def as_method(ask: Callable[..., Call[Any]], method: Callable[..., Any]) -> None:
    """Let a client's method be documented as the call that it makes."""
    signature = inspect.signature(ask)
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__doc__ = ask.__doc__
    method.__name__ = ask.__name__
    method.__qualname__ = ask.__qualname__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[client, *signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )


def plain(result: type[R]) -> Callable[[bytes | msgspec.Raw, Sequence[int]], R]:
    """Decode a result that is of a type, without descriptors."""
    decoder = _decoder(result)
    return lambda text, _descriptors: decoder.decode(text)


_decode_position = plain(Position)
_decode_closed = plain(Closed)
_decode_true = plain(bool)
_decode_list = plain(list[LogInfo])
_decode_info = plain(DaemonInfo)
_decode_document = plain(dict[str, Any])
_open_decoder = _decoder(_OpenResult)
_read_decoder = _decoder(_ReadResult)


def _decode_open(text: bytes | msgspec.Raw, descriptors: Sequence[int]) -> Opened:
    return Opened(position=_open_decoder.decode(text).position, write_end=descriptors[0])


def _decode_read(text: bytes | msgspec.Raw, _descriptors: Sequence[int]) -> Chunk:
    result = _read_decoder.decode(text)
    try:
        data = pybase64.b64decode(result.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadAnswer(f"log.read was answered with what is no base64: {error}") from error
    return Chunk(data, result.start, result.end, result.gap)


def open_log(
    path: str, driver: str = "none", domain: Domain | None = None, truncate: bool = False
) -> Call[Opened]:
    """Open a log; the caller owns the write end of its pipe that comes in the result.

    :param driver: who writes, as ``qemu``; stored and shown.
    :param domain: the guest that writes, if one does.
    :param truncate: begin with an empty log, without backups.
    """
    params = {"path": path, "driver": driver, "domain": domain, "truncate": truncate}
    return Call("log.open", _decode_open, params, descriptors=1)


def close_log(path: str) -> Call[Closed]:
    """Close a log, whoever holds its pipe, after writing what is in it.

    What is written to the pipe later is refused: its writers get EPIPE.
    """
    return Call("log.close", _decode_closed, {"path": path})


def tell_position(path: str) -> Call[Position]:
    """Return the end of an open log, after all that was written to its pipe until now."""
    return Call("log.position", _decode_position, {"path": path})


def read_log(
    path: str, position: Position | None = None, max_bytes: int = DEFAULT_READ_BYTES
) -> Call[Chunk]:
    """Read bytes from a position on.

    :param position: None for the oldest byte kept.
    :param max_bytes: at most :data:`MAX_READ_BYTES`.
    """
    # In base64 on the wire, so that every byte survives.
    params = {
        "path": path,
        "position": None if position is None else _position_param(position),
        "max_bytes": max_bytes,
        "encoding": "base64",
    }
    return Call("log.read", _decode_read, params)


def _position_param(position: Position) -> dict[str, object]:
    members: dict[str, object] = {"inode": position.inode, "offset": position.offset}
    # Daemons before 0.2 refuse members that they do not know.
    return {**members, "birth": position.birth} if position.birth else members


def append_message(
    path: str, message: str, driver: str = "none", domain: Domain | None = None
) -> Call[Position]:
    """Write a message, exactly as it is, after all that is in the pipe.

    :param message: what to write; no newline is added.
    :param driver: who writes; so ``domain``, as for ``open``.
    :returns: the position after the message.
    """
    params = {"path": path, "message": message, "driver": driver, "domain": domain}
    return Call("log.append", _decode_position, params)


def list_logs() -> Call[Sequence[LogInfo]]:
    """Return all open logs, sorted by path."""
    return Call("log.list", _decode_list)


def daemon_info() -> Call[DaemonInfo]:
    """Return what the daemon says of itself."""
    return Call("daemon.info", _decode_info)


def reexec(to_virtlogd: str | None = None, state_version: int | None = None) -> Call[bool]:
    """Let the daemon hand over to its next image, with all logs, sockets and clients.

    :param to_virtlogd: the path of libvirt's virtlogd, to hand over to that; then this connection
        ends.
    :param state_version: of the state that the next image reads, where it is an older release;
        None for the lowest that says all.
    :returns: True once the next image was tried and takes over.
    """
    params: dict[str, object] = {"to_virtlogd": to_virtlogd}
    if state_version is not None:
        # Older daemons refuse members that they do not know.
        params["state_version"] = state_version
    return Call("daemon.reexec", _decode_true, params)


def discover() -> Call[dict[str, Any]]:
    """Return the OpenRPC document of the daemon's methods."""
    return Call("rpc.discover", _decode_document)
