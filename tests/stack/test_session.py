"""An ordinary user's libvirtd starts the daemon by itself, as it starts virtlogd."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from harness.daemon import CHECKOUT
from tests.stack import guest

pytestmark = pytest.mark.libvirt

_UNSHARE = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"]
_UNSHARE += ["--mount-proc", "--propagation", "private"]


@pytest.mark.slow
def test_a_session_libvirtd_starts_uses_and_loses_the_daemon() -> None:
    """Found by VIRTLOGD_PATH; it serves all guests, and ends after its time-out."""
    run = subprocess.run(
        [*_UNSHARE, sys.executable, "-m", "tests.stack.session"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=120,
        check=False,
    )
    assert run.stdout, run.stderr
    result = json.loads(run.stdout)
    assert result["errors"] == ["", ""]
    console = guest.console(500).decode()
    assert result["consoles"] == {"alice": console, "bob": console}
    assert result["served"]
    # (what is counted of logs, for the next process)
    assert result["left"] == ["virtlogd-lanes"]
    ((arguments, directory, environment),) = result["starts"]
    assert arguments == ["--timeout=120"]
    assert directory == "/"
    assert "VIRTLOGD_PATH" not in environment
