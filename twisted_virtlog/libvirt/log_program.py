"""The log program of libvirt's virtlogd: its four procedures, over the log handler."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from twisted_virtlog.errors import DaemonError, NoSuchLog, NotWritten
from twisted_virtlog.interfaces import Answer, ILogHandler
from twisted_virtlog.libvirt.compound import Record
from twisted_virtlog.libvirt.errors import (
    ErrorCode,
    ErrorDomain,
    Refused,
    failure,
    log_failure,
    system_failure,
    unsupported_flags,
)
from twisted_virtlog.libvirt.messages import MAX_STRING_BYTES, STRING, UUID, ErrorBody
from twisted_virtlog.libvirt.program import Procedure, Program
from twisted_virtlog.libvirt.xdr import INT, UHYPER, UINT, Path, StringInPieces
from twisted_virtlog.values import (
    MAX_NAME_CHARACTERS,
    MAX_READ_BYTES,
    Domain,
    Excerpt,
    Opened,
    Position,
)

#: A flag of OPEN: begin with an empty file. OPEN ignores all others; the other calls refuse any.
TRUNCATE = 1

_MAX_OFFSET = 2**63 - 1

#: So many guests are remembered, by their latest calls.
_GUESTS = 64


class OpenArguments(msgspec.Struct, frozen=True, gc=False):
    """A log to open for a guest of a driver."""

    driver: bytes
    uuid: bytes
    name: bytes
    path: str
    flags: int


class PositionArguments(msgspec.Struct, frozen=True, gc=False):
    """The log whose end is asked for."""

    path: str
    flags: int


class ReadArguments(msgspec.Struct, frozen=True, gc=False):
    """Where to read, and at most how many bytes."""

    path: str
    inode: int
    offset: int
    maxlen: int
    flags: int


class AppendArguments(msgspec.Struct, frozen=True, gc=False):
    """A message for a log."""

    driver: bytes
    uuid: bytes
    name: bytes
    path: str
    message: bytes
    flags: int


PATH = Path(MAX_STRING_BYTES)
POSITION = Record(Position, inode=UHYPER, offset=UHYPER)


def _open(logs: ILogHandler, call: OpenArguments) -> Answer[Opened]:
    domain = _domain(call.uuid, call.name)
    driver = _name(call.driver)
    return logs.open(call.path, driver, domain, truncate=bool(call.flags & TRUNCATE))


def _position(logs: ILogHandler, call: PositionArguments) -> Answer[Position]:
    if call.flags:
        _refuse_flags(call.flags, "virLogHandlerDomainGetLogFilePosition")
    return logs.position(call.path)


def _read(logs: ILogHandler, call: ReadArguments) -> Answer[Excerpt]:
    if call.maxlen > MAX_READ_BYTES:
        detail = f"Requested data len {call.maxlen} is larger than maximum {MAX_READ_BYTES}"
        raise Refused(failure(ErrorCode.INTERNAL_ERROR, ErrorDomain.RPC, detail))
    if call.flags:
        _refuse_flags(call.flags, "virLogHandlerDomainReadLogFile")
    # Even if nothing is to be read, the handler must say whether there is such a log.
    wanted = call.maxlen if call.offset <= _MAX_OFFSET else 0
    return logs.read(call.path, Position(call.inode, call.offset), max(wanted, 1))


def _present_read(excerpt: Excerpt, call: ReadArguments) -> Sequence[bytes]:
    if call.offset > _MAX_OFFSET:
        raise Refused(_seek_failure(call, errno.EINVAL))
    if not call.maxlen:
        # (one byte was read all the same)
        return ()
    # virtlogd holds it as a C string, which ends at the first NUL.
    shown: list[bytes] = []
    for piece in excerpt.pieces:
        end = piece.find(b"\0")
        shown.append(piece if end < 0 else piece[:end])
        if end >= 0:
            break
    return shown


def _explain_read(error: DaemonError, call: ReadArguments) -> ErrorBody:
    if isinstance(error, NoSuchLog):
        return _seek_failure(call, errno.EBADF)
    return _explain(error, call)


def _seek_failure(call: ReadArguments, number: int) -> ErrorBody:
    action = f"Unable to seek to inode {call.inode} offset {call.offset}"
    return system_failure(ErrorDomain.NONE, action, number)


def _append(logs: ILogHandler, call: AppendArguments) -> Answer[Position]:
    if call.flags:
        _refuse_flags(call.flags, "virLogHandlerDomainAppendLogFile")
    domain = _domain(call.uuid, call.name)
    return logs.append(call.path, call.message, _name(call.driver), domain)


def _explain_append(error: DaemonError, call: AppendArguments) -> ErrorBody:
    if isinstance(error, NotWritten):
        # The same whether or not the log is open, as with virtlogd.
        return system_failure(ErrorDomain.NONE, error.action, error.errno, error.reason)
    return _explain(error, call)


def _explain(
    error: DaemonError, call: OpenArguments | PositionArguments | ReadArguments | AppendArguments
) -> ErrorBody:
    return log_failure(error, call.path)


def _refuse_flags(flags: int, function: str) -> None:
    raise Refused(unsupported_flags(ErrorDomain.LOGGING, flags, function))


def _domain(uuid_bytes: bytes, name: bytes) -> Domain:
    return _guest(uuid_bytes, _name(name))


@lru_cache(_GUESTS)
def _guest(uuid_bytes: bytes, name: str) -> Domain:
    """Return one object for all logs of a guest, which opens them in a row."""
    return Domain(str(uuid.UUID(bytes=uuid_bytes)), name)


def _name(string: bytes) -> str:
    """Decode a name, which is only stored and shown.

    libvirt accepts names of up to 4 MiB, and so does the daemon, but it keeps less of them.
    """
    name = string.decode("utf-8", "surrogateescape")
    if len(name) <= MAX_NAME_CHARACTERS:
        return name
    return name[: MAX_NAME_CHARACTERS - 3] + "..."


LOG_PROGRAM: Program[ILogHandler] = Program(
    number=0x87539319,
    version=1,
    procedures=[
        Procedure(
            number=1,
            name="DOMAIN_OPEN_LOG_FILE",
            arguments=Record(
                OpenArguments, driver=STRING, uuid=UUID, name=STRING, path=PATH, flags=UINT
            ),
            results=POSITION,
            ask=_open,
            present=lambda opened, _: opened.position,
            explain=_explain,
            descriptors=lambda opened: (opened.write_end,),
        ),
        Procedure(
            number=2,
            name="DOMAIN_GET_LOG_FILE_POSITION",
            arguments=Record(PositionArguments, path=PATH, flags=UINT),
            results=POSITION,
            ask=_position,
            present=lambda position, _: position,
            explain=_explain,
        ),
        Procedure(
            number=3,
            name="DOMAIN_READ_LOG_FILE",
            arguments=Record(
                ReadArguments, path=PATH, inode=UHYPER, offset=UHYPER, maxlen=UHYPER, flags=UINT
            ),
            results=StringInPieces(MAX_STRING_BYTES),
            ask=_read,
            present=_present_read,
            explain=_explain_read,
        ),
        Procedure(
            number=4,
            name="DOMAIN_APPEND_LOG_FILE",
            arguments=Record(
                AppendArguments,
                driver=STRING,
                uuid=UUID,
                name=STRING,
                path=PATH,
                message=STRING,
                flags=UINT,
            ),
            results=INT,
            ask=_append,
            present=lambda *_: 0,
            explain=_explain_append,
        ),
    ],
)
