"""The calls that administer the daemon: a part of the table in :mod:`.calls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from twisted_virtlog.client.call import Call, Performer, call, plain
from twisted_virtlog.values import ClientInfo

W = TypeVar("W")


class ServerClients(msgspec.Struct, frozen=True):
    """The clients of one protocol.

    :ivar server: ``virtlogd`` for libvirt's drivers, ``jsonrpc`` or ``admin``.
    :ivar max_clients: with this many connected, others wait until one leaves.
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
    """What the daemon logs about itself.

    :ivar level: ``debug``, ``info``, ``warning`` or ``error``.
    :ivar filters: such as ``1:logs``.
    :ivar outputs: such as ``3:stderr``.
    """

    level: str
    filters: list[str]
    outputs: list[str]


_decode_clients = plain(list[ServerClients])
_decode_true = plain(bool)
_decode_limits = plain(ServerLimits)
_decode_logging = plain(OwnLogging)


class AdminCalls(Performer[W]):
    """The calls that administer the daemon."""

    @call
    def clients(self, server: str | None = None) -> Call[Sequence[ServerClients]]:
        """Return who is connected, by server.

        :param server: ``virtlogd``, ``jsonrpc`` or ``admin``; None for all.
        """
        return Call("daemon.clients", _decode_clients, {"server": server})

    @call
    def disconnect(self, server: str, number: int) -> Call[bool]:
        """Close a client's connection; the logs that it opened stay open.

        :param number: the client's id.
        """
        return Call("daemon.disconnect", _decode_true, {"server": server, "id": number})

    @call
    def set_limits(self, server: str, max_clients: int) -> Call[ServerLimits]:
        """Let a server have at most ``max_clients`` clients at once."""
        params = {"server": server, "max_clients": max_clients}
        return Call("daemon.set_limits", _decode_limits, params)

    @call
    def logging(self) -> Call[OwnLogging]:
        """Return what the daemon logs about itself."""
        return Call("daemon.get_logging", _decode_logging)

    @call
    def set_logging(
        self,
        level: str | None = None,
        filters: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Call[OwnLogging]:
        """Change what the daemon logs about itself, or where; None leaves a setting as it is.

        :param level: ``debug``, ``info``, ``warning`` or ``error``.
        :param filters: such as ``1:logs``; empty for none.
        :param outputs: such as ``3:stderr``; empty for the default.
        """
        params = {"level": level, "filters": filters, "outputs": outputs}
        return Call("daemon.set_logging", _decode_logging, params)
