"""Logs and a daemon that have metrics."""

from __future__ import annotations

import errno
from collections.abc import Generator, Sequence
from datetime import datetime, timezone
from typing import Any

from twisted.internet.defer import Deferred

from tests.fakes.administration import FakeDaemon
from tests.fakes.handler import FakeHandler
from tests.fakes.slices import Slices
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.loop.durations import ByName, Durations
from twisted_virtlog.loop.stalls import StallCounts
from twisted_virtlog.metrics.metrics import Metrics, Parts
from twisted_virtlog.values import (
    ByteSums,
    DiskUse,
    Domain,
    Dropped,
    HeldUse,
    IndexFigures,
    LogState,
    LogStatus,
    MetricsLogs,
    MetricsText,
    MountThread,
    PackingFigures,
    Position,
    Removed,
    Space,
    Written,
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


class FakeStorage:
    """File systems that a test makes up.

    :ivar later: fires before it is known how much room there is; None if that is known at once.
    """

    def __init__(self) -> None:
        self.bytes = ByteSums(Written(5, 2, 1), Dropped(1, 2, 3, 4))
        self.use: DiskUse | None = None
        self.held: HeldUse | None = None
        self.threads: list[MountThread] = []
        self.found: list[Space] = []
        self.later: Deferred[None] | None = None

    def disk_use(self) -> DiskUse | None:
        return self.use

    def held_use(self) -> HeldUse | None:
        return self.held

    def byte_sums(self) -> Generator[None, None, ByteSums]:
        yield
        return self.bytes

    def mount_threads(self) -> Sequence[MountThread]:
        return self.threads

    def spaces(self) -> Answer[Sequence[Space]]:
        if self.later is None:
            return self.found
        return self.later.addCallback(lambda _: self.found)


class World:
    """Metrics of a daemon that is not there."""

    def __init__(self, *logs: LogStatus, shown: MetricsLogs = MetricsLogs.SOME) -> None:
        self.daemon = FakeDaemon()
        self.slices = Slices()
        self.shown = shown
        self.handler = FakeHandler(logs=lambda: list(logs))
        self.storage = FakeStorage()
        self.calls = {"jsonrpc": ByName(), "libvirt": ByName()}
        self.turns = Durations()
        self.stalls: dict[str, StallCounts] = {}
        self.lags: dict[str, int] = {}
        self.metrics = Metrics(
            self.handler,
            self.storage,
            self.daemon.administration,
            Parts(
                self.calls,
                lambda: self.turns,
                lambda: self.stalls,
                lambda: 3,
                lambda: Removed(4, 5),
                lambda: IndexFigures(True, 6, 7, 0.5),
                lambda: PackingFigures(8, 900, 90, 10),
                lambda: self.lags,
            ),
            self.slices,
            lambda: self.shown,
        )

    def text(self, open_metrics: bool = False) -> str:
        """Return the text, which is there at once."""
        found = self.metrics.text(open_metrics)
        assert isinstance(found, MetricsText)
        return joined(found)


def joined(text: MetricsText) -> str:
    """Return all of a text."""
    return b"".join(text.pieces).decode()
