"""rpc.discover names the sockets that a real daemon listens on."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from urllib.parse import unquote

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient

_SETTING = f'jsonrpc_ro_group = "{grp.getgrgid(os.getgid()).gr_name}"'


def sockets_of(client: BlockingClient) -> dict[str, str]:
    """Give the paths by the servers' names."""
    servers = client.discover()["servers"]
    assert all(server["url"].startswith("unix:/") for server in servers)
    return {server["name"]: unquote(server["url"].removeprefix("unix:")) for server in servers}


@pytest.mark.lengthy
def test_who_reads_the_document_finds_the_daemon(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Over each socket the same, also after a hand-over."""
    strange = tmp_path / "a socket?"
    daemon = start_daemon(_SETTING, options=["--jsonrpc-ro", f"unix:{strange}"])
    expected = {"jsonrpc": daemon.socket, "jsonrpc-ro": str(strange)}
    with daemon.client() as root:
        assert sockets_of(root) == expected
        for path in expected.values():
            with BlockingClient(path, 60) as client:
                assert sockets_of(client) == expected
        assert root.reexec()
        assert sockets_of(root) == expected


@pytest.mark.in_common
def test_without_the_read_only_socket_there_is_one(daemon: Daemon) -> None:
    """So that no method needs servers of its own."""
    with daemon.client() as client:
        assert sockets_of(client) == {"jsonrpc": daemon.socket}
        assert not any("servers" in method for method in client.discover()["methods"])
