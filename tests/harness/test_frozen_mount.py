"""A disk that hangs while it is frozen, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from harness.frozen_mount import frozen_mount
from harness.mounting import points_of
from tests.harness.waiting import until_unmounted, waiting

pytestmark = pytest.mark.root


def test_what_changes_it_waits(tmp_path: Path) -> None:
    """It is done afterwards; what reads does not wait."""
    point = tmp_path / "point"
    point.mkdir()
    with frozen_mount(point, tmp_path / "image") as mounted:
        (point / "file").write_bytes(b"before")
        for _ in range(2):
            mounted.freeze()
            with waiting(lambda: (point / "file").write_bytes(b"during")) as result:
                assert (point / "file").read_bytes() in (b"before", b"during")
                mounted.thaw()
            assert result == [6]
        # (it ends frozen, too)
        mounted.freeze()
    assert os.listdir(point) == []


_LEFT = """
import signal, sys
from pathlib import Path
from harness.frozen_mount import frozen_mount
from harness.mounting import device_at
with frozen_mount(Path(sys.argv[1]), Path(sys.argv[2])) as mounted:
    mounted.freeze()
    print(device_at(mounted.point), flush=True)
    signal.pause()
"""


def test_nothing_is_left_of_a_test_that_is_killed(tmp_path: Path) -> None:
    """Not the mount, though it is frozen."""
    point = tmp_path / "point"
    point.mkdir()
    command = [sys.executable, "-c", _LEFT, str(point), str(tmp_path / "image")]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        device = test.stdout.readline().strip()
        assert points_of(device) == [point]
        test.send_signal(signal.SIGKILL)
    until_unmounted(device)
