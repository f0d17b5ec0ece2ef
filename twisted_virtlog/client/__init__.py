"""Clients of the daemon's JSON-RPC socket.

Here is the blocking one and what all have in common. The Twisted client is
:mod:`twisted_virtlog.client.deferred`, that for asyncio is
:mod:`twisted_virtlog.client.asyncio_client`; they are not imported from here, so that a command
that blocks starts without the time that importing Twisted or asyncio takes.
"""

from twisted_virtlog.client.admin_calls import (
    ClientInfo,
    OwnLogging,
    ServerClients,
    ServerLimits,
)
from twisted_virtlog.client.blocking import BlockingClient
from twisted_virtlog.client.calls import Chunk, DaemonInfo, LogInfo
from twisted_virtlog.client.errors import (
    BadAnswer,
    BadRequest,
    ClientError,
    Disconnected,
    RemoteError,
    TimedOut,
    Unreachable,
)
from twisted_virtlog.values import MAX_READ_BYTES, Closed, Domain, Opened, Position

__all__ = [
    "MAX_READ_BYTES",
    "BadAnswer",
    "BadRequest",
    "BlockingClient",
    "Chunk",
    "ClientError",
    "ClientInfo",
    "Closed",
    "DaemonInfo",
    "Disconnected",
    "Domain",
    "LogInfo",
    "Opened",
    "OwnLogging",
    "Position",
    "RemoteError",
    "ServerClients",
    "ServerLimits",
    "TimedOut",
    "Unreachable",
]
