"""Guests with bounds on disks that are full or refuse, in a mount namespace of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import EFFORT
from tests.logs.fakes import of_the_direct_way

ROOT = Path(__file__).parents[2]


@pytest.mark.lengthy
@of_the_direct_way
@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.parametrize("seed", range(2 * EFFORT))
def test_on_a_disk_that_fails(kind: str, seed: int, tmp_path: Path) -> None:
    """Whatever happens, nothing of another guest goes; see bounded_disk.py."""
    arguments = [kind, str(tmp_path), str(seed), "400"]
    scenario = [sys.executable, "-W", "error", "-m", "tests.logs.bounded_disk", *arguments]
    command = ["unshare", "--mount", "--propagation", "private", *scenario]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
