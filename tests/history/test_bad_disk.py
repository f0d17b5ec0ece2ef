"""An index on disks that are full, read-only and dead, in a mount namespace of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from tests.history.bad_disk import SCENARIOS

pytestmark = pytest.mark.root


@pytest.mark.lengthy
@pytest.mark.parametrize("name", SCENARIOS)
def test_on_a_bad_disk(name: str, tmp_path: Path) -> None:
    """A bad disk costs what is on it, and no more; see bad_disk.py."""
    scenario = [sys.executable, "-W", "error", "-m", "tests.history.bad_disk", name, str(tmp_path)]
    command = ["unshare", "--mount", "--propagation", "private", *scenario]
    ended = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
