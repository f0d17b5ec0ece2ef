"""The logs as a list shows them: sorted, filtered, and how fast each has been written lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from twisted_virtlog.client import LogInfo

#: Rates that are kept of each log: of the last three minutes, at one each two seconds.
KEPT_RATES = 90

_FAILING, _CLOSED, _OPEN = "failing", "closed", "open"


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is shown of a log; what is as it nearly always is does not stand in JSON.

    :ivar guest: its name; empty if the log has none.
    :ivar error: why it cannot be written, if it cannot.
    :ivar rate: bytes a second lately; None where that is not known, or the log is not open.
    :ivar size: bytes of the log that are kept.
    :ivar dropped: bytes lost since it was opened.
    """

    path: str
    guest: str = ""
    state: str = _OPEN
    error: str | None = None
    rate: int | None = None
    size: int | None = None
    dropped: int = 0
    followers: int = 0


class Page(msgspec.Struct, frozen=True):
    """A part of the list.

    :ivar tick: how many lists were taken; each adds a rate to each row.
    :ivar first: the index of the first row in all that were found.
    :ivar found: how many there are.
    :ivar logs: how many logs there are in all.
    :ivar failing: how many of these cannot be written.
    :ivar rate: bytes a second of all logs together.
    """

    tick: int
    first: int
    found: int
    logs: int
    failing: int
    rate: int
    rows: Sequence[Row]


@dataclass(frozen=True)
class Wanted:
    """Which rows are wanted.

    :ivar order: a key of :data:`ORDERS`.
    :ivar text: a part of the path or of the guest's name, whatever the case of letters.
    """

    order: str = "path"
    is_reversed: bool = False
    text: str = ""
    first: int = 0
    count: int = 50


@dataclass
class _Known:
    log: LogInfo
    rate: float | None = None
    rates: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT_RATES))
    # The number of the last list that had it.
    listed: int = 0


class Rows:
    """The logs as they are known now. Times are seconds of any clock that never steps."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._listed_at: float | None = None
        self._ticks = 0

    def listed(self, logs: Iterable[LogInfo], time: float, is_whole: bool = True) -> bool:
        """Take a list of logs as they were at a time.

        :param is_whole: closed ones are in it. Otherwise those that are not in it stay as they are.
        :returns: whether it has all that were not known to be closed.
        """
        passed = None if self._listed_at is None else time - self._listed_at
        former, self._listed_at = self._known, time
        self._known = {} if is_whole else former
        self._ticks += 1
        for log in logs:
            known = former.get(log.path) or _Known(log)
            known.rate = _rate(known.log, log, passed)
            if known.rate is not None:
                known.rates.append(round(known.rate))
            known.log = log
            known.listed = self._ticks
            self._known[log.path] = known
        return is_whole or all(
            known.listed == self._ticks or known.log.state == _CLOSED
            for known in self._known.values()
        )

    def told(self, log: LogInfo) -> None:
        """Take what became of a log since the list."""
        known = self._known.get(log.path)
        if known is None:
            self._known[log.path] = _Known(log)
            return
        # (its bytes stay those of the list, from which the next rate is counted)
        same = known.log.opened_at == log.opened_at
        known.log = msgspec.structs.replace(log, bytes=known.log.bytes) if same else log
        if log.state == _CLOSED:
            known.rate = None

    def rates(self, paths: Iterable[str]) -> Mapping[str, Sequence[int]]:
        """Return the last rates of logs, the newest last."""
        return {path: list(self._known[path].rates) for path in paths if path in self._known}

    def page(self, wanted: Wanted) -> Page:
        """Return a part of the list."""
        part = wanted.text.casefold()
        found = [known for known in self._known.values() if _has(known.log, part)]
        found.sort(key=ORDERS[wanted.order], reverse=wanted.is_reversed)
        every = self._known.values()
        return Page(
            tick=self._ticks,
            first=wanted.first,
            found=len(found),
            logs=len(self._known),
            failing=sum(known.log.state == _FAILING for known in every),
            rate=round(sum(known.rate or 0 for known in every)),
            rows=[_row(known) for known in found[wanted.first : wanted.first + wanted.count]],
        )


def _rate(before: LogInfo, log: LogInfo, passed: float | None) -> float | None:
    """Return the bytes a second between two lists; None where nobody knows."""
    if log.state == _CLOSED or not passed or before.opened_at != log.opened_at:
        return None
    return max(0, log.bytes - before.bytes) / passed


def _row(known: _Known) -> Row:
    log = known.log
    return Row(
        log.path,
        _guest(log),
        # (only what is the same object is left out)
        _OPEN if log.state == _OPEN else log.state,
        log.error,
        None if known.rate is None else round(known.rate),
        log.kept,
        log.dropped or 0,
        log.followers or 0,
    )


def _guest(log: LogInfo) -> str:
    return log.domain.name if log.domain else ""


def _has(log: LogInfo, part: str) -> bool:
    return part in log.path.casefold() or part in _guest(log).casefold()


def _most(number: Callable[[_Known], float | None]) -> Callable[[_Known], tuple[object, ...]]:
    return lambda known: (-(number(known) or 0), known.log.path)


def _troubled(known: _Known) -> tuple[object, ...]:
    log = known.log
    return (log.state != _FAILING, -(log.dropped or 0), log.state == _CLOSED, log.path)


#: What the logs may be sorted by: those come first that one looks for.
ORDERS: Mapping[str, Callable[[_Known], tuple[object, ...]]] = {
    "path": lambda known: (known.log.path,),
    "guest": lambda known: (not _guest(known.log), _guest(known.log), known.log.path),
    "state": _troubled,
    "rate": _most(lambda known: known.rate),
    "size": _most(lambda known: known.log.kept),
    "dropped": _most(lambda known: known.log.dropped),
    "followers": _most(lambda known: known.log.followers),
}
