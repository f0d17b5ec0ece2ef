"""How fast logs get from guests into a stream with replicas, and what that costs the shipper.

    python -m bench.fleet                     # 64 guests that write all they can, then one line
                                              # at a time, then 9,900 logs: some minutes
    python -m bench.fleet --logs 500          # the last with fewer

Three servers of NATS on this machine, the daemon and the shipper share its processors.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import nats

from bench.cluster import Cluster, ShipProgram, cluster, wait_until_read
from bench.figures import MIB
from harness.daemon import running

_LINE = b"%06d" + b" what a guest prints when it has something to say, again and again\n"

#: Of latency: so many lines, one at a time, so far apart.
_LINES = 200
_EVERY_SECONDS = 0.02


def busy(directory: Path, servers: Cluster, guests: int, mib: int) -> None:
    """Let guests write all they can, and say how fast that is stored."""
    settings = ("max_size = 16777216", "max_backups = 8", _consumer())
    with running(directory / "busy", settings) as daemon, daemon.client() as client:
        paths = [f"{directory}/busy/{number}.log" for number in range(guests)]
        ends = [client.open(path).write_end for path in paths]
        shipper = ShipProgram(directory, daemon.socket, "busy", servers, "bench")
        try:
            wait_until_read(client, paths)
            text = b"".join(_LINE % number for number in range(64 * 1024 // len(_LINE % 0)))
            begun, used = time.monotonic(), shipper.cpu_seconds()

            def write(end: int) -> None:
                for _ in range(mib * MIB // len(text)):
                    os.write(end, text)

            writers = [threading.Thread(target=write, args=(end,)) for end in ends]
            for one in writers:
                one.start()
            for one in writers:
                one.join()
            wait_until_read(client, paths)
            seconds, used = time.monotonic() - begun, shipper.cpu_seconds() - used
            total = guests * (mib * MIB // len(text)) * len(text) / MIB
            print(
                f"{guests} guests, {total:.0f} MiB: {total / seconds:.1f} MiB/s (goal 40),"
                f" {total / used:.0f} MiB for a second of the shipper's processor (goal 350),"
                f" {shipper.memory_kib() / 1024:.0f} MiB of memory",
                flush=True,
            )
        finally:
            shipper.close()
            for end in ends:
                os.close(end)


def latency(directory: Path, servers: Cluster) -> None:
    """Say how long a line takes from a guest into the stream."""
    with running(directory / "latency") as daemon, daemon.client() as client:
        path = f"{directory}/latency/a.log"
        end = client.open(path).write_end
        shipper = ShipProgram(directory, daemon.socket, "latency", servers)
        try:
            taken = asyncio.run(_latencies(servers, end))
        finally:
            shipper.close()
            os.close(end)
    taken.sort()
    print(
        f"a line each {_EVERY_SECONDS * 1000:.0f} ms: p50 {statistics.median(taken) * 1000:.1f} ms"
        f" (goal 20), p99 {taken[len(taken) * 99 // 100] * 1000:.1f} ms",
        flush=True,
    )


async def _latencies(servers: Cluster, end: int) -> list[float]:
    connection = await nats.connect(servers.urls)
    stream = connection.jetstream()
    subscription = await stream.subscribe(
        "virtlog.latency.>", stream="virtlog", ordered_consumer=True
    )
    taken: list[float] = []
    try:
        for number in range(_LINES + 1):
            begun = time.monotonic()
            os.write(end, _LINE % number)
            await subscription.next_msg(timeout=60)
            # (the first has the shipper begin with the log)
            if number:
                taken.append(time.monotonic() - begun)
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        await connection.close()
    return taken


def many(directory: Path, servers: Cluster, count: int) -> None:
    """Say how much memory the shipper needs for many logs, of which the daemon has descriptors."""
    with running(directory / "many", (_consumer(),)) as daemon, daemon.client() as client:
        paths = [f"{directory}/many/{number}.log" for number in range(count)]
        ends = []
        for number, path in enumerate(paths):
            ends.append(client.open(path).write_end)
            os.write(ends[-1], _LINE % number)
        shipper = ShipProgram(directory, daemon.socket, "many", servers, "bench")
        try:
            begun = time.monotonic()
            wait_until_read(client, paths)
            seconds = time.monotonic() - begun
            print(
                f"{count} logs with a line each: {shipper.memory_kib() / 1024:.0f} MiB of memory"
                f" (goal 64), all stored after {seconds:.1f} s",
                flush=True,
            )
        finally:
            shipper.close()
            for end in ends:
                os.close(end)


def _consumer() -> str:
    return f'consumers = ["bench:{pwd.getpwuid(os.geteuid()).pw_name}"]'


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=3, help="replicas")
    parser.add_argument("--guests", type=int, default=64, help="how many write all they can")
    parser.add_argument("--mib", type=int, default=16, help="what each of them writes")
    parser.add_argument("--logs", type=int, default=9_900, help="how many logs need memory")
    options = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with cluster(directory / "nats", options.servers) as servers:
            busy(directory, servers, options.guests, options.mib)
            latency(directory, servers)
            many(directory, servers, options.logs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
