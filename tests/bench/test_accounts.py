"""What it costs to count is measured; how much that is depends on what else runs."""

from __future__ import annotations

import pytest

from bench import accounts


def test_each_cost_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each, and whether a move costs no more than it may."""
    monkeypatch.setattr(accounts, "_TIMES", 10)
    monkeypatch.setattr(accounts, "_RUNS", 1)
    monkeypatch.setattr(accounts, "_DROPS", 1)
    for most, status in ((1e6, 0), (-1e6, 1)):
        monkeypatch.setattr(accounts, "MOST_FOR_A_MOVE", most)
        assert accounts.main() == status
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition(":")[0] for line in lines] == [
            "a move",
            *("a message", "a drop", "a roll-over", "a log, opened and closed", "a ledger"),
            *("100 bytes dropped", "65536 bytes dropped"),
        ]
