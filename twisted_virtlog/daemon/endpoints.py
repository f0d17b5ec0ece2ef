"""Chooses where the daemon listens: where it was told, on what was handed over, or by default."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from twisted.internet.endpoints import quoteStringArgument

from twisted_virtlog.config.endpoint_strings import beside
from twisted_virtlog.config.paths import Paths, read_only_path
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


def _unix_endpoint(socket: str, mode: str) -> str:
    path: str = quoteStringArgument(socket)
    return f"unix:{path}:mode={mode}"
