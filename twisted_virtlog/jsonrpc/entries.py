"""A log as clients see it in lists, and when something happens to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from twisted_virtlog import values
from twisted_virtlog.jsonrpc.schema import Domain, Driver, LogPath, OptionalDomain, Position
from twisted_virtlog.jsonrpc.text import printable


class LogEntry(Struct, frozen=True, gc=False):
    """A log that is open, or known."""

    path: LogPath
    driver: Driver
    domain: OptionalDomain
    position: Annotated[
        Position | None,
        Meta(description="the file's end, without what is still in the pipe; null when closed"),
    ]
    opened_at: Annotated[
        datetime,
        Meta(tz=True, description="when the log was opened; if it is closed, last"),
    ]
    bytes: Annotated[int, Meta(ge=0, description="bytes written since the log was opened")]
    rollovers: Annotated[int, Meta(ge=0, description="how often a new file was begun since then")]
    state: Annotated[
        Literal["open", "failing", "closed"],
        Meta(
            description=(
                '"failing": the file cannot be written now; error says why. "closed": the log is'
                " known, and nobody writes to it"
            )
        ),
    ]
    dropped: Annotated[
        int,
        Meta(
            ge=0,
            description="bytes lost since then: they could not be written, or were beyond its rate",
        ),
    ]
    pending: Annotated[
        int | None,
        Meta(description="bytes that could not be written, as counted last; null before that"),
    ]
    followers: Annotated[int, Meta(ge=0, description="how many subscriptions follow the log")]
    kept: Annotated[int, Meta(ge=0, description="bytes of the log that are kept, as known last")]
    pipe: Annotated[
        int | None,
        Meta(description="N where /proc/PID/fd shows pipe:[N] for a process that holds it"),
    ]
    thread: Annotated[
        str | None,
        Meta(
            description=(
                "mount point of the file system whose own thread writes the log; null: it has none"
            )
        ),
    ]
    error: Annotated[str, Meta(description="the reason; only when failing")] | UnsetType = UNSET
    closed_at: (
        Annotated[
            datetime,
            Meta(tz=True, description="when it was closed; null if unknown; only when closed"),
        ]
        | UnsetType
        | None
    ) = UNSET


_STATES: dict[values.LogState, Literal["open", "failing", "closed"]] = {
    values.LogState.OPEN: "open",
    values.LogState.FAILING: "failing",
    values.LogState.CLOSED: "closed",
}


def log_entry(status: values.LogStatus) -> LogEntry:
    """Return what clients see of a log."""
    domain = status.domain
    state = status.state
    return LogEntry(
        path=printable(status.path),
        driver=printable(status.driver),
        domain=None if domain is None else Domain.of(domain),
        position=None if status.position is None else Position.of(status.position),
        opened_at=status.opened_at,
        bytes=status.bytes_written,
        rollovers=status.rollovers,
        state=_STATES[state],
        dropped=status.lost_bytes,
        pending=status.pending,
        followers=status.followers,
        kept=status.kept,
        pipe=status.pipe,
        thread=None if status.thread is None else printable(status.thread),
        error=UNSET if state is not values.LogState.FAILING else _reason(status),
        closed_at=UNSET if state is not values.LogState.CLOSED else status.closed_at,
    )


def _reason(status: values.LogStatus) -> str:
    return printable(status.error or "unknown")
