"""The benchmark of a fleet, and that a spoiled one loses nothing, with few logs."""

from __future__ import annotations

import pytest

from bench import fleet, fleet_faults

pytestmark = [pytest.mark.nats, pytest.mark.lengthy]


def test_figures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its goal."""
    arguments = ["--servers", "1", "--guests", "2", "--mib", "1", "--logs", "5"]
    assert fleet.main(arguments) == 0
    busy, latency, many = capsys.readouterr().out.splitlines()
    assert busy.startswith("2 guests, 2 MiB: ")
    assert latency.startswith("a line each 20 ms: p50 ")
    assert many.startswith("5 logs with a line each: ")


def test_a_spoiled_fleet_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything stored twice, or held for ever."""
    arguments = ["--servers", "1", "--logs", "6", "--lines", "30000", "--kills", "6", "--cut", "1"]
    assert fleet_faults.main(arguments) == 0
    said = capsys.readouterr().out
    assert ": 0 logs are not what was written, 0 bytes went unread, 0 files are held still" in said
