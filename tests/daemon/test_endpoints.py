"""A directory of the daemon's own, which the next daemon with the same sockets finds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from twisted_virtlog.daemon.endpoints import own_directory
from twisted_virtlog.handover.state import DaemonState, ServerState, ServiceState, SocketState
from twisted_virtlog.service import Endpoints


def handed_over(sock: socket.socket) -> DaemonState:
    """Make the state of a former image that listened on a socket."""
    service = ServiceState((SocketState(sock.fileno()),))
    return DaemonState(os.getpid(), {"virtlogd": ServerState(1, services=(service,))}, ())


@pytest.mark.parametrize(
    ("endpoints", "name"),
    [
        (Endpoints(libvirt="unix:/run/a:mode=600", jsonrpc="unix:/run/b"), "%2Frun%2Fa"),
        (Endpoints(jsonrpc="/run/b", admin="unix:/run/c"), "%2Frun%2Fb"),
        (Endpoints(admin="unix:mode=700:address=/run/c"), "%2Frun%2Fc"),
        (Endpoints(jsonrpc_ro=r"unix:/run/d\:e"), "%2Frun%2Fd%3Ae"),
        (Endpoints(jsonrpc="systemd:domain=UNIX:index=0"), "systemd%3Adomain%3DUNIX%3Aindex%3D0"),
    ],
)
def test_the_directory_is_named_after_the_first_socket(endpoints: Endpoints, name: str) -> None:
    """Whichever that is."""
    assert own_directory("/run/lanes", endpoints, None) == f"/run/lanes/{name}"


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two daemons in two directories are two."""
    monkeypatch.chdir(tmp_path)
    found = own_directory("/x", Endpoints(jsonrpc="./a"), None)
    assert found == own_directory("/x", Endpoints(jsonrpc=f"unix:{tmp_path}/a"), None)


def test_a_daemon_without_sockets() -> None:
    """It has none."""
    assert own_directory("/x", Endpoints(), None) is None


def test_sockets_that_were_handed_over(tmp_path: Path) -> None:
    """By a service manager, or by a former image: it is the same directory as for their path."""
    path = str(tmp_path / "a socket")
    expected = own_directory("/x", Endpoints(libvirt=f"unix:{path}"), None)
    elsewhere = "unix:/run/elsewhere"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        activated = Endpoints(libvirt=elsewhere, sockets={"virtlogd": (sock.fileno(),)})
        assert own_directory("/x", activated, None) == expected
        assert own_directory("/x", Endpoints(libvirt=elsewhere), handed_over(sock)) == expected
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0an abstract name")
        found = own_directory("/x", Endpoints(libvirt=elsewhere), handed_over(sock))
        assert found == "/x/%00an%20abstract%20name"


def test_a_descriptor_that_is_no_socket() -> None:
    """What was handed over may be anything; the daemon's endpoint is next."""
    read_end, write_end = os.pipe()
    try:
        endpoints = Endpoints(libvirt="unix:/run/a", sockets={"virtlogd": (read_end,)})
        assert own_directory("/x", endpoints, None) is None
        other = Endpoints(jsonrpc="unix:/run/b", sockets={"virtlogd": (read_end, 10**6)})
        assert own_directory("/x", other, None) == "/x/%2Frun%2Fb"
    finally:
        os.close(read_end)
        os.close(write_end)
