"""The benchmark of scrapes says what they cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import scraping


@pytest.mark.lengthy
def test_a_setting_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone, and while it is scraped."""
    scraping.measure(tmp_path, "all", logs=3, scrapes=2, seconds=0.05)
    alone, scraped = capsys.readouterr().out.splitlines()
    times = r"position p50 \d+ us, p99 \d+ us, longest [\d.]+ ms"
    assert re.fullmatch(f"all, alone: {times}", alone)
    assert re.match(rf"all, scraped 2 times: {times}; a scrape of 0\.0\d MB p50 \d+ ms", scraped)
