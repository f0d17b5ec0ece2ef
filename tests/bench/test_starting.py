"""The measurement of virtlogctl's start runs what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import starting


@pytest.mark.lengthy
def test_each_program_prints_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is a row for each, and the ratio."""
    assert starting.main(["--rounds", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in rows[1:8]] == [
        *("python", "bare --help", "virtlogctl --help"),
        *("virtlogctl info", "virtlogctl list", "virtlogctl boots /none", "virtlogctl top"),
    ]
    assert rows[8].startswith("--help: ")


def test_the_bare_program_has_as_many_commands() -> None:
    """A ratio to a smaller one would say nothing."""
    assert starting.bare_program().count("@bare.command") == len(starting.virtlogctl.commands)
