"""A cluster of three servers, of which one after the other is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import ServiceUnavailableError

from harness.daemon import CHECKOUT
from tests.fleet.conftest import NOON
from tests.ship.processes import until
from twisted_virtlog.ship import headers as names

pytestmark = [pytest.mark.nats, pytest.mark.slow]

_PROGRAM = "from twisted_virtlog.fleet.program import main; main()"
_SUBJECT = "virtlog.n1.-./a"
_KILLS = 4
_FAILURES = (nats.errors.Error, OSError, asyncio.TimeoutError, TimeoutError)


class Cluster:
    """Three servers, which keep their ports and their data.

    :ivar urls: where clients connect.
    """

    def __init__(self, directory: Path, ports: list[int]) -> None:
        """:param ports: six free ones."""
        self._directory = directory
        self._clients, self._routes = ports[:3], ports[3:]
        self.urls = [f"nats://127.0.0.1:{port}" for port in self._clients]
        self._servers = [self._start(number) for number in range(3)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
        file = self._directory / f"{number}.conf"
        file.write_text(
            f"server_name: s{number}\nlisten: 127.0.0.1:{self._clients[number]}\n"
            f'jetstream {{ store_dir: "{self._directory}/s{number}" }}\n'
            f"cluster {{ name: c, listen: 127.0.0.1:{self._routes[number]},"
            f" routes: [{routes}] }}\n"
        )
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
        with (self._directory / f"{number}.log").open("ab") as log:
            return subprocess.Popen(
                ["nats-server", "-c", str(file)], stderr=log, env={**os.environ, "PATH": path}
            )

    def restart(self, number: int) -> None:
        """Kill a server and start it again."""
        self._servers[number].kill()
        self._servers[number].wait()
        self._servers[number] = self._start(number)

    def close(self) -> None:
        """Kill all."""
        for server in self._servers:
            server.kill()
            server.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Run one with a stream of three replicas."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_listening()) for _ in range(6)]
        ports = [one.getsockname()[1] for one in sockets]
    one = Cluster(tmp_path, ports)
    try:
        asyncio.run(_make(one.urls))
        yield one
    finally:
        one.close()


def _listening() -> contextlib.closing[socket.socket]:
    return contextlib.closing(socket.create_server(("127.0.0.1", 0)))


async def _make(urls: list[str]) -> None:
    client = await nats.connect(urls, error_cb=_ignored)
    config = StreamConfig(name="virtlog", subjects=["virtlog.>"], num_replicas=3)
    while True:
        try:
            await client.jetstream().add_stream(config)
        except (*_FAILURES, ServiceUnavailableError):
            # (there is no leader yet)
            await asyncio.sleep(0.1)
        else:
            break
    await client.close()


async def _is_whole(urls: list[str]) -> bool:
    """Return whether all replicas have all."""
    client = await nats.connect(urls, error_cb=_ignored)
    try:
        info = await client.jetstream(timeout=3).stream_info("virtlog")
    except _FAILURES:
        return False
    finally:
        await client.close()
    replicas = [] if info.cluster is None else info.cluster.replicas or []
    return len(replicas) == 2 and all(one.current and not one.offline for one in replicas)


async def _ignored(_error: Exception) -> None:
    """Connect again without a word."""


def line(number: int) -> bytes:
    """Return what a message has."""
    return b"line %d\n" % number


async def fill(urls: list[str], stopped: threading.Event, last: list[int]) -> None:
    """Store messages until somebody says to stop, each once."""
    client = await nats.connect(urls, error_cb=_ignored, reconnect_time_wait=0)
    stream = client.jetstream(timeout=3)
    while not stopped.is_set():
        number = last[0] + 1
        said = {
            names.MESSAGE_ID: str(number),
            names.START: f"7:{number}:h1.x",
            names.END: f"7:{number + 1}:h1.x",
            names.HOST: "n1",
            names.PATH: "/a",
            names.TIME: NOON.isoformat(),
        }
        with contextlib.suppress(*_FAILURES):
            await stream.publish(_SUBJECT, line(number), headers=said)
            last[0] = number
    await client.close()


def test_each_byte_comes_once_whichever_server_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    """In order, while others are stored."""
    servers = [word for url in cluster.urls for word in ("--server", url)]
    command = [sys.executable, "-c", _PROGRAM, *servers]
    stopped, last = threading.Event(), [0]
    filling = threading.Thread(target=lambda: asyncio.run(fill(cluster.urls, stopped, last)))
    filling.start()
    output = tmp_path / "output"
    try:
        until(lambda: last[0] > 1)
        with output.open("wb") as file:
            following = subprocess.Popen(
                [*command, "tail", "-f", "/a", "-n", "1"], cwd=CHECKOUT, stdout=file
            )
        until(output.read_bytes)
        for kill in range(_KILLS):
            before = last[0]
            cluster.restart(kill % 3)
            until(lambda before=before: last[0] > before + 50)  # type: ignore[misc]
            # (of three replicas one may be missing, not two)
            until(lambda: asyncio.run(_is_whole(cluster.urls)))
    finally:
        stopped.set()
        filling.join()
    until(lambda: output.read_bytes().endswith(b"\n" + line(last[0])))
    following.kill()
    following.wait()
    found = output.read_bytes().splitlines(keepends=True)
    first = int(found[0].split()[1])
    assert found == [line(number) for number in range(first, last[0] + 1)]
    read = subprocess.run([*command, "read", "/a"], cwd=CHECKOUT, capture_output=True, check=True)
    assert read.stdout == b"".join(line(number) for number in range(1, last[0] + 1))
