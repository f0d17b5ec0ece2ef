"""libvirt's admin program: its twenty procedures, over the daemon's administration."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from twisted_virtlog.errors import DaemonError
from twisted_virtlog.interfaces import IAdministration
from twisted_virtlog.libvirt import admin_calls as calls
from twisted_virtlog.libvirt import admin_types as t
from twisted_virtlog.libvirt.messages import ErrorBody
from twisted_virtlog.libvirt.program import Procedure, Program
from twisted_virtlog.libvirt.xdr import NOTHING, XDRType

A = TypeVar("A")


def _act(
    number: int,
    name: str,
    arguments: XDRType[A],
    ask: Callable[[IAdministration, A], None],
    explain: Callable[[DaemonError, A], ErrorBody] = calls.explain,
    closes: bool = False,
) -> Procedure[IAdministration, A, None]:
    """Return a procedure that has no results."""
    return Procedure(number, name, arguments, NOTHING, ask, lambda *_: None, explain, None, closes)


ADMIN_PROGRAM: Program[IAdministration] = Program(
    number=0x06900690,
    version=1,
    procedures=[
        _act(1, "CONNECT_OPEN", t.FLAGS, calls.open_connection),
        _act(2, "CONNECT_CLOSE", NOTHING, calls.close_connection, closes=True),
        Procedure(
            3,
            "CONNECT_GET_LIB_VERSION",
            NOTHING,
            t.LIB_VERSION,
            calls.lib_version,
            lambda version, _: t.LibVersion(version),
            calls.explain,
        ),
        Procedure(
            4,
            "CONNECT_LIST_SERVERS",
            t.LIST_SERVERS,
            t.SERVERS,
            calls.list_servers,
            lambda names, call: t.Servers(
                tuple(t.ServerName(os.fsencode(name)) for name in names if call.need_results),
                len(names),
            ),
            calls.explain,
        ),
        Procedure(
            5,
            "CONNECT_LOOKUP_SERVER",
            t.LOOK_UP_SERVER,
            t.FOUND_SERVER,
            calls.look_up_server,
            lambda name, _: t.FoundServer(t.ServerName(os.fsencode(name))),
            calls.explain,
        ),
        Procedure(
            6,
            "SERVER_GET_THREADPOOL_PARAMETERS",
            t.OF_SERVER,
            t.SETTINGS,
            calls.thread_pool,
            calls.present_thread_pool,
            calls.explain,
        ),
        _act(
            7,
            "SERVER_SET_THREADPOOL_PARAMETERS",
            t.SET_OF_SERVER,
            calls.set_thread_pool,
            calls.explain_by_caller,
        ),
        Procedure(
            8,
            "SERVER_LIST_CLIENTS",
            t.LIST_CLIENTS,
            t.CLIENTS,
            calls.list_clients,
            calls.present_clients,
            calls.explain,
            slices=calls.clients_in_slices,
        ),
        Procedure(
            9,
            "SERVER_LOOKUP_CLIENT",
            t.LOOK_UP_CLIENT,
            t.FOUND_CLIENT,
            calls.look_up_client,
            lambda client, call: t.FoundClient(calls.client_name(client, call.srv)),
            calls.explain,
        ),
        Procedure(
            10,
            "CLIENT_GET_INFO",
            t.OF_CLIENT,
            t.CLIENT_FACTS,
            calls.client_info,
            calls.present_client_info,
            calls.explain_by_caller,
        ),
        _act(11, "CLIENT_CLOSE", t.OF_CLIENT, calls.close_client),
        Procedure(
            12,
            "SERVER_GET_CLIENT_LIMITS",
            t.OF_SERVER,
            t.SETTINGS,
            calls.limits,
            calls.present_limits,
            calls.explain,
        ),
        _act(
            13,
            "SERVER_SET_CLIENT_LIMITS",
            t.SET_OF_SERVER,
            calls.set_limits,
            calls.explain_by_caller,
        ),
        Procedure(
            14,
            "CONNECT_GET_LOGGING_OUTPUTS",
            t.FLAGS,
            t.OUTPUTS,
            calls.logging_of("adminConnectGetLoggingOutputs"),
            calls.present_outputs,
            calls.explain,
        ),
        Procedure(
            15,
            "CONNECT_GET_LOGGING_FILTERS",
            t.FLAGS,
            t.FILTERS,
            calls.logging_of("adminConnectGetLoggingFilters"),
            calls.present_filters,
            calls.explain,
        ),
        _act(16, "CONNECT_SET_LOGGING_OUTPUTS", t.SET_OUTPUTS, calls.set_outputs),
        _act(17, "CONNECT_SET_LOGGING_FILTERS", t.SET_FILTERS, calls.set_filters),
        _act(18, "SERVER_UPDATE_TLS_FILES", t.OF_SERVER, calls.update_tls),
        _act(19, "CONNECT_SET_DAEMON_TIMEOUT", t.SET_TIMEOUT, calls.set_timeout),
        _act(20, "CONNECT_DAEMON_SHUTDOWN", t.FLAGS, calls.shut_down),
    ],
)
