"""The examples in doc/client.md work as they stand there."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, FakeDaemon, Params
from twisted_virtlog.client import BlockingClient

DOCUMENT = Path(__file__).parents[2] / "doc" / "client.md"


@pytest.fixture(scope="module")
def examples() -> list[str]:
    """Return the Python examples."""
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


def test_the_short_examples_list_the_logs(daemon: FakeDaemon, examples: list[str]) -> None:
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
    example = examples[2].replace("/run/libvirt/virtlogd-jsonrpc-sock", str(daemon.path))
    assert run(example) == "/a 3\n"
    assert run(examples[1], str(daemon.path)) == "version 1.2.3\n/a 3\n"


def run(program: str, *arguments: str) -> str:
    """Run a program that succeeds; return what it prints."""
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr == ""
    return result.stdout


def test_all_calls_are_in_the_table() -> None:
    """The document lists each call with its parameters and defaults, and no other."""
    listed = re.findall(r"^\| `(\w+)\((.*?)\)` \|", DOCUMENT.read_text(), re.MULTILINE)
    methods = inspect.getmembers(BlockingClient, inspect.isfunction)
    assert sorted(listed) == sorted(
        (name, ", ".join(map(in_short, list(inspect.signature(method).parameters.values())[1:])))
        for name, method in methods
        if not name.startswith("_") and name != "close"
    )


def in_short(parameter: inspect.Parameter) -> str:
    """Return a parameter and its default as the document has them."""
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = json.dumps(parameter.default) if parameter.default == "none" else parameter.default
    return f"{parameter.name}={default}"
