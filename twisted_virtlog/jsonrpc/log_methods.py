"""The methods for logs, with the types of their parameters and results."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime, timezone
from heapq import merge
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from twisted.internet.defer import Deferred

from twisted_virtlog import values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.entries import LogEntry, log_entry
from twisted_virtlog.jsonrpc.long_result import LongResult, SlicedResult
from twisted_virtlog.jsonrpc.method import Example, Method, Services
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import (
    MAX_EXACT_NUMBER,
    Domain,
    Driver,
    OptionalDomain,
    PathParams,
    Position,
)
from twisted_virtlog.jsonrpc.text import Encoding, decode_excerpt, escape_excerpt

DEFAULT_READ_BYTES = 1024 * 1024

#: A longer excerpt is decoded and escaped in slices.
_LONG_EXCERPT_BYTES = 64 * 1024

#: So many logs are presented at once, or in one slice.
_ENTRIES_AT_ONCE = 32

#: So many are merged with others in one slice.
_MERGED_AT_ONCE = 128


class PositionParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """The log whose end is asked for."""


class OpenParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log to open, and who will write to it."""

    driver: Driver = "none"
    domain: OptionalDomain = None
    truncate: Annotated[
        bool, Meta(description="true: remove the file and its backups first; false: append")
    ] = False


class CloseParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log to close."""


class RemoveParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log to remove."""


class ReadParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of a log."""

    position: Annotated[
        Position | None,
        Meta(description="where to begin, from an earlier result; null: at the oldest byte"),
    ] = None
    max_bytes: Annotated[
        int, Meta(ge=1, le=values.MAX_READ_BYTES, description="the most bytes of the log to return")
    ] = DEFAULT_READ_BYTES
    encoding: Annotated[
        Encoding, Meta(description='"utf-8" (invalid bytes become U+FFFD) or "base64" (exact)')
    ] = "utf-8"


class AppendParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message, the log to write it to, and who writes."""

    message: Annotated[str, Meta(description="text to write unchanged, in UTF-8")]
    driver: Driver = "none"
    domain: OptionalDomain = None


class ListParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Which logs to list."""

    closed: Annotated[bool, Meta(description="true: also the logs that are known and not open")] = (
        False
    )


class OpenResult(Struct, frozen=True):
    """A log that was opened; the write end of its pipe comes with the answer."""

    position: Annotated[Position, Meta(description="where the first byte will be written")]
    fds: Annotated[
        Literal[1], Meta(description="descriptors that come with this answer as SCM_RIGHTS")
    ]


class CloseResult(Struct, frozen=True):
    """A log that was closed."""

    position: Annotated[
        Position | None,
        Meta(description="the end of the log's file; null if the file cannot be queried"),
    ]
    dropped: Annotated[
        int, Meta(ge=0, description="bytes of the pipe that could not be written and are lost")
    ]


class RemoveResult(Struct, frozen=True):
    """What was removed of a log."""

    files: Annotated[int, Meta(ge=0, description="how many files the log had")]
    bytes: Annotated[int, Meta(ge=0, description="how many bytes were in them")]


class ReadResult(Struct, frozen=True):
    """A part of a log."""

    data: Annotated[str, Meta(description="what was read; empty at the end of the log")]
    encoding: Annotated[Encoding, Meta(description="how data is encoded")]
    start: Annotated[Position, Meta(description="where data begins")]
    end: Annotated[Position, Meta(description="where to continue reading")]
    gap: Annotated[
        bool,
        Meta(description="the position was rotated away; start is the oldest byte kept after it"),
    ]


def _open(services: Services, params: OpenParams) -> Answer[values.Opened]:
    domain = None if params.domain is None else params.domain.value()
    return services.handler.open(params.path, params.driver, domain, params.truncate)


def _opened(opened: values.Opened, _params: OpenParams) -> OpenResult:
    return OpenResult(Position.of(opened.position), fds=1)


def _opened_descriptors(opened: values.Opened) -> Sequence[int]:
    return (opened.write_end,)


def _close(services: Services, params: CloseParams) -> Answer[values.Closed]:
    return services.handler.close_log(params.path)


def _closed(closed: values.Closed, _params: CloseParams) -> CloseResult:
    position = None if closed.position is None else Position.of(closed.position)
    return CloseResult(position, closed.dropped)


def _remove(services: Services, params: RemoveParams) -> Answer[values.Removed]:
    return services.handler.remove(params.path)


def _removed(removed: values.Removed, _params: RemoveParams) -> RemoveResult:
    return RemoveResult(removed.files, removed.bytes)


def _position(services: Services, params: PositionParams) -> Answer[values.Position]:
    return services.handler.position(params.path)


def _point(
    position: values.Position, _params: PositionParams | AppendParams
) -> values.Position | Position:
    if position.inode <= MAX_EXACT_NUMBER and position.offset <= MAX_EXACT_NUMBER:
        # As nearly always. It has the same members as the type for JSON.
        return position
    return Position.of(position)


def _read(services: Services, params: ReadParams) -> Answer[values.Excerpt]:
    position = None if params.position is None else params.position.value()
    return services.handler.read(params.path, position, params.max_bytes)


def _excerpt(excerpt: values.Excerpt, params: ReadParams) -> ReadResult | LongResult | SlicedResult:
    start = Position.of(excerpt.start)
    if params.encoding == "base64":
        end = Position.of(excerpt.end)
        before, after = _around_data(ReadResult("", params.encoding, start, end, excerpt.gap))
        return LongResult(before, excerpt.pieces, after)
    if sum(map(len, excerpt.pieces)) > _LONG_EXCERPT_BYTES:
        return SlicedResult(_excerpt_in_slices(excerpt, params))
    text, text_end = decode_excerpt(excerpt, params.max_bytes)
    end = Position.of(text_end)
    return ReadResult(text, params.encoding, start, end, excerpt.gap)


def _excerpt_in_slices(excerpt: values.Excerpt, params: ReadParams) -> Iterator[bytes]:
    start = Position.of(excerpt.start)
    before, _ = _around_data(ReadResult("", params.encoding, start, start, excerpt.gap))
    yield before
    text_end = yield from escape_excerpt(excerpt, params.max_bytes)
    end = Position.of(text_end)
    _, after = _around_data(ReadResult("", params.encoding, start, end, excerpt.gap))
    yield after


def _around_data(empty: ReadResult) -> tuple[bytes, bytes]:
    """Return the JSON up to the opening quote of the data, and from the closing one on."""
    # The data is the first member.
    before, quotes, after = msgspec.json.encode(empty).partition(b'""')
    return before + quotes[:1], quotes[1:] + after


def _append(services: Services, params: AppendParams) -> Answer[values.Position]:
    domain = None if params.domain is None else params.domain.value()
    message = params.message.encode()
    return services.handler.append(params.path, message, params.driver, domain)


def _list(services: Services, params: ListParams) -> Answer[Sequence[values.LogStatus]]:
    found = services.handler.logs()
    if not params.closed:
        return found
    if isinstance(found, Deferred):
        return found.addCallback(_with_closed, services)
    return _with_closed(found, services)


def _with_closed(
    found: Sequence[values.LogStatus], services: Services
) -> Answer[Sequence[values.LogStatus]]:
    def merge_with(closed: Sequence[values.LogStatus]) -> Answer[Sequence[values.LogStatus]]:
        return services.in_slices(_merged(found, closed))

    closed = services.history.closed_logs()
    if isinstance(closed, Deferred):
        later: Deferred[Sequence[values.LogStatus]] = closed.addCallback(merge_with)
        return later
    return merge_with(closed)


def _merged(
    logs: Sequence[values.LogStatus], closed: Sequence[values.LogStatus]
) -> Generator[None, None, Sequence[values.LogStatus]]:
    """Merge open and closed logs by path; one that was opened meanwhile is open."""
    found: list[values.LogStatus] = []
    for number, one in enumerate(merge(logs, closed, key=attrgetter("path"))):
        if not found or found[-1].path != one.path:
            found.append(one)
        if not number % _MERGED_AT_ONCE:
            yield
    return found


def _entries(
    logs: Sequence[values.LogStatus], _params: ListParams
) -> Sequence[LogEntry] | SlicedResult:
    if len(logs) <= _ENTRIES_AT_ONCE:
        return [log_entry(status) for status in logs]
    return SlicedResult(_entries_in_slices(logs))


def _entries_in_slices(logs: Sequence[values.LogStatus]) -> Iterator[bytes]:
    # Nobody else has them; to free them all at once would take milliseconds.
    left = deque(logs)
    del logs
    separator = b"["
    while left:
        entries = [log_entry(left.popleft()) for _ in range(min(_ENTRIES_AT_ONCE, len(left)))]
        yield separator + msgspec.json.encode(entries)[1:-1]
        separator = b","
    yield b"]"


# Values for the examples.
_LOG = "/var/log/libvirt/qemu/web-serial0.log"
_GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
_START = Position(2203847, 0, "h1.h6AhAKYwP7M")
_END = Position(2203847, 6, "h1.h6AhAKYwP7M")
_SINCE = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)

LOG_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.open",
        summary=(
            "Open a log. The answer comes with the write end of a pipe, in blocking mode: what is"
            " written to it goes to the log, which is closed when the last write end is closed."
        ),
        params=ParamsDecoder(OpenParams),
        result=OpenResult,
        ask=_open,
        present=_opened,
        example=Example(
            "the console of a guest",
            OpenParams(_LOG, "qemu", _GUEST),
            OpenResult(_START, fds=1),
        ),
        descriptors=_opened_descriptors,
        errors=(
            Code.LOG_BUSY,
            Code.SYSTEM_ERROR,
            Code.LIMIT,
            Code.SHUTTING_DOWN,
            Code.NOT_ALLOWED,
        ),
        needs_stream=True,
    ),
    Method(
        name="log.close",
        summary=(
            "Write what is in the pipe of an open log, then close the log, whoever holds the write"
            " end of the pipe. What is written to the pipe later is refused."
        ),
        params=ParamsDecoder(CloseParams),
        result=CloseResult,
        ask=_close,
        present=_closed,
        example=Example(
            "a log that a helper of the guest keeps open",
            CloseParams(_LOG),
            CloseResult(_END, dropped=0),
        ),
        errors=(Code.LOG_BUSY, Code.NO_SUCH_LOG, Code.SHUTTING_DOWN, Code.NOT_WRITTEN),
    ),
    Method(
        name="log.remove",
        summary=(
            "Remove all files of a log that the daemon knows and that is not open. It is not known"
            " any more then."
        ),
        params=ParamsDecoder(RemoveParams),
        result=RemoveResult,
        ask=_remove,
        present=_removed,
        example=Example(
            "a log of a guest that is not needed any more",
            RemoveParams(_LOG),
            RemoveResult(files=4, bytes=7340038),
        ),
        errors=(
            Code.LOG_BUSY,
            Code.NO_SUCH_LOG,
            Code.SYSTEM_ERROR,
            Code.SHUTTING_DOWN,
            Code.NOT_ALLOWED,
        ),
    ),
    Method(
        name="log.position",
        summary=(
            "Return the end of an open log. Everything written to its pipe before this request was"
            " sent is in the file, below the offset."
        ),
        params=ParamsDecoder(PositionParams),
        result=Position,
        ask=_position,
        present=_point,
        example=Example("the end of an open log", PositionParams(_LOG), _END),
        errors=(
            Code.LOG_BUSY,
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
            "Read a log from a position on, through the newer files of its rotation. Under utf-8,"
            " invalid bytes become U+FFFD, and a character that is not yet complete is left for"
            " the next read."
        ),
        params=ParamsDecoder(ReadParams),
        result=ReadResult,
        ask=_read,
        present=_excerpt,
        example=Example(
            "everything since a position",
            ReadParams(_LOG, _START),
            ReadResult("hello\n", "utf-8", _START, _END, gap=False),
        ),
        errors=(
            Code.LOG_BUSY,
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
            "Write a message after everything already in the log's pipe. This also works for logs"
            " that are not open. The result is the position after the message."
        ),
        params=ParamsDecoder(AppendParams),
        result=Position,
        ask=_append,
        present=_point,
        example=Example("a line", AppendParams(_LOG, "hello\n", "qemu", _GUEST), _END),
        errors=(
            Code.LOG_BUSY,
            Code.SYSTEM_ERROR,
            Code.LIMIT,
            Code.SHUTTING_DOWN,
            Code.NOT_WRITTEN,
            Code.NOT_ALLOWED,
        ),
    ),
    Method(
        name="log.list",
        summary="Return all open logs, and if wanted the known ones that are not, sorted by path.",
        params=ParamsDecoder(ListParams),
        result=list[LogEntry],
        ask=_list,
        present=_entries,
        example=Example(
            "one open log",
            ListParams(),
            [
                LogEntry(
                    path=_LOG,
                    driver="qemu",
                    domain=_GUEST,
                    position=_END,
                    opened_at=_SINCE,
                    bytes=6,
                    rollovers=0,
                    state="open",
                    dropped=0,
                    pending=0,
                    followers=1,
                    kept=6,
                    pipe=48151,
                    thread=None,
                )
            ],
        ),
        read_only=True,
    ),
)
