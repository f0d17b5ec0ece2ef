"""A running daemon is administered over JSON-RPC, and it has effect."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon, wait_until_it_answers
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient, Disconnected, OwnLogging, RemoteError

_SECONDS = 60.0

_EMBEDDED = """
import sys
from twisted.internet import reactor
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.service import Endpoints, VirtlogService

service = VirtlogService(Settings(), Endpoints(jsonrpc=f"unix:{sys.argv[1]}"), reactor)
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.run()
"""


@contextmanager
def connected(path: str) -> Iterator[socket.socket]:
    """Become a client that says nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        client.connect(path)
        yield client


def numbers(client: BlockingClient, server: str) -> list[int]:
    """Return who is connected to a server."""
    (found,) = client.clients(server)
    return [one.id for one in found.clients]


def only_number(client: BlockingClient, server: str) -> int:
    """Wait for a server to have a client, as it may not have been accepted yet."""
    while not (found := numbers(client, server)):
        """Each answer takes a turn of the daemon's reactor."""
    (number,) = found
    return number


@pytest.mark.in_common
def test_clients_of_all_doors_are_told(daemon: Daemon) -> None:
    """Those of libvirt's drivers, of virt-admin and of JSON-RPC, each with its process."""
    with (
        daemon.client() as client,
        connected(daemon.libvirt_socket),
        connected(daemon.admin_socket),
    ):
        for server in ("admin", "virtlogd"):
            assert only_number(client, server) == 1
        servers = client.clients()
        assert [one.server for one in servers] == ["admin", "jsonrpc", "virtlogd"]
        assert [one.max_clients for one in servers] == [5000, 1024, 1024]
        for one in servers:
            (only,) = one.clients
            assert (only.pid, only.uid, only.gid) == (os.getpid(), os.geteuid(), os.getegid())


@pytest.mark.in_common
def test_a_client_is_disconnected(daemon: Daemon) -> None:
    """Even the one who asks, which then gets no answer; all others stay."""
    with daemon.client() as client, connected(daemon.libvirt_socket) as other:
        number = only_number(client, "virtlogd")
        assert client.disconnect("virtlogd", number)
        assert other.recv(1) == b""
        assert numbers(client, "virtlogd") == []
        with pytest.raises(RemoteError, match="has no client") as caught:
            client.disconnect("virtlogd", number)
        assert caught.value.code == 1009
        with daemon.client() as unlucky:
            me = numbers(unlucky, "jsonrpc")[-1]
            with pytest.raises(Disconnected):
                unlucky.disconnect("jsonrpc", me)
        assert me not in numbers(client, "jsonrpc")


def test_a_limit_lets_others_wait(daemon: Daemon) -> None:
    """Until it rises, or somebody leaves."""
    with daemon.client() as client:
        while len(numbers(client, "jsonrpc")) > 1:
            """Those of the tests before may not be known to have left."""
        limits = client.set_limits("jsonrpc", 1)
        assert (limits.clients, limits.max_clients) == (1, 1)
        with connected(daemon.socket) as waiting:
            waiting.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.get_logging"}')
            assert len(numbers(client, "jsonrpc")) == 1
            assert not select.select([waiting], [], [], 0)[0]
            client.set_limits("jsonrpc", 2)
            assert waiting.recv(100).startswith(b'{"jsonrpc":"2.0","id":1,"result":')


def test_what_was_set_lasts_until_the_configuration_is_read(start_daemon: StartDaemon) -> None:
    """Then limits, of each server its own, and the own log are as it says."""
    daemon = start_daemon("admin_max_clients = 9", 'log_filters = "2:rpc"')
    own_log = Path(daemon.socket).parent / "own.log"
    with daemon.client() as client:
        for server in ("admin", "jsonrpc", "virtlogd"):
            client.set_limits(server, 77)
        logging = client.set_logging("info", ["4:rpc"], [f"1:file:{own_log}"])
        assert logging == OwnLogging("info", ["4:rpc"], [f"1:file:{own_log}"])
        os.kill(daemon.process.pid, signal.SIGHUP)
        while client.logging().level == "info":
            """Each answer takes a turn of the daemon's reactor; the signal is handled in one."""
        assert client.logging() == OwnLogging("warning", ["2:rpc"], ["3:stderr"])
        assert [one.max_clients for one in client.clients()] == [9, 1024, 1024]
    assert own_log.exists()


def test_the_admin_socket_is_the_owner_s(daemon: Daemon) -> None:
    """And is removed with the daemon."""
    assert stat.S_IMODE(Path(daemon.admin_socket).stat().st_mode) == 0o700
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(_SECONDS) == 0
    assert not Path(daemon.admin_socket).exists()


@pytest.mark.lengthy
def test_the_admin_socket_can_be_switched_off(start_daemon: StartDaemon) -> None:
    """Then there is no such server."""
    daemon = start_daemon(options=["--admin", "none"])
    with daemon.client() as client:
        assert [one.server for one in client.clients()] == ["jsonrpc", "virtlogd"]
        with pytest.raises(RemoteError) as caught:
            client.clients("admin")
        assert caught.value.code == 1008
    assert not Path(daemon.admin_socket).exists()


def test_an_embedded_daemon_is_administered_but_for_its_log(tmp_path: Path) -> None:
    """The application around it does the logging."""
    path = tmp_path / "sock"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _EMBEDDED, str(path)],
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
    with process:
        try:
            wait_until_it_answers(process, path, tmp_path / "log")
            with BlockingClient(str(path), _SECONDS) as client:
                assert len(numbers(client, "jsonrpc")) == 1
                assert client.set_limits("jsonrpc", 7).max_clients == 7
                for call in (client.logging, client.set_logging):
                    with pytest.raises(RemoteError, match="another application") as caught:
                        call()
                    assert caught.value.code == 1010
        finally:
            process.terminate()
    assert (tmp_path / "log").read_text() == ""
