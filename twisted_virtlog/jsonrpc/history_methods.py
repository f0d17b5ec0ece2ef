"""The methods for logs' past, with the types of their parameters and results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from twisted_virtlog import values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.long_result import presented
from twisted_virtlog.jsonrpc.method import Example, Method, Services
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import (
    Domain,
    Driver,
    OptionalDomain,
    PathParams,
    Position,
    Time,
    time_value,
)
from twisted_virtlog.jsonrpc.text import printable

_Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339")]


class LocateParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log, and a time."""

    since: Annotated[
        Time | None, Meta(description="the beginning of the time; null: the oldest byte kept")
    ] = None
    until: Annotated[Time | None, Meta(description="the end of the time; null: now")] = None

    def __post_init__(self) -> None:
        """Refuse a time that ends before it begins."""
        PathParams.__post_init__(self)
        since, until = self.since, self.until
        if since is not None and until is not None and time_value(since) > time_value(until):
            raise ValueError("until is before since; expected a time that is not earlier")


class TimesParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of a log."""

    start: Annotated[
        Position | None, Meta(description="where it begins; null: at the oldest byte kept")
    ] = None
    end: Annotated[Position | None, Meta(description="where it ends; null: with the log")] = None


class BootsParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """The log whose openings are asked for."""


class EventsParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log, and a time."""

    since: Annotated[
        Time | None, Meta(description="leave out what happened before; null: nothing")
    ] = None


class Range(Struct, frozen=True, gc=False):
    """A part of a log whose bytes may have arrived in the time that was asked for."""

    start: Annotated[Position, Meta(description="where it begins")]
    end: Annotated[Position, Meta(description="where it ends")]
    since: Annotated[_Moment, Meta(description="no byte of it arrived before")]
    until: Annotated[_Moment, Meta(description="no byte of it arrived after")]
    exact_s: Annotated[
        float | None,
        Meta(
            description=(
                "no byte of it arrived by more seconds outside the time that was asked for; null:"
                " no time is known"
            )
        ),
    ]


class LocateResult(Struct, frozen=True):
    """Where in a log the bytes of a time are."""

    ranges: Annotated[list[Range], Meta(description="oldest first")]


class TimeEntry(Struct, frozen=True, gc=False):
    """A time by which bytes had arrived."""

    position: Annotated[Position, Meta(description="all bytes below it had arrived")]
    time: Annotated[_Moment, Meta(description="by then")]


class BootEntry(Struct, frozen=True, gc=False):
    """A time that a log was opened."""

    start: Annotated[Position, Meta(description="its first byte, or the oldest one kept")]
    opened_at: Annotated[_Moment, Meta(description="when the log was opened")]
    closed_at: Annotated[
        _Moment | None,
        Meta(description="when it was closed; null: it is open still, or nobody knows"),
    ]
    driver: Driver
    domain: OptionalDomain


class EventEntry(Struct, frozen=True, gc=False):
    """Something that happened to a log."""

    position: Annotated[Position, Meta(description="the end of the log's file then")]
    time: Annotated[_Moment, Meta(description="when it happened")]
    kind: Annotated[
        Literal["opened", "closed", "outage", "recovered", "dropped", "cut", "gap"],
        Meta(
            description=(
                '"outage": the file could not be written, until "recovered". "dropped": bytes were'
                ' lost. "cut": another program cut the file. "gap": bytes are missing before the'
                " position"
            )
        ),
    ]
    bytes: Annotated[int | None, Meta(description="how many bytes it is about; null: none")]


def _locate(services: Services, params: LocateParams) -> Answer[Sequence[values.TimeRange]]:
    return services.history.locate(params.path, _time(params.since), _time(params.until))


def _time(time: datetime | float | None) -> datetime | None:
    return None if time is None else time_value(time)


def _located(ranges: Sequence[values.TimeRange], _params: LocateParams) -> Any:
    return presented(
        ranges,
        lambda one: Range(
            Position.of(one.start), Position.of(one.end), one.since, one.until, one.exact_s
        ),
        LocateResult,
    )


