"""The watchdog, and the status line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.systemd.fakes import Line, line
from twisted_virtlog.systemd.status import StatusLine
from twisted_virtlog.systemd.watchdog import Watchdog, watchdog_interval


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Line]:
    with line(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "42"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_PID": "42"}, None),
        *(({"WATCHDOG_USEC": bad}, None) for bad in ("", "0", "-1", "x", "1.5", "\u0663")),
    ],
)
def test_only_the_process_that_is_watched_has_an_interval(
    environment: dict[str, str], seconds: float | None
) -> None:
    """As sd_watchdog_enabled(3) says."""
    assert watchdog_interval(environment, 42) == seconds


@given(st.text())
def test_any_interval_can_be_read(text: str) -> None:
    """Nothing there keeps the daemon from starting."""
    watchdog_interval({"WATCHDOG_USEC": text}, 42)


def test_it_pings_twice_in_an_interval(wire: Line) -> None:
    """So that one ping may come late."""
    watchdog = Watchdog(wire.time, wire.notifier, 10.0)
    assert wire.ear.heard() == ["WATCHDOG=1"]
    for _ in range(3):
        wire.time.advance(4)
        assert wire.ear.heard() == []
        wire.time.advance(1)
        assert wire.ear.heard() == ["WATCHDOG=1"]
    watchdog.stop()
    wire.time.advance(100)
    assert wire.ear.heard() == []


def test_it_looks_after_what_else_there_is(wire: Line) -> None:
    """At each ping, which goes out first and goes on though that fails."""
    watchdog = Watchdog(wire.time, wire.notifier, 10.0)
    looks: list[int] = []
    watchdog.look = lambda: looks.append(len(wire.ear.heard()))
    wire.time.advance(5)
    wire.time.advance(5)
    assert looks == [2, 1]
    watchdog.stop()


def test_it_looks_away_and_watches_again(wire: Line) -> None:
    """virtlogd, which may take over, sends no pings."""
    watchdog = Watchdog(wire.time, wire.notifier, 10.0)
    wire.ear.heard()
    watchdog.look_away()
    wire.time.advance(100)
    assert wire.ear.heard() == ["WATCHDOG_USEC=0"]
    watchdog.watch()
    watchdog.watch()
    heard = wire.ear.heard()
    assert heard == ["WATCHDOG_USEC=10000000", "WATCHDOG=1", "WATCHDOG_USEC=10000000"]
    assert len(wire.time.getDelayedCalls()) == 1
    watchdog.stop()


def test_the_status_follows_at_most_once_a_second(wire: Line) -> None:
    """However many logs are opened and closed."""
    logs: list[int] = []
    status = StatusLine(wire.time, wire.notifier, lambda: len(logs))
    assert status.text() == "STATUS=0 logs open"
    for number in range(499):
        logs.append(number)
        status.changed()
    wire.time.advance(0.9)
    assert wire.ear.heard() == []
    wire.time.advance(0.1)
    assert wire.ear.heard() == ["STATUS=499 logs open"]
    del logs[1:]
    status.changed()
    wire.time.advance(1)
    assert wire.ear.heard() == ["STATUS=1 log open"]


def test_a_status_that_is_as_before_is_not_sent(wire: Line) -> None:
    """A log was opened and closed again; and at the end none is sent."""
    status = StatusLine(wire.time, wire.notifier, lambda: 3)
    status.text()
    status.changed()
    wire.time.advance(2)
    assert wire.ear.heard() == []
    status.changed()
    status.stop()
    status.stop()
    wire.time.advance(2)
    assert wire.ear.heard() == []
    assert wire.time.getDelayedCalls() == []
