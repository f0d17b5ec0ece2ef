"""The methods that administer the daemon: a part of the table in :mod:`.methods`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from twisted_virtlog.jsonrpc import admin_schema as schema
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import Example, Method, Services
from twisted_virtlog.jsonrpc.params import InvalidParams, ParamsDecoder
from twisted_virtlog.jsonrpc.schema import NoParams
from twisted_virtlog.values import ClientLimits, Logging

#: The servers over which a limit can be set.
_DOORS_OF_LIMITS = frozenset({"admin", "jsonrpc"})


def _clients(services: Services, params: schema.ClientsParams) -> list[schema.ServerEntry]:
    administration = services.administration
    names = administration.servers() if params.server is None else [params.server]
    return [
        schema.ServerEntry(
            server=name,
            max_clients=administration.limits(name).max_clients,
            clients=[schema.ClientEntry.of(client) for client in administration.clients(name)],
        )
        for name in names
    ]


def _disconnect(services: Services, params: schema.DisconnectParams) -> None:
    services.administration.disconnect(params.server, params.id)


def _set_limits(services: Services, params: schema.LimitsParams) -> ClientLimits:
    administration = services.administration
    if not params.max_clients and params.server in _DOORS_OF_LIMITS:
        raise InvalidParams(
            f"max_clients is 0: nobody could connect to {params.server} any more to set another"
            " limit; give at least 1"
        )
    # Nobody is ever anonymous, so that a limit for those is only in the way.
    administration.set_limits(params.server, params.max_clients, params.max_clients)
    found: ClientLimits = administration.limits(params.server)
    return found


def _limits_result(limits: ClientLimits, params: schema.LimitsParams) -> schema.LimitsResult:
    return schema.LimitsResult(params.server, limits.max_clients, limits.clients)


def _get_logging(services: Services, _params: NoParams) -> Logging:
    found: Logging = services.administration.logging()
    return found


def _set_logging(services: Services, params: schema.LoggingParams) -> Logging:
    services.administration.set_logging(
        None if params.level is None else schema.PRIORITIES[params.level],
        None if params.filters is None else " ".join(params.filters),
        None if params.outputs is None else " ".join(params.outputs),
    )
    found: Logging = services.administration.logging()
    return found


def _logging_result(logging: Logging, _params: object) -> schema.LoggingResult:
    return schema.LoggingResult.of(logging)


def _as_it_is(value: object, _params: object) -> object:
    return value


def _true(_value: object, _params: object) -> bool:
    return True


ADMIN_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="daemon.clients",
        summary="Tell who is connected, by server, and how many may be.",
        params=ParamsDecoder(schema.ClientsParams),
        result=list[schema.ServerEntry],
        ask=_clients,
        present=_as_it_is,
        example=Example(
            "who reads logs",
            schema.ClientsParams("jsonrpc"),
            [
                schema.ServerEntry(
                    server="jsonrpc",
                    max_clients=1024,
                    clients=[
                        schema.ClientEntry(
                            id=2,
                            connected_at=datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc),
                            pid=28027,
                            uid=0,
                            user="root",
                            gid=0,
                            group="root",
                        )
                    ],
                )
            ],
        ),
        errors=(Code.NO_SUCH_SERVER,),
    ),
    Method(
        name="daemon.disconnect",
        summary=(
            "Close a client's connection at once; the logs that it opened stay open. Who"
            " disconnects itself gets no answer."
        ),
        params=ParamsDecoder(schema.DisconnectParams),
        result=bool,
        ask=_disconnect,
        present=_true,
        example=Example("one client", schema.DisconnectParams("jsonrpc", 2), result=True),
        errors=(Code.NO_SUCH_SERVER, Code.NO_SUCH_CLIENT),
    ),
    Method(
        name="daemon.set_limits",
        summary=(
            "Set how many clients of a server are served at once, until the configuration is read"
            " again. Nobody is disconnected; who waits is served when there is room."
        ),
        params=ParamsDecoder(schema.LimitsParams),
        result=schema.LimitsResult,
        ask=_set_limits,
        present=_limits_result,
        example=Example(
            "at most 200 connections of libvirt's drivers",
            schema.LimitsParams("virtlogd", 200),
            schema.LimitsResult("virtlogd", 200, clients=1),
        ),
        errors=(Code.NO_SUCH_SERVER,),
    ),
    Method(
        name="daemon.get_logging",
        summary="Tell what the daemon logs of itself, and where.",
        params=ParamsDecoder(NoParams),
        result=schema.LoggingResult,
        ask=_get_logging,
        present=_logging_result,
        example=Example(
            "the default",
            NoParams(),
            schema.LoggingResult("warning", [], ["3:stderr"]),
        ),
        errors=(Code.NO_OWN_LOG,),
    ),
    Method(
        name="daemon.set_logging",
        summary=(
            "Change what the daemon logs of itself, and where, until the configuration is read"
            " again; all that is asked for, or, if one part is refused, nothing. The result is"
            " what then holds."
        ),
        params=ParamsDecoder(schema.LoggingParams),
        result=schema.LoggingResult,
        ask=_set_logging,
        present=_logging_result,
        example=Example(
            "more of what is done with logs",
            schema.LoggingParams(filters=["1:logs"]),
            schema.LoggingResult("warning", ["1:logs"], ["3:stderr"]),
        ),
        errors=(Code.SYSTEM_ERROR, Code.NO_OWN_LOG),
    ),
)
