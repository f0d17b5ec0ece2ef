"""Logs on a disk that is really full, in a mount namespace of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs.fakes import of_the_direct_way
from tests.logs.small_disk import SCENARIOS

ROOT = Path(__file__).parents[2]


@pytest.mark.lengthy
@of_the_direct_way
@pytest.mark.root
@pytest.mark.parametrize("name", SCENARIOS)
def test_on_a_small_disk(name: str, tmp_path: Path) -> None:
    """Nothing is lost unsaid when a real file system is full or refuses; see small_disk.py."""
    scenario = [sys.executable, "-W", "error", "-m", "tests.logs.small_disk", name, str(tmp_path)]
    command = ["unshare", "--mount", "--propagation", "private", *scenario]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
