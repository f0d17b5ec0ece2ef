"""A program gets the files of a log from a daemon, and reads them by itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from tests.daemon.test_read_only import READ_ONLY, code_of, read_only
from twisted_virtlog.client import LogFiles


def read_all(files: LogFiles) -> bytes:
    """Read what files have, and close them."""
    found = []
    for file in files.files:
        found.append(os.pread(file.descriptor, file.size, 0))
        os.close(file.descriptor)
    return b"".join(found)


def test_the_files_are_the_log(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """With what was in the pipe, over the rotation, from where a position is."""
    daemon = start_daemon("max_size = 1024", "max_backups = 5")
    log = str(tmp_path / "log")
    lines = [b"%063d\n" % number for number in range(50)]
    with daemon.client() as client:
        write_end = client.open(log).write_end
        os.write(write_end, b"".join(lines[:20]))
        middle = client.position(log)
        os.write(write_end, b"".join(lines[20:]))
        files = client.files(log)
        assert [file.size for file in files.files] == [1024, 1024, 1024, 128]
        assert not files.more
        assert read_all(files) == b"".join(lines)
        later = client.files(log, middle)
        assert read_all(later) == b"".join(lines[16:])
        os.close(write_end)


@pytest.mark.lengthy
def test_known_logs_may_be_read_by_the_group(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """And no other file."""
    daemon = start_daemon(READ_ONLY)
    log, secret = str(tmp_path / "log"), tmp_path / "secret"
    secret.write_text("for root alone")
    with daemon.client() as root, read_only(daemon) as reader:
        root.append(log, "hello\n")
        assert read_all(reader.files(log)) == b"hello\n"
        assert code_of(reader, "files", str(secret)) == 1011
        assert code_of(root, "files", str(tmp_path / "nothing")) == 1002


def ask(client: socket.socket, path: str) -> None:
    """Send a request for the files of a log."""
    request = f'{{"jsonrpc":"2.0","id":1,"method":"log.files","params":["{path}"]}}\n'
    client.sendall(request.encode())


def receive(client: socket.socket) -> tuple[bytes, int]:
    """Receive a text; return it, and with how many descriptors it came."""
    text, count = b"", 0
    while not text.endswith(b"\n"):
        data, descriptors, _, _ = socket.recv_fds(client, 65536, 253)
        assert data
        text += data
        count += len(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
    return text, count


@pytest.mark.lengthy
def test_who_does_not_read_gets_one_answer(daemon: Daemon, tmp_path: Path) -> None:
    """And others go on; over a hand-over, too."""
    log = str(tmp_path / "log")
    with (
        daemon.client() as client,
        socket.socket(socket.AF_UNIX) as idle,
        socket.socket(socket.AF_UNIX) as other,
    ):
        client.append(log, "hello\n")
        for one in (idle, other):
            one.connect(daemon.socket)
            ask(one, log)
        ask(idle, log)
        assert read_all(client.files(log)) == b"hello\n"
        client.reexec()
        assert read_all(client.files(log)) == b"hello\n"
        ask(other, log)
        for one in (idle, other):
            text, count = receive(one)
            assert b'"fds":1' in text
            assert count == 1
            text, count = receive(one)
            assert b'"limit":"descriptors"' in text
            assert count == 0
            ask(one, log)
            assert receive(one)[1] == 1
