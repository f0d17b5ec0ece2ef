"""The figures of compression are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import packing, packing_waits


def test_each_kind_of_text_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a file that is named."""
    (tmp_path / "mine.log").write_bytes(b"a line\n" * 1000)
    assert packing.main(["--mib", "1", "--reads", "20", str(tmp_path / "mine.log")]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row[:8] for row in rows[1:]] == ["console ", "repeated", "hexadeci", "mine.log"]
    assert all(float(row[20:].split()[0]) > 1 for row in rows[1:])


@pytest.mark.lengthy
def test_clients_are_asked_with_and_without(capsys: pytest.CaptureFixture[str]) -> None:
    """Both daemons answer, and only one compresses."""
    assert packing_waits.main(["--seconds", "1"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["compressed", "not"]
    assert rows[1][1] == "0"
    assert rows[0][2] == rows[1][2] != "0"
