"""Stresses the promise: random bursts into pipes, and a position asked for right after each.

An answer is stale if it does not cover the burst; the files are compared with what was written.

    python -m bench.stress                    # 100,000 rounds, half of them with rotation
    python -m bench.stress --no-drain         # a daemon without the drain: fails within seconds
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import NO_DRAIN, running
from twisted_virtlog.client import MAX_READ_BYTES, BlockingClient, Position

_MAX_SIZE = 512 * 1024
_MAX_BACKUPS = 3
#: A burst fits into the smallest pipe that is worth having, so that no write waits.
_LARGEST_BURST = 60_000
_MOST_WRITES = 5


@dataclass
class Outcome:
    """What a worker saw."""

    rounds: int = 0
    stale: int = 0
    differing_bytes: int = 0
    written: int = 0

    def add(self, other: Outcome) -> None:
        """Sum up."""
        self.rounds += other.rounds
        self.stale += other.stale
        self.differing_bytes += other.differing_bytes
        self.written += other.written


@dataclass(frozen=True)
class Task:
    """What a process does: some threads, each with a log and a connection of its own."""

    socket: str
    directory: str
    rotation: bool
    number: int
    threads: int
    rounds: int
    seed: int


class Worker:
    """Writes bursts to one log and checks each answer and each byte."""

    def __init__(self, task: Task, number: int) -> None:
        self._random = random.Random(f"{task.seed}-{task.number}-{number}")
        self._noise = self._random.randbytes(1 << 20)
        self._client = BlockingClient(task.socket, 60.0)
        self._path = f"{task.directory}/{task.number}-{number}.log"
        self._rounds = task.rounds
        self.outcome = Outcome()

    def run(self) -> None:
        """Work through all rounds."""
        opened = self._client.open(self._path, driver="stress")
        position = opened.position
        try:
            for _ in range(self._rounds):
                position = self._round(opened.write_end, position)
        finally:
            os.close(opened.write_end)
            self._client.close()

    def _round(self, pipe: int, before: Position) -> Position:
        burst = self._burst()
        expected = b"".join(burst)
        for part in burst:
            os.write(pipe, part)
        answer = self._client.position(self._path)
        # Reading drains too, so what it finds is what the answer should have covered.
        found, end = self._read_from(before)
        self.outcome.rounds += 1
        self.outcome.written += len(expected)
        if answer != end:
            self.outcome.stale += 1
        if found != expected:
            differing = sum(a != b for a, b in itertools.zip_longest(found, expected))
            self.outcome.differing_bytes += differing
        return end

    def _burst(self) -> list[bytes]:
        size = self._random.choice((1, 100, 1000, 4096, _LARGEST_BURST))
        size = self._random.randint(1, size)
        begin = self._random.randrange(len(self._noise) - size)
        data = self._noise[begin : begin + size]
        # Lines, so that files end at some of them.
        data = data.replace(b"\x00", b"\n")
        cuts = sorted(self._random.randrange(size) for _ in range(self._random.randrange(5)))
        return [part for i, j in itertools.pairwise([0, *cuts, size]) if (part := data[i:j])]

    def _read_from(self, position: Position) -> tuple[bytes, Position]:
        parts = []
        while True:
            chunk = self._client.read(self._path, position, MAX_READ_BYTES)
            parts.append(chunk.data)
            if not chunk.data:
                return b"".join(parts), chunk.end
            position = chunk.end


def run_task(task: Task) -> Outcome:
    """Run the threads of one process."""
    workers = [Worker(task, number) for number in range(task.threads)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = Outcome()
    for worker in workers:
        total.add(worker.outcome)
    # A thread that ended by an exception has fewer rounds, which the caller notices.
    return total


def stress(options: argparse.Namespace, rotation: bool, directory: Path) -> Outcome:
    """Run one daemon and all processes against it."""
    size = _MAX_SIZE if rotation else 0
    settings = [f"max_size = {size}", f"max_backups = {_MAX_BACKUPS}"]
    logs = directory / "logs"
    logs.mkdir(parents=True)
    each = options.rounds // 2 // (options.processes * options.threads)
    total = Outcome()
    with (
        running(directory, settings, NO_DRAIN if options.no_drain else "pass") as daemon,
        ProcessPoolExecutor(options.processes) as pool,
    ):
        tasks = [
            Task(daemon.socket, str(logs), rotation, number, options.threads, each, options.seed)
            for number in range(options.processes)
        ]
        for outcome in pool.map(run_task, tasks):
            total.add(outcome)
    if total.rounds != each * options.processes * options.threads:
        raise RuntimeError(f"only {total.rounds} rounds were run; the errors are above")
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stress test; the exit status tells whether the promise held."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.stress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="in each process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="where the logs are written (default: temporary)")
    parser.add_argument("--no-drain", action="store_true", help="take the promise away")
    options = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for rotation in (False, True):
            began = time.monotonic()
            outcome = stress(options, rotation, Path(directory) / f"rotation-{rotation}")
            failed = failed or bool(outcome.stale or outcome.differing_bytes)
            print(
                f"rotation {'on' if rotation else 'off'}: {outcome.rounds} rounds,"
                f" {outcome.written} bytes, {outcome.stale} stale positions,"
                f" {outcome.differing_bytes} differing bytes,"
                f" {time.monotonic() - began:.1f} s",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
