"""Logs in OTLP: the request that has them, and what its answer says.

The field numbers are those of opentelemetry/proto (collector/logs/v1, logs/v1, resource/v1 and
common/v1), which never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from twisted_virtlog import __version__
from twisted_virtlog.ship.lines import Line, lines_of
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.protobuf import data, fields, fixed64, number
from twisted_virtlog.ship.sink import Source

#: What such a service is called where none is expected to be without a name.
SERVICE = "virtlog"

# ExportLogsServiceRequest, ResourceLogs, ScopeLogs
_RESOURCE_LOGS, _RESOURCE, _SCOPE_LOGS, _SCOPE, _LOG_RECORDS = 1, 1, 2, 1, 2
# Resource and KeyValue, AnyValue, InstrumentationScope
_ATTRIBUTES, _KEY, _VALUE = 1, 1, 2
_STRING, _INT, _BYTES = 1, 3, 7
_NAME, _VERSION = 1, 2
# LogRecord
_BODY, _RECORD_ATTRIBUTES, _OBSERVED_TIME = 5, 6, 11
# ExportLogsServiceResponse, ExportLogsPartialSuccess, google.rpc.Status
_PARTIAL_SUCCESS, _REJECTED, _WHY = 1, 1, 2

_SCOPE_SAID = data(_SCOPE, data(_NAME, b"virtlog-ship") + data(_VERSION, __version__.encode()))

_OFFSET = data(_KEY, b"log.offset")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Partial(NamedTuple):
    """What a collector says that took a request.

    :ivar rejected: how many records it has left out.
    :ivar message: why, or what else it has to say; "" if nothing.
    """

    rejected: int
    message: str


def _text(name: str, value: str) -> bytes:
    # (a path need not be text; what cannot be said in UTF-8 is replaced)
    said = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
    return data(_KEY, name.encode()) + data(_VALUE, data(_STRING, said))


def _integer(name: str, value: int) -> bytes:
    return data(_KEY, name.encode()) + data(_VALUE, number(_INT, value))


def _resource(source: Source) -> bytes:
    said = {"service.name": SERVICE, "host.name": source.host}
    if source.domain is not None:
        said["vm.uuid"], said["vm.name"] = source.domain.uuid, source.domain.name
    return b"".join(data(_ATTRIBUTES, _text(name, value)) for name, value in said.items())


def _body(line: bytes) -> bytes:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return data(_BODY, data(_BYTES, line))
    return data(_BODY, data(_STRING, line))


def _nanoseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def _attribute(said: bytes) -> bytes:
    return data(_RECORD_ATTRIBUTES, said)


def _of_line(line: Line) -> bytes:
    """Return what is said of few lines only."""
    said = b""
    if line.cut is not None:
        said += _attribute(_text("log.cut", line.cut))
    if line.gap:
        missed = "unknown" if line.missed is None else str(line.missed)
        said += _attribute(_text("log.missed", missed))
    return said


def resource_logs(source: Source, message: Message, now: int) -> bytes:
    """Return a request with the lines of one message; such requests one after another are one.

    :param now: nanoseconds since 1970: when it came, unless it says so itself.
    """
    came = now if message.time is None else _nanoseconds(message.time)
    of_all = fixed64(_OBSERVED_TIME, came) + b"".join(
        _attribute(_text(name, value))
        for name, value in (
            ("log.file.path", source.path),
            ("log.file.name", source.path.rpartition("/")[2]),
            ("virtlog.driver", source.driver),
        )
    )
    records = []
    inode, of_file = None, b""
    for line in lines_of(message):
        start = line.start
        if start.inode != inode:
            # (few messages are of two files, and a message has many lines)
            inode = start.inode
            of_file = of_all + _attribute(_integer("log.file.inode", inode))
            of_file += _attribute(_text("log.file.birth", start.birth))
        offset = _attribute(_OFFSET + data(_VALUE, number(_INT, start.offset)))
        said = _body(line.data) + of_file + offset
        if line.gap or not (line.begins_line and line.ends_line):
            said += _of_line(line)
        records.append(data(_LOG_RECORDS, said))
    logs = data(_SCOPE_LOGS, _SCOPE_SAID + b"".join(records))
    return data(_RESOURCE_LOGS, data(_RESOURCE, _resource(source)) + logs)


def partial_success(answer: bytes) -> Partial:
    """Return what a collector says of a request that it took.

    :param answer: an ExportLogsServiceResponse; what is none says nothing.
    """
    found = _members(answer).get(_PARTIAL_SUCCESS)
    members = _members(found) if isinstance(found, bytes) else {}
    rejected, why = members.get(_REJECTED), members.get(_WHY)
    return Partial(
        rejected if isinstance(rejected, int) and rejected < 1 << 63 else 0,
        why.decode("utf-8", "replace") if isinstance(why, bytes) else "",
    )


def reason(answer: bytes) -> str:
    """Return why a request was not taken.

    :param answer: a google.rpc.Status; "" is what others say.
    """
    found = _members(answer).get(2)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""


def _members(message: bytes) -> Mapping[int, int | bytes]:
    try:
        return dict(fields(message))
    except ValueError:
        return {}
