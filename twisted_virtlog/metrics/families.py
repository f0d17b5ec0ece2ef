"""The table of families: what each is called, what it means, and where its numbers come from."""

from __future__ import annotations

import errno as errno_module
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from twisted_virtlog.loop.durations import BOUNDS, Durations
from twisted_virtlog.loop.stalls import StallCounts
from twisted_virtlog.metrics.family import Family, Kind
from twisted_virtlog.metrics.text import histogram, samples
from twisted_virtlog.values import (
    ByteSums,
    ClientLimits,
    ConsumerSums,
    DaemonStatus,
    DiskUse,
    DropReason,
    HeldUse,
    IndexFigures,
    LogState,
    LogStatus,
    MountThread,
    PackingFigures,
    ProcessFigures,
    Removed,
    Space,
)

#: The values of a sample's labels, and its number.
Sample = tuple[Sequence[str], float]

_NO_LABELS: tuple[str, ...] = ()


class LogSums(Struct):
    """What the open logs come to together.

    :ivar failing: how many cannot be written now, by the name of the error.
    :ivar pending: bytes that could not be written when they were counted last.
    :ivar followers: those who follow logs.
    """

    failing: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    followers: int = 0

    def add(self, log: LogStatus) -> None:
        """Add an open log."""
        self.followers += log.followers
        if log.state is LogState.FAILING:
            self.failing[_error_name(log.errno)] += 1
            self.pending += log.pending or 0


class Facts(Struct, frozen=True):
    """What was found of the daemon, but for its logs one by one.

    :ivar servers: how many clients each has, and may have.
    :ivar process: None where the system does not tell.
    :ivar calls: how long requests took, by protocol and method.
    :ivar turns: how long the reactor took to its next turn.
    :ivar stalls: of the reactor, by cause.
    :ivar removed: of old logs.
    :ivar use: None where it is not counted.
    :ivar packing: of backups.
    :ivar held: None where there are no consumers.
    :ivar lags: how many bytes consumers have yet to read, by their names.
    """

    status: DaemonStatus
    servers: Mapping[str, ClientLimits]
    logs: LogSums
    process: ProcessFigures | None
    bytes: ByteSums
    calls: Mapping[str, Mapping[str, Durations]]
    turns: Durations
    stalls: Mapping[str, StallCounts]
    threads: Sequence[MountThread]
    spaces: Sequence[Space]
    hand_overs: int
    removed: Removed
    index: IndexFigures
    use: DiskUse | None
    packing: PackingFigures
    held: HeldUse | None
    lags: Mapping[str, int]


class Row(Struct, frozen=True):
    """A family, and what it says.

    :ivar lines: yields the lines of its samples.
    """

    family: Family
    lines: Callable[[Facts], Iterator[str]]


class LogRow(Struct, frozen=True):
    """A family that has a sample for each log that is told by itself."""

    family: Family
    value: Callable[[LogStatus], float]


def is_in_trouble(log: LogStatus) -> bool:
    """Return whether an open log cannot be written, or has lost bytes."""
    return log.state is LogState.FAILING or log.lost_bytes > 0


def log_label_values(log: LogStatus) -> tuple[str, str, str]:
    """Return the values of the labels that tell a log: those of LOG_LABELS."""
    domain = log.domain
    if domain is None:
        return "", log.path, ""
    return domain.name, log.path, domain.uuid


def _error_name(number: int | None) -> str:
    return errno_module.errorcode.get(number or 0, "unknown")


def _row(
    kind: Kind,
    name: str,
    text: str,
    value: Callable[[Facts], Iterable[Sample]],
    labels: tuple[str, ...] = (),
    unit: str = "",
) -> Row:
    family = Family(f"virtlogd_{name}", kind, text, labels, unit)
    return Row(family, lambda facts: samples(family, value(facts)))


def _one(kind: Kind, name: str, text: str, value: Callable[[Facts], float], unit: str = "") -> Row:
    """Make a row of one number."""
    return _row(kind, name, text, lambda facts: [(_NO_LABELS, value(facts))], unit=unit)


def _process_row(
    kind: Kind, name: str, text: str, value: Callable[[ProcessFigures], float], unit: str
) -> Row:
    """Make a row of a number that Prometheus' libraries give for any process."""
    family = Family(f"process_{name}", kind, text, unit=unit)

    def values(facts: Facts) -> Iterable[Sample]:
        return [] if facts.process is None else [(_NO_LABELS, value(facts.process))]

    return Row(family, lambda facts: samples(family, values(facts)))


def _clients(facts: Facts) -> Iterable[Sample]:
    return [((server,), limits.clients) for server, limits in facts.servers.items()]


