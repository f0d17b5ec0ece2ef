"""The page's program and a daemon beside it, and what they cost."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from bench.figures import MIB
from harness.daemon import CHECKOUT, Daemon, running

#: Files that hold all that a measurement writes but a flood, and as many logs as are wanted.
_SETTINGS = ("max_size = 4194304", "max_backups = 8", "pipe_size = 65536", "max_open_logs = 20000")


@dataclass(frozen=True)
class Program:
    """A program of the page that answers.

    :ivar address: of this machine, with the port.
    """

    process: subprocess.Popen[bytes]
    address: str
    token: str

    def request(self, what: str, **query: object) -> tuple[str, dict[str, str]]:
        """Return the target and the headers of a request."""
        return f"/api/{what}?{urlencode(query)}", {"Authorization": f"Bearer {self.token}"}

    def ask(self, what: str, **query: object) -> bytes:
        """Ask something; return the answer's body."""
        with contextlib.closing(http.client.HTTPConnection(self.address, timeout=60)) as connection:
            target, headers = self.request(what, **query)
            connection.request("GET", target, headers=headers)
            return connection.getresponse().read()


@dataclass(frozen=True)
class Stand:
    """What a measurement works with.

    :ivar directory: for logs, and what else is needed.
    :ivar seconds: how long a measurement should take.
    """

    directory: Path
    daemon: Daemon
    program: Program
    seconds: float


@contextlib.contextmanager
def serving(daemon: str, directory: Path, port: int = 0) -> Iterator[Program]:
    """Run the program.

    :param daemon: the path of the daemon's socket.
    :param directory: where its token is, which is the same each time.
    """
    options = ["--daemon", daemon, "--token-file", str(directory / "token")]
    process = subprocess.Popen(
        [sys.executable, "-m", "twisted_virtlog.web", *options, "--listen", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert process.stdout is not None
    try:
        said = process.stdout.readline().decode().strip()
        address, _, token = said.removeprefix("http://").partition("/#token=")
        yield Program(process, address, token)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(60)


@contextlib.contextmanager
def standing(directory: Path, seconds: float) -> Iterator[Stand]:
    """Run a daemon and the program."""
    with (
        running(directory / "daemon", _SETTINGS) as daemon,
        serving(daemon.socket, directory) as program,
    ):
        yield Stand(directory, daemon, program, seconds)


@contextlib.contextmanager
def opened(stand: Stand, count: int) -> Iterator[tuple[list[str], list[int]]]:
    """Open new logs; yield their paths and the ends to write to."""
    pipes: list[int] = []
    directory = Path(stand.directory, f"logs{time.monotonic_ns()}")
    directory.mkdir()
    paths = [str(directory / f"guest-{number:05}-serial0.log") for number in range(count)]
    with stand.daemon.client() as client:
        try:
            pipes.extend(client.open(path).write_end for path in paths)
            yield paths, pipes
        finally:
            for pipe in pipes:
                os.close(pipe)


def resident_mib(pid: int) -> float:
    """Return how much memory of a process is resident."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def private_mib(pid: int) -> float:
    """Return how much memory a process has for itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / MIB
