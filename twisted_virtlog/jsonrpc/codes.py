"""The code and data by which each error is reported."""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from twisted_virtlog import errors
from twisted_virtlog.jsonrpc.messages import ErrorObject
from twisted_virtlog.jsonrpc.schema import Domain
from twisted_virtlog.jsonrpc.text import printable


class Code(enum.IntEnum):
    """Error codes. JSON-RPC 2.0 reserves -32768 to -32000, so the daemon's own lie outside."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    LOG_BUSY = 1001
    NO_SUCH_LOG = 1002
    SYSTEM_ERROR = 1003
    LIMIT = 1004
    SHUTTING_DOWN = 1005
    NOT_WRITTEN = 1006
    HAND_OVER_FAILED = 1007
    NO_SUCH_SERVER = 1008
    NO_SUCH_CLIENT = 1009
    NO_OWN_LOG = 1010
    NOT_ALLOWED = 1011
    NOT_ON_THIS_CONNECTION = 1012

    @property
    def meaning(self) -> str:
        """When the code is used, for documentation."""
        return _MEANINGS[self]


_MEANINGS = {
    Code.PARSE_ERROR: "a text is not JSON, not UTF-8, or longer than 16 MiB",
    Code.INVALID_REQUEST: "a text is JSON, but not a request",
    Code.METHOD_NOT_FOUND: "there is no such method",
    Code.INVALID_PARAMS: "a parameter is missing, unknown, or of a wrong type or value",
    Code.INTERNAL_ERROR: "an unexpected failure; the daemon's own log has the details",
    Code.LOG_BUSY: (
        "the log is open; data has driver, domain, opened_at and pipe of the holder. Or another"
        " daemon writes the logs of its file system: these are null, and data has pid and mount"
    ),
    Code.NO_SUCH_LOG: (
        "the log is not open (log.position, log.close), not known (log.remove), or no file of it"
        " exists (log.read)"
    ),
    Code.SYSTEM_ERROR: (
        "an operation of the system failed; data has errno (a name) and strerror, and mount if a"
        " file system does not answer (ETIMEDOUT)"
    ),
    Code.LIMIT: "a limit of the daemon was reached; data.limit names it",
    Code.SHUTTING_DOWN: "the daemon is stopping",
    Code.NOT_WRITTEN: (
        "the log's file cannot be written now, so its end is not known;"
        " data has errno, strerror and pending_bytes (null if nobody can tell), mount if the file"
        " system does not answer (ETIMEDOUT), and a true maybe_written for an append that had begun"
    ),
    Code.HAND_OVER_FAILED: "the daemon could not hand over to its next image, and continues",
    Code.NO_SUCH_SERVER: "the daemon has no such server; data.server names it",
    Code.NO_SUCH_CLIENT: "the server has no such client (any more); data has server and id",
    Code.NO_OWN_LOG: "the daemon runs inside another application, which does the logging",
    Code.NOT_ALLOWED: (
        "the path is not below log_roots, a symbolic link is on its way there, or its file has"
        " another name (a hard link): data.roots names the roots. On the read-only socket: it is"
        " not a log that the daemon knows"
    ),
    Code.NOT_ON_THIS_CONNECTION: (
        "the method is not served on the read-only socket, or needs the stream and came over HTTP"
    ),
}


def error_object(error: errors.DaemonError) -> ErrorObject:
    """Return how an error is reported to a client."""
    code, data = _code_and_data(error)
    if error.path is not None:
        data["path"] = printable(error.path)
    text = str(error)
    if isinstance(error, errors.BadSetting):
        text = f"Invalid params: {text}; {error.remedy}"
    return ErrorObject(code, printable(text), data or msgspec.UNSET)


def _code_and_data(error: errors.DaemonError) -> tuple[Code, dict[str, Any]]:
    code = Code.INTERNAL_ERROR
    data: dict[str, Any] = {}
    match error:
        case errors.LogBusy():
            code, data = Code.LOG_BUSY, _holder_data(error)
        case errors.HeldByOther():
            code = Code.LOG_BUSY
            data = {**_UNKNOWN_HOLDER, "pid": error.pid, "mount": printable(error.mount)}
        case errors.NoSuchLog():
            code = Code.NO_SUCH_LOG
        case errors.NotWritten():
            code = Code.NOT_WRITTEN
            data = _not_written_data(error)
        case errors.NoAnswer():
            code = Code.SYSTEM_ERROR
            data = {**_system_data(error.errno), "mount": printable(error.mount)}
        case errors.NotAllowed() | errors.LeadsOut():
            code, data = Code.NOT_ALLOWED, _roots_data(error.roots)
        case errors.SystemFailure():
            code, data = Code.SYSTEM_ERROR, _system_data(error.errno)
        case errors.UnsupportedBackups():
            code, data = Code.SYSTEM_ERROR, _system_data(errno.EINVAL)
        case errors.LimitReached():
            code, data = Code.LIMIT, {"limit": error.limit}
        case errors.ShuttingDown():
            code = Code.SHUTTING_DOWN
        case errors.HandOverFailed():
            code = Code.HAND_OVER_FAILED
        case errors.AdministrationError():
            code, data = _administration_data(error)
    return code, data


def _administration_data(error: errors.AdministrationError) -> tuple[Code, dict[str, Any]]:
    match error:
        case errors.NoSuchServer():
            return Code.NO_SUCH_SERVER, {"server": printable(error.server)}
        case errors.NoSuchClient():
            return Code.NO_SUCH_CLIENT, {"server": printable(error.server), "id": error.id}
        case errors.BadSetting():
            return Code.INVALID_PARAMS, {}
        case errors.NoOwnLog():
            return Code.NO_OWN_LOG, {}
    return Code.INTERNAL_ERROR, {}


def _holder_data(error: errors.LogBusy) -> dict[str, Any]:
    return {
        "driver": printable(error.driver),
        "domain": None if error.domain is None else Domain.of(error.domain),
        "opened_at": error.opened_at,
        "pipe": error.pipe,
    }


#: What only the process that has the log could tell.
_UNKNOWN_HOLDER = {"driver": None, "domain": None, "opened_at": None, "pipe": None}


def _not_written_data(error: errors.NotWritten) -> dict[str, Any]:
    data = {**_system_data(error.errno), "pending_bytes": error.pending_bytes}
    if error.mount is not None:
        data["mount"] = printable(error.mount)
    if error.maybe_written:
        data["maybe_written"] = True
    return data


def _roots_data(roots: Sequence[str]) -> dict[str, Any]:
    return {"roots": [printable(root) for root in roots]} if roots else {}


def _system_data(number: int) -> dict[str, Any]:
    name = errno.errorcode.get(number, str(number))
    return {"errno": name, "strerror": os.strerror(number)}