def _times(services: Services, params: TimesParams) -> Answer[Sequence[values.TimeMark]]:
    start = None if params.start is None else params.start.value()
    end = None if params.end is None else params.end.value()
    return services.history.times(params.path, start, end)


def _timed(marks: Sequence[values.TimeMark], _params: TimesParams) -> Any:
    return presented(marks, lambda one: TimeEntry(Position.of(one.position), one.time))


def _boots(services: Services, params: BootsParams) -> Answer[Sequence[values.Boot]]:
    return services.history.boots(params.path)


def _booted(boots: Sequence[values.Boot], _params: BootsParams) -> Any:
    def entry(one: values.Boot) -> BootEntry:
        domain = None if one.domain is None else Domain.of(one.domain)
        start = Position.of(one.start)
        return BootEntry(start, one.opened_at, one.closed_at, printable(one.driver), domain)

    return presented(boots, entry)


def _events(services: Services, params: EventsParams) -> Answer[Sequence[values.LogEvent]]:
    return services.history.events(params.path, _time(params.since))


def _happened(events: Sequence[values.LogEvent], _params: EventsParams) -> Any:
    return presented(
        events,
        lambda one: EventEntry(Position.of(one.position), one.time, one.kind.value, one.bytes),
    )


# Values for the examples.
_LOG = "/var/log/libvirt/qemu/web-serial0.log"
_GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")
_START = Position(2203847, 0, "h1.h6AhAKYwP7M")
_END = Position(2203847, 6, "h1.h6AhAKYwP7M")
_SINCE = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)
_UNTIL = datetime(2026, 11, 26, 9, 31, tzinfo=timezone.utc)

_ERRORS = (
    Code.LOG_BUSY,
    Code.NO_SUCH_LOG,
    Code.SYSTEM_ERROR,
    Code.LIMIT,
    Code.SHUTTING_DOWN,
    Code.NOT_ALLOWED,
)

HISTORY_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.locate",
        summary=(
            "Return where the bytes are that may have arrived in a time, in as few ranges as can"
            " be. Every byte that did is in one of them."
        ),
        params=ParamsDecoder(LocateParams),
        result=LocateResult,
        ask=_locate,
        present=_located,
        example=Example(
            "what came since a time",
            LocateParams(_LOG, _SINCE),
            LocateResult([Range(_START, _END, _SINCE, _UNTIL, 0.0)]),
        ),
        errors=_ERRORS,
        read_only=True,
    ),
    Method(
        name="log.times",
        summary="Return times by which the bytes below positions of a log had arrived.",
        params=ParamsDecoder(TimesParams),
        result=list[TimeEntry],
        ask=_times,
        present=_timed,
        example=Example("of all that is kept", TimesParams(_LOG), [TimeEntry(_END, _UNTIL)]),
        errors=_ERRORS,
        read_only=True,
    ),
    Method(
        name="log.boots",
        summary=(
            "Return each time that a log was opened, oldest first, as far as its bytes are kept:"
            " the boots of its guest."
        ),
        params=ParamsDecoder(BootsParams),
        result=list[BootEntry],
        ask=_boots,
        present=_booted,
        example=Example(
            "a guest that was started once",
            BootsParams(_LOG),
            [BootEntry(_START, _SINCE, None, "qemu", _GUEST)],
        ),
        errors=_ERRORS,
        read_only=True,
    ),
    Method(
        name="log.events",
        summary=(
            "Return what happened to a log, oldest first, as far as its bytes are kept. Lines in"
            " the log can be forged by its guest; these cannot."
        ),
        params=ParamsDecoder(EventsParams),
        result=list[EventEntry],
        ask=_events,
        present=_happened,
        example=Example(
            "all that is known",
            EventsParams(_LOG),
            [EventEntry(_START, _SINCE, "opened", None)],
        ),
        errors=_ERRORS,
        read_only=True,
    ),
)
