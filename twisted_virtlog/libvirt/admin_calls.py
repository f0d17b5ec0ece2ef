"""How the calls of libvirt's admin program are carried out and answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from twisted_virtlog.config.logging import format_filters, format_outputs
from twisted_virtlog.errors import DaemonError
from twisted_virtlog.interfaces import IAdministration
from twisted_virtlog.libvirt import admin_types as t
from twisted_virtlog.libvirt.errors import (
    ErrorCode,
    ErrorDomain,
    Refused,
    administration_failure,
    failure,
    unsupported_flags,
)
from twisted_virtlog.libvirt.messages import MAX_STRING_BYTES, ErrorBody
from twisted_virtlog.libvirt.typed_params import ValueType, check_names, typed, unsigned_values
from twisted_virtlog.libvirt.xdr import UINT
from twisted_virtlog.values import ClientInfo, ClientLimits, Logging, ThreadPoolStatus

#: The version of libvirt whose behaviour this is: 9.0.0.
LIB_VERSION = 9_000_000

_INT_MAX = 2**31 - 1

#: So many clients are listed at once, or in one slice.
_CLIENTS_AT_ONCE = 32

#: A flag of CONNECT_DAEMON_SHUTDOWN.
_PRESERVE = 1


class _HasFlags(Protocol):
    @property
    def flags(self) -> int: ...


def _no_flags(call: _HasFlags, function: str) -> None:
    _only_flags(call, 0, function)


def _only_flags(call: _HasFlags, known: int, function: str) -> None:
    """Refuse a call with unknown flags; the error names only these."""
    unknown = call.flags & ~known
    if unknown:
        raise Refused(unsupported_flags(ErrorDomain.ADMIN, unknown, function))


def open_connection(_administration: IAdministration, call: t.Flags) -> None:
    """Do nothing; other calls do not need this one."""
    _no_flags(call, "adminDispatchConnectOpen")


def close_connection(_administration: IAdministration, _call: None) -> None:
    """Do nothing; the procedure's entry closes the connection."""


def lib_version(_administration: IAdministration, _call: None) -> int:
    """Return the version of libvirt that this is compatible with."""
    return LIB_VERSION


def list_servers(administration: IAdministration, call: t.ListServers) -> Sequence[str]:
    """Return the names of the servers."""
    _no_flags(call, "adminConnectListServers")
    return administration.servers()


def look_up_server(administration: IAdministration, call: t.LookUpServer) -> str:
    """Return the name of a server, if there is such a server."""
    # (flags are ignored)
    name = _text(call.name)
    administration.limits(name)
    return name


def thread_pool(administration: IAdministration, call: t.OfServer) -> ThreadPoolStatus:
    """Return the state of the threads that work for a server."""
    found: ThreadPoolStatus = administration.thread_pool(_text(call.srv.name))
    _no_flags(call, "adminServerGetThreadPoolParameters")
    return found


def present_thread_pool(found: ThreadPoolStatus, _call: t.OfServer) -> t.Parameters:
    """Return typed parameters, in libvirt's order."""
    values = {
        "minWorkers": found.min_workers,
        "maxWorkers": found.max_workers,
        "nWorkers": found.workers,
        "freeWorkers": found.free_workers,
        "prioWorkers": found.priority_workers,
        "jobQueueDepth": found.waiting_jobs,
    }
    return t.Parameters(typed(ValueType.UINT, values))


def set_thread_pool(administration: IAdministration, call: t.SetOfServer) -> None:
    """Change how many threads there may be."""
    name = _text(call.srv.name)
    administration.thread_pool(name)
    check_names(call.params)
    _no_flags(call, "adminServerSetThreadPoolParameters")
    values = unsigned_values(call.params, ("minWorkers", "maxWorkers", "prioWorkers"))
    administration.set_thread_pool(
        name, values["minWorkers"], values["maxWorkers"], values["prioWorkers"]
    )


