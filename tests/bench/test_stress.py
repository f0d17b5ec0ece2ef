"""The random bursts of ``make stress``: a short run, and that a missing drain is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.stress import main as stress


@pytest.mark.lengthy
def test_the_promise_holds_under_stress(tmp_path: Path) -> None:
    """Random bursts, a position right after each: no stale answer, no differing byte."""
    assert stress(["--rounds", "2000", "--directory", str(tmp_path)]) == 0


@pytest.mark.lengthy
def test_a_missing_drain_is_noticed(tmp_path: Path) -> None:
    """With the drain taken away the same test fails, so it can."""
    assert stress(["--rounds", "2000", "--no-drain", "--directory", str(tmp_path)]) == 1
