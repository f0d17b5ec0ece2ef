"""What doc/operations.md says that the daemon's own log says, with no setting of the own log."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import RemoteError

#: No file may be larger; the daemon's own log stays far below.
_FILE_LIMIT = 1024 * 1024


def _own_log(daemon: Daemon) -> list[str]:
    """Return the messages of the daemon's standard error, with their parts."""
    text = (Path(daemon.socket).parent / "daemon.log").read_text()
    return [line.split(" : ", 1)[1] for line in text.splitlines()]


def _fail(daemon: Daemon, log: Path) -> tuple[int, tuple[int, int]]:
    """Open a log whose file has no room for what is written, by the limit of the process.

    :returns: the pipe's write end, and the limit before.
    """
    log.touch()
    os.truncate(log, _FILE_LIMIT)
    with daemon.client() as client:
        write_end = client.open(str(log)).write_end
    limit = (_FILE_LIMIT, resource.RLIM_INFINITY)
    before = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, limit)
    os.write(write_end, b"no room for it\n")
    return write_end, before


def _of(part: str, daemon: Daemon) -> list[str]:
    """Return the messages of one part of the daemon."""
    return [one for one in _own_log(daemon) if one.startswith(f"{part} : ")]


def _until(condition: Callable[[], object], daemon: Daemon) -> None:
    with daemon.client() as client:
        while not condition():
            # Each answer takes a turn of the daemon's reactor.
            client.info()


@pytest.mark.lengthy
def test_the_beginning_and_the_end_of_an_outage_are_said(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Once each, with the log and the reason."""
    daemon = start_daemon("max_size = 0")
    log = tmp_path / "guest.log"
    write_end, no_limit = _fail(daemon, log)
    pid = daemon.process.pid
    _until(lambda: "tried again" in "".join(_own_log(daemon)), daemon)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, no_limit)
    _until(lambda: "written again" in "".join(_own_log(daemon)), daemon)
    os.close(write_end)
    failed, recovered = [one for one in _own_log(daemon) if str(log) in one]
    assert "File too large" in failed
    assert recovered == f"logs : {log}: the file is written again"


@pytest.mark.lengthy
def test_a_limit_that_is_reached_is_said_once(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Both that of logs and that of clients, however often somebody tries."""
    daemon = start_daemon("max_open_logs = 1", "max_clients = 1")
    with daemon.client() as client:
        write_end = client.open(str(tmp_path / "one.log")).write_end
        for _ in range(3):
            with pytest.raises(RemoteError, match="max_open_logs"):
                client.open(str(tmp_path / "two\n.log"))
    os.close(write_end)
    # (who waits for that is a client too, and is told of last)
    _until(lambda: _of("logs", daemon) and _own_log(daemon)[-1].startswith("clients"), daemon)
    logs = _of("logs", daemon)
    assert logs == [
        (
            rf"logs : {tmp_path}/two\n.log: not opened: 1 logs are open,"
            " as many as max_open_logs allows"
        )
    ]
    assert set(_of("clients", daemon)) == {
        "clients : jsonrpc: 1 clients are connected; no more are accepted until one leaves"
    }


@pytest.mark.root
def test_a_peer_that_is_turned_away_is_said(daemon: Daemon) -> None:
    """With its process and its user."""
    for path in (daemon.libvirt_socket, daemon.admin_socket, daemon.socket):
        os.chmod(path, 0o777)
    directory = Path(daemon.socket).parent
    for parent in (directory, *directory.parents[:-2]):
        os.chmod(parent, parent.stat().st_mode | 0o111)
    child = os.fork()
    if not child:
        os.setresuid(65534, 65534, 65534)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.libvirt_socket)
            os._exit(client.recv(1) != b"")
    assert os.waitpid(child, 0)[1] == 0
    _until(lambda: _own_log(daemon), daemon)
    assert _own_log(daemon) == [
        f"clients : operation forbidden: Disallowing client {child} with uid 65534 on virtlogd"
    ]


def test_what_a_client_names_is_escaped(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """A path forges no line of the own log."""
    daemon = start_daemon("max_size = 0")
    directory = tmp_path / "a\n2026-01-01 00:00:00.000+0000: 1: error : logs : forged\x1b[2J"
    directory.mkdir()
    write_end, _ = _fail(daemon, directory / "x.log")
    with daemon.client() as client, pytest.raises(RemoteError):
        client.position(str(directory / "x.log"))
    os.close(write_end)
    _until(lambda: _own_log(daemon), daemon)
    (failed, *_) = _own_log(daemon)
    assert r"/a\n2026-01-01 00:00:00.000+0000: 1: error : logs : forged\x1b[2J/x.log" in failed
