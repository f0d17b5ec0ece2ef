"""The methods for the daemon itself, with the types of their parameters and results."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from twisted_virtlog import __version__, values
from twisted_virtlog.handover.state import VERSION as STATE_VERSION
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.long_result import SlicedResult
from twisted_virtlog.jsonrpc.method import Example, Method, Services, true
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import LogPath, NoParams, check_path

#: The name of the program, and of its OpenRPC document.
TITLE = "twisted-virtlog"


class ReexecParams(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Who takes over."""

    to_virtlogd: LogPath | None = None
    state_version: Annotated[
        Annotated[int, Meta(ge=1, le=STATE_VERSION)] | None,
        Meta(
            description=(
                "version of the state to write, for a next image that is an older release; null:"
                " the lowest that can express everything"
            )
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse a path that is not normal, and a combination that makes no sense."""
        if self.to_virtlogd is None:
            return
        check_path(self.to_virtlogd)
        if self.state_version is not None:
            raise ValueError("state_version applies to our own next image, not to virtlogd")


class DaemonCounts(Struct, frozen=True):
    """Totals since the daemon started; open_logs, failing_logs, clients, known_logs, lanes: now."""

    open_logs: Annotated[int, Meta(ge=0, description="logs open now")]
    failing_logs: Annotated[int, Meta(ge=0, description="those whose file cannot be written now")]
    opened_logs: Annotated[int, Meta(ge=0, description="logs ever opened")]
    bytes_written: Annotated[int, Meta(ge=0, description="bytes moved into files")]
    bytes_lost: Annotated[int, Meta(ge=0, description="bytes dropped because no file took them")]
    rollovers: Annotated[int, Meta(ge=0, description="new files begun by rotation")]
    clients: Annotated[int, Meta(ge=0, description="clients connected now")]
    known_logs: Annotated[
        int, Meta(ge=0, description="logs that the read-only socket serves: open now or earlier")
    ]
    lanes: Annotated[int, Meta(ge=0, description="threads of file systems that may not answer")]
    lane_oldest_s: Annotated[
        float,
        Meta(
            ge=0, description="for how many seconds the longest of their operations has lasted now"
        ),
    ]
    followed_logs: Annotated[int, Meta(ge=0, description="logs that somebody follows")]
    followed_files: Annotated[
        int, Meta(ge=0, description="files that are kept open for those who read them")
    ]


class InfoResult(Struct, frozen=True):
    """What the daemon is, how long it has been running, and how much it has done."""

    name: Annotated[str, Meta(description="name of the program")]
    version: Annotated[str, Meta(description="its version")]
    pid: Annotated[int, Meta(ge=1, description="its process id")]
    started_at: Annotated[datetime, Meta(tz=True, description="when it started")]
    uptime_s: Annotated[float, Meta(ge=0, description="seconds since then, by a steady clock")]
    limits: Annotated[dict[str, int], Meta(description="limits by name, such as max_clients")]
    counts: DaemonCounts


def _info(services: Services, _params: NoParams) -> values.DaemonStatus:
    return services.administration.status()


def _info_result(status: values.DaemonStatus, _params: NoParams) -> InfoResult:
    counts = status.counts
    return InfoResult(
        name=TITLE,
        version=status.version,
        pid=status.pid,
        started_at=status.started_at,
        uptime_s=status.uptime_s,
        limits=status.limits,
        counts=DaemonCounts(
            open_logs=counts.open_logs,
            failing_logs=counts.failing_logs,
            opened_logs=counts.opened_logs,
            bytes_written=counts.bytes_written,
            bytes_lost=counts.bytes_lost,
            rollovers=counts.rollovers,
            clients=status.clients,
            known_logs=counts.known_logs,
            lanes=counts.lanes,
            lane_oldest_s=round(counts.lane_oldest_s, 3),
            followed_logs=counts.followed_logs,
            followed_files=counts.followed_files,
        ),
    )


def _reexec(services: Services, params: ReexecParams) -> Answer[None]:
    return services.reexec(params.to_virtlogd, params.state_version)


class MetricsResult(Struct, frozen=True):
    """What the daemon counts and measures."""

    text: Annotated[str, Meta(description="in Prometheus' text format, version 0.0.4")]


def _metrics(services: Services, _params: NoParams) -> Answer[values.MetricsText]:
    return services.metrics.text(open_metrics=False)


def _metrics_result(metrics: values.MetricsText, _params: NoParams) -> SlicedResult:
    return SlicedResult(_text_in_slices(metrics.pieces))


def _text_in_slices(pieces: deque[bytes]) -> Iterator[bytes]:
    yield b'{"text":"'
    while pieces:
        yield msgspec.json.encode(pieces.popleft().decode())[1:-1]
    yield b'"}'


_SINCE = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)


DAEMON_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="daemon.info",
        summary="Return what the daemon is, its limits and its totals.",
        params=ParamsDecoder(NoParams),
        result=InfoResult,
        ask=_info,
        present=_info_result,
        example=Example(
            "a daemon with one open log",
            NoParams(),
            InfoResult(
                name=TITLE,
                version=__version__,
                pid=1623,
                started_at=_SINCE,
                uptime_s=86400.5,
                limits={"max_clients": 1024, "max_size": 2097152, "max_backups": 3},
                counts=DaemonCounts(
                    open_logs=1,
                    failing_logs=0,
                    opened_logs=2,
                    bytes_written=4096,
                    bytes_lost=0,
                    rollovers=0,
                    clients=1,
                    known_logs=2,
                    lanes=0,
                    lane_oldest_s=0.0,
                    followed_logs=0,
                    followed_files=0,
                ),
            ),
        ),
        read_only=True,
    ),
    Method(
        name="daemon.metrics",
        summary="Return what the daemon counts and measures, as text for Prometheus.",
        params=ParamsDecoder(NoParams),
        result=MetricsResult,
        ask=_metrics,
        present=_metrics_result,
        example=Example(
            "the beginning of the text",
            NoParams(),
            MetricsResult(
                "# HELP virtlogd_logs_open Logs that are open.\n"
                "# TYPE virtlogd_logs_open gauge\n"
                "virtlogd_logs_open 1.0\n"
            ),
        ),
        read_only=True,
    ),
    Method(
        name="daemon.reexec",
        summary=(
            "Hand over to the daemon's next image, which takes over all logs, sockets and clients,"
            " or to libvirt's virtlogd at a path, which takes over everything except JSON-RPC. The"
            " answer comes once the next image has been tested and can take over."
        ),
        params=ParamsDecoder(ReexecParams),
        result=bool,
        ask=_reexec,
        present=true,
        example=Example("to what is installed now", ReexecParams(), result=True),
        errors=(Code.HAND_OVER_FAILED, Code.SHUTTING_DOWN),
    ),
)
