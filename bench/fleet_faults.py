"""Spoils a fleet: kills shippers and servers, stops them, and cuts the line; nothing may be lost.

Three daemons, each with a shipper, write logs into one stream of three servers of NATS. The logs
are small and have one backup, so that what is not stored yet has to be held. In the end the stream
is read: each log is what was written to it, nothing twice, in its order.

    python -m bench.fleet_faults              # 100 logs, 1,000,000 lines, 200 kills of shippers,
                                              # and the line cut twice for longer than the servers
                                              # remember what they have
    python -m bench.fleet_faults --logs 20 --lines 20000 --kills 20 --cut 2
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pwd
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import nats
from nats.errors import Error

from bench.cluster import Cluster, ShipProgram, cluster
from harness.daemon import running
from twisted_virtlog.client import BlockingClient

_HOSTS = 3
_SETTINGS = ("max_size = 100000", "max_backups = 1", 'hold = "bench"')
_PATIENCE_SECONDS = 900.0

#: Between two kills, at most.
_PAUSE_SECONDS = 1.5
#: A server is spoiled each time that so many shippers were killed.
_SERVER_EVERY = 10
_STOP_SECONDS = 0.5


class Log:
    """A log of one host, and what was written to it."""

    def __init__(self, host: int, client: BlockingClient, path: str) -> None:
        self.host = host
        self.path = path
        self.client = client
        self.end = client.open(path).write_end
        self.count = 0

    def line(self, number: int) -> bytes:
        """Return one of its lines."""
        return b"%s %08d what a guest prints\n" % (os.path.basename(self.path).encode(), number)

    def write(self, count: int) -> None:
        """Write until so many lines are written."""
        while self.count < count:
            upto = min(count, self.count + 200)
            os.write(self.end, b"".join(self.line(number) for number in range(self.count, upto)))
            self.count = upto

    def text(self) -> bytes:
        """Return all that was written."""
        return b"".join(self.line(number) for number in range(self.count))


def _spoil(servers: Cluster, chance: random.Random) -> None:
    """Kill a server, or let it stand still for a while."""
    number = chance.randrange(len(servers))
    if chance.random() < 0.5:
        servers.restart(number)
    else:
        servers.stop([number])
        time.sleep(_STOP_SECONDS)
        servers.go_on([number])


def _cut(servers: Cluster, seconds: float) -> None:
    """Let no server answer for so long."""
    everyone = range(len(servers))
    servers.stop(everyone)
    time.sleep(seconds)
    servers.go_on(everyone)


def _wait_until_stored(logs: Sequence[Log]) -> None:
    """Wait until all shippers have acknowledged all logs."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    ends = {log.path: log.client.position(log.path) for log in logs}
    clients = {log.client for log in logs}
    while True:
        read = {one.path: one.position for client in clients for one in client.consumers()}
        if all(read.get(path) == end for path, end in ends.items()):
            return
        if time.monotonic() > deadline:
            raise SystemExit("the shippers do not come to an end")
        time.sleep(0.5)


async def _stream(servers: Cluster) -> Mapping[tuple[str, str], bytes]:
    """Return what is stored, by host and path."""
    connection = await nats.connect(servers.urls)
    found: dict[tuple[str, str], bytearray] = defaultdict(bytearray)
    try:
        stream = connection.jetstream(timeout=30)
        subscription = await stream.subscribe("virtlog.>", stream="virtlog", ordered_consumer=True)
        info = await stream.stream_info("virtlog")
        for _ in range(info.state.messages):
            message = await subscription.next_msg(timeout=30)
            headers = message.headers or {}
            found[headers["Virtlog-Host"], headers["Virtlog-Path"]] += message.data
    finally:
        await connection.close()
    return {key: bytes(data) for key, data in found.items()}


def _read(servers: Cluster) -> Mapping[tuple[str, str], bytes]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return asyncio.run(_stream(servers))
        except (Error, OSError):
            # (a server that was killed last has yet to find the others)
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def spoil(options: argparse.Namespace, directory: Path) -> int:
    """Do all of it; return how many logs are not what was written."""
    chance = random.Random(options.seed)
    consumers = f'consumers = ["bench:{pwd.getpwuid(os.geteuid()).pw_name}"]'
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(cluster(directory / "nats", options.servers))
        hosts = [
            stack.enter_context(running(directory / f"host{host}", (*_SETTINGS, consumers)))
            for host in range(_HOSTS)
        ]
        clients = [stack.enter_context(daemon.client()) for daemon in hosts]
        logs = [
            Log(number % _HOSTS, clients[number % _HOSTS], f"{directory}/{number}.log")
            for number in range(options.logs)
        ]
        shippers = [
            ShipProgram(directory, daemon.socket, f"host{host}", servers, "bench")
            for host, daemon in enumerate(hosts)
        ]
        for one in shippers:
            stack.callback(one.close)
        cuts = {options.kills // 3, 2 * options.kills // 3}
        for step in range(options.kills):
            for log in logs:
                log.write(options.lines // options.logs * (step + 1) // options.kills)
            time.sleep(chance.random() * _PAUSE_SECONDS)
            shippers[step % _HOSTS].restart()
            if step in cuts:
                _cut(servers, options.cut)
            if step % _SERVER_EVERY == _SERVER_EVERY // 2:
                _spoil(servers, chance)
        _wait_until_stored(logs)
        found = _read(servers)
        wrong = [log for log in logs if found.get((f"host{log.host}", log.path)) != log.text()]
        unread = sum(row.unread_bytes for client in clients for row in client.consumers())
        left = list(directory.glob(".*.held.*"))
        holds = all(client.ledger().holds for client in clients)
        print(
            f"{sum(map(len, found.values()))} bytes of {len(logs)} logs, {options.kills} kills:"
            f" {len(wrong)} logs are not what was written, {unread} bytes went unread,"
            f" {len(left)} files are held still, the ledgers {'hold' if holds else 'DO NOT HOLD'}",
            flush=True,
        )
        for log in logs:
            os.close(log.end)
        return len(wrong) + unread + len(left) + (not holds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Spoil a fleet, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=3, help="replicas")
    parser.add_argument("--logs", type=int, default=100)
    parser.add_argument("--lines", type=int, default=1_000_000, help="of all logs")
    parser.add_argument("--kills", type=int, default=200, help="of shippers")
    parser.add_argument("--cut", type=float, default=130.0, help="for how many seconds, twice")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        return 1 if spoil(options, Path(name)) else 0


if __name__ == "__main__":
    sys.exit(main())
