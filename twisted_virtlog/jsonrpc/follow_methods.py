"""The methods that follow logs, with the types of their parameters and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_virtlog import values
from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import Example, Method, Services, Subscribing, true
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import NoParams, PathParams, Position, Time, time_value
from twisted_virtlog.jsonrpc.text import Encoding

Number = Annotated[
    int, Meta(ge=1, description="number of the subscription, of this connection alone")
]


class FollowParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log to follow; it need not be open, nor be there."""

    position: Annotated[
        Position | None,
        Meta(description="where to begin, from an earlier result; null: with what comes now"),
    ] = None
    since: Annotated[
        Time | None,
        Meta(
            description=(
                "a time in place of a position: begin with the first byte that may have come at it,"
                " or after it"
            )
        ),
    ] = None
    encoding: Annotated[
        Encoding, Meta(description='"utf-8" (invalid bytes become U+FFFD) or "base64" (exact)')
    ] = "utf-8"
    until: Annotated[
        Literal["closed"] | None,
        Meta(
            description=(
                '"closed": end when the log is closed; one that is not open now, when it is closed'
                " after its next opening. null: go on for ever"
            )
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse two places to begin at."""
        PathParams.__post_init__(self)
        if self.position is not None and self.since is not None:
            raise ValueError("position and since exclude each other; expected one of them")


class UnfollowParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The subscription to end."""

    subscription: Number


class FollowResult(Struct, frozen=True):
    """A log that is followed."""

    subscription: Number
    position: Annotated[
        Position,
        Meta(description="where the first byte comes from; inode 0 if the log is not there yet"),
    ]


class WatchResult(Struct, frozen=True):
    """Logs that are watched."""

    subscription: Number


def _subscriptions(services: Services) -> Subscribing:
    # (only a connection that has subscriptions serves these methods)
    assert services.subscriptions is not None
    return services.subscriptions


def _follow(services: Services, params: FollowParams) -> Answer[tuple[int, values.Position]]:
    def follow(position: values.Position | None) -> Answer[tuple[int, values.Position]]:
        return _subscriptions(services).follow(
            params.path, position, params.until is not None, params.encoding
        )

    if params.since is None:
        return follow(None if params.position is None else params.position.value())

    def begin(ranges: Sequence[values.TimeRange]) -> Answer[tuple[int, values.Position]]:
        return follow(ranges[0].start if ranges else None)

    def is_not_there(failure: Failure) -> Sequence[values.TimeRange]:
        failure.trap(NoSuchLog)
        return ()

    try:
        found = services.history.locate(params.path, time_value(params.since), None)
    except NoSuchLog:
        return follow(None)
    if isinstance(found, Deferred):
        return found.addErrback(is_not_there).addCallback(begin)
    return begin(found)


def _followed(begun: tuple[int, values.Position], _params: FollowParams) -> FollowResult:
    number, position = begun
    return FollowResult(number, Position.of(position))


def _unfollow(services: Services, params: UnfollowParams) -> None:
    _subscriptions(services).unfollow(params.subscription)


def _watch(services: Services, _params: NoParams) -> int:
    return _subscriptions(services).watch()


def _watched(number: int, _params: NoParams) -> WatchResult:
    return WatchResult(number)


# Values for the examples.
_LOG = "/var/log/libvirt/qemu/web-serial0.log"
_POSITION = Position(2203847, 6, "h1.h6AhAKYwP7M")

FOLLOW_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.follow",
        summary=(
            "Follow a log. After the answer, what is written to it comes in notifications:"
            " log.data, and log.end as the last one."
        ),
        params=ParamsDecoder(FollowParams),
        result=FollowResult,
        ask=_follow,
        present=_followed,
        example=Example("from now on", FollowParams(_LOG), FollowResult(1, _POSITION)),
        errors=(
            Code.SYSTEM_ERROR,
            Code.LIMIT,
            Code.SHUTTING_DOWN,
            Code.NOT_ALLOWED,
        ),
        read_only=True,
        needs_stream=True,
        subscribes=True,
    ),
    Method(
        name="log.unfollow",
        summary=(
            "End a subscription of log.follow or log.watch. Its last notification comes before the"
            " answer."
        ),
        params=ParamsDecoder(UnfollowParams),
        result=Literal[True],
        ask=_unfollow,
        present=true,
        example=Example("the first of a connection", UnfollowParams(1), True),
        read_only=True,
        needs_stream=True,
        subscribes=True,
    ),
    Method(
        name="log.watch",
        summary=(
            "Watch which logs there are. After the answer, notifications say which log was opened"
            " (log.opened) or closed (log.closed), and which can be written no more, or again"
            " (log.state), each with the log's row of log.list."
        ),
        params=ParamsDecoder(NoParams),
        result=WatchResult,
        ask=_watch,
        present=_watched,
        example=Example("all logs", NoParams(), WatchResult(2)),
        errors=(Code.LIMIT,),
        read_only=True,
        needs_stream=True,
        subscribes=True,
    ),
)
