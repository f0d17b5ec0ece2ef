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

from tests.client.examples import DOCUMENT, program, run
from tests.client.fake_daemon import INODE, LOG, FakeDaemon, Params
from twisted_virtlog.client import BlockingClient, Position
from twisted_virtlog.client.streams import Streaming


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


@pytest.mark.parametrize(
    ("number", "printed"), [(0, "it is up, at 17\n"), (1, "Welcome!\n"), (2, "Welcome!\n")]
)
def test_logs_are_followed(daemon: FakeDaemon, number: int, printed: str) -> None:
    """With each of the clients."""
    assert run(program("Following a log", number), str(daemon.path), "/a") == printed
    daemon.wait_for(lambda daemon: not daemon.connections)


def test_a_text_is_waited_for(daemon: FakeDaemon) -> None:
    """Also if it comes in two pieces; and for a time only."""
    names: dict[str, Any] = {}
    exec(program("Waiting for a text"), names)
    daemon.chunk_bytes = 3
    with BlockingClient(str(daemon.path)) as client, client.follow("/a") as following:
        assert names["wait_for"](following, b"login: ", 0.01) is None
        daemon.write("/a", b"Welcome!\nlogin: ")
        assert names["wait_for"](following, b"login: ", 60) == Position(INODE, 16)
        daemon.end("/a", "closed")
        assert names["wait_for"](following, b"login: ", 60) is None


def test_logs_are_watched(daemon: FakeDaemon) -> None:
    """The program has the logs as they are."""
    daemon.answers["log.list"] = lambda _params: [{**LOG, "path": "/a"}]
    command = [sys.executable, "-u", "-c", program("What happens to logs"), str(daemon.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "/a\n"
        for kind, path in (("opened", "/b"), ("closed", "/a"), ("state", "/b")):
            daemon.notify(1, f"log.{kind}", log={**LOG, "path": path})
        assert [process.stdout.readline() for _ in range(3)] == ["/a /b\n", "/b\n", "/b\n"]
        process.kill()


def test_many_logs_are_followed(daemon: FakeDaemon) -> None:
    """All over one connection."""
    daemon.logs.update({"/a": b"one", "/b": b"three"})
    daemon.answers["log.list"] = lambda _params: [{**LOG, "path": path} for path in daemon.logs]
    follow = daemon.answers["log.follow"]
    from_the_first = {"position": {"inode": INODE, "offset": 0}}
    daemon.answers["log.follow"] = lambda params: follow({**params, **from_the_first})
    text = program("Many logs over one connection").replace("timeout=5", "timeout=0.1")
    assert run(text, str(daemon.path)) == "/a 3\n/b 5\n"


def test_it_is_found_when_something_was_said(daemon: FakeDaemon) -> None:
    """By the time, and by the opening."""
    daemon.logs["/a"] = b"old\nnew\nnewer\n"
    start, end = ({"inode": INODE, "offset": offset} for offset in (4, 14))
    since, until = "2024-02-29T12:00:00Z", "2024-02-29T13:00:00Z"
    part = {"start": start, "end": end, "since": since, "until": until, "exact_s": 1}
    opening = {"start": start, "opened_at": since, "closed_at": None, "driver": "x", "domain": None}
    daemon.answers["log.locate"] = lambda _params: {"ranges": [part]}
    daemon.answers["log.boots"] = lambda _params: [opening]
    assert run(program("When it was said"), str(daemon.path), "/a") == (
        "2024-02-29T12:00:00+00:00 new\nopened 2024-02-29T12:00:00+00:00 at 4\n"
    )


def test_following_is_described_as_it_is() -> None:
    """With its parameters and defaults, the same in all clients."""
    signature = inspect.signature(BlockingClient.follow)
    parameters = [in_short(one) for one in [*signature.parameters.values()][1:]]
    # (those after the first two are given by name)
    text = ", ".join([*parameters[:2], "*", *parameters[2:]])
    assert f"`follow({text})`:" in DOCUMENT.read_text()
    assert str(signature.replace(return_annotation="")) == str(
        inspect.signature(Streaming.follow).replace(return_annotation="")
    )


def test_all_calls_are_in_the_table() -> None:
    """The document lists each call with its parameters and defaults, and no other."""
    listed = re.findall(r"^\| `(\w+)\((.*?)\)` \|", DOCUMENT.read_text(), re.MULTILINE)
    methods = inspect.getmembers(BlockingClient, inspect.isfunction)
    assert sorted(listed) == sorted(
        (name, ", ".join(map(in_short, list(inspect.signature(method).parameters.values())[1:])))
        for name, method in methods
        if not name.startswith("_") and name not in {"close", "follow"}
    )


def in_short(parameter: inspect.Parameter) -> str:
    """Return a parameter and its default as the document has them."""
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = json.dumps(parameter.default) if parameter.default == "none" else parameter.default
    return f"{parameter.name}={default}"
