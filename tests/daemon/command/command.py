"""The command as an ordinary user runs it, whose files are all below one directory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import CHECKOUT
from twisted_virtlog.client import BlockingClient

PATIENCE = 60.0

#: An ordinary user, but for reading this interpreter and checkout, wherever they are.
AS_NOBODY = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
]

_SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, {checkout!r})
{patch}
from twisted_virtlog.daemon.command.main import main
main()
"""


def install(path: Path, patch: str = "pass") -> Path:
    """Write the console script as an installer would, for this interpreter and checkout.

    :param patch: Python code to run before it starts.
    """
    text = _SCRIPT.format(python=sys.executable, checkout=str(CHECKOUT), patch=patch)
    path.write_text(text)
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class Said:
    """What a process came to."""

    status: int
    output: str
    error: str


class User:
    """Somebody with a home of their own, who runs one of the two daemons."""

    def __init__(self, directory: Path, program: str) -> None:
        self.directory = directory
        self.program = program
        self.run_directory = directory / "run" / "libvirt"
        self.pid_file = self.run_directory / "virtlogd.pid"
        self.socket = self.run_directory / "virtlogd-sock"
        self.config = directory / "virtlogd.conf"
        self.environment: dict[str, str] = {}
        self._processes: list[subprocess.Popen[str]] = []
        directory.mkdir()
        if os.geteuid() == 0:
            os.chown(directory, 65534, 65534)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the daemon; it is killed in the end, if it still runs then."""
        own = {"HOME": str(self.directory), "XDG_RUNTIME_DIR": str(self.directory / "run")}
        as_user = AS_NOBODY if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [*as_user, self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            env={"PATH": os.environ.get("PATH", os.defpath), **own, **self.environment},
        )
        self._processes.append(process)
        return process

    def run(self, *arguments: str) -> Said:
        """Run the daemon until it ends, or what was started when it goes to the background."""
        process = self.start(*arguments)
        output, error = process.communicate(timeout=PATIENCE)
        return Said(process.returncode, output, error)

    def connect(self, name: str = "virtlogd-sock") -> socket.socket:
        """Connect to a socket, that for libvirt's drivers, as the user, when it is there."""
        path = self.run_directory / name
        client = socket.socket(socket.AF_UNIX)
        own = os.geteuid()
        if own == 0:
            os.seteuid(65534)
        try:
            until(lambda: client.connect_ex(str(path)) == 0)
        finally:
            os.seteuid(own)
        return client

    def wait_until_it_serves(self) -> None:
        """Send what no message begins with; who takes that and goes also obeys signals."""
        with self.connect() as client, contextlib.suppress(ConnectionError):
            client.settimeout(PATIENCE)
            client.sendall(bytes(4))
            assert client.recv(1) == b""

    def client(self) -> BlockingClient:
        """Connect to JSON-RPC, which the real virtlogd does not have."""
        return BlockingClient(str(self.run_directory / "virtlogd-jsonrpc-sock"), PATIENCE)

    def files(self) -> list[str]:
        """Name what is in the user's directory, but for what the daemon keeps beside the logs."""
        found = [str(path.relative_to(self.directory)) for path in self.directory.rglob("*")]
        # (what is counted of logs, which goes on with the next process, and its directories)
        counts = [f"{name}/" for name in found if name.endswith("/counts")]
        lanes = "run/libvirt/virtlogd-lanes"
        return sorted(
            name
            for name in found
            if not name.startswith(".local")
            and not (name.startswith(lanes) and any(one.startswith(f"{name}/") for one in counts))
        )

    def has_pid_of(self, process: subprocess.Popen[str]) -> bool:
        """Return whether the pid file names a process; one daemon replaces that of another."""
        with contextlib.suppress(FileNotFoundError):
            return self.pid_file.read_text() == str(process.pid)
        return False

    def end(self) -> None:
        """End the daemon in the background, and wait for its end."""
        pid = int(self.pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists())

    def clean_up(self) -> None:
        """Leave no process."""
        for process in self._processes:
            process.kill()
            process.communicate()
        if self.pid_file.exists() and Path(f"/proc/{self.pid_file.read_text()}").exists():
            self.end()


def until(condition: Callable[[], object]) -> None:
    """Look until a condition of other processes holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_answers(user: User, process: subprocess.Popen[str]) -> None:
    """Wait until a daemon answers."""

    def answered() -> bool:
        assert process.poll() is None, process.communicate()
        # (it is there a moment before the daemon listens on it)
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(user.run_directory / "virtlogd-jsonrpc-sock")) == 0

    until(answered)
    with user.client() as client:
        assert client.info().pid == process.pid
