"""The methods that administer the daemon, with the types of their parameters and results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from twisted_virtlog import values
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.long_result import SlicedResult
from twisted_virtlog.jsonrpc.method import Example, Method, Services, true
from twisted_virtlog.jsonrpc.params import InvalidParams, ParamsDecoder
from twisted_virtlog.jsonrpc.schema import NoParams
from twisted_virtlog.jsonrpc.text import printable
from twisted_virtlog.values import Logging, Priority

Level = Literal["debug", "info", "warning", "error"]


ServerName = Annotated[
    str,
    Meta(
        description="clients of one protocol: virtlogd (libvirt's drivers), jsonrpc or admin",
        examples=["virtlogd"],
    ),
]


ClientNumber = Annotated[
    int,
    Meta(
        ge=1,
        le=2**63 - 1,
        description="counts from 1 for each server and is never used again",
    ),
]


_UINT32 = 2**32 - 1


class ClientsParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The server whose clients are wanted."""

    server: Annotated[
        ServerName | None, Meta(description="only this server; null: all of them")
    ] = None


class DisconnectParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A connected client."""

    server: ServerName
    id: ClientNumber


class LimitsParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A server, and its new limit."""

    server: ServerName
    max_clients: Annotated[
        int, Meta(ge=0, le=_UINT32, description="clients served at once; 0 admits nobody")
    ]


class LoggingParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What to change about the daemon's own log."""

    level: Annotated[
        Level | None, Meta(description="level of messages that no filter matches; null: unchanged")
    ] = None
    filters: Annotated[
        list[str] | None,
        Meta(
            description="other levels for parts of the daemon, one filter of libvirt's log_filters"
            " each; null: unchanged",
            examples=[["1:logs", "3:jsonrpc"]],
        ),
    ] = None
    outputs: Annotated[
        list[str] | None,
        Meta(
            description="where to log, one output of libvirt's log_outputs each; empty: the"
            " default; null: unchanged",
            examples=[["3:stderr", "1:file:/var/log/libvirt/virtlogd.log"]],
        ),
    ] = None


class ClientEntry(Struct, frozen=True, gc=False):
    """A connected client, with what the kernel reported when it connected."""

    id: ClientNumber
    connected_at: Annotated[
        datetime, Meta(tz=True, description="when it connected, in full seconds")
    ]
    pid: Annotated[int, Meta(description="process id")]
    uid: Annotated[int, Meta(ge=0, description="user id")]
    user: Annotated[str | None, Meta(description="the user's name, null if it has none")]
    gid: Annotated[int, Meta(ge=0, description="group id")]
    group: Annotated[str | None, Meta(description="the group's name, null if it has none")]

    @classmethod
    def of(cls, client: values.ClientInfo) -> ClientEntry:
        """Return the form for JSON."""
        return cls(
            id=client.id,
            connected_at=client.connected_at,
            pid=client.pid,
            uid=client.uid,
            user=None if client.user is None else printable(client.user),
            gid=client.gid,
            group=None if client.group is None else printable(client.group),
        )


class ServerEntry(Struct, frozen=True):
    """The clients of one protocol."""

    server: ServerName
    max_clients: Annotated[
        int, Meta(ge=0, description="with this many connected, others wait until one leaves")
    ]
    clients: Annotated[list[ClientEntry], Meta(description="in order of arrival")]


class LimitsResult(Struct, frozen=True):
    """The limit of a server's clients, and how many it has."""

    server: ServerName
    max_clients: Annotated[
        int, Meta(ge=0, description="with this many connected, others wait until one leaves")
    ]
    clients: Annotated[int, Meta(ge=0, description="clients connected now")]


class LoggingResult(Struct, frozen=True):
    """What the daemon logs about itself, and where, in the form of the parameters."""

    level: Annotated[Level, Meta(description="level of messages that no filter matches")]
    filters: Annotated[list[str], Meta(description="other levels for parts of the daemon")]
    outputs: Annotated[list[str], Meta(description="where it logs to")]

    @classmethod
    def of(cls, logging: Logging) -> LoggingResult:
        """Return the form for JSON."""
        return cls(
            level=_NAMES[logging.level],
            filters=[
                printable(f"{one.priority.value}:{one.match[1:-1]}") for one in logging.filters
            ],
            outputs=[printable(str(one)) for one in logging.outputs],
        )


_NAMES: dict[Priority, Level] = {
    Priority.DEBUG: "debug",
    Priority.INFO: "info",
    Priority.WARNING: "warning",
    Priority.ERROR: "error",
}


PRIORITIES = {name: priority for priority, name in _NAMES.items()}


#: So many clients are presented at once, or in one slice.
_ENTRIES_AT_ONCE = 32

#: The servers through which a limit can be set.
_DOORS_OF_LIMITS = frozenset({"admin", "jsonrpc"})


class _Server(NamedTuple):
    name: str
    max_clients: int
    clients: Sequence[values.ClientInfo]

    def entry(self, clients: Sequence[ClientEntry]) -> ServerEntry:
        return ServerEntry(self.name, self.max_clients, list(clients))


