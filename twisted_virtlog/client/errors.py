"""The errors that every client raises, by name."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """The base of all errors that the clients raise on purpose."""


class RemoteError(ClientError):
    """The daemon answered with an error.

    :ivar code: one of JSON-RPC 2.0 (-32700 to -32600) or the daemon's own, such as 1002 for a log
        that does not exist; doc/jsonrpc.md lists them.
    :ivar message: for people.
    :ivar data: for programs, such as ``{"path": "/p/a.log"}``, or None.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} (error {code})")
        self.code = code
        self.message = message
        self.data = data


class BadRequest(ClientError):
    """The request cannot be written in JSON, or is too long; it was not sent."""


class BadAnswer(ClientError):
    """The answer does not fit the request: the daemon, or something in between, is broken."""


class Unreachable(ClientError):
    """No daemon can be reached at the socket.

    :ivar errno: the system's error number, or None.
    """

    def __init__(self, path: str, reason: str, errno: int | None) -> None:
        super().__init__(f"cannot connect to {path}: {reason}")
        self.errno = errno


class Disconnected(ClientError):
    """The connection ended before the answer came; the request may have been carried out."""


class TimedOut(Disconnected):
    """The answer did not come in time; the request may have been carried out.

    The blocking client closes its connection then; the asyncio client's remains usable.
    """
