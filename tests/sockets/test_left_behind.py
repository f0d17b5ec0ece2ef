"""Sockets of processes that cannot end are replaced, and no others."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from tests.hanging import hanging
from twisted_virtlog.errors import ListenError
from twisted_virtlog.sockets.binding import bind
from twisted_virtlog.sockets.left_behind import find_dying_listener


def listening(path: str, backlog: int = 10) -> str:
    """Return code that listens at a path."""
    return f"""
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind({path!r})
listener.listen({backlog})
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give a socket's path, with a blank in it."""
    return f"{tmp_path}/a socket"


def fill(path: str) -> list[socket.socket]:
    """Connect until the socket is busy."""
    clients = []
    with contextlib.suppress(BlockingIOError):
        while True:
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            client.connect(path)
    return clients


def test_a_socket_of_a_process_that_cannot_end(path: str) -> None:
    """While the process lives, it is not taken; once it is dying, it is replaced."""
    with hanging(listening(path)) as other:
        with pytest.raises(ListenError, match=f"process {other.process.pid} .* has it"):
            bind(path, 0o600)
        other.die()
        with bind(path, 0o600) as sock, socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.setblocking(False)
            sock.setblocking(False)
            sock.accept()[0].close()
            assert client.recv(1) == b""


def test_a_busy_socket_of_a_process_that_cannot_end(path: str) -> None:
    """Who connected to it will never be served."""
    with hanging(listening(path, backlog=2)) as other:
        clients = fill(path)
        assert find_dying_listener(path) is None
        with pytest.raises(ListenError, match="another daemon has it"):
            bind(path, 0o600)
        other.die()
        assert find_dying_listener(path) == other.process.pid
        bind(path, 0o600).close()
        for client in clients:
            client.close()


def test_other_sockets_of_such_a_process(path: str) -> None:
    """Only who listens there counts, not who is connected."""
    other_path = f"{path} of another"
    code = f"""{listening(other_path)}
client = socket.socket(socket.AF_UNIX)
client.connect({path!r})
"""
    with bind(path, 0o600), hanging(code) as other:
        other.die()
        assert find_dying_listener(path) is None
        assert find_dying_listener(other_path) == other.process.pid
        with pytest.raises(ListenError, match=f"process {os.getpid()} "):
            bind(path, 0o600)
