"""The methods that administer the daemon, as a client sees them; see :mod:`.calls`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from twisted_virtlog.client.calls import Call, plain


class ClientInfo(msgspec.Struct, frozen=True):
    """Somebody who is connected.

    :ivar id: counts from 1 for each server and is never used again.
    :ivar connected_at: an aware time.
    :ivar pid: who connected; so ``uid`` and ``gid``.
    :ivar user: the name of ``uid``, None if it has none; so ``group`` of ``gid``.
    """

    id: int
    connected_at: datetime
    pid: int
    uid: int
    user: str | None
    gid: int
    group: str | None


class ServerClients(msgspec.Struct, frozen=True):
    """The clients of one protocol.

    :ivar server: ``virtlogd`` for libvirt's drivers, ``jsonrpc`` or ``admin``.
    :ivar max_clients: at so many no more are accepted until one leaves.
    :ivar clients: in order of arrival.
    """

    server: str
    max_clients: int
    clients: list[ClientInfo]


class ServerLimits(msgspec.Struct, frozen=True):
    """How many clients a server has and may have."""

    server: str
    max_clients: int
    clients: int


class OwnLogging(msgspec.Struct, frozen=True):
    """What the daemon logs of itself.

    :ivar level: ``debug``, ``info``, ``warning`` or ``error``.
    :ivar filters: as ``1:logs``.
    :ivar outputs: as ``3:stderr``.
    """

    level: str
    filters: list[str]
    outputs: list[str]


_decode_clients = plain(list[ServerClients])
_decode_true = plain(bool)
_decode_limits = plain(ServerLimits)
_decode_logging = plain(OwnLogging)


def list_clients(server: str | None = None) -> Call[Sequence[ServerClients]]:
    """Return who is connected, by server.

    :param server: ``virtlogd``, ``jsonrpc`` or ``admin``; None for all.
    """
    return Call("daemon.clients", _decode_clients, {"server": server})


def disconnect(server: str, number: int) -> Call[bool]:
    """Close a client's connection; its logs stay open.

    :param number: the client's id.
    """
    return Call("daemon.disconnect", _decode_true, {"server": server, "id": number})


def set_limits(server: str, max_clients: int) -> Call[ServerLimits]:
    """Let a server have at most ``max_clients`` clients at once."""
    params = {"server": server, "max_clients": max_clients}
    return Call("daemon.set_limits", _decode_limits, params)


def get_logging() -> Call[OwnLogging]:
    """Return what the daemon logs of itself."""
    return Call("daemon.get_logging", _decode_logging)


def set_logging(
    level: str | None = None,
    filters: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Call[OwnLogging]:
    """Log other things of the daemon itself, or elsewhere; None leaves a setting as it is.

    :param level: ``debug``, ``info``, ``warning`` or ``error``.
    :param filters: as ``1:logs``; empty for none.
    :param outputs: as ``3:stderr``; empty for the default.
    """
    params = {"level": level, "filters": filters, "outputs": outputs}
    return Call("daemon.set_logging", _decode_logging, params)
