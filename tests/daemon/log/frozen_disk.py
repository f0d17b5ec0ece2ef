"""A daemon whose own log is on a disk that hangs. Run by test_frozen_disk.py, which mounts one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.daemon import Daemon, running
from twisted_virtlog.client import BlockingClient, RemoteError

#: So that few messages are more than the queue takes.
_SMALL_QUEUE = (
    "from twisted_virtlog.daemon.log import output_thread; output_thread.MOST_BYTES = 20_000"
)

_FULL = 100
_PATIENCE = 60.0


def main(disk: Path, elsewhere: Path) -> None:
    """Freeze the disk, and see who notices.

    :param disk: a file system of its own, empty.
    """
    own_log = disk / "own.log"
    settings = ["log_level = 2", f'log_outputs = "1:file:{own_log}"']
    with (
        ExitStack() as later,
        running(elsewhere / "daemon", settings, patch=_SMALL_QUEUE) as daemon,
    ):
        with daemon.client() as client, frozen(disk):
            for number in range(_FULL):
                log_something(client, elsewhere / f"{number}.log")
            # A file that is there already is opened, and closed, by the thread that hangs.
            client.set_logging(outputs=[f"1:file:{own_log}"])
            with pytest.raises(RemoteError, match=f"own log hangs: no answer from {own_log}"):
                client.reexec()
            client.set_logging(outputs=["1:stderr"])
            log_something(client, elsewhere / "stderr.log")
            until(daemon, elsewhere / "daemon" / "daemon.log", "stderr.log: closed")
            # A new file cannot be made, whether the daemon runs or is started.
            client.set_logging(outputs=[f"1:file:{disk}/new.log"])
            log_something(client, elsewhere / "new.log")
            # (a process whose thread waits for the disk ends when that answers)
            late = [settings[0], f'log_outputs = "1:file:{disk}/late.log"']
            second = later.enter_context(running(elsewhere / "late", late))
            with second.client() as other:
                log_something(other, elsewhere / "late.log")
            client.set_logging(outputs=[f"1:file:{own_log}"])
            assert len(os.listdir(f"/proc/{daemon.process.pid}/task")) < 20
        with daemon.client() as client:
            log_something(client, elsewhere / "last.log")
            until(daemon, own_log, "last.log: closed")
            assert client.reexec()
            log_something(client, elsewhere / "next.log")
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


@contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Let everything that changes a disk wait."""
    subprocess.run(["fsfreeze", "--freeze", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", disk], check=True)


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


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
