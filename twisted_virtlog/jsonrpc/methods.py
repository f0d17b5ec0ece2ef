"""The one table of methods: dispatch, validation and the OpenRPC document all read it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Annotated, Any

import msgspec

from twisted_virtlog import __version__, values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc import schema
from twisted_virtlog.jsonrpc.admin_methods import ADMIN_METHODS
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.long_result import LongResult
from twisted_virtlog.jsonrpc.method import Example, Method, Services, ServingSocket
from twisted_virtlog.jsonrpc.openrpc import DOCUMENT_SCHEMA, OPENRPC_VERSION, openrpc_document
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.text import decode_excerpt, printable

_TITLE = "twisted-virtlog"


def _open(services: Services, params: schema.OpenParams) -> Answer[values.Opened]:
    domain = None if params.domain is None else params.domain.value()
    return services.handler.open(params.path, params.driver, domain, params.truncate)


def _opened(opened: values.Opened, _params: schema.OpenParams) -> schema.OpenResult:
    return schema.OpenResult(schema.Position.of(opened.position), fds=1)


def _opened_descriptors(opened: values.Opened) -> Sequence[int]:
    return (opened.write_end,)


def _close(services: Services, params: schema.CloseParams) -> Answer[values.Closed]:
    return services.handler.close_log(params.path)


def _closed(closed: values.Closed, _params: schema.CloseParams) -> schema.CloseResult:
    position = None if closed.position is None else schema.Position.of(closed.position)
    return schema.CloseResult(position, closed.dropped)


def _position(services: Services, params: schema.PositionParams) -> Answer[values.Position]:
    return services.handler.position(params.path)


def _as_it_is(value: object, _params: object) -> object:
    return value


def _point(
    position: values.Position, _params: schema.PositionParams | schema.AppendParams
) -> values.Position | schema.Position:
    if position.inode <= schema.MAX_EXACT_NUMBER and position.offset <= schema.MAX_EXACT_NUMBER:
        # As nearly always: it has the members of schema.Position.
        return position
    return schema.Position.of(position)


def _read(services: Services, params: schema.ReadParams) -> Answer[values.Excerpt]:
    position = None if params.position is None else params.position.value()
    return services.handler.read(params.path, position, params.max_bytes)


def _excerpt(excerpt: values.Excerpt, params: schema.ReadParams) -> schema.ReadResult | LongResult:
    start = schema.Position.of(excerpt.start)
    if params.encoding == "base64":
        end = schema.Position.of(excerpt.end)
        empty = schema.ReadResult("", params.encoding, start, end, excerpt.gap)
        # The data is the first member.
        before, quotes, after = msgspec.json.encode(empty).partition(b'""')
        return LongResult(before + quotes[:1], excerpt.data, quotes[1:] + after)
    text, text_end = decode_excerpt(excerpt, params.max_bytes)
    end = schema.Position.of(text_end)
    return schema.ReadResult(text, params.encoding, start, end, excerpt.gap)


def _append(services: Services, params: schema.AppendParams) -> Answer[values.Position]:
    domain = None if params.domain is None else params.domain.value()
    message = params.message.encode()
    return services.handler.append(params.path, message, params.driver, domain)


def _list(services: Services, _params: schema.NoParams) -> Sequence[values.LogStatus]:
    return services.handler.logs()


def _entries(
    logs: Sequence[values.LogStatus], _params: schema.NoParams
) -> Sequence[schema.LogEntry]:
    return [_entry(status) for status in logs]


def _entry(status: values.LogStatus) -> schema.LogEntry:
    domain = status.domain
    return schema.LogEntry(
        path=printable(status.path),
        driver=printable(status.driver),
        domain=None if domain is None else schema.Domain.of(domain),
        position=schema.Position.of(status.position),
        opened_at=status.opened_at,
        bytes=status.bytes_written,
        rollovers=status.rollovers,
        state="failing" if status.state is values.LogState.FAILING else "open",
        pipe=status.pipe,
        error=_reason(status),
    )


def _reason(status: values.LogStatus) -> str | msgspec.UnsetType:
    if status.state is not values.LogState.FAILING:
        return msgspec.UNSET
    return printable(status.error or "unknown")


def _info(services: Services, _params: schema.NoParams) -> schema.InfoResult:
    return services.info()


def _reexec(services: Services, params: schema.ReexecParams) -> Answer[None]:
    return services.reexec(params.to_virtlogd, params.state_version)


def _true(_value: object, _params: object) -> bool:
    return True


@functools.lru_cache(maxsize=1)  # (the sockets hardly ever change)
def _document(sockets: tuple[ServingSocket, ...]) -> msgspec.Raw:
    document = openrpc_document(METHODS.values(), _TITLE, __version__, sockets)
    return msgspec.Raw(msgspec.json.encode(document))


def _discover(services: Services, _params: schema.NoParams) -> msgspec.Raw:
    return _document(services.sockets())


# What the examples are about.
_LOG = "/var/log/libvirt/qemu/web-serial0.log"
_GUEST = schema.Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
_START = schema.Position(2203847, 0, "h1.h6AhAKYwP7M")
_END = schema.Position(2203847, 6, "h1.h6AhAKYwP7M")
_SINCE = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)


_TABLE: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.open",
        summary=(
            "Open a log. The answer comes with the write end of a pipe, in blocking mode: what is"
            " written to it lands in the log, which is closed when the last write end is closed."
        ),
        params=ParamsDecoder(schema.OpenParams),
        result=schema.OpenResult,
        ask=_open,
        present=_opened,
        example=Example(
            "the console of a guest",
            schema.OpenParams(_LOG, "qemu", _GUEST),
            schema.OpenResult(_START, fds=1),
        ),
        descriptors=_opened_descriptors,
        errors=(Code.LOG_BUSY, Code.SYSTEM_ERROR, Code.LIMIT, Code.SHUTTING_DOWN),
        needs_stream=True,
    ),
    Method(
        name="log.close",
        summary=(
            "Write what is in an open log's pipe, then close the log, whoever holds the pipe's"
            " other end. What is written to the pipe later is refused."
        ),
        params=ParamsDecoder(schema.CloseParams),
        result=schema.CloseResult,
        ask=_close,
        present=_closed,
        example=Example(
            "a log that a helper of the guest keeps open",
            schema.CloseParams(_LOG),
            schema.CloseResult(_END, dropped=0),
        ),
        errors=(Code.NO_SUCH_LOG, Code.SHUTTING_DOWN),
    ),
    Method(
        name="log.position",
        summary=(
            "Tell the end of an open log. Everything written to its pipe before this request was"
            " sent is in the file, below the offset."
        ),
        params=ParamsDecoder(schema.PositionParams),
        result=schema.Position,
        ask=_position,
        present=_point,
        example=Example("the end of an open log", schema.PositionParams(_LOG), _END),
        errors=(
            Code.NO_SUCH_LOG,
            Code.SYSTEM_ERROR,
            Code.SHUTTING_DOWN,
            Code.NOT_WRITTEN,
            Code.NOT_ALLOWED,
        ),
        read_only=True,
    ),
    Method(
        name="log.read",
        summary=(
            "Read a log from a position on, through the newer files of its rotation. Under utf-8"
            " broken bytes become U+FFFD; a character that is not yet complete is left for the"
            " next read."
        ),
        params=ParamsDecoder(schema.ReadParams),
        result=schema.ReadResult,
        ask=_read,
        present=_excerpt,
        example=Example(
            "all that came since a position",
            schema.ReadParams(_LOG, _START),
            schema.ReadResult("hello\n", "utf-8", _START, _END, gap=False),
        ),
        errors=(
            Code.NO_SUCH_LOG,
            Code.SYSTEM_ERROR,
            Code.LIMIT,
            Code.SHUTTING_DOWN,
            Code.NOT_ALLOWED,
        ),
        read_only=True,
    ),
    Method(
        name="log.append",
        summary=(
            "Write a message after everything already in the log's pipe. Works on logs that are"
            " not open, too. The result is the position after the message."
        ),
        params=ParamsDecoder(schema.AppendParams),
        result=schema.Position,
        ask=_append,
        present=_point,
        example=Example("a line", schema.AppendParams(_LOG, "hello\n", "qemu", _GUEST), _END),
        errors=(Code.SYSTEM_ERROR, Code.LIMIT, Code.SHUTTING_DOWN, Code.NOT_WRITTEN),
    ),
    Method(
        name="log.list",
        summary="Tell of all open logs, sorted by path.",
        params=ParamsDecoder(schema.NoParams),
        result=list[schema.LogEntry],
        ask=_list,
        present=_entries,
        example=Example(
            "one open log",
            schema.NoParams(),
            [
                schema.LogEntry(
                    path=_LOG,
                    driver="qemu",
                    domain=_GUEST,
                    position=_END,
                    opened_at=_SINCE,
                    bytes=6,
                    rollovers=0,
                    state="open",
                    pipe=48151,
                )
            ],
        ),
        read_only=True,
    ),
    Method(
        name="daemon.info",
        summary="Tell what the daemon is, its limits and its totals.",
        params=ParamsDecoder(schema.NoParams),
        result=schema.InfoResult,
        ask=_info,
        present=_as_it_is,
        example=Example(
            "a daemon with one open log",
            schema.NoParams(),
            schema.InfoResult(
                name=_TITLE,
                version=__version__,
                pid=1623,
                started_at=_SINCE,
                uptime_s=86400.5,
                limits={"max_clients": 1024, "max_size": 2097152, "max_backups": 3},
                counts=schema.DaemonCounts(
                    open_logs=1,
                    failing_logs=0,
                    opened_logs=2,
                    bytes_written=4096,
                    bytes_lost=0,
                    rollovers=0,
                    clients=1,
                    known_logs=2,
                ),
            ),
        ),
        read_only=True,
    ),
    Method(
        name="daemon.reexec",
        summary=(
            "Hand over to the daemon's next image, which takes its place with all logs, sockets and"
            " clients, or to libvirt's virtlogd at a path, which takes all but JSON-RPC's. The"
            " answer comes once the next image was tried and nothing speaks against it."
        ),
        params=ParamsDecoder(schema.ReexecParams),
        result=bool,
        ask=_reexec,
        present=_true,
        example=Example("to what is installed now", schema.ReexecParams(), result=True),
        errors=(Code.HAND_OVER_FAILED, Code.SHUTTING_DOWN),
    ),
    *ADMIN_METHODS,
    Method(
        name="rpc.discover",
        summary="Tell this document.",
        params=ParamsDecoder(schema.NoParams),
        result=Annotated[dict[str, Any], msgspec.Meta(extra_json_schema=DOCUMENT_SCHEMA)],
        ask=_discover,
        present=_as_it_is,
        example=Example(
            "a document without its methods",
            schema.NoParams(),
            {
                "openrpc": OPENRPC_VERSION,
                "info": {"title": _TITLE, "version": __version__},
                "servers": [{"name": "jsonrpc", "url": "unix:/run/libvirt/virtlogd-jsonrpc-sock"}],
                "methods": [],
                "components": {},
            },
        ),
        read_only=True,
    ),
)

#: The table of methods, by name.
METHODS = {method.name: method for method in _TABLE}


def methods_served(read_only: bool, streams: bool) -> Mapping[str, Method[Any, Any]]:
    """Return the methods that a connection serves, by each of their names.

    :param read_only: it came by the read-only socket.
    :param streams: it can carry descriptors, and texts that nobody asked for.
    """
    served = [
        method
        for method in _TABLE
        if (method.read_only or not read_only) and (streams or not method.needs_stream)
    ]
    return {name: method for method in served for name in (method.alias, method.name)}


#: The methods by each of their names, wherever they are served.
BY_ANY_NAME = methods_served(read_only=False, streams=True)
