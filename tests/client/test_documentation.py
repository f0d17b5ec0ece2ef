"""The examples in doc/client.md work as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, FakeDaemon, Params

DOCUMENT = Path(__file__).parents[2] / "doc" / "client.md"


@pytest.fixture(scope="module")
def examples() -> list[str]:
    """Give the Python examples."""
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_the_twisted_example_prints_what_the_document_says(
    daemon: FakeDaemon, examples: list[str], tmp_path: Path
) -> None:
    """With the real reactor, a real socket and a real descriptor the example does what it shows."""
    log = str(tmp_path / "example.log")

    def position(params: Params) -> Any:
        (read_end, path) = daemon.pipes[-1]
        if params["path"] == path:
            daemon.drain(read_end, path)
        return position_of_known(params)

    position_of_known = daemon.answers["log.position"]
    daemon.answers["log.position"] = position
    result = subprocess.run(
        [sys.executable, "-c", examples[0], str(daemon.path), log],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stderr == ""
    console = re.search(r"```console\n\$ .*\n((?:.*\n)*?)```", DOCUMENT.read_text())
    assert console is not None
    assert result.stdout == console[1]


def test_the_blocking_example_lists_the_logs(daemon: FakeDaemon, examples: list[str]) -> None:
    """The few lines print paths and sizes."""
    entry = {
        "path": "/a",
        "driver": "none",
        "domain": None,
        "position": {"inode": INODE, "offset": 3},
        "opened_at": "2024-02-29T12:00:00Z",
        "bytes": 3,
        "rollovers": 0,
        "state": "open",
    }
    daemon.answers["log.list"] = lambda _params: [entry]
    example = examples[1].replace("/run/libvirt/virtlogd-jsonrpc-sock", str(daemon.path))
    result = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "/a 3\n"
