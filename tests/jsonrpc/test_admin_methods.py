"""The methods that administer the daemon: what they tell, and what they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.administration import FakeDaemon
from tests.jsonrpc.fakes import Client
from twisted_virtlog.jsonrpc.methods import METHODS
from twisted_virtlog.values import Priority

ROOT = {
    "connected_at": "2026-11-23T09:42:41Z",
    "pid": 2168,
    "uid": 0,
    "user": "root",
    "gid": 0,
    "group": "root",
}


@pytest.fixture
def client() -> Client:
    """A client of a daemon that two others are connected to."""
    client = Client()
    client.daemon.connect(2, 3)
    return client


def result(client: Client, method: str, params: Any = msgspec.UNSET) -> Any:
    """Call a method; check that its result is of the documented type."""
    answer = client.call(method, params)
    assert answer.keys() == {"result"}
    msgspec.convert(answer["result"], METHODS[method].result)
    return answer["result"]


def error(client: Client, method: str, params: Any = msgspec.UNSET) -> tuple[int, str, Any]:
    """Call a method that fails; tell code, message and data."""
    answer = client.call(method, params)["error"]
    assert answer["code"] in {code.value for code in METHODS[method].errors} | {-32602}
    return answer["code"], answer["message"], answer.get("data")


def test_clients_are_told_by_server(client: Client) -> None:
    """With the limit of each; or of one server alone."""
    virtlogd = {
        "server": "virtlogd",
        "max_clients": 1024,
        "clients": [{"id": 2, **ROOT}, {"id": 3, **ROOT}],
    }
    admin = {"server": "admin", "max_clients": 5000, "clients": []}
    assert result(client, "daemon.clients") == [admin, virtlogd]
    assert result(client, "daemon.clients", {"server": None}) == [admin, virtlogd]
    assert result(client, "daemon.clients", ["virtlogd"]) == [virtlogd]


def test_a_user_without_a_name_has_null(client: Client) -> None:
    """Its number is there all the same."""
    client.daemon.connect(7, uid=4_000_000_000, server=1)
    (admin,) = result(client, "daemon.clients", ["admin"])
    assert (admin["clients"][0]["user"], admin["clients"][0]["uid"]) == (None, 4_000_000_000)


def test_a_client_is_disconnected(client: Client) -> None:
    """Once; then there is no such client."""
    assert result(client, "daemon.disconnect", {"server": "virtlogd", "id": 2}) is True
    assert list(client.daemon.servers[0].clients) == [3]
    assert error(client, "daemon.disconnect", ["virtlogd", 2]) == (
        1009,
        "server 'virtlogd' has no client 2",
        {"server": "virtlogd", "id": 2},
    )


def test_a_limit_is_set(client: Client) -> None:
    """Also that of unauthenticated clients, as it would be in the way."""
    expected = {"server": "virtlogd", "max_clients": 20, "clients": 2}
    assert result(client, "daemon.set_limits", ["virtlogd", 20]) == expected
    server = client.daemon.servers[0]
    assert (server.max_clients, server.max_anonymous_clients) == (20, 20)
    for wrong in (-1, 2**32, "1", None):
        code, message, _ = error(client, "daemon.set_limits", ["virtlogd", wrong])
        assert code == -32602
        assert "max_clients" in message


@pytest.mark.parametrize("server", ["admin", "virtlogd"])
def test_no_door_is_locked_behind_oneself(client: Client, server: str) -> None:
    """Where limits are set, somebody must be let in; for libvirt's drivers nobody need be."""
    if server == "virtlogd":
        assert result(client, "daemon.set_limits", [server, 0])["max_clients"] == 0
        return
    code, message, _ = error(client, "daemon.set_limits", [server, 0])
    assert code == -32602
    assert message.endswith("any more to set another limit; give at least 1")
    assert client.daemon.servers[1].max_clients > 0


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("daemon.clients", ["x\ny"]),
        ("daemon.disconnect", ["x\ny", 1]),
        ("daemon.set_limits", ["x\ny", 1]),
    ],
)
def test_a_server_must_exist(client: Client, method: str, params: list[Any]) -> None:
    """The answer tells where to find those there are."""
    code, message, data = error(client, method, params)
    assert (code, data) == (1008, {"server": "x\ny"})
    assert "virtlogctl limits" in message


def test_logging_is_told_and_changed(client: Client, tmp_path: Path) -> None:
    """What is not named stays; what was told can be set again."""
    first = {"level": "warning", "filters": [], "outputs": ["3:stderr"]}
    assert result(client, "daemon.get_logging") == first
    changed = {
        "level": "debug",
        "filters": ["1:logs", "4:jsonrpc"],
        "outputs": ["4:stderr", f"1:file:{tmp_path}/own.log"],
    }
    assert result(client, "daemon.set_logging", changed) == changed
    assert result(client, "daemon.set_logging", {"level": "error"}) == {**changed, "level": "error"}
    assert client.daemon.own_log.logging().level is Priority.ERROR
    assert result(client, "daemon.set_logging", changed) == result(client, "daemon.get_logging")
    assert result(client, "daemon.set_logging", first) == first
    assert result(client, "daemon.set_logging", {"outputs": []})["outputs"] == ["3:stderr"]


def test_a_filter_or_output_that_is_none_is_refused(client: Client, tmp_path: Path) -> None:
    """In libvirt's words, with what would be right; nothing is changed."""
    code, message, _ = error(client, "daemon.set_logging", {"level": "debug", "filters": ["9:a"]})
    assert code == -32602
    assert message == (
        "Invalid params: Invalid priority '9' for filter '9:a'; write filters as 1:logs 3:jsonrpc,"
        " a level and a part of a module's name"
    )
    output = f"3:file:{tmp_path}/none/x.log"
    code, message, data = error(client, "daemon.set_logging", {"outputs": [output]})
    assert (code, data["errno"]) == (1003, "ENOENT")
    code, message, _ = error(client, "daemon.set_logging", {"level": "loud"})
    assert code == -32602
    assert "level" in message
    assert client.daemon.own_log.logging().level is Priority.WARNING


def test_an_embedded_daemon_has_no_log_of_its_own() -> None:
    """The application around it does the logging."""
    client = Client(daemon=FakeDaemon(has_own_log=False))
    for method in ("daemon.get_logging", "daemon.set_logging"):
        code, message, _ = error(client, method)
        assert code == 1010
        assert "another application" in message


def test_metrics_are_a_text(client: Client) -> None:
    """In Prometheus' own format, as the endpoint gives it."""
    assert result(client, "daemon.metrics") == {"text": 'a 1.0\nb{c="\\\\"} 2.0\n'}
    assert client.metrics.asked == [False]