def _max_clients(facts: Facts) -> Iterable[Sample]:
    return [((server,), limits.max_clients) for server, limits in facts.servers.items()]


def _refused(facts: Facts) -> Iterable[Sample]:
    return [((server,), limits.refused) for server, limits in facts.servers.items()]


def _calls(facts: Facts) -> Iterator[tuple[tuple[str, str], Durations]]:
    """Yield each method that was called, with its labels."""
    for protocol, methods in facts.calls.items():
        for method, measured in sorted(methods.items()):
            yield (method, protocol), measured


def _call_rows() -> Iterator[Row]:
    labels = ("method", "protocol")
    durations = Family(
        "virtlogd_call_duration_seconds",
        Kind.HISTOGRAM,
        "How long requests took until they were answered, of methods that were called.",
        labels,
        "seconds",
    )

    def lines(facts: Facts) -> Iterator[str]:
        for values, measured in _calls(facts):
            yield from _histogram(durations, values, measured)

    yield Row(durations, lines)
    yield _row(
        Kind.COUNTER,
        "calls_failed",
        "Requests that were answered with an error.",
        lambda facts: [(values, measured.failed) for values, measured in _calls(facts)],
        labels,
    )


def _turns_row() -> Row:
    family = Family(
        "virtlogd_reactor_turn_seconds",
        Kind.HISTOGRAM,
        "How long the reactor took to its next turn, whenever it was found at work.",
        unit="seconds",
    )
    return Row(family, lambda facts: _histogram(family, _NO_LABELS, facts.turns))


def _histogram(family: Family, values: Sequence[str], measured: Durations) -> Iterator[str]:
    return histogram(family, values, BOUNDS, measured.counts, measured.seconds)


def _stalls(facts: Facts) -> Iterable[Sample]:
    return [((cause,), counts.stalls) for cause, counts in facts.stalls.items()]


def _stalled_seconds(facts: Facts) -> Iterable[Sample]:
    return [((cause,), counts.seconds) for cause, counts in facts.stalls.items()]


def _thread_logs(facts: Facts) -> Iterable[Sample]:
    return [((thread.mount,), thread.logs) for thread in facts.threads]


def _thread_waits(facts: Facts) -> Iterable[Sample]:
    return [((thread.mount,), thread.waited_s) for thread in facts.threads]


def _space_row(name: str, text: str, value: Callable[[Space], float], unit: str = "") -> Row:
    """Make a row of the file systems with open logs, by the labels of node_exporter."""

    def values(facts: Facts) -> Iterable[Sample]:
        return [((one.kind, one.mount), value(one)) for one in facts.spaces]

    return _row(Kind.GAUGE, f"filesystem_{name}", text, values, ("fstype", "mountpoint"), unit)


def _written(facts: Facts) -> Iterable[Sample]:
    written = facts.bytes.written
    return [((kind,), getattr(written, kind)) for kind in written.__struct_fields__]


def _dropped(facts: Facts) -> Iterable[Sample]:
    return [((reason.value,), facts.bytes.dropped.of(reason)) for reason in DropReason]


def _used(facts: Facts) -> Iterable[Sample]:
    return [] if facts.use is None else [(_NO_LABELS, facts.use.used_bytes)]


def _max_use(facts: Facts) -> Iterable[Sample]:
    return [] if facts.use is None else [(_NO_LABELS, facts.use.max_bytes)]


def _held(facts: Facts) -> Iterable[Sample]:
    return [] if facts.held is None else [(_NO_LABELS, facts.held.used_bytes)]


def _held_max(facts: Facts) -> Iterable[Sample]:
    return [] if facts.held is None else [(_NO_LABELS, facts.held.max_bytes)]


def _of_consumers(facts: Facts, value: Callable[[ConsumerSums], int]) -> Iterable[Sample]:
    held = facts.held
    return [] if held is None else [((one.consumer,), value(one)) for one in held.consumers]


def _failing(facts: Facts) -> Iterable[Sample]:
    return [((name,), count) for name, count in sorted(facts.logs.failing.items())]


_GAUGE, _COUNTER, _INFO = Kind.GAUGE, Kind.COUNTER, Kind.INFO

