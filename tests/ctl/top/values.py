"""Logs as the daemon lists them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec

from twisted_virtlog.client import Domain, LogInfo, Position

OPENED = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
LATER = datetime(2026, 11, 27, 13, tzinfo=timezone.utc)

_LOG = LogInfo(
    path="/web.log",
    driver="qemu",
    domain=None,
    position=Position(1, 0),
    opened_at=OPENED,
    bytes=0,
    rollovers=0,
    state="open",
    dropped=0,
    pending=0,
    followers=0,
)


def log(path: str = "/web.log", guest: str | None = None, **members: Any) -> LogInfo:
    """Return a log."""
    domain = None if guest is None else Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", guest)
    return msgspec.structs.replace(_LOG, path=path, domain=domain, **members)
