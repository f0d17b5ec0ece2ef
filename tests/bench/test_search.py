"""The search beside GNU grep's finds the same lines, and says how long each took."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import search


def test_each_way_finds_what_grep_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is compared byte for byte."""
    assert search.main(["--mib", "2", "--rounds", "1", "--fs", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert sum(" re " in row for row in rows) == 7


def test_another_result_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that leaves out a line fails."""

    class LeavesOut:
        is_exact = True

        def line_ends(self, block: bytes) -> list[int]:
            return []

    monkeypatch.setattr(search, "ways", lambda: [("wrong", lambda _: LeavesOut())])
    with pytest.raises(AssertionError):
        search.main(["--mib", "2", "--rounds", "1", "--fs", str(tmp_path)])
