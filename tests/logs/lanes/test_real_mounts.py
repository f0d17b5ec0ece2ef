"""Resolving over real mounts, and being told of them, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from tests.logs.lanes import real_mounts


@pytest.mark.lengthy
@pytest.mark.root
@pytest.mark.parametrize("name", [one.__name__ for one in real_mounts.SCENARIOS])
def test_real_mounts(name: str, tmp_path: Path) -> None:
    """Each in a process of its own, so that nothing of it stays, whatever becomes of it."""
    scenario = [sys.executable, "-m", "tests.logs.lanes.real_mounts", name, str(tmp_path)]
    run = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *scenario],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
