"""The daemon's own log on a real disk that hangs, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT

_MOUNT = """
mkfs.ext4 -q "$1" && mount -o loop "$1" "$2" || exit
"$3" -m tests.daemon.log.frozen_disk "$2" "$4" && umount "$2"
"""


@pytest.mark.root
def test_a_disk_that_hangs_stops_nobody(tmp_path: Path) -> None:
    """Clients are served, and the messages and their number are there when it answers again."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    arguments = [str(image), str(disk), sys.executable, str(tmp_path)]
    run = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT, "sh", *arguments],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
