"""Values for tests of the store."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import strategies as st

from twisted_virtlog.handover.state import LogDetails, OpenLogState, OutageState

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def log(
    path: str, pipe: int = -1, lost: int = 0, order: int = 0, lane: str | None = None
) -> OpenLogState:
    """Give an open log."""
    outage = OutageState(NOON, lost, "Unable to write", 28) if lost else None
    details = LogDetails(NOON, path, path, lost_bytes=lost, outage=outage, order=order, lane=lane)
    return OpenLogState(pipe, path, "qemu", "web", details=details)


#: Paths as os.fsdecode gives them: with surrogates for bytes that are no UTF-8.
paths = st.binary(min_size=1, max_size=30).map(lambda name: name.decode("utf-8", "surrogateescape"))

logs = st.builds(log, paths, st.integers(0, 2**32), st.integers(0, 2**40))