def _clients(services: Services, params: ClientsParams) -> Sequence[_Server]:
    administration = services.administration
    names = administration.servers() if params.server is None else [params.server]
    return [
        _Server(name, administration.limits(name).max_clients, administration.clients(name))
        for name in names
    ]


def _servers(
    servers: Sequence[_Server], _params: ClientsParams
) -> Sequence[ServerEntry] | SlicedResult:
    if sum(len(server.clients) for server in servers) > _ENTRIES_AT_ONCE:
        return SlicedResult(_servers_in_slices(servers))
    return [server.entry(_entries(server.clients)) for server in servers]


def _entries(clients: Sequence[values.ClientInfo]) -> Sequence[ClientEntry]:
    return [ClientEntry.of(client) for client in clients]


def _servers_in_slices(servers: Sequence[_Server]) -> Iterator[bytes]:
    between_servers = b"["
    for server in servers:
        # The clients are the last member.
        before, brackets, after = msgspec.json.encode(server.entry(())).rpartition(b"[]")
        separator = between_servers + before + brackets[:1]
        for start in range(0, len(server.clients), _ENTRIES_AT_ONCE):
            entries = _entries(server.clients[start : start + _ENTRIES_AT_ONCE])
            yield separator + msgspec.json.encode(entries)[1:-1]
            separator = b","
        if not server.clients:
            yield separator
        yield brackets[1:] + after
        between_servers = b","
    yield b"]"


def _disconnect(services: Services, params: DisconnectParams) -> None:
    services.administration.disconnect(params.server, params.id)


def _set_limits(services: Services, params: LimitsParams) -> values.ClientLimits:
    administration = services.administration
    if not params.max_clients and params.server in _DOORS_OF_LIMITS:
        raise InvalidParams(
            f"max_clients is 0: nobody could connect to {params.server} any more to set another"
            " limit; give at least 1"
        )
    # Nobody is ever anonymous, and a lower limit for those would only be in the way.
    administration.set_limits(params.server, params.max_clients, params.max_clients)
    found: values.ClientLimits = administration.limits(params.server)
    return found


def _limits_result(limits: values.ClientLimits, params: LimitsParams) -> LimitsResult:
    return LimitsResult(params.server, limits.max_clients, limits.clients)


def _get_logging(services: Services, _params: NoParams) -> Logging:
    found: Logging = services.administration.logging()
    return found


def _set_logging(services: Services, params: LoggingParams) -> Logging:
    services.administration.set_logging(
        None if params.level is None else PRIORITIES[params.level],
        None if params.filters is None else " ".join(params.filters),
        None if params.outputs is None else " ".join(params.outputs),
    )
    found: Logging = services.administration.logging()
    return found


def _logging_result(logging: Logging, _params: object) -> LoggingResult:
    return LoggingResult.of(logging)


ADMIN_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="daemon.clients",
        summary="Return who is connected, by server, and how many may be.",
        params=ParamsDecoder(ClientsParams),
        result=list[ServerEntry],
        ask=_clients,
        present=_servers,
        example=Example(
            "who is connected to JSON-RPC",
            ClientsParams("jsonrpc"),
            [
                ServerEntry(
                    server="jsonrpc",
                    max_clients=1024,
                    clients=[
                        ClientEntry(
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
            "Close a client's connection at once; the logs that it opened stay open. A client that"
            " disconnects itself gets no answer."
        ),
        params=ParamsDecoder(DisconnectParams),
        result=bool,
        ask=_disconnect,
        present=true,
        example=Example("one client", DisconnectParams("jsonrpc", 2), result=True),
        errors=(Code.NO_SUCH_SERVER, Code.NO_SUCH_CLIENT),
    ),
    Method(
        name="daemon.set_limits",
        summary=(
            "Set how many clients of a server are served at once, until the configuration is read"
            " again. Nobody is disconnected; clients that wait are served when there is room."
        ),
        params=ParamsDecoder(LimitsParams),
        result=LimitsResult,
        ask=_set_limits,
        present=_limits_result,
        example=Example(
            "at most 200 connections of libvirt's drivers",
            LimitsParams("virtlogd", 200),
            LimitsResult("virtlogd", 200, clients=1),
        ),
        errors=(Code.NO_SUCH_SERVER,),
    ),
    Method(
        name="daemon.get_logging",
        summary="Return what the daemon logs about itself, and where.",
        params=ParamsDecoder(NoParams),
        result=LoggingResult,
        ask=_get_logging,
        present=_logging_result,
        example=Example(
            "the default",
            NoParams(),
            LoggingResult("warning", [], ["3:stderr"]),
        ),
        errors=(Code.NO_OWN_LOG,),
    ),
    Method(
        name="daemon.set_logging",
        summary=(
            "Change what the daemon logs about itself, and where, until the configuration is read"
            " again. If one part is refused, nothing changes. The result is the new state."
        ),
        params=ParamsDecoder(LoggingParams),
        result=LoggingResult,
        ask=_set_logging,
        present=_logging_result,
        example=Example(
            "more about logs",
            LoggingParams(filters=["1:logs"]),
            LoggingResult("warning", ["1:logs"], ["3:stderr"]),
        ),
        errors=(Code.SYSTEM_ERROR, Code.NO_OWN_LOG),
    ),
)
