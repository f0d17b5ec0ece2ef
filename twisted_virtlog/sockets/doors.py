"""The ways into the daemon: servers, where their clients come in, and who may."""

from __future__ import annotations

import grp

from msgspec import Struct
from msgspec.structs import replace
from twisted.logger import Logger

from twisted_virtlog.errors import ListenError
from twisted_virtlog.sockets.server import Server

_logger = Logger()


class _Everybody:
    """All users."""

    def __contains__(self, uid: object) -> bool:
        return True


#: The users who may connect where the mode of the socket's file is the check.
EVERYBODY = _Everybody()


class Door(Struct, frozen=True):
    """A server, and where its clients come in.

    :ivar endpoint: a server endpoint string; None to listen nowhere.
    :ivar descriptors: sockets that a service manager handed over, in place of an endpoint.
    :ivar required: the daemon is not to start without it.
    :ivar is_given: it may have a service manager's sockets alone, without an endpoint.
    """

    server: Server
    endpoint: str | None
    descriptors: tuple[int, ...] | None = None
    required: bool = True
    is_given: bool = False


def shared_with(door: Door, group: str) -> Door:
    """Let a group reach a server, as well as the owner.

    :param group: its name; empty for none.
    """
    if group:
        try:
            door.server.group = grp.getgrnam(group).gr_gid
        except KeyError:
            _logger.error(
                "{server}: jsonrpc_ro_group: there is no group {group}; only the daemon's own user"
                " is served there",
                server=door.server.name,
                group=group,
            )
    return door


def for_group(door: Door, group: str) -> Door:
    """Let a group reach a server; without one nobody listens for it.

    :param group: its name; empty for none.
    :raises ListenError: an endpoint was named, but no group.
    """
    server, endpoint = door.server, door.endpoint
    if group:
        try:
            server.group = grp.getgrnam(group).gr_gid
        except KeyError:
            _logger.error(
                "{server}: jsonrpc_ro_group: there is no group {group}; nobody is served there",
                server=server.name,
                group=group,
            )
            return replace(door, endpoint=None)
    elif endpoint is not None and not endpoint.startswith("systemd:"):
        raise ListenError(
            f"{server.name}: cannot listen on {endpoint!r}: the configuration names no group"
            ' that may connect; write jsonrpc_ro_group = "adm", say'
        )
    return door
