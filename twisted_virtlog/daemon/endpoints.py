"""Chooses where the daemon listens: where it was told, on what was handed over, or by default."""

from __future__ import annotations

import os
import socket as socket_module
from collections.abc import Container, Mapping

from msgspec.structs import replace
from twisted.internet.endpoints import quoteStringArgument

from twisted_virtlog.config.endpoint_strings import beside, socket_path
from twisted_virtlog.config.paths import Paths, read_only_path
from twisted_virtlog.escaping import as_file_name
from twisted_virtlog.handover.state import DaemonState
from twisted_virtlog.service import NO_ENDPOINT, Endpoints
from twisted_virtlog.systemd.activation import Activation

#: The servers that always listen, unless their endpoints say otherwise.
_ALWAYS = frozenset({"virtlogd", "admin", "jsonrpc"})


def choose(named: Mapping[str, str], paths: Paths, group: str, activation: Activation) -> Endpoints:
    """Return where the daemon listens.

    :param named: the endpoints that were named, by server.
    :param group: the group whose members may connect to read; empty for none.
    :param activation: what a service manager handed over.
    """
    default = Endpoints(
        jsonrpc=_unix_endpoint(paths.jsonrpc_socket, "600"),
        jsonrpc_ro=_unix_endpoint(paths.jsonrpc_ro_socket, "660"),
        libvirt=_unix_endpoint(paths.log_socket, "700"),
        admin=_unix_endpoint(paths.admin_socket, "700"),
    )
    jsonrpc = named.get("jsonrpc", default.jsonrpc)
    # Without a group nobody may read, unless an endpoint was named.
    read_only = (beside(jsonrpc, read_only_path) or default.jsonrpc_ro) if group else NO_ENDPOINT
    endpoints = Endpoints(
        jsonrpc=jsonrpc,
        jsonrpc_ro=named.get("jsonrpc-ro", read_only),
        libvirt=named.get("virtlogd", default.libvirt),
        admin=named.get("admin", default.admin),
        metrics=named.get("metrics", NO_ENDPOINT),
    )
    return activated(endpoints, activation, named)


def need_run_directory(named: Container[str]) -> bool:
    """Return whether a socket is in the default directory.

    :param named: the servers whose endpoints were named.
    """
    return not all(server in named for server in _ALWAYS)


def activated(endpoints: Endpoints, activation: Activation, named: Container[str]) -> Endpoints:
    """Return endpoints in which the sockets handed over by a service manager take their place.

    As in virtlogd, if there is one for the drivers and none for virt-admin, virt-admin is not
    served.

    :param named: the servers whose endpoints were named, which keep them.
    """
    handed_over = activation.sockets
    sockets = {server: handed_over[server] for server in handed_over if server not in named}
    admin = endpoints.admin
    if "virtlogd" in sockets and "admin" not in named:
        admin = NO_ENDPOINT
    return replace(endpoints, admin=admin, sockets=sockets)


def own_directory(parent: str, endpoints: Endpoints, state: DaemonState | None) -> str | None:
    """Return the path of a directory that belongs to this daemon, and to those that follow it.

    It is named after the daemon's first socket. So each of several daemons of one user has its own,
    and the next one with the same sockets has that of the former.

    :param parent: the directory that it lies in.
    :param state: what the daemon's former image handed over; None if there was none.
    :returns: None if the daemon has no socket.
    """
    named = {
        "virtlogd": endpoints.libvirt,
        "jsonrpc": endpoints.jsonrpc,
        "admin": endpoints.admin,
        "jsonrpc-ro": endpoints.jsonrpc_ro,
    }
    for server, endpoint in named.items():
        former = state.servers.get(server) if state is not None else None
        descriptors = [socket.descriptor for socket in former.sockets] if former else []
        for descriptor in (*descriptors, *endpoints.sockets.get(server, ())):
            if name := _name_of(descriptor):
                return _below(parent, name)
        if endpoint != NO_ENDPOINT and server not in endpoints.sockets:
            # (where a manager's sockets are is not in an endpoint, but which one it is)
            path = socket_path(endpoint)
            return _below(parent, os.fsencode(endpoint if path is None else os.path.abspath(path)))
    return None


def _below(parent: str, name: bytes) -> str:
    return os.path.join(parent, as_file_name(name))


def _name_of(descriptor: int) -> bytes:
    """Return the name of a UNIX socket: its path, or NUL and an abstract one; empty for none."""
    try:
        with socket_module.socket(fileno=os.dup(descriptor)) as one:
            name = one.getsockname() if one.family == socket_module.AF_UNIX else b""
    except OSError:
        return b""
    return name if isinstance(name, bytes) else os.fsencode(os.path.abspath(name) if name else "")


def _unix_endpoint(socket: str, mode: str) -> str:
    path: str = quoteStringArgument(socket)
    return f"unix:{path}:mode={mode}"
