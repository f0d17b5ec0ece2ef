"""Runs two daemons that differ in some settings at once, with guests alike, and asks both in turn.

So both have the same neighbours: a figure of one alone says more of the machine than of the daemon.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.daemons import processor_seconds
from bench.figures import MIB
from harness.daemon import running
from twisted_virtlog.client import BlockingClient

_PIECE = 4096
#: How often all are asked.
_EVERY_SECONDS = 0.002


@dataclass(frozen=True)
class Found:
    """What was found of one of them.

    :ivar client: of the daemon, which runs still.
    :ivar taken: how long answers took, in seconds, the shortest first.
    :ivar used: seconds of the processor that the daemon took.
    """

    client: BlockingClient
    taken: Sequence[float]
    used: float

    def taken_by(self, share: float) -> float:
        """Return within how many milliseconds a share of all answers came."""
        return self.taken[min(int(len(self.taken) * share), len(self.taken) - 1)] * 1000


@contextmanager
def compared(
    directory: Path, kinds: Mapping[str, Sequence[str]], guests: int, rate: float, seconds: float
) -> Iterator[Mapping[str, Found]]:
    """Run daemons of several kinds beside each other.

    :param kinds: lines of their configurations, by their names.
    :param guests: how many each has.
    :param rate: the mebibytes that those of each write in a second.
    """
    with ExitStack() as stack:
        clients: dict[str, BlockingClient] = {}
        paths: dict[str, list[str]] = {}
        pids: dict[str, int] = {}
        writers = []
        for name, settings in kinds.items():
            daemon = stack.enter_context(running(directory / name, settings))
            client = clients[name] = stack.enter_context(daemon.client())
            pids[name] = daemon.process.pid
            paths[name] = [f"{directory}/{name}/{number}.log" for number in range(guests)]
            ends = [client.open(path).write_end for path in paths[name]]
            for end in ends:
                stack.callback(os.close, end)
            writers.append(threading.Thread(target=_write, args=(ends, rate, seconds)))
        before = {name: processor_seconds(pid) for name, pid in pids.items()}
        for writer in writers:
            writer.start()
        asked = {name: of[0] for name, of in paths.items()}
        taken = _asked(clients, asked, lambda: any(one.is_alive() for one in writers))
        for writer in writers:
            writer.join()
        for name, client in clients.items():
            for path in paths[name]:
                client.position(path)
        yield {
            name: Found(client, sorted(taken[name]), processor_seconds(pids[name]) - before[name])
            for name, client in clients.items()
        }


def _texts() -> Sequence[bytes]:
    """Return pieces that are written again and again: words and numbers, as consoles print them."""
    chance = random.Random(4)
    words = [b"%x" % chance.getrandbits(chance.randrange(8, 40)) for _ in range(500)]
    found = []
    for _ in range(64):
        text = b""
        while len(text) < _PIECE:
            text += b" ".join(chance.choices(words, k=8)) + b"\n"
        found.append(text[:_PIECE])
    return found


def _write(ends: Sequence[int], rate: float, seconds: float) -> None:
    """Write so many mebibytes a second, in turn to all."""
    texts = _texts()
    begun = time.monotonic()
    written = 0
    while (now := time.monotonic() - begun) < seconds:
        if written * _PIECE > now * rate * MIB:
            time.sleep(0.001)
            continue
        os.write(ends[written % len(ends)], texts[written % len(texts)])
        written += 1


def _asked(
    clients: Mapping[str, BlockingClient], paths: Mapping[str, str], goes_on: Callable[[], bool]
) -> Mapping[str, list[float]]:
    """Ask each daemon in turn as long as something goes on; return how long answers took."""
    found: dict[str, list[float]] = {name: [] for name in clients}
    while goes_on():
        for name, client in clients.items():
            begun = time.perf_counter()
            client.position(paths[name])
            found[name].append(time.perf_counter() - begun)
        time.sleep(_EVERY_SECONDS)
    return found
