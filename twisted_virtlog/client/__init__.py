"""Clients of the daemon's JSON-RPC socket.

This package exports the blocking client and what all clients have in common. The Twisted client is
in :mod:`twisted_virtlog.client.deferred`, the one for asyncio in
:mod:`twisted_virtlog.client.asyncio_client`, and for many logs over one connection there is
:mod:`twisted_virtlog.client.feed`. None of these is imported here, so that a command that blocks
does not wait for the import of Twisted or asyncio.
"""

from twisted_virtlog.client.admin_calls import (
    OwnLogging,
    ServerClients,
    ServerLimits,
)
from twisted_virtlog.client.blocking import BlockingClient
from twisted_virtlog.client.calls import Chunk, ConsumerInfo, DaemonInfo, LogInfo, PolicyWord
from twisted_virtlog.client.errors import (
    BadAnswer,
    BadRequest,
    ClientError,
    Disconnected,
    RemoteError,
    TimedOut,
    Unreachable,
)
from twisted_virtlog.client.history_calls import LogEvent, LogFile, LogFiles
from twisted_virtlog.client.notifications import (
    FeedData,
    FeedEnd,
    FeedLog,
    FollowedChunk,
    Snapshot,
)
from twisted_virtlog.values import (
    MAX_READ_BYTES,
    Boot,
    ClientInfo,
    Closed,
    Domain,
    Ledger,
    Opened,
    Position,
    Removed,
    TimeMark,
    TimeRange,
)

__all__ = [
    "MAX_READ_BYTES",
    "BadAnswer",
    "BadRequest",
    "BlockingClient",
    "Boot",
    "Chunk",
    "ClientError",
    "ClientInfo",
    "Closed",
    "ConsumerInfo",
    "DaemonInfo",
    "Disconnected",
    "Domain",
    "FeedData",
    "FeedEnd",
    "FeedLog",
    "FollowedChunk",
    "Ledger",
    "LogEvent",
    "LogFile",
    "LogFiles",
    "LogInfo",
    "Opened",
    "OwnLogging",
    "PolicyWord",
    "Position",
    "RemoteError",
    "Removed",
    "ServerClients",
    "ServerLimits",
    "Snapshot",
    "TimeMark",
    "TimeRange",
    "TimedOut",
    "Unreachable",
]
