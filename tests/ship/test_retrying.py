"""When something is tried again."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from twisted_virtlog.ship.retrying import Backoff, retry_after

NOW = datetime(2026, 11, 28, 7, 0, 0, tzinfo=timezone.utc)


def test_pauses_grow_up_to_the_longest() -> None:
    """And begin again when it went well."""
    backoff = Backoff(1.0, 3.0, lambda: 0.5)
    assert [backoff.pause() for _ in range(5)] == [1.0, 1.5, 2.25, 3.0, 3.0]
    backoff.reset()
    assert backoff.pause() == 1.0


def test_pauses_are_not_those_of_others() -> None:
    """By half of them, shorter or longer."""
    assert Backoff(2.0, 4.0, lambda: 0.0).pause() == 1.0
    assert Backoff(2.0, 4.0, lambda: 1.0).pause() == 3.0


def test_what_a_server_asks_for() -> None:
    """It is the least; but not for ever."""
    backoff = Backoff(1.0, 1.0, lambda: 0.5)
    assert backoff.pause(20.0) == 20.0
    assert backoff.pause(0.0) == 1.0
    assert backoff.pause(1e9) == 600.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sat, 28 Nov 2026 07:01:30 GMT", 90.0),
        ("Sat, 28 Nov 2026 06:00:00 GMT", 0.0),
        ("Sat, 28 Nov 2026 07:01:30", 90.0),
        ("soon", None),
        ("-1", None),
        ("²", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Seconds, or a time."""
    assert retry_after(value, NOW) == seconds
