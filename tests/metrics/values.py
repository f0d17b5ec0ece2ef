"""Logs and a daemon that have metrics."""

from __future__ import annotations

import errno
from datetime import datetime, timezone
from typing import Any

from tests.fakes.administration import FakeDaemon
from tests.fakes.handler import FakeHandler
from tests.fakes.slices import Slices
from twisted_virtlog.metrics.metrics import Metrics
from twisted_virtlog.values import (
    Domain,
    LogState,
    LogStatus,
    MetricsLogs,
    MetricsText,
    Position,
)

AT = datetime(2026, 11, 26, 9, 30, tzinfo=timezone.utc)
GUEST = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "web")


def log(path: str = "/a.log", **more: Any) -> LogStatus:
    """Make an open log."""
    values: dict[str, Any] = {
        "path": path,
        "driver": "qemu",
        "domain": GUEST,
        "position": Position(1, 2),
        "opened_at": AT,
        "bytes_written": 10,
        "rollovers": 2,
        "state": LogState.OPEN,
        "error": None,
        "lost_bytes": 0,
        "pipe": 5,
    }
    return LogStatus(**{**values, **more})


def failing(path: str, number: int = errno.ENOSPC, **more: Any) -> LogStatus:
    """Make a log that cannot be written."""
    return log(path, state=LogState.FAILING, error="it is full", errno=number, **more)


class World:
    """Metrics of a daemon that is not there."""

    def __init__(self, *logs: LogStatus, shown: MetricsLogs = MetricsLogs.SOME) -> None:
        self.daemon = FakeDaemon()
        self.slices = Slices()
        self.shown = shown
        self.handler = FakeHandler(logs=lambda: list(logs))
        self.metrics = Metrics(
            self.handler, self.daemon.administration, self.slices, lambda: self.shown
        )

    def text(self, open_metrics: bool = False) -> str:
        """Return the text, which is there at once."""
        found = self.metrics.text(open_metrics)
        assert isinstance(found, MetricsText)
        return joined(found)


def joined(text: MetricsText) -> str:
    """Return all of a text."""
    return b"".join(text.pieces).decode()
