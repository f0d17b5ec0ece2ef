"""The types by which the release before this one read a state, as they were: its version is 1.

Members that are not here it ignores. It is what "readable by the release before" means in tests;
test_releases.py asks that release itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct, field

_OWN = "twisted_virtlog"


class Suspended(Struct, frozen=True, omit_defaults=True):
    """See twisted_virtlog.handover.state."""

    received: bytes = b""
    skipping: int | None = None
    lost: bool = False
    batch: bytes | None = None
    batch_begun: bool = False
    input_ended: bool = False
    closed: bool = False


class Queued(Struct, frozen=True, omit_defaults=True):
    """See twisted_virtlog.handover.state."""

    data: bytes
    descriptors: tuple[int, ...] = ()


class ConnectionState(Struct, frozen=True, omit_defaults=True):
    """See twisted_virtlog.handover.state."""

    conversation: Suspended = Suspended()
    queued: tuple[Queued, ...] = ()
    closing: bool = False


class SocketState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    descriptor: int = field(name="fd")
    bound: bool = field(name="unlinkUNIX", default=False)
    is_client: bool = field(name="isClient", default=False)
    errfd: int = -1
    pid: int = 0
    file: tuple[int, int] | None = field(name=_OWN, default=None)


class ClientState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    id: int
    connected_at: int = field(name="conn_time")
    socket: SocketState = field(name="sock")
    connection: ConnectionState | None = field(name=_OWN, default=None)
    auth: int = 0
    auth_pending: bool = False
    readonly: bool = False
    nrequests_max: int = 1
    privateData: dict[str, Any] = field(default_factory=dict)


class ServiceState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    sockets: tuple[SocketState, ...] = field(name="socks", default=())
    auth: int = 0
    readonly: bool = False
    nrequests_client_max: int = 1


class ServerState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    max_clients: int
    next_client_id: int = 1
    services: tuple[ServiceState, ...] = ()
    clients: tuple[ClientState, ...] = ()
    max_anonymous_clients: int = 0
    min_workers: int = 0
    max_workers: int = 0
    priority_workers: int = 0
    keepaliveInterval: int = 4294967295
    keepaliveCount: int = 0


class OutageState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    since: datetime
    lost: int
    action: str
    errno: int


class LogDetails(Struct, frozen=True, omit_defaults=True):
    """See twisted_virtlog.handover.state."""

    opened_at: datetime
    file: str
    real_path: str
    bytes_written: int = 0
    rollovers: int = 0
    lost_bytes: int = 0
    outage: OutageState | None = None
    steps_left: int = 0
    has_domain: bool = True
    gone: tuple[int, ...] = ()


class OpenLogState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    pipe: int = field(name="pipefd")
    path: str
    driver: str
    domain_name: str = field(name="domname", default="")
    domain_uuid: str = field(name="domuuid", default="00000000-0000-0000-0000-000000000000")
    details: LogDetails | None = field(name=_OWN, default=None)


class Totals(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    opened_logs: int = 0
    bytes_written: int = 0
    bytes_lost: int = 0
    rollovers: int = 0


class Kept(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    journal: str
    unstored: tuple[str, ...] = ()
    unremoved: tuple[str, ...] = ()


class LoggingState(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    level: int
    filters: tuple[tuple[int, str], ...]
    outputs: tuple[tuple[int, str, str], ...]


class Details(Struct, frozen=True):
    """See twisted_virtlog.handover.state."""

    version: int
    started_at: datetime
    started: float
    totals: Totals = Totals()
    servers: dict[str, ServerState] = field(default_factory=dict)
    kept: Kept | None = None
    logging: LoggingState | None = None
    timeout: int | None = None
    workers: tuple[int, int] | None = None


class Daemon(Struct):
    """See twisted_virtlog.handover.state."""

    servers: dict[str, ServerState]


class Handler(Struct):
    """See twisted_virtlog.handover.state."""

    files: tuple[OpenLogState, ...] = ()


class Document(Struct):
    """See twisted_virtlog.handover.state."""

    magic: str
    daemon: Daemon
    handler: Handler
    details: Details | None = field(name=_OWN, default=None)
