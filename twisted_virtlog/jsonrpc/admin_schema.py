"""Types of the methods that administer the daemon: clients, limits and the daemon's own log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from twisted_virtlog import values
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
    """Whose clients."""

    server: Annotated[
        ServerName | None, Meta(description="only this server; null: all of them")
    ] = None


class DisconnectParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Somebody who is connected."""

    server: ServerName
    id: ClientNumber


class LimitsParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A server, and what may be changed of it."""

    server: ServerName
    max_clients: Annotated[
        int, Meta(ge=0, le=_UINT32, description="clients served at once; 0 lets nobody in")
    ]


class LoggingParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What is to be changed of the daemon's own log."""

    level: Annotated[
        Level | None, Meta(description="least level of what no filter speaks of; null: as it is")
    ] = None
    filters: Annotated[
        list[str] | None,
        Meta(
            description="other levels for parts of the daemon, as libvirt's log_filters, one each;"
            " null: as they are",
            examples=[["1:logs", "3:jsonrpc"]],
        ),
    ] = None
    outputs: Annotated[
        list[str] | None,
        Meta(
            description="where to log to, as libvirt's log_outputs, one each; empty: the default;"
            " null: as they are",
            examples=[["3:stderr", "1:file:/var/log/libvirt/virtlogd.log"]],
        ),
    ] = None


class ClientEntry(Struct, frozen=True):
    """Somebody who is connected, as the kernel told it when it connected."""

    id: ClientNumber
    connected_at: Annotated[datetime, Meta(tz=True, description="since when, in full seconds")]
    pid: Annotated[int, Meta(description="process id")]
    uid: Annotated[int, Meta(ge=0, description="user id")]
    user: Annotated[str | None, Meta(description="the user's name, null if it has none")]
    gid: Annotated[int, Meta(ge=0, description="group id")]
    group: Annotated[str | None, Meta(description="the group's name, null if it has none")]

    @classmethod
    def of(cls, client: values.ClientStatus) -> ClientEntry:
        """Make the same of what the administration tells."""
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
        int, Meta(ge=0, description="at so many no more are accepted until one leaves")
    ]
    clients: Annotated[list[ClientEntry], Meta(description="in order of arrival")]


class LimitsResult(Struct, frozen=True):
    """What holds of a server's clients now."""

    server: ServerName
    max_clients: Annotated[
        int, Meta(ge=0, description="at so many no more are accepted until one leaves")
    ]
    clients: Annotated[int, Meta(ge=0, description="clients connected now")]


class LoggingResult(Struct, frozen=True):
    """What the daemon logs of itself, and where, in the form of the parameters."""

    level: Annotated[Level, Meta(description="least level of what no filter speaks of")]
    filters: Annotated[list[str], Meta(description="other levels for parts of the daemon")]
    outputs: Annotated[list[str], Meta(description="where it logs to")]

    @classmethod
    def of(cls, logging: Logging) -> LoggingResult:
        """Make the same of what the administration tells."""
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
