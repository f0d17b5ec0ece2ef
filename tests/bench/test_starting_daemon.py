"""The measurement of the daemon's start runs what it says."""

from __future__ import annotations

import pytest

from bench import starting_daemon
from harness.daemon import CHECKOUT


@pytest.mark.lengthy
def test_each_way_of_starting_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a row for each."""
    monkeypatch.setattr(starting_daemon, "_SETTLED_SECONDS", 0.0)
    assert starting_daemon.main(["--rounds", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    names = [row[:18].strip() for row in rows]
    assert names == ["twistd alone", "this: twistd", "this: command"]
    assert all(float(figure) > 0 for row in rows for figure in row[18:].split())


def test_another_checkout_has_its_own_modules() -> None:
    """They are measured under another name."""
    ways = starting_daemon.ways_of(CHECKOUT / "other", "beside")
    assert [way.name for way in ways] == ["beside: twistd", "beside: command"]
    assert {way.path for way in ways} == {CHECKOUT / "other"}