#: Those of the daemon as a whole, in the order in which they are written.
ROWS: tuple[Row, ...] = (
    _row(
        _INFO,
        "build",
        "The version of the daemon.",
        lambda facts: [((facts.status.version,), 1)],
        ("version",),
    ),
    _one(
        _GAUGE,
        "start_time_seconds",
        "When the daemon started, before any hand-overs, in seconds since 1970.",
        lambda facts: facts.status.started_at.timestamp(),
        "seconds",
    ),
    _one(_GAUGE, "logs_open", "Logs that are open.", lambda facts: facts.status.counts.open_logs),
    _one(
        _GAUGE,
        "logs_known",
        "Logs that are open, or were opened or appended to before.",
        lambda facts: facts.status.counts.known_logs,
    ),
    _one(
        _COUNTER,
        "logs_opened",
        "Logs that were opened.",
        lambda facts: facts.status.counts.opened_logs,
    ),
    _row(
        _GAUGE,
        "logs_failing",
        "Logs whose file cannot be written now, by the name of the error.",
        _failing,
        ("errno",),
    ),
    _row(
        _COUNTER,
        "written_bytes",
        "Bytes written into logs: by guests, appended by clients, and the daemon's own notices.",
        _written,
        ("kind",),
        "bytes",
    ),
    _row(
        _COUNTER,
        "dropped_bytes",
        "Bytes of guests that are lost, by reason.",
        _dropped,
        ("reason",),
        "bytes",
    ),
    _one(
        _GAUGE,
        "pending_bytes",
        "Bytes that could not be written yet, and wait in pipes.",
        lambda facts: facts.logs.pending,
        "bytes",
    ),
    _one(
        _COUNTER,
        "rollovers",
        "New files that rotation began.",
        lambda facts: facts.status.counts.rollovers,
    ),
    _one(
        _GAUGE,
        "logs_followed",
        "Logs that somebody follows.",
        lambda facts: facts.status.counts.followed_logs,
    ),
    _one(_GAUGE, "followers", "Those who follow open logs.", lambda facts: facts.logs.followers),
    _one(
        _GAUGE,
        "followed_files",
        "Files that are kept open for those who follow.",
        lambda facts: facts.status.counts.followed_files,
    ),
    _row(_GAUGE, "clients", "Clients that are connected.", _clients, ("server",)),
    _row(_GAUGE, "clients_max", "Clients that may be connected.", _max_clients, ("server",)),
    _row(
        _COUNTER,
        "connections_refused",
        "Connections that were closed, as their users may not connect.",
        _refused,
        ("server",),
    ),
    *_call_rows(),
    _turns_row(),
    _row(
        _COUNTER,
        "reactor_stalls",
        "How often nobody was served for a quarter of a second or more, by what was done then.",
        _stalls,
        ("cause",),
    ),
    _row(
        _COUNTER,
        "reactor_stalled_seconds",
        "For how long nobody was served in such times.",
        _stalled_seconds,
        ("cause",),
        "seconds",
    ),
    _one(
        _COUNTER,
        "hand_overs",
        "Hand-overs to the daemon's next image.",
        lambda facts: facts.hand_overs,
    ),
    _row(
        _GAUGE,
        "mount_logs",
        "Logs that are written in the thread of their file system.",
        _thread_logs,
        ("mountpoint",),
    ),
    _row(
        _GAUGE,
        "mount_oldest_call_seconds",
        "For how long a file system that has a thread has not answered; 0 if it is asked nothing.",
        _thread_waits,
        ("mountpoint",),
        "seconds",
    ),
    _space_row(
        "size_bytes",
        "Size of a file system with open logs.",
        lambda space: space.size_bytes,
        "bytes",
    ),
    _space_row(
        "avail_bytes",
        "Bytes that are available on a file system with open logs.",
        lambda space: space.available_bytes,
        "bytes",
    ),
    _space_row(
        "files",
        "Files that a file system with open logs may have; 0 for no limit.",
        lambda space: space.files,
    ),
    _space_row(
        "files_avail",
        "Files that may still be made on a file system with open logs.",
        lambda space: space.available_files,
    ),
    _row(
        _GAUGE,
        "disk_used_bytes",
        "Bytes on disk of all logs, where host_max_use or a quota has them counted.",
        _used,
        unit="bytes",
    ),
    _row(
        _GAUGE,
        "disk_max_bytes",
        "Bytes on disk that all logs may have, where they are counted; 0 for no limit.",
        _max_use,
        unit="bytes",
    ),
    _row(
        _GAUGE,
        "held_used_bytes",
        "Bytes on disk of files that are held for consumers, where there are any.",
        _held,
        unit="bytes",
    ),
    _row(
        _GAUGE,
        "held_max_bytes",
        "Bytes on disk that held files may have, where there are consumers; 0 for no limit.",
        _held_max,
        unit="bytes",
    ),
    _row(
        _GAUGE,
        "consumer_logs",
        "Logs that a consumer has read, or that are held for it.",
        lambda facts: _of_consumers(facts, lambda one: one.logs),
        ("consumer",),
    ),
    _row(
        _GAUGE,
        "consumer_lag_bytes",
        "Bytes of logs that a consumer has yet to read, of those that can be looked at.",
        lambda facts: _of_consumers(facts, lambda one: facts.lags.get(one.consumer, 0)),
        ("consumer",),
        "bytes",
    ),
    _row(
        _COUNTER,
        "consumer_unread_bytes",
        "Bytes of logs that went before a consumer had read them.",
        lambda facts: _of_consumers(facts, lambda one: one.unread_bytes),
        ("consumer",),
        "bytes",
    ),
    _one(
        _COUNTER,
        "compressed_files",
        "Backups that were compressed.",
        lambda facts: facts.packing.files,
    ),
    _one(
        _COUNTER,
        "compressed_from_bytes",
        "Bytes of backups that were compressed, before they were.",
        lambda facts: facts.packing.bytes,
        "bytes",
    ),
    _one(
        _COUNTER,
        "compressed_to_bytes",
        "Bytes of backups that were compressed, as they are now.",
        lambda facts: facts.packing.packed_bytes,
        "bytes",
    ),
    _one(
        _GAUGE,
        "compress_waiting_logs",
        "Logs that may have a backup to be compressed.",
        lambda facts: facts.packing.waiting,
    ),
    _one(
        _COUNTER,
        "old_files_removed",
        "Files of old logs that were removed, as max_age_days says.",
        lambda facts: facts.removed.files,
    ),
    _one(
        _COUNTER,
        "old_removed_bytes",
        "Bytes in files of old logs that were removed.",
        lambda facts: facts.removed.bytes,
        "bytes",
    ),
    _one(
        _GAUGE,
        "index_failing",
        "1 if the file with the times of logs cannot be used now.",
        lambda facts: int(facts.index.is_failing),
    ),
    _one(
        _COUNTER,
        "index_notes_lost",
        "Notes of times that were forgotten, as they could not be written for too long.",
        lambda facts: facts.index.lost_notes,
    ),
    _one(
        _GAUGE,
        "index_notes_waiting",
        "Notes of times that are still to be taken by the thread that writes them.",
        lambda facts: facts.index.waiting_notes,
    ),
    _one(
        _GAUGE,
        "index_oldest_call_seconds",
        "For how long that thread has been at what it is at; 0 if it has nothing to do.",
        lambda facts: facts.index.waited_s,
        "seconds",
    ),
    _process_row(
        _COUNTER,
        "cpu_seconds",
        "Processor time of the process, in user and kernel mode.",
        lambda process: process.processor_seconds,
        "seconds",
    ),
    _process_row(
        _GAUGE,
        "resident_memory_bytes",
        "Memory of the process that is resident.",
        lambda process: process.resident_bytes,
        "bytes",
    ),
    _process_row(
        _GAUGE,
        "virtual_memory_bytes",
        "Address space of the process.",
        lambda process: process.virtual_bytes,
        "bytes",
    ),
    _process_row(
        _GAUGE,
        "start_time_seconds",
        "When the process started, in seconds since 1970.",
        lambda process: process.started_at,
        "seconds",
    ),
    _process_row(
        _GAUGE,
        "open_fds",
        "Descriptors of the process that are open.",
        lambda process: process.descriptors,
        "",
    ),
    _process_row(
        _GAUGE,
        "max_fds",
        "Descriptors that the process may have.",
        lambda process: process.max_descriptors,
        "",
    ),
)

