"""virtlogctl top where there is no terminal: plain lines, JSON, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.client.fake_daemon import LOG, FakeDaemon, Params, Refusal
from tests.ctl.runner import runner
from twisted_virtlog.ctl import main

Run = Callable[..., Result]

EVIL = "\x1b]0;evil\x07\n"


@pytest.fixture
def run(daemon: FakeDaemon) -> Run:
    """Return a function that runs the command."""

    def run(*arguments: str) -> Result:
        fast = ["top", "--interval", "0.1"]
        return runner().invoke(main, ["--socket", str(daemon.path), *fast, *arguments])

    return run


def lists(daemon: FakeDaemon, *rows: dict[str, Any]) -> None:
    """Let the daemon list logs; 1,000 bytes more come in each between two lists."""
    count = 0

    def answer(_params: Params) -> Any:
        nonlocal count
        count += 1000
        return [{**LOG, "bytes": count, "dropped": 0, "followers": 0, **row} for row in rows]

    daemon.answers["log.list"] = answer


def test_plain_lines(daemon: FakeDaemon, run: Run) -> None:
    """A line about all, the headings, and the first logs."""
    lists(daemon, {"path": "/a"}, {"path": "/b", "bytes": 5}, {"path": "/c", "bytes": 5})
    result = run("--count", "2", "-n", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) == 10
    assert "  3 logs, 0 failing, " in lines[0]
    assert lines[1].split() == [
        *("BYTES/S", "DROPPED", "PENDING", "FOLLOWERS", "STATE", "GUEST", "PATH")
    ]
    assert [line.split()[1:] for line in lines[2:4]] == [
        ["0", "0", "0", "open", "web", "/a"],
        ["0", "0", "0", "open", "web", "/b"],
    ]
    assert lines[4] == ""
    assert lines[2].split()[0] != "0"
    assert lines[3].split()[0] == "0"


def test_names_are_harmless(daemon: FakeDaemon, run: Run) -> None:
    """A guest cannot make the terminal obey."""
    lists(daemon, {"path": f"/{EVIL}", "domain": {"uuid": "u", "name": EVIL}, "error": EVIL})
    result = run("--count", "1")
    assert result.stdout.replace("\n", "").isprintable()
    assert "\\x1b]0;evil" in result.stdout


def test_json(daemon: FakeDaemon, run: Run) -> None:
    """An object on each line, with exact numbers."""
    lists(daemon, {"path": "/a", "state": "failing", "error": "broken"})
    result = run("--json", "--count", "2")
    assert result.exit_code == 0
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["totals"]["failing"] == 1
    assert first["time"] < second["time"]
    (log,) = second["logs"]
    assert log.pop("rate") > 0
    assert log == {
        "path": "/a",
        "guest": "web",
        "state": "failing",
        "error": "broken",
        "dropped": 0,
        "pending": 0,
        "followers": 0,
    }


def test_an_order(daemon: FakeDaemon, run: Run) -> None:
    """That which was asked for."""
    lists(daemon, {"path": "/a"}, {"path": "/b", "bytes": 5, "pending": 9})
    paths = [
        line.split()[-1]
        for line in run("--count", "1", "--sort", "pending").stdout.split("\n")[2:4]
    ]
    assert paths == ["/b", "/a"]
    assert run("--sort", "beauty").exit_code == 2


def test_an_older_daemon(daemon: FakeDaemon, run: Run) -> None:
    """It watches nothing, and says less of a log."""
    del daemon.answers["log.watch"]
    old = {name: LOG[name] for name in LOG if name != "pending"}
    daemon.answers["log.list"] = lambda _params: [old]
    result = run("--count", "1")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2].split() == [
        *("0", "-", "-", "-", "open", "web", "/var/log/web.log")
    ]


def test_a_daemon_that_goes_is_waited_for(daemon: FakeDaemon, run: Run) -> None:
    """That is said on standard error."""
    answered = 0

    def answer(_params: Params) -> Any:
        nonlocal answered
        answered += 1
        if answered == 2:
            raise ConnectionAbortedError
        return [LOG]

    daemon.answers["log.list"] = answer
    result = run("--count", "1")
    assert (result.exit_code, answered) == (0, 3)
    assert "; trying again" in result.stderr


def test_errors(daemon: FakeDaemon, run: Run) -> None:
    """Before anything is shown."""

    def refuse(_params: Params) -> Any:
        raise Refusal(1012, "not here")

    daemon.answers["log.list"] = refuse
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "virtlogctl: not here\n"
    daemon.stop()
    assert run().exit_code == 3
