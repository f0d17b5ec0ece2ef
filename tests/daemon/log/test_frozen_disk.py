"""A daemon whose own log is on a disk that hangs."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.daemon import Daemon, running
from harness.frozen_mount import frozen_mount
from tests.daemon.conftest import by_default
from twisted_virtlog.client import BlockingClient, RemoteError

#: So that few messages are more than the queue takes.
_SMALL_QUEUE = (
    "from twisted_virtlog.daemon.log import output_thread; output_thread.MOST_BYTES = 20_000"
)

_FULL = 100
_PATIENCE = 60.0


@pytest.mark.lengthy
@by_default
@pytest.mark.root
def test_a_disk_that_hangs_stops_nobody(tmp_path: Path) -> None:
    """Clients are served, and the messages and their number are there when it answers again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    own_log = disk / "own.log"
    settings = ["log_level = 2", f'log_outputs = "1:file:{own_log}"']
    with (
        frozen_mount(disk, tmp_path / "image") as mounted,
        ExitStack() as later,
        running(tmp_path / "daemon", settings, patch=_SMALL_QUEUE) as daemon,
    ):
        with daemon.client() as client, mounted.frozen():
            for number in range(_FULL):
                log_something(client, tmp_path / f"{number}.log")
            # A file that is there already is opened, and closed, by the thread that hangs.
            client.set_logging(outputs=[f"1:file:{own_log}"])
            with pytest.raises(RemoteError, match=f"own log hangs: no answer from {own_log}"):
                client.reexec()
            client.set_logging(outputs=["1:stderr"])
            log_something(client, tmp_path / "stderr.log")
            until(daemon, tmp_path / "daemon" / "daemon.log", "stderr.log: closed")
            # A new file cannot be made, whether the daemon runs or is started.
            client.set_logging(outputs=[f"1:file:{disk}/new.log"])
            log_something(client, tmp_path / "new.log")
            # (a process whose thread waits for the disk ends when that answers)
            late = [settings[0], f'log_outputs = "1:file:{disk}/late.log"']
            second = later.enter_context(running(tmp_path / "late", late))
            with second.client() as other:
                log_something(other, tmp_path / "late.log")
            client.set_logging(outputs=[f"1:file:{own_log}"])
            assert len(os.listdir(f"/proc/{daemon.process.pid}/task")) < 20
        with daemon.client() as client:
            log_something(client, tmp_path / "last.log")
            until(daemon, own_log, "last.log: closed")
            assert client.reexec()
            log_something(client, tmp_path / "next.log")
            until(daemon, own_log, "next.log: closed")
        for name in ("new", "late"):
            until(second, disk / f"{name}.log", f"{name}.log: closed")
        text = own_log.read_text()
    written = [text.find(f"/{number}.log: closed") for number in range(_FULL)]
    fitted = [at for at in written if at >= 0]
    assert 0 < len(fitted) < _FULL
    assert written[: len(fitted)] == sorted(fitted)
    # (a message about the hand-over that was refused is among them)
    (told,) = [line for line in text.splitlines() if "before this one could not be" in line]
    missed = int(told.rpartition("(")[2].split()[0])
    assert missed >= _FULL - len(fitted)


def log_something(client: BlockingClient, log: Path) -> None:
    """Have the daemon log a message: that a log is closed at a client's request."""
    write_end = client.open(str(log)).write_end
    client.close_log(str(log))
    os.close(write_end)


def until(daemon: Daemon, file: Path, text: str) -> None:
    """Wait until a file has a text."""
    deadline = time.monotonic() + _PATIENCE
    with daemon.client() as client:
        while text not in file.read_text():
            assert time.monotonic() < deadline
            client.info()
