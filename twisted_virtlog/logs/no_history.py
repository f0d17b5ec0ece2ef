"""Stands for a history where none is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from zope.interface import implementer

from twisted_virtlog.interfaces import IHistory
from twisted_virtlog.values import Boot, LogEvent, LogStatus, Position, TimeMark, TimeRange


@implementer(IHistory)
class NoHistory:
    """Knows nothing."""

    def locate(
        self, path: str, since: datetime | None, until: datetime | None
    ) -> Sequence[TimeRange]:
        return ()

    def times(self, path: str, start: Position | None, end: Position | None) -> Sequence[TimeMark]:
        return ()

    def boots(self, path: str) -> Sequence[Boot]:
        return ()

    def events(self, path: str, since: datetime | None) -> Sequence[LogEvent]:
        return ()

    def closed_logs(self) -> Sequence[LogStatus]:
        return ()
