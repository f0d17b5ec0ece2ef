"""What a dead sink costs is measured, and each byte that it has not read is accounted for."""

from __future__ import annotations

import re

import pytest

from bench import dead_sink

pytestmark = pytest.mark.lengthy


def test_it_is_measured_and_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """With files so small that some go unread."""
    arguments = ["--guests", "2", "--rate", "1", "--seconds", "1", "--file-kib", "16"]
    assert dead_sink.main(arguments) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:3]] == ["alone", "dead"]
    found = re.fullmatch(r"unread ([0-9]+), held ([0-9]+), exact", rows[3])
    assert found is not None
    assert int(found[1]) > 0
    assert 0 < int(found[2]) <= 2 * 2 * 16384
