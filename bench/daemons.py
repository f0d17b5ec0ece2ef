"""Starts either daemon in a place of its own, pinned to a processor, and reads what it uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.rpc import CallFailed, Client
from harness import daemon

#: The usual configuration of both. Rotation is virtlogd's default; clients are no limit.
SETTINGS = ("max_size = 2097152", "max_backups = 3", "max_clients = 1024")

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_PROBE_SECONDS = 0.001

#: In a mount namespace of its own, root's virtlogd finds a /run of ours.
_VIRTLOGD_AS_ROOT = 'mount --bind "$1" /run && exec "$2" --config "$3" --pid-file /run/virtlogd.pid'


class Unavailable(Exception):
    """The machine cannot run that daemon."""


def processor_seconds(pid: int) -> float:
    """Return the processor seconds, user and system, of all threads that a process ever had."""
    # (the clock of a process, as clock_getcpuclockid(3) numbers it)
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(frozen=True)
class Target:
    """A daemon that answers.

    :ivar socket: its socket for libvirt's drivers.
    :ivar jsonrpc: its socket for JSON-RPC; None for virtlogd, which has none.
    :ivar logs: a directory for logs, on the file system that is measured.
    :ivar start_seconds: from the start of the process until the first answer.
    """

    pid: int
    socket: str
    jsonrpc: str | None
    logs: Path
    start_seconds: float

    def cpu(self) -> float:
        """Return the processor seconds, user and system, of all threads that it ever had."""
        return processor_seconds(self.pid)

    def rss(self) -> int:
        """Return how many bytes of memory are resident."""
        return self._fields("status")["VmRSS"] * 1024

    def sent_to_disk(self) -> int:
        """Return how many bytes it wrote to files on disks and did not remove before they went."""
        fields = self._fields("io")
        return fields["write_bytes"] - fields["cancelled_write_bytes"]

    def descriptors(self) -> int:
        """Return how many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self) -> int:
        """Return how many it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def client(self) -> Client:
        """Connect to it."""
        return Client(self.socket)

    def with_logs(self, logs: Path) -> Target:
        """Give the same daemon with another directory for logs."""
        return replace(self, logs=logs)

    def _fields(self, name: str) -> dict[str, int]:
        fields = {}
        for line in Path(f"/proc/{self.pid}/{name}").read_text().splitlines():
            key, _, value = line.partition(":")
            number = value.split()[:1]
            if number and number[0].isdigit():
                fields[key] = int(number[0])
        return fields


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    :ivar name: as the table shows it.
    :ivar running: starts one in a directory, with its logs in another, pinned to a processor, by
        lines of a configuration.
    """

    name: str
    running: Callable[[Path, Path, int, Sequence[str]], contextlib.AbstractContextManager[Target]]


@contextlib.contextmanager
def virtlogd(
    directory: Path, logs: Path, processor: int, settings: Sequence[str]
) -> Iterator[Target]:
    """Run libvirt's virtlogd: as root in a mount namespace, otherwise as a session daemon.

    :raises Unavailable: it is not installed.
    """
    program = shutil.which("virtlogd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        raise Unavailable("virtlogd is not installed (Debian: libvirt-daemon-system)")
    run = directory / "run"
    run.mkdir(parents=True)
    logs.mkdir(parents=True, exist_ok=True)
    config = directory / "virtlogd.conf"
    config.write_text("\n".join(settings) + "\n")
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "--propagation", "private"]
        command += ["sh", "-c", _VIRTLOGD_AS_ROOT, "sh", str(run), program, str(config)]
    else:
        command = [program, "--config", str(config), "--pid-file", str(run / "pid")]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(run), "HOME": str(directory)}
    socket = run / "libvirt" / "virtlogd-sock"
    began = time.monotonic()
    with (directory / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(processor), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
    with process:
        try:
            _until_it_answers(process, socket)
            taken = time.monotonic() - began
            yield Target(process.pid, str(socket), None, logs, taken)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def twisted_virtlog(
    directory: Path, logs: Path, processor: int, settings: Sequence[str]
) -> Iterator[Target]:
    """Run this daemon."""
    logs.mkdir(parents=True, exist_ok=True)
    pin = f"import os; os.sched_setaffinity(0, [{processor}])"
    answered = 0.0

    def wait(process: subprocess.Popen[bytes]) -> None:
        nonlocal answered
        _until_it_answers(process, directory / "virtlogd-sock")
        answered = time.monotonic()

    began = time.monotonic()
    with daemon.running(directory, settings, pin, wait=wait) as ours:
        yield Target(ours.process.pid, ours.libvirt_socket, ours.socket, logs, answered - began)


def _until_it_answers(process: subprocess.Popen[bytes], socket: Path) -> None:
    """Ask until there is an answer, which is an error, since no log is open.

    :raises RuntimeError: it ended, or took too long.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with Client(str(socket)) as client:
                client.position("/none")
        except CallFailed:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"{process.args!r} does not answer; status {process.returncode}"
                raise RuntimeError(message) from None
            time.sleep(_PROBE_SECONDS)


#: In the order of the table: that which is compared with, then ours.
VIRTLOGD = Side("virtlogd", virtlogd)
OURS = Side("ours", twisted_virtlog)
