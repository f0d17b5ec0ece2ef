"""virtlogctl administers the daemon: clients, limits and the daemon's own log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result

from tests.client.fake_daemon import FakeDaemon, Params, Refusal
from tests.ctl.runner import runner
from twisted_virtlog.ctl import main

CLIENT = {
    "id": 17,
    "connected_at": "2024-02-29T12:00:00Z",
    "pid": 2168,
    "uid": 0,
    "user": "root",
    "gid": 4000,
    "group": None,
}
SERVERS = [
    {"server": "jsonrpc", "max_clients": 1024, "clients": []},
    {"server": "virtlogd", "max_clients": 20, "clients": [CLIENT, {**CLIENT, "id": 4}]},
]
LOGGING = {"level": "warning", "filters": ["1:logs", "4:rpc"], "outputs": ["3:stderr"]}


@pytest.fixture
def asked(daemon: FakeDaemon) -> list[tuple[str, Params]]:
    """Answer all that is asked; give the list of it."""
    asked: list[tuple[str, Params]] = []

    def answering(method: str, answer: Any) -> None:
        def answered(params: Params) -> Any:
            asked.append((method, params))
            return answer

        daemon.answers[method] = answered

    answering("daemon.clients", SERVERS)
    answering("daemon.disconnect", True)
    answering("daemon.set_limits", {"server": "virtlogd", "max_clients": 5, "clients": 2})
    answering("daemon.get_logging", LOGGING)
    answering("daemon.set_logging", LOGGING)
    return asked


def run(daemon: FakeDaemon, *arguments: str) -> Result:
    """Run virtlogctl."""
    return runner().invoke(main, ["--socket", str(daemon.path), *arguments], prog_name="virtlogctl")


def output(daemon: FakeDaemon, *arguments: str) -> str:
    """Run a command that succeeds; tell what it prints."""
    result = run(daemon, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_clients_are_a_table(daemon: FakeDaemon, asked: list[tuple[str, Params]]) -> None:
    """For all servers or one; a user without a name is shown by number."""
    assert output(daemon, "clients") == (
        "SERVER    ID   PID  USER  GROUP  CONNECTED\n"
        "virtlogd  17  2168  root  4000   2024-02-29T12:00:00Z\n"
        "virtlogd   4  2168  root  4000   2024-02-29T12:00:00Z\n"
    )
    assert json.loads(output(daemon, "clients", "virtlogd", "--json")) == SERVERS
    assert asked == [
        ("daemon.clients", {"server": None}),
        ("daemon.clients", {"server": "virtlogd"}),
    ]


def test_a_client_is_disconnected(daemon: FakeDaemon, asked: list[tuple[str, Params]]) -> None:
    """By the server and the number that the table shows."""
    assert (
        output(daemon, "disconnect", "virtlogd", "17") == "client 17 of virtlogd is disconnected\n"
    )
    assert output(daemon, "--json", "disconnect", "virtlogd", "17") == "true\n"
    assert asked == [("daemon.disconnect", {"server": "virtlogd", "id": 17})] * 2
    assert run(daemon, "disconnect", "virtlogd", "0").exit_code == 2


def test_limits_are_told(daemon: FakeDaemon, asked: list[tuple[str, Params]]) -> None:
    """With how many clients there are."""
    assert output(daemon, "limits") == (
        "SERVER    CLIENTS  MAXIMUM\njsonrpc         0     1024\nvirtlogd        2       20\n"
    )
    assert json.loads(output(daemon, "limits", "--json"))[1] == {
        "server": "virtlogd",
        "max_clients": 20,
        "clients": 2,
    }
    assert [params for _, params in asked] == [{"server": None}] * 2


def test_a_limit_is_set(daemon: FakeDaemon, asked: list[tuple[str, Params]]) -> None:
    """For one server, which must be named; what then holds is told."""
    assert output(daemon, "limits", "virtlogd", "--max-clients", "5") == (
        "SERVER    CLIENTS  MAXIMUM\nvirtlogd        2        5\n"
    )
    assert asked == [("daemon.set_limits", {"server": "virtlogd", "max_clients": 5})]
    result = run(daemon, "limits", "--max-clients", "5")
    assert result.exit_code == 2
    assert "needs a SERVER" in result.stderr
    assert run(daemon, "limits", "virtlogd", "--max-clients", "-1").exit_code == 2
    assert len(asked) == 1


def test_logging_is_told(daemon: FakeDaemon, asked: list[tuple[str, Params]]) -> None:
    """One setting a line."""
    assert output(daemon, "logging") == (
        "level    warning\nfilters  1:logs 4:rpc\noutputs  3:stderr\n"
    )
    assert json.loads(output(daemon, "--json", "logging")) == LOGGING
    assert asked == [("daemon.get_logging", {})] * 2


def test_logging_is_set(daemon: FakeDaemon, asked: list[tuple[str, Params]]) -> None:
    """What is not named is left as it is; an empty text means none, or the default."""
    output(daemon, "logging", "--filters", "1:logs  4:rpc", "--outputs", "")
    output(daemon, "logging", "--level", "info", "--filters", "")
    assert [params for _, params in asked] == [
        {"level": None, "filters": ["1:logs", "4:rpc"], "outputs": []},
        {"level": "info", "filters": [], "outputs": None},
    ]
    assert run(daemon, "logging", "--level", "9").exit_code == 2


def test_what_the_daemon_refuses_is_told(daemon: FakeDaemon) -> None:
    """In its words, with status 1."""

    def refuse(_: Params) -> Any:
        raise Refusal(1008, "there is no server 'x'")

    daemon.answers["daemon.clients"] = refuse
    result = run(daemon, "clients", "x")
    assert (result.exit_code, result.stderr) == (1, "virtlogctl: there is no server 'x'\n")
