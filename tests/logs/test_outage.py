"""What happens while a file cannot be written, without files."""

from __future__ import annotations

import errno
from datetime import datetime, timedelta, timezone

import pytest

from twisted_virtlog.errors import SystemFailure
from twisted_virtlog.logs.outage import RETRY_SECONDS, Outage

SINCE = datetime(2024, 2, 29, 23, 59, 58, 250_000, tzinfo=timezone.utc)
FULL = SystemFailure("Unable to write to file /l", errno.ENOSPC, "/l")
DEAD = SystemFailure("Unable to write to file /l", errno.EIO, "/l")


def test_the_file_is_tried_once_a_second() -> None:
    """The time counts from the latest try."""
    outage = Outage(FULL, SINCE, tried_at=10.0)
    assert not outage.due(10.0 + RETRY_SECONDS - 0.01)
    assert outage.due(10.0 + RETRY_SECONDS)
    outage.failed_again(DEAD, 11.0)
    assert outage.failure is DEAD
    assert not outage.due(11.5)
    assert outage.due(12.0)


@pytest.mark.parametrize(
    ("retried", "full", "ended", "dropped"),
    [
        pytest.param(False, True, False, 0, id="the pipe is the buffer until a retry failed"),
        pytest.param(False, True, True, 0, id="also when the guest is gone"),
        pytest.param(True, False, False, 0, id="there is room in the pipe"),
        pytest.param(True, True, False, 500, id="the guest would be blocked"),
        pytest.param(True, False, True, 500, id="the guest is gone for good"),
    ],
)
def test_bytes_are_dropped_late(retried: bool, full: bool, ended: bool, dropped: int) -> None:
    """Only after a retry failed, and only when the pipe blocks its guest."""
    outage = Outage(FULL, SINCE, 0.0)
    if retried:
        outage.failed_again(FULL, 1.0)
    assert outage.to_drop(500, full, ended) == dropped


def test_a_file_that_fails_again_at_once_blocks_its_guest_no_second_time() -> None:
    """Its bytes are dropped without a retry; what a guest that is gone left has its second."""
    outage = Outage(FULL, SINCE, 0.0, repeated=True)
    assert outage.to_drop(500, full=True, ended=False) == 500
    assert outage.to_drop(500, full=False, ended=True) == 0


def test_the_notice_tells_how_much_when_and_why() -> None:
    """The line in the log is readable by itself."""
    outage = Outage(FULL, SINCE, 0.0, lost=12345)
    assert outage.notice(SINCE + timedelta(seconds=3)) == (
        b"[virtlogd: 12345 bytes lost from 2024-02-29 23:59:58.250+00:00"
        b" to 2024-03-01 00:00:01.250+00:00: No space left on device]\n"
    )
