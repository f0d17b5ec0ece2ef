"""The error structure by which each error is reported: codes, domains and virtlogd's texts."""

from __future__ import annotations

import enum
import errno
import os

from twisted_virtlog import errors
from twisted_virtlog.libvirt.libvirt_texts import texts
from twisted_virtlog.libvirt.messages import MAX_STRING_BYTES, ErrorBody


class ErrorCode(enum.IntEnum):
    """What went wrong: the members of libvirt's virErrorNumber that a log daemon uses."""

    INTERNAL_ERROR = 1
    INVALID_ARGUMENT = 8
    OPERATION_DENIED = 29
    SYSTEM_ERROR = 38
    RPC = 39
    CONFIG_UNSUPPORTED = 67
    ARGUMENT_UNSUPPORTED = 74
    NO_SERVER = 95
    NO_CLIENT = 96


class ErrorDomain(enum.IntEnum):
    """Who reports it: the members of libvirt's virErrorDomain that a log daemon uses."""

    NONE = 0
    RPC = 7
    ADMIN = 62
    LOGGING = 63


_PREFIXES = {
    ErrorCode.INTERNAL_ERROR: "internal error: ",
    ErrorCode.INVALID_ARGUMENT: "invalid argument: ",
    ErrorCode.OPERATION_DENIED: "operation forbidden: ",
    ErrorCode.RPC: "",
    ErrorCode.CONFIG_UNSUPPORTED: "unsupported configuration: ",
    ErrorCode.ARGUMENT_UNSUPPORTED: "argument unsupported: ",
    ErrorCode.NO_SERVER: "Server not found: ",
    ErrorCode.NO_CLIENT: "Client not found: ",
}


class Refused(Exception):
    """A call is answered with an error.

    :ivar body: the error.
    """

    def __init__(self, body: ErrorBody) -> None:
        super().__init__(body)
        self.body = body


def failure(code: ErrorCode, domain: ErrorDomain, detail: str) -> ErrorBody:
    """Return the report of an error that is not a system error.

    :param detail: the text after the prefix of the code.
    """
    prefix = _PREFIXES[code]
    return ErrorBody(
        code,
        domain,
        _encode(prefix + detail),
        str1=_encode(prefix + (texts().detail if prefix else "%s")),
        str2=_encode(detail),
        int1=-1,
        int2=-1,
    )


def system_failure(
    domain: ErrorDomain, action: str, number: int, reason: str | None = None
) -> ErrorBody:
    """Return the report of a system error.

    :param action: what was tried.
    :param number: the error number.
    :param reason: why it failed, in words; None: as the system has it.
    """
    text = _encode(f"{action}: {os.strerror(number) if reason is None else reason}")
    return ErrorBody(
        ErrorCode.SYSTEM_ERROR, domain, text, str1=b"%s", str2=text, int1=number, int2=-1
    )


def unsupported_flags(domain: ErrorDomain, flags: int, function: str) -> ErrorBody:
    """Return the report of flags that a call does not support.

    :param function: the function that libvirt's text names.
    """
    text = f"unsupported flags ({flags:#x}) in function {function}"
    return ErrorBody(
        ErrorCode.INVALID_ARGUMENT, domain, text.encode(), str1=function.encode(), str2=b"flags"
    )


def rpc_failure(detail: str) -> ErrorBody:
    """Return the report of a call that is malformed."""
    return failure(ErrorCode.RPC, ErrorDomain.RPC, detail)


def log_failure(error: errors.DaemonError, path: str) -> ErrorBody:
    """Return the report of an error of the log handler.

    :param path: the log, as the client spelled it.
    """
    opening = f"Unable to open file: {path}"
    match error:
        case errors.LogBusy():
            action = f"Cannot open log file: '{path}'"
            body = system_failure(ErrorDomain.LOGGING, action, errno.EBUSY)
        case errors.HeldByOther():
            action = f"Cannot open log file: '{path}': {error.reason}"
            body = system_failure(ErrorDomain.LOGGING, action, errno.EBUSY)
        case errors.NoSuchLog():
            detail = f"No open log file {path}"
            body = failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.LOGGING, detail)
        case errors.NotAllowed() | errors.LeadsOut():
            body = failure(ErrorCode.OPERATION_DENIED, ErrorDomain.LOGGING, str(error))
        case errors.NotWritten():
            body = system_failure(ErrorDomain.LOGGING, error.action, error.errno, error.reason)
        case errors.SystemFailure():
            body = system_failure(ErrorDomain.NONE, error.action, error.errno, error.reason)
        case errors.LimitReached():
            body = system_failure(ErrorDomain.NONE, opening, errno.EMFILE)
        case errors.UnsupportedBackups():
            body = failure(ErrorCode.CONFIG_UNSUPPORTED, ErrorDomain.NONE, str(error))
        case errors.ShuttingDown():
            body = system_failure(ErrorDomain.LOGGING, opening, errno.ECANCELED)
        case _:
            body = failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.LOGGING, str(error))
    return body


def administration_failure(
    error: errors.DaemonError, domain: ErrorDomain = ErrorDomain.RPC
) -> ErrorBody:
    """Return the report of an error of the administration.

    :param domain: who did not find a server or a client, as each has its own text.
    """
    by_caller = domain is ErrorDomain.ADMIN
    match error:
        case errors.NoSuchServer(server=name):
            detail = (
                f"no server with matching name '{name}' found"
                if by_caller
                else f"No server named '{name}'"
            )
            body = failure(ErrorCode.NO_SERVER, domain, detail)
        case errors.NoSuchClient(id=number):
            detail = (
                f"no client with matching id '{number}' found"
                if by_caller
                else f"No client with matching ID '{number}'"
            )
            body = failure(ErrorCode.NO_CLIENT, domain, detail)
        case errors.BadLimits():
            body = failure(ErrorCode.INVALID_ARGUMENT, ErrorDomain.RPC, texts().bad_limits)
        case errors.BadSetting():
            body = failure(ErrorCode.INVALID_ARGUMENT, ErrorDomain.NONE, str(error))
        case errors.SystemFailure():
            body = system_failure(ErrorDomain.NONE, error.action, error.errno, error.reason)
        case errors.NoOwnLog():
            body = failure(ErrorCode.CONFIG_UNSUPPORTED, ErrorDomain.NONE, str(error))
        case _:
            body = failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.RPC, str(error))
    return body


def unforeseen(error: BaseException | None) -> ErrorBody:
    """Return the report of an unexpected error."""
    detail = f"{type(error).__name__}; the daemon's log says more"
    return failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.RPC, detail)


def _encode(text: str) -> bytes:
    # A path may be as long as the longest string; with the text around it, it would be too long.
    return os.fsencode(text)[:MAX_STRING_BYTES]
