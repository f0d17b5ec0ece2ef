"""The methods for consumers, with the types of their parameters and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from twisted_virtlog import values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.long_result import presented
from twisted_virtlog.jsonrpc.method import Example, Method, Services, true
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import LogPath, NoParams, Position, check_path
from twisted_virtlog.jsonrpc.text import printable

#: So many logs may be acknowledged at once.
_MOST_ACKS = 65536

ConsumerName = Annotated[
    str, Meta(min_length=1, max_length=255, description="as the key consumers names it")
]


class Ack(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Up to where a consumer has read a log."""

    path: LogPath
    position: Annotated[Position, Meta(description="all before it is where it is to be")]

    def __post_init__(self) -> None:
        """Refuse a path that is not normal, as each log has one name only."""
        check_path(self.path)


class AckParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What a consumer has read."""

    consumer: ConsumerName
    acks: Annotated[
        list[Ack],
        Meta(
            max_length=_MOST_ACKS,
            description="a log that the daemon does not know is passed over",
        ),
    ]


class ForgetParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A consumer, and a log or all logs."""

    consumer: ConsumerName
    path: Annotated[LogPath | None, Meta(description="null: all logs")] = None

    def __post_init__(self) -> None:
        """Refuse a path that is not normal, as each log has one name only."""
        if self.path is not None:
            check_path(self.path)


class ConsumerEntry(Struct, frozen=True):
    """What a consumer has of a log, and has yet to read."""

    consumer: str
    path: str
    position: Annotated[
        Position | None, Meta(description="null: it has acknowledged nothing of it")
    ]
    lag_bytes: Annotated[
        int | None,
        Meta(description="what is kept of the log after that; null: nobody can look now"),
    ]
    lag_s: Annotated[
        float | None,
        Meta(
            description=(
                "how long ago it acknowledged last; 0: there is nothing left to read, null: it"
                " never did"
            )
        ),
    ]
    held_bytes: Annotated[
        int, Meta(description="in files of the log that are held, whoever they are held for")
    ]
    unread_bytes: Annotated[int, Meta(description="that went before it had acknowledged them")]


def _acknowledge(services: Services, params: AckParams) -> Answer[None]:
    acks = [(ack.path, ack.position.value()) for ack in params.acks]
    found: Answer[None] = services.consumers.acknowledge(params.consumer, services.uid, acks)
    return found


def _list(services: Services, _params: NoParams) -> Answer[Sequence[values.ConsumerStatus]]:
    found: Answer[Sequence[values.ConsumerStatus]] = services.consumers.consumers()
    return found


def _forget(services: Services, params: ForgetParams) -> Answer[None]:
    found: Answer[None] = services.consumers.forget(params.consumer, params.path)
    return found


def _presented(found: Sequence[values.ConsumerStatus], _params: NoParams) -> object:
    return presented(found, _entry)


def _entry(one: values.ConsumerStatus) -> ConsumerEntry:
    return ConsumerEntry(
        one.consumer,
        printable(one.path),
        None if one.position is None else Position.of(one.position),
        one.lag_bytes,
        one.lag_seconds,
        one.held_bytes,
        one.unread_bytes,
    )


_LOG = "/var/log/libvirt/qemu/web-serial0.log"
_READ = Position(2203847, 1048576, "h1.h6AhAKYwP7M")

CONSUMER_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="consumer.ack",
        summary=(
            "Say up to where a consumer has read logs. From the first time on a log is held for it:"
            " what it has not read stays when rotation would remove it, up to hold_max and"
            " hold_max_log. A position never goes back."
        ),
        params=ParamsDecoder(AckParams),
        result=bool,
        ask=_acknowledge,
        present=true,
        example=Example(
            "a log that is stored elsewhere up to a position",
            AckParams("nats", [Ack(_LOG, _READ)]),
            result=True,
        ),
        errors=(Code.SYSTEM_ERROR, Code.SHUTTING_DOWN, Code.NOT_ALLOWED),
        read_only=True,
        asks_user=True,
    ),
    Method(
        name="consumer.list",
        summary="Return what each consumer has of each log, sorted by consumer and path.",
        params=ParamsDecoder(NoParams),
        result=list[ConsumerEntry],
        ask=_list,
        present=_presented,
        example=Example(
            "a consumer that has read nearly all",
            NoParams(),
            [ConsumerEntry("nats", _LOG, _READ, 6, 0.4, 0, 0)],
        ),
        read_only=True,
    ),
    Method(
        name="consumer.forget",
        summary="Forget what a consumer has of a log, or of all; nothing is held for it any more.",
        params=ParamsDecoder(ForgetParams),
        result=bool,
        ask=_forget,
        present=true,
        example=Example("one that is gone for good", ForgetParams("nats"), result=True),
        errors=(Code.SYSTEM_ERROR, Code.SHUTTING_DOWN),
    ),
)
