"""Guests of QEMU that print more than their logs may take."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from tests.stack import guest

pytestmark = [pytest.mark.qemu, pytest.mark.lengthy]

#: What it prints is half a mebibyte.
_LINES = 8192
#: A monitor that answers does so sooner.
_PATIENCE_SECONDS = 0.5
_QEMU_SECONDS = 120.0

_NOTICE = re.compile(rb"\[virtlogd: (\d+) bytes lost from [^\n]*: over its rate of \d+ [^\n]*\n")


@contextmanager
def printing(directory: Path, pipe: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a guest that prints and ends; its console is logged to a pipe, as libvirt does that."""
    disk = directory / "disk"
    disk.write_bytes(guest.disk(_LINES, guest.End.POWER_OFF))
    command = "qemu-system-x86_64 -accel tcg -machine pc -display none -nodefaults"
    command += f" -no-reboot -m 32 -drive file={disk},format=raw,if=ide -add-fd fd={pipe},set=1"
    command += " -chardev null,id=console,logfile=/dev/fdset/1,logappend=on"
    command += f" -device isa-serial,chardev=console -qmp unix:{directory}/qmp,server=on,wait=off"
    with subprocess.Popen(command.split(), pass_fds=[pipe]) as process:
        try:
            yield process
        finally:
            process.kill()


def until_closed(daemon: Daemon) -> None:
    """Wait until the daemon has heard that the guest is gone."""
    with daemon.client() as client:
        while client.list():
            """Each answer takes a turn of the daemon's reactor."""


class Monitor:
    """A connection to the monitor of a guest."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        while self._socket.connect_ex(str(path)):
            """It is there soon."""
        self._answers = self._socket.makefile("rb")
        self._read()
        self.ask("qmp_capabilities")
        assert "return" in self._read()

    def ask(self, command: str) -> None:
        """Send a command."""
        self._socket.sendall(json.dumps({"execute": command}).encode())

    def answers(self, seconds: float) -> bool:
        """Return whether an answer comes."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def status(self) -> str:
        """Return the answer to query-status, when it comes."""
        return str(self._read()["return"]["status"])

    def _read(self) -> Any:
        while "event" in (said := json.loads(self._answers.readline())):
            """Events come in between."""
        return said

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def test_a_guest_beyond_its_rate_runs_on_when_the_rest_is_dropped(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """It does not wait, or all would be kept. The log has whole lines, and each byte is told."""
    daemon = start_daemon("rate = 2048")
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        pipe = client.open(str(log)).write_end
    with printing(tmp_path, pipe) as qemu:
        os.close(pipe)
        assert qemu.wait(_QEMU_SECONDS) == 0
    until_closed(daemon)
    text = log.read_bytes()
    lost = sum(int(notice.group(1)) for notice in _NOTICE.finditer(text))
    kept = _NOTICE.sub(b"", text)
    printed = guest.console(_LINES)
    assert len(kept) + lost == len(printed)
    assert lost > len(printed) // 2
    whole = set(printed.splitlines(True))
    # (what is left in the pipe at the end may begin in a line, and is written)
    assert len([line for line in kept.splitlines(True) if line not in whole]) <= 1


def test_a_guest_waits_with_its_monitor_when_nothing_may_be_dropped(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Until its log may take more; then all is there."""
    daemon = start_daemon("rate = 1", 'on_rate = "block"', "pipe_size = 65536")
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        pipe = client.open(str(log)).write_end
    with printing(tmp_path, pipe) as qemu:
        monitor = Monitor(tmp_path / "qmp")
        while select.select([], [pipe], [], 0)[1]:
            """It prints until the pipe is full."""
        os.close(pipe)
        monitor.ask("query-status")
        while monitor.answers(_PATIENCE_SECONDS):
            # (there is room in the last page, though a write end says that there is none)
            assert monitor.status() == "running"
            monitor.ask("query-status")
        assert len(log.read_bytes()) < 1024
        (Path(daemon.socket).parent / "virtlogd.conf").write_text("max_backups = 3\n")
        os.kill(daemon.process.pid, signal.SIGHUP)
        assert monitor.status() == "running"
        monitor.close()
        assert qemu.wait(_QEMU_SECONDS) == 0
    until_closed(daemon)
    assert log.read_bytes() == guest.console(_LINES)