#: The labels of those of single logs; ``domain`` and ``uuid`` are those of libvirt_exporter.
LOG_LABELS = ("domain", "path", "uuid")


def _log_row(
    kind: Kind, name: str, text: str, value: Callable[[LogStatus], float], unit: str = ""
) -> LogRow:
    return LogRow(Family(f"virtlogd_log_{name}", kind, text, LOG_LABELS, unit), value)


#: Those of single logs.
LOG_ROWS: tuple[LogRow, ...] = (
    _log_row(
        _GAUGE,
        "failing",
        "1 if the log's file cannot be written now.",
        lambda log: int(log.state is LogState.FAILING),
    ),
    _log_row(
        _COUNTER,
        "written_bytes",
        "Bytes of the log moved into files since it was opened.",
        lambda log: log.bytes_written,
        "bytes",
    ),
    _log_row(
        _COUNTER,
        "dropped_bytes",
        "Bytes of the log that were dropped since it was opened.",
        lambda log: log.lost_bytes,
        "bytes",
    ),
    _log_row(
        _GAUGE,
        "pending_bytes",
        "Bytes of the log that could not be written when they were counted last.",
        lambda log: log.pending or 0,
        "bytes",
    ),
    _log_row(
        _COUNTER,
        "rollovers",
        "New files that rotation began since the log was opened.",
        lambda log: log.rollovers,
    ),
    _log_row(
        _GAUGE,
        "kept_bytes",
        "Bytes of the log in all its files.",
        lambda log: log.kept,
        "bytes",
    ),
)
