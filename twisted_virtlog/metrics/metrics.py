"""Makes the text of all metrics in slices: it is asked for while guests print."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_virtlog.interfaces import Answer, IAdministration, ILogHandler, IMetrics, InSlices
from twisted_virtlog.loop.durations import Durations
from twisted_virtlog.loop.stalls import StallCounts
from twisted_virtlog.metrics.families import (
    LOG_LABELS,
    LOG_ROWS,
    ROWS,
    Facts,
    LogSums,
    is_in_trouble,
    log_label_values,
)
from twisted_virtlog.metrics.process import process_figures
from twisted_virtlog.metrics.text import OPEN_METRICS, PLAIN, Format, labels, number
from twisted_virtlog.values import (
    ByteSums,
    DiskUse,
    HeldUse,
    IndexFigures,
    LogStatus,
    MetricsLogs,
    MetricsText,
    MountThread,
    PackingFigures,
    Removed,
    Space,
)

#: So many logs are looked at, or written of, before others are served.
_LOGS_AT_ONCE = 64

#: Pieces are joined to about so many characters.
_PIECE = 32 * 1024


class Storage(Protocol):
    """What is known of all logs together, and of their file systems; see AllLogs."""

    def disk_use(self) -> DiskUse | None:
        """Return what all logs take up on disk; None if that is not counted."""

    def held_use(self) -> HeldUse | None:
        """Return what held files take up; None if there are no consumers."""

    def byte_sums(self) -> Generator[None, None, ByteSums]:
        """Return what all logs have written and lost, in slices."""

    def mount_threads(self) -> Sequence[MountThread]:
        """Return the threads of file systems that may not answer."""

    def spaces(self) -> Answer[Sequence[Space]]:
        """Return how much room there is on the file systems that answer."""


class Parts(Struct, frozen=True):
    """What is measured of other parts of the daemon.

    :ivar calls: how long requests took, by protocol and method.
    :ivar turns: returns how long the reactor took to its next turn.
    :ivar stalls: returns what was counted of its stalls, by cause.
    :ivar hand_overs: returns how often an image has handed over to the next one.
    :ivar removed: returns what was removed of old logs.
    :ivar index: returns how the index beside the logs fares.
    :ivar packing: returns how compressing backups fares.
    :ivar lags: returns how many bytes consumers have yet to read, by their names.
    """

    calls: Mapping[str, Mapping[str, Durations]]
    turns: Callable[[], Durations]
    stalls: Callable[[], Mapping[str, StallCounts]]
    hand_overs: Callable[[], int]
    removed: Callable[[], Removed]
    index: Callable[[], IndexFigures]
    packing: Callable[[], PackingFigures]
    lags: Callable[[], Answer[Mapping[str, int]]]


@implementer(IMetrics)
class Metrics:
    """What the daemon tells of itself, its clients and its logs."""

    def __init__(
        self,
        handler: ILogHandler,
        storage: Storage,
        administration: IAdministration,
        parts: Parts,
        in_slices: InSlices,
        shown: Callable[[], MetricsLogs],
    ) -> None:
        """:param shown: returns which logs have samples of their own."""
        self._handler = handler
        self._storage = storage
        self._administration = administration
        self._parts = parts
        self._in_slices = in_slices
        self._shown = shown

    def text(self, open_metrics: bool) -> Answer[MetricsText]:
        written_as = OPEN_METRICS if open_metrics else PLAIN
        spaces = self._storage.spaces()
        if isinstance(spaces, Deferred):
            return spaces.addCallback(self._with_spaces, written_as)
        return self._with_spaces(spaces, written_as)

    def _with_spaces(self, spaces: Sequence[Space], written_as: Format) -> Answer[MetricsText]:
        lags = {} if self._storage.held_use() is None else self._parts.lags()
        if isinstance(lags, Deferred):
            return lags.addCallback(self._with_lags, spaces, written_as)
        return self._with_lags(lags, spaces, written_as)

    def _with_lags(
        self, lags: Mapping[str, int], spaces: Sequence[Space], written_as: Format
    ) -> Answer[MetricsText]:
        logs = self._handler.logs()
        if isinstance(logs, Deferred):
            return logs.addCallback(self._written, lags, spaces, written_as)
        return self._written(logs, lags, spaces, written_as)

    def _written(
        self,
        logs: Sequence[LogStatus],
        lags: Mapping[str, int],
        spaces: Sequence[Space],
        written_as: Format,
    ) -> Answer[MetricsText]:
        return self._in_slices(self._write(deque(logs), lags, spaces, written_as))

    def _write(
        self,
        logs: deque[LogStatus],
        lags: Mapping[str, int],
        spaces: Sequence[Space],
        written_as: Format,
    ) -> Generator[None, None, MetricsText]:
        """Write all families."""
        sums = LogSums()
        told = yield from self._look_at(logs, sums)
        process = yield from process_figures()
        sums_of_bytes = yield from self._storage.byte_sums()
        administration, parts = self._administration, self._parts
        facts = Facts(
            status=administration.status(),
            servers={name: administration.limits(name) for name in administration.servers()},
            logs=sums,
            process=process,
            bytes=sums_of_bytes,
            calls=parts.calls,
            turns=parts.turns(),
            stalls=parts.stalls(),
            threads=self._storage.mount_threads(),
            spaces=spaces,
            hand_overs=parts.hand_overs(),
            removed=parts.removed(),
            index=parts.index(),
            use=self._storage.disk_use(),
            packing=parts.packing(),
            held=self._storage.held_use(),
            lags=lags,
        )
        yield
        text = _Text()
        for row in ROWS:
            text.add(written_as.head(row.family) + "".join(row.lines(facts)))
            yield
        yield from _write_logs(told, written_as, text)
        text.add(written_as.end)
        return MetricsText(written_as.media_type, text.pieces())

    def _look_at(self, logs: deque[LogStatus], sums: LogSums) -> Generator[None, None, _Told]:
        """Add up the logs, letting go of each; return those that are told by themselves."""
        shown = self._shown()
        told = _Told()
        while logs:
            for _ in range(min(_LOGS_AT_ONCE, len(logs))):
                log = logs.popleft()
                sums.add(log)
                if shown is MetricsLogs.ALL or (shown is MetricsLogs.SOME and is_in_trouble(log)):
                    told.labels.append(labels(LOG_LABELS, log_label_values(log)))
                    told.logs.append(log)
            yield
        return told


class _Told:
    """The logs that are told by themselves.

    (A pair for each would be something to look at for the garbage collector.)

    :ivar labels: of each, as they stand behind a name.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.logs: list[LogStatus] = []


class _Text:
    """Text that grows, in pieces of a size that is sent at once."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._parts: list[str] = []
        self._size = 0

    def add(self, part: str) -> None:
        """Add some."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= _PIECE:
            self._end_piece()

    def pieces(self) -> deque[bytes]:
        """Return all of it."""
        self._end_piece()
        return self._pieces

    def _end_piece(self) -> None:
        self._pieces.append("".join(self._parts).encode())
        self._parts.clear()
        self._size = 0


def _write_logs(told: _Told, written_as: Format, text: _Text) -> Generator[None, None, None]:
    """Write the families of single logs, if there are any, and let go of the logs."""
    if not told.logs:
        return
    for row in LOG_ROWS:
        text.add(written_as.head(row.family))
        name, value = row.family.sample, row.value
        for start in range(0, len(told.logs), _LOGS_AT_ONCE):
            end = start + _LOGS_AT_ONCE
            some = zip(told.labels[start:end], told.logs[start:end], strict=True)
            text.add("".join([f"{name}{of} {number(value(log))}\n" for of, log in some]))
            yield
    # (to free them all at once takes milliseconds)
    while told.logs:
        del told.labels[-_LOGS_AT_ONCE:]
        del told.logs[-_LOGS_AT_ONCE:]
        yield
