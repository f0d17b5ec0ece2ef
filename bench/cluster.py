"""Servers of NATS on this machine, and shippers that send to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.daemons import processor_seconds
from harness.daemon import CHECKOUT
from twisted_virtlog.client import BlockingClient

#: A server that was started listens by then.
_START_SECONDS = 60.0

#: A shipper has read what there is by then.
_PATIENCE_SECONDS = 600.0
_LOOKING_SECONDS = 0.1

_PROGRAM = "from twisted_virtlog.ship.program import main; main()"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def nats_server() -> str | None:
    """Return the path of the server's program; None if it is not installed."""
    return shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Cluster:
    """Servers that are replicas of each other.

    :ivar urls: where they take clients.
    """

    def __init__(self, directory: Path, count: int) -> None:
        """Start them.

        :param directory: where they keep what is stored.
        """
        program = nats_server()
        if program is None:
            raise SystemExit("nats-server is not installed")
        self._program = program
        self._directory = directory
        ports = _free_ports(2 * count)
        self._ports, self._routes = ports[:count], ports[count:]
        self.urls = [f"nats://127.0.0.1:{port}" for port in self._ports]
        self._servers = [self._started(number) for number in range(count)]
        for number in range(count):
            self._wait_for(number)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._servers)

    def _started(self, number: int) -> subprocess.Popen[bytes]:
        command = [self._program, "-n", f"server{number}", "-a", "127.0.0.1"]
        command += ["-p", str(self._ports[number]), "-js", "-sd", f"{self._directory}/{number}"]
        if len(self._routes) > 1:
            routes = ",".join(f"nats://127.0.0.1:{port}" for port in self._routes)
            own = f"nats://127.0.0.1:{self._routes[number]}"
            command += ["--cluster_name", "bench", "--cluster", own, "--routes", routes]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def _wait_for(self, number: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self._ports[number])) == 0:
                    return
            if time.monotonic() > deadline:
                raise SystemExit("a nats-server does not listen")
            time.sleep(0.05)

    def restart(self, number: int) -> None:
        """Kill one, and start it again."""
        self._servers[number].kill()
        self._servers[number].wait()
        self._servers[number] = self._started(number)

    def stop(self, numbers: Sequence[int]) -> None:
        """Let some stand still."""
        for number in numbers:
            self._servers[number].send_signal(signal.SIGSTOP)

    def go_on(self, numbers: Sequence[int]) -> None:
        """Let them go on."""
        for number in numbers:
            self._servers[number].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all."""
        for one in self._servers:
            one.kill()
            one.wait()


@contextlib.contextmanager
def cluster(directory: Path, count: int) -> Iterator[Cluster]:
    """Run servers for a while."""
    servers = Cluster(directory, count)
    try:
        yield servers
    finally:
        servers.close()


class ShipProgram:
    """``virtlog-ship`` of one host.

    :ivar log: what it says.
    """

    def __init__(
        self, directory: Path, daemon: str, host: str, servers: Cluster, consumer: str = ""
    ) -> None:
        """Start it.

        :param daemon: the path of its daemon's socket.
        :param consumer: as whom it acknowledges; "" for nobody.
        """
        self.log = directory / f"{host}.log"
        self._file = directory / f"{host}.toml"
        urls = ", ".join(f'"{url}"' for url in servers.urls)
        lines = [f'socket = "{daemon}"', f'host = "{host}"', "[[sinks]]"]
        lines += [f"servers = [{urls}]", f"replicas = {len(servers)}"]
        lines += [f'consumer = "{consumer}"'] if consumer else []
        self._file.write_text("\n".join([*lines, ""]))
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _PROGRAM, "--config", str(self._file)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.close()
        self.process = self._started()

    def cpu_seconds(self) -> float:
        """Return what it has used of processors."""
        return processor_seconds(self.process.pid)

    def memory_kib(self) -> int:
        """Return how much of its memory is resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def wait_until_read(client: BlockingClient, paths: Sequence[str]) -> None:
    """Wait until the shipper has acknowledged all that is in logs.

    :raises TimeoutError: it does not come to an end.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    ends = {path: client.position(path) for path in paths}
    while True:
        read = {one.path: one.position for one in client.consumers()}
        if all(read.get(path) == end for path, end in ends.items()):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the shipper does not come to an end")
        time.sleep(_LOOKING_SECONDS)
