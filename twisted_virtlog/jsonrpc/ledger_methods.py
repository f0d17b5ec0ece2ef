"""The method that accounts for bytes, with the types of its parameters and result."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

from msgspec import Meta, Struct, convert

from twisted_virtlog import values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import Example, Method, Services
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import LogPath, check_path


class LedgerParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An open log, or all logs."""

    path: Annotated[
        LogPath | None, Meta(description="an open log; null: all together, closed ones too")
    ] = None

    def __post_init__(self) -> None:
        """Refuse a path that is not normal, as each log has one name only."""
        if self.path is not None:
            check_path(self.path)


class Dropped(Struct, frozen=True, gc=False):
    """Bytes of guests that are lost."""

    write_error: Annotated[int, Meta(description="the file could not be written")]
    rate: Annotated[int, Meta(description="the guest wrote more than the log may take in a time")]
    quota: Annotated[int, Meta(description="the files would have become larger than they may be")]
    stopped: Annotated[int, Meta(description="the log was closed before its file took them")]


class Intake(Struct, frozen=True, gc=False):
    """What guests wrote."""

    received: Annotated[
        int, Meta(description="written.guest, all of dropped, and pending: no byte is elsewhere")
    ]
    dropped: Dropped
    pending: Annotated[int, Meta(description="what waits in pipes")]


class Written(Struct, frozen=True, gc=False):
    """What came into files."""

    guest: int
    appended: Annotated[int, Meta(description="by log.append, and libvirt's like")]
    notices: Annotated[int, Meta(description="lines of the daemon's own")]


class Removed(Struct, frozen=True, gc=False):
    """What was in files that the daemon removed."""

    rotation: Annotated[int, Meta(description="there were as many backups as there may be")]
    age: Annotated[int, Meta(description="they were old")]
    quota: Annotated[int, Meta(description="for room that the log may take up")]
    truncate: Annotated[int, Meta(description="who opened the log wanted an empty one")]
    asked: Annotated[int, Meta(description="a client asked for it")]


class Outside(Struct, frozen=True, gc=False):
    """What other programs did to files."""

    cut: Annotated[int, Meta(description="files became smaller")]
    removed: Annotated[int, Meta(description="files were removed, or moved away")]
    added: Annotated[int, Meta(description="files became larger, or came to be there")]


class Storage(Struct, frozen=True, gc=False):
    """What is in the files of open logs.

    found, all of written, and outside.added are as much as kept, held, all of removed, outside.cut
    and outside.removed.
    """

    found: Annotated[int, Meta(description="what was in them when the log was opened")]
    kept: Annotated[int, Meta(description="what is in them, as stat(2) says")]
    held: Annotated[int, Meta(description="what is in files that are held for consumers")]
    removed: Removed
    outside: Outside


class LedgerResult(Struct, frozen=True):
    """What became of every byte."""

    since: Annotated[datetime, Meta(tz=True, description="RFC 3339; no byte before is counted")]
    intake: Intake
    written: Written
    storage: Annotated[Storage | None, Meta(description="null: a device")]
    unread: Annotated[dict[str, int], Meta(description="bytes that each consumer has not read")]
    holds: Annotated[
        bool | None,
        Meta(
            description=(
                "the counts of intake agree, and those of storage, of all together those of each"
                " open log; null: there is nothing to compare"
            )
        ),
    ]


def _ledger(services: Services, params: LedgerParams) -> Answer[values.Ledger]:
    return services.handler.ledger(params.path)


def _presented(ledger: values.Ledger, _params: LedgerParams) -> LedgerResult:
    return convert(ledger, LedgerResult, from_attributes=True)


_EXAMPLE = LedgerResult(
    datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc),
    Intake(7_340_032, Dropped(1200, 0, 0, 0), 6),
    Written(7_338_826, 62, 81),
    Storage(0, 4_193_145, 0, Removed(3_145_824, 0, 0, 0, 0), Outside(0, 0, 0)),
    {},
    holds=True,
)

LEDGER_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.ledger",
        summary=(
            "Return what became of every byte of an open log since it was opened, or of all logs"
            " together since the daemon first started."
        ),
        params=ParamsDecoder(LedgerParams),
        result=LedgerResult,
        ask=_ledger,
        present=_presented,
        example=Example(
            "a log whose file system was full for a while",
            LedgerParams("/var/log/libvirt/qemu/web-serial0.log"),
            _EXAMPLE,
        ),
        errors=(Code.NO_SUCH_LOG, Code.SYSTEM_ERROR, Code.NOT_WRITTEN, Code.NOT_ALLOWED),
        read_only=True,
    ),
)