def list_clients(administration: IAdministration, call: t.ListClients) -> Sequence[ClientInfo]:
    """Return the clients of a server."""
    found: Sequence[ClientInfo] = administration.clients(_text(call.srv.name))
    _no_flags(call, "adminServerListClients")
    return found


def present_clients(found: Sequence[ClientInfo], call: t.ListClients) -> t.Clients:
    """Return the clients, or only their number."""
    count = len(found)
    if count > t.MAX_LISTED:
        detail = f"Too many clients '{count}' for limit '{t.MAX_LISTED}'"
        raise Refused(failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.ADMIN, detail))
    listed = found if call.need_results else ()
    return t.Clients(tuple(client_name(client, call.srv) for client in listed), count)


def clients_in_slices(
    found: Sequence[ClientInfo], call: t.ListClients
) -> Generator[None, None, list[bytes]] | None:
    """Write the clients, if they are to be listed and are many."""
    if not call.need_results or not _CLIENTS_AT_ONCE < len(found) <= t.MAX_LISTED:
        return None
    return _write_clients(found, call.srv)


def _write_clients(
    found: Sequence[ClientInfo], server: t.ServerName
) -> Generator[None, None, list[bytes]]:
    written: list[bytes] = []
    parts: list[bytes] = []
    UINT.write(len(found), parts)
    for start in range(0, len(found), _CLIENTS_AT_ONCE):
        for client in found[start : start + _CLIENTS_AT_ONCE]:
            t.CLIENT.write(client_name(client, server), parts)
        written.append(b"".join(parts))
        parts = []
        yield
    UINT.write(len(found), written)
    return written


def look_up_client(administration: IAdministration, call: t.LookUpClient) -> ClientInfo:
    """Return one client."""
    name = _text(call.srv.name)
    administration.limits(name)
    _no_flags(call, "adminServerLookupClient")
    found: ClientInfo = administration.client(name, call.id)
    return found


def client_info(administration: IAdministration, call: t.OfClient) -> ClientInfo:
    """Return one client, for its properties."""
    found: ClientInfo = administration.client(_text(call.clnt.srv.name), call.clnt.id)
    _no_flags(call, "adminClientGetInfo")
    return found


def present_client_info(found: ClientInfo, _call: t.OfClient) -> t.Parameters:
    """Return typed parameters, in libvirt's order; omit names that are not known."""
    user, group = (
        None if name is None else os.fsencode(name) for name in (found.user, found.group)
    )
    facts = [
        *typed(ValueType.BOOLEAN, {"readonly": 0}),
        *typed(ValueType.INT, {"unix_user_id": _as_int(found.uid)}),
        *(() if user is None else typed(ValueType.STRING, {"unix_user_name": user})),
        *typed(ValueType.INT, {"unix_group_id": _as_int(found.gid)}),
        *(() if group is None else typed(ValueType.STRING, {"unix_group_name": group})),
        *typed(ValueType.INT, {"unix_process_id": found.pid}),
    ]
    return t.Parameters(tuple(facts))


def close_client(administration: IAdministration, call: t.OfClient) -> None:
    """Close a client's connection, possibly that of the caller."""
    name, number = _text(call.clnt.srv.name), call.clnt.id
    administration.client(name, number)
    _no_flags(call, "adminClientClose")
    administration.disconnect(name, number)


def limits(administration: IAdministration, call: t.OfServer) -> ClientLimits:
    """Return how many clients a server has and may have."""
    found: ClientLimits = administration.limits(_text(call.srv.name))
    _no_flags(call, "adminServerGetClientLimits")
    return found


def present_limits(found: ClientLimits, _call: t.OfServer) -> t.Parameters:
    """Return typed parameters, in libvirt's order."""
    values = {
        "nclients_max": found.max_clients,
        "nclients": found.clients,
        "nclients_unauth_max": found.max_anonymous,
        "nclients_unauth": 0,
    }
    return t.Parameters(typed(ValueType.UINT, values))


