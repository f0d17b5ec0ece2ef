"""virtlogctl grep with daemons that do not give what it asks for, or not all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.client.fake_daemon import LOG, FakeDaemon, Params, Refusal
from tests.ctl.runner import runner
from twisted_virtlog.ctl import main
from twisted_virtlog.ctl.progress import Progress

Run = Callable[..., Result]


@pytest.fixture
def run(daemon: FakeDaemon) -> Run:
    """Return a function that runs the command."""

    def run(*arguments: str) -> Result:
        return runner().invoke(main, ["--socket", str(daemon.path), "grep", *arguments])

    return run


def refuse(code: int) -> Callable[[Params], Any]:
    """Return what answers with an error."""

    def answer(_params: Params) -> Any:
        raise Refusal(code, "not so")

    return answer


def methods(daemon: FakeDaemon) -> list[str]:
    """Return what was asked for."""
    return [one["method"] for one in daemon.requests]


@pytest.mark.parametrize("code", [-32601, 1004, 1012])
def test_where_there_are_no_files_the_daemon_reads(daemon: FakeDaemon, run: Run, code: int) -> None:
    """It is older, too many descriptors are on their way, or it gives none here."""
    daemon.answers["log.files"] = refuse(code)
    daemon.logs["/a"] = b"one\r\ntwo\n" * 200_000 + b"three"
    result = run("^(two|three)$", "/a")
    assert result.exit_code == 0
    assert result.stdout_bytes == b"two\n" * 200_000 + b"three\n"
    assert methods(daemon)[0] == "log.files"
    assert "log.read" in methods(daemon)


def test_other_errors_are_errors(daemon: FakeDaemon, run: Run) -> None:
    """They are said, and the other logs are searched."""

    def files(params: Params) -> Any:
        raise Refusal(1003 if params["path"] == "/a" else -32601, "it is broken")

    daemon.answers["log.files"] = files
    daemon.logs.update({"/a": b"one\n", "/b": b"one\n"})
    result = run("one", "/a", "/b")
    assert (result.exit_code, result.stdout) == (4, "/b:one\n")
    assert result.stderr == "virtlogctl: it is broken\n"
    result = run("--json", "one", "/a")
    assert result.exit_code == 4
    assert json.loads(result.stderr)["error"]["code"] == 1003
    daemon.answers["log.list"] = refuse(1005)
    assert run("one").exit_code == 4


def test_known_logs_are_searched_too(daemon: FakeDaemon, run: Run) -> None:
    """Those that are closed, as far as they have files; and open ones by an older daemon."""
    closed = {**LOG, "path": "/closed", "state": "closed", "position": None, "domain": None}
    gone = {**closed, "path": "/gone"}
    daemon.logs.update({"/var/log/web.log": b"one\n", "/closed": b"one\n"})

    def listed(params: Params) -> Any:
        return [closed, gone, LOG] if params == {"closed": True} else [LOG]

    daemon.answers["log.list"] = listed
    result = run("one")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "/closed:one\n/var/log/web.log:one\n"
    assert run("one", "--domain", "w?b").stdout == "/var/log/web.log:one\n"
    assert run("one", "--domain", "W?b").exit_code == 1

    def older(params: Params) -> Any:
        if params:
            raise Refusal(-32602, "unknown member `closed`")
        return [LOG]

    daemon.answers["log.list"] = older
    assert run("one").stdout == "/var/log/web.log:one\n"
    daemon.answers["log.list"] = lambda _params: []
    result = run("one")
    assert (result.exit_code, result.stderr) == (1, "virtlogctl: there are no logs\n")


def test_a_time_that_an_older_daemon_does_not_know(daemon: FakeDaemon, run: Run) -> None:
    """That is its error; all of the log is not what was asked for."""
    daemon.logs["/a"] = b"one\n"
    result = run("one", "/a", "--since", "1h")
    assert (result.exit_code, result.stdout) == (4, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["(", "/a"], "missing )"),
        (["é+", "/a"], "write (?:é)"),
        (["a", "/a", "-C", "-1"], "-1 is not in the range"),
        (["a", "/a", "--boot", "x"], "'x' is not a valid integer"),
        ([], "Missing argument 'REGEX'"),
    ],
)
def test_a_wrong_command_line(run: Run, arguments: list[str], says: str) -> None:
    """It is said before anything is asked for."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    as_json = run("--json", *arguments)
    assert as_json.exit_code == 2
    assert says in json.loads(as_json.stderr)["error"]["message"]


class Terminal:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


def test_progress_gives_way_to_output() -> None:
    """It is shown once it takes long, and erased before a line is printed."""
    now = [0.0]
    terminal: Any = Terminal()
    progress = Progress(terminal, lambda: now[0])
    progress.add(1_000_000)
    progress.erase()
    assert terminal.written == ""
    now[0] = 2.0
    progress.add(1_000_000)
    progress.add(1_000_000)
    progress.erase()
    progress.erase()
    assert terminal.written == "\r\x1b[Kvirtlogctl: 2 MB read\r\x1b[K"
