"""The open logs as they are known now, and how fast each is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from twisted_virtlog.client import LogInfo

FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of a log. What is not known is None.

    :ivar guest: its name; empty if the log has none.
    :ivar error: why it cannot be written, if it cannot.
    :ivar rate: bytes a second that were written to its files between the last two lists of logs.
    :ivar dropped: bytes lost since it was opened.
    :ivar pending: bytes that could not be written yet.
    """

    path: str
    guest: str
    state: str
    error: str | None
    rate: float | None
    dropped: int | None
    pending: int | None
    followers: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """All open logs together.

    :ivar rate: bytes a second; None until it is known of a log.
    """

    logs: int
    failing: int
    rate: float | None
    dropped: int
    pending: int
    followers: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """How many bytes an opening of a log had at some time."""

    opened_at: datetime
    bytes: int
    time: float


class Board:
    """The open logs. Times are seconds of any clock that never steps."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._marks: dict[str, _Mark] = {}

    def listed(self, logs: Iterable[LogInfo], time: float) -> None:
        """Take a list of all open logs, as they were at a time."""
        rows: dict[str, Row] = {}
        marks: dict[str, _Mark] = {}
        for log in logs:
            rows[log.path] = _row(log, self._rate(log, time))
            marks[log.path] = _Mark(log.opened_at, log.bytes, time)
        self._rows, self._marks = rows, marks

    def told(self, kind: str, log: LogInfo, time: float) -> None:
        """Take what happened to a log after a list.

        :param kind: ``opened``, ``closed``, or something else that it goes on after.
        """
        if kind == "closed":
            self._rows.pop(log.path, None)
            self._marks.pop(log.path, None)
            return
        known = self._marks.get(log.path)
        if known is None or known.opened_at != log.opened_at:
            self._marks[log.path] = _Mark(log.opened_at, log.bytes, time)
            self._rows[log.path] = _row(log, None)
        else:
            self._rows[log.path] = _row(log, self._rows[log.path].rate)

    def copy(self) -> Board:
        """Return one that stays as this one is now."""
        board = Board()
        board._rows, board._marks = dict(self._rows), dict(self._marks)
        return board

    def rows(self, order: str, is_reversed: bool, wanted: str) -> Sequence[Row]:
        """Return the logs in an order.

        :param order: a key of :data:`ORDERS`.
        :param wanted: a part of the path or the guest's name, whatever the case of letters; empty
            for all.
        """
        part = wanted.casefold()
        found = [row for row in self._rows.values() if _has(row, part)]
        return sorted(found, key=ORDERS[order], reverse=is_reversed)

    def totals(self) -> Totals:
        """Return what all logs are together."""
        rows = self._rows.values()
        rates = [row.rate for row in rows if row.rate is not None]
        return Totals(
            logs=len(rows),
            failing=sum(row.state == FAILING for row in rows),
            rate=sum(rates) if rates else None,
            dropped=sum(row.dropped or 0 for row in rows),
            pending=sum(row.pending or 0 for row in rows),
            followers=sum(row.followers or 0 for row in rows),
        )

    def _rate(self, log: LogInfo, time: float) -> float | None:
        mark = self._marks.get(log.path)
        if mark is None or mark.opened_at != log.opened_at or time <= mark.time:
            return None
        return max(0, log.bytes - mark.bytes) / (time - mark.time)


def _row(log: LogInfo, rate: float | None) -> Row:
    guest = log.domain.name if log.domain else ""
    return Row(log.path, guest, log.state, log.error, rate, log.dropped, log.pending, log.followers)


def _has(row: Row, part: str) -> bool:
    return part in row.path.casefold() or part in row.guest.casefold()


def _most(number: Callable[[Row], float | None]) -> Callable[[Row], tuple[object, ...]]:
    def key(row: Row) -> tuple[object, ...]:
        value = number(row)
        return (value is None, -(value or 0), row.path)

    return key


#: What the logs may be sorted by: those come first that one looks for.
ORDERS: Mapping[str, Callable[[Row], tuple[object, ...]]] = {
    "rate": _most(lambda row: row.rate),
    "dropped": _most(lambda row: row.dropped),
    "pending": _most(lambda row: row.pending),
    "state": lambda row: (row.state != FAILING, row.state, row.path),
    "followers": _most(lambda row: row.followers),
    "guest": lambda row: (not row.guest, row.guest, row.path),
    "path": lambda row: (row.path,),
}
