"""SIGHUP: the configuration is read again, and holds for what is open."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient, RemoteError

_F_GETPIPE_SZ = 1032


class Configured:
    """A daemon whose configuration changes."""

    def __init__(self, daemon: Daemon, client: BlockingClient) -> None:
        self.client = client
        self.directory = Path(daemon.socket).parent
        self._daemon = daemon

    def read(self, *settings: str) -> None:
        """Let it read other settings; max_backups tells when it has."""
        marker = self.client.info().limits["max_backups"] + 1
        self._write(f"max_backups = {marker}", *settings)
        while self.client.info().limits["max_backups"] != marker:
            """Each answer takes a turn of the daemon's reactor; the signal is handled in one."""

    def refuse(self, *settings: str) -> str:
        """Let it read settings that it refuses; give the line that says why."""
        self._write(*settings)
        end = "; the settings stay as they were\n"
        while not self.own_log().endswith(end):
            self.client.info()
        return self.own_log().splitlines()[-1].removesuffix(end[:-1])

    def own_log(self) -> str:
        return (self.directory / "daemon.log").read_text()

    def _write(self, *settings: str) -> None:
        (self.directory / "virtlogd.conf").write_text("\n".join(settings))
        os.kill(self._daemon.process.pid, signal.SIGHUP)


@pytest.fixture
def configured(start_daemon: StartDaemon) -> Iterator[Configured]:
    """A daemon with small files."""
    daemon = start_daemon("max_size = 100", "max_backups = 1")
    with daemon.client() as client:
        yield Configured(daemon, client)


def test_an_open_log_is_rotated_by_the_new_limits(configured: Configured, tmp_path: Path) -> None:
    """Its size, and the number of its backups."""
    log = tmp_path / "guest.log"
    opened = configured.client.open(str(log))
    os.write(opened.write_end, b"ten bytes\n" * 9)
    # (what is still in the pipe when the limits change would go by the new ones)
    configured.client.position(str(log))
    configured.read("max_size = 20")
    os.write(opened.write_end, b"ten bytes\n" * 9)
    configured.client.position(str(log))
    kept = {path.name: path.stat().st_size for path in tmp_path.glob("guest.log*")}
    assert kept == {"guest.log": 10, "guest.log.0": 20, "guest.log.1": 20}
    os.close(opened.write_end)


def test_new_logs_have_the_new_limits(configured: Configured, tmp_path: Path) -> None:
    """How many there may be, and how much their pipes hold."""
    before = configured.client.open(str(tmp_path / "before.log"))
    configured.read("max_open_logs = 2", "pipe_size = 8192")
    after = configured.client.open(str(tmp_path / "after.log"))
    assert fcntl.fcntl(after.write_end, _F_GETPIPE_SZ) == 8192
    assert fcntl.fcntl(before.write_end, _F_GETPIPE_SZ) > 8192
    with pytest.raises(RemoteError, match="max_open_logs") as refused:
        configured.client.open(str(tmp_path / "third.log"))
    assert refused.value.code == 1004
    configured.read("max_open_logs = 3")
    third = configured.client.open(str(tmp_path / "third.log"))
    for one in (before, after, third):
        os.close(one.write_end)


@pytest.mark.lengthy
def test_a_client_who_waits_is_served_when_there_may_be_more(configured: Configured) -> None:
    """And nobody is disconnected when there may be fewer."""
    configured.read("max_clients = 1")
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(str(configured.directory / "jsonrpc-sock"))
        waiting.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.info"}\n')
        for _ in range(20):
            configured.client.info()
        assert not select.select([waiting], [], [], 0)[0]
        configured.read("max_clients = 2")
        assert json.loads(waiting.recv(65536))["result"]["counts"]["clients"] == 2


def test_the_own_log_follows(configured: Configured, tmp_path: Path) -> None:
    """To another file, at another level."""
    own = tmp_path / "own.log"
    before = configured.own_log()
    configured.read("log_level = 2", f'log_outputs = "1:file:{own}"')
    while not own.read_text():
        configured.client.info()
    assert own.read_text().endswith(" : the configuration was read again\n")
    assert configured.own_log() == before


def test_a_socket_whose_file_was_removed_is_made_again(configured: Configured) -> None:
    """Each of them, so that clients can connect again; the own log says so."""
    sockets = sorted(configured.directory.glob("*-sock"))
    assert len(sockets) == 3
    for path in sockets:
        path.unlink()
    configured.read()
    for path in sockets:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        while f"the file {path} of the socket was gone" not in configured.own_log():
            """It is written soon."""
    with BlockingClient(str(configured.directory / "jsonrpc-sock")) as client:
        client.info()


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["max_size = 7", 'max_clients = "many"'], "virtlogd.conf:2: max_clients: expected an"),
        (["max_size = 7", "max_clients 5"], "virtlogd.conf:2: configuration file syntax error"),
        (["max_size = 7", 'log_outputs = "1:file:/no/dir"'], "failed to open /no/dir: No such"),
    ],
)
def test_a_bad_file_is_told_and_changes_nothing(
    configured: Configured, settings: list[str], reason: str
) -> None:
    """With file, line and key; also what is right in it has no effect."""
    before = configured.client.info().limits
    told = configured.refuse(*settings)
    assert ": error : " in told
    assert reason in told
    assert configured.client.info().limits == before
    configured.read("max_size = 7")
    assert configured.client.info().limits["max_size"] == 7


@pytest.mark.lengthy
def test_a_guest_that_is_blocked_goes_on_when_bytes_may_be_dropped(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Also while its file still fails."""
    daemon = start_daemon('on_write_error = "block"')
    configured = Configured(daemon, daemon.client())
    log = tmp_path / "gone" / "guest.log"
    log.parent.mkdir()
    write_end = configured.client.open(str(log)).write_end
    log.unlink()
    log.parent.rmdir()
    os.set_blocking(write_end, False)
    while not _full(write_end) or configured.client.list()[0].state != "failing":
        with contextlib.suppress(BlockingIOError):
            os.write(write_end, b"x" * 4096)
        configured.client.info()
    configured.read('on_write_error = "drop"')
    while _full(write_end):
        """Once the file was tried again in vain, bytes are dropped."""
    assert configured.client.list()[0].state == "failing"
    os.close(write_end)
    configured.client.close()


@pytest.mark.lengthy
def test_a_rate_comes_and_goes_while_a_guest_floods(configured: Configured, tmp_path: Path) -> None:
    """Under block it waits, under drop it does not, and each byte is written or told."""
    log = str(tmp_path / "guest.log")
    client = configured.client
    write_end = client.open(log).write_end
    configured.read("max_size = 0", "rate = 10", 'on_rate = "block"')
    os.set_blocking(write_end, False)
    written = os.write(write_end, b"a line\n" * 3000)
    while not _full(write_end):
        with contextlib.suppress(BlockingIOError):
            written += os.write(write_end, b"a line\n" * 3000)
    configured.read("max_size = 0", "rate = 10")
    while client.list()[0].dropped + len(Path(log).read_bytes()) < written:
        """It is emptied at once."""
    configured.read("max_size = 0")
    while b"bytes lost" not in (text := Path(log).read_bytes()):
        client.info()
    lost = client.list()[0].dropped
    before, rest = text.split(b"[virtlogd: ")
    assert len(before) + lost == written
    assert rest.startswith(b"%d bytes lost from " % lost)
    assert rest.endswith(b": over its rate of 10 bytes a second]\n")
    assert client.info().counts["bytes_lost"] == lost
    os.close(write_end)


def _full(pipe: int) -> bool:
    return not select.select([], [pipe], [], 0)[1]