def set_limits(administration: IAdministration, call: t.SetOfServer) -> None:
    """Change how many clients a server may have."""
    name = _text(call.srv.name)
    administration.limits(name)
    check_names(call.params)
    _no_flags(call, "adminServerSetClientLimits")
    values = unsigned_values(call.params, ("nclients_max", "nclients_unauth_max"))
    administration.set_limits(name, values["nclients_max"], values["nclients_unauth_max"])


def logging_of(function: str) -> Callable[[IAdministration, t.Flags], Logging]:
    """Return a function that returns the state of the daemon's own log.

    :param function: the name of libvirt's function, for errors.
    """

    def ask(administration: IAdministration, call: t.Flags) -> Logging:
        _no_flags(call, function)
        found: Logging = administration.logging()
        return found

    return ask


def present_outputs(logging: Logging, _call: t.Flags) -> t.Outputs:
    """Return the outputs of the daemon's own log."""
    return t.Outputs(_report(format_outputs(logging.outputs)), len(logging.outputs))


def present_filters(logging: Logging, _call: t.Flags) -> t.Filters:
    """Return the filters of the daemon's own log."""
    report = _report(format_filters(logging.filters)) if logging.filters else None
    return t.Filters(report, len(logging.filters))


def set_outputs(administration: IAdministration, call: t.SetOutputs) -> None:
    """Change the outputs of the daemon's own log; if none is named, to the default."""
    _no_flags(call, "adminConnectSetLoggingOutputs")
    administration.set_logging(None, None, _text(call.outputs or b""))


def set_filters(administration: IAdministration, call: t.SetFilters) -> None:
    """Change the filters of the daemon's own log."""
    _no_flags(call, "adminConnectSetLoggingFilters")
    administration.set_logging(None, _text(call.filters or b""), None)


def update_tls(administration: IAdministration, call: t.OfServer) -> None:
    """Refuse: there is no TLS on a UNIX socket."""
    administration.limits(_text(call.srv.name))
    _no_flags(call, "adminServerUpdateTlsFiles")
    detail = "no tls service found, unable to update tls files"
    raise Refused(failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.RPC, detail))


def set_timeout(administration: IAdministration, call: t.SetTimeout) -> None:
    """Set after how long an idle daemon stops."""
    _no_flags(call, "adminConnectSetDaemonTimeout")
    administration.set_timeout(call.timeout)


def shut_down(administration: IAdministration, call: t.Flags) -> None:
    """Stop the daemon, which answers first.

    The flag that asks to preserve the state is accepted and has no effect: libvirt's log daemon has
    no state to preserve, and stops as well.
    """
    # (since libvirt 11.2)
    _only_flags(call, _PRESERVE, "adminConnectDaemonShutdown")
    administration.shut_down()


def explain(error: DaemonError, _call: object) -> ErrorBody:
    """Return how libvirt's servers report an error of the administration."""
    return administration_failure(error)


def explain_by_caller(error: DaemonError, _call: object) -> ErrorBody:
    """Return how the three procedures report it that look up servers and clients themselves."""
    return administration_failure(error, ErrorDomain.ADMIN)


def client_name(client: ClientInfo, server: t.ServerName) -> t.ClientName:
    """Return how results name a client of a server."""
    return t.ClientName(server, client.id, int(client.connected_at.timestamp()))


def _as_int(number: int) -> int:
    # For libvirt, higher ids are negative.
    return number if number <= _INT_MAX else number - 2**32


def _text(string: bytes) -> str:
    return os.fsdecode(string)


def _report(text: str) -> bytes:
    data = os.fsencode(text)
    if len(data) > MAX_STRING_BYTES:
        detail = f"{len(data)} bytes of settings do not fit into an answer"
        raise Refused(failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.RPC, detail))
    return data
