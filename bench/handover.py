"""Measures the pause when a daemon executes itself on SIGUSR1, beside virtlogd.

    python -m bench.handover --logs 1000 --rounds 10

With so many logs open, a program writes lines, and a client asks for positions, all the time.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.daemons import OURS, SETTINGS, VIRTLOGD, Side, Target, Unavailable
from bench.rounds import raise_descriptor_limit
from bench.rpc import CallFailed, Client

_LINES_AT_ONCE = 10
_LINE_BYTES = 10
_PAUSE_SECONDS = 0.001
#: An answer that takes longer does not come any more.
_LOST_SECONDS = 3.0


@dataclass
class Pauses:
    """What was seen of a daemon's hand-overs.

    :ivar answers: the longest wait for an answer, in seconds, of each.
    :ivar writes: the same for a write.
    :ivar lost_answers: requests that were never answered.
    :ivar lost_lines: lines that are missing, or in a wrong place.
    """

    answers: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    lost_answers: int = 0
    lost_lines: int = 0


class _Loop(threading.Thread):
    """Does something all the time, and notes how long it takes at most."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._stopping = False

    def once(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            self.once()
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(_PAUSE_SECONDS)

    def take(self) -> float:
        longest, self.longest = self.longest, 0.0
        return longest

    def stop(self) -> None:
        self._stopping = True
        self.join()


class _Writer(_Loop):
    def __init__(self, pipe: int) -> None:
        super().__init__()
        self._pipe = pipe
        self.written = 0

    def once(self) -> None:
        numbers = range(self.written, self.written + _LINES_AT_ONCE)
        os.write(self._pipe, b"".join(b"%09d\n" % number for number in numbers))
        self.written += _LINES_AT_ONCE


class _Asker(_Loop):
    def __init__(self, target: Target, path: str) -> None:
        super().__init__()
        self._target = target
        self._path = path
        self.lost = 0
        self._client = Client(target.socket, _LOST_SECONDS)

    def once(self) -> None:
        try:
            self._client.position(self._path)
        except (OSError, CallFailed):
            self.lost += 1
            self._client.close()
            self._client = Client(self._target.socket, _LOST_SECONDS)

    def stop(self) -> None:
        super().stop()
        self._client.close()


def measure(target: Target, logs: int, rounds: int) -> Pauses:
    """Let a daemon execute itself again and again."""
    pauses = Pauses()
    paths = [str(target.logs / f"{number}.log") for number in range(logs)]
    with ExitStack() as stack:
        with target.client() as client:
            pipes = [client.open(path) for path in paths]
        for pipe in pipes:
            stack.callback(os.close, pipe)
        writer, asker = _Writer(pipes[0]), _Asker(target, paths[-1])
        for loop in (writer, asker):
            loop.start()
        for _ in range(rounds):
            time.sleep(0.3)
            writer.take(), asker.take()
            before = _image(target.pid)
            os.kill(target.pid, signal.SIGUSR1)
            while _image(target.pid) == before:
                time.sleep(_PAUSE_SECONDS)
            with target.client() as client:
                client.position(paths[-1])
            time.sleep(0.3)
            pauses.writes.append(writer.take())
            pauses.answers.append(asker.take())
        writer.stop()
        asker.stop()
        pauses.lost_answers = asker.lost
        with target.client() as client:
            client.position(paths[0])
    pauses.lost_lines = _lost(Path(paths[0]), writer.written)
    return pauses


def _image(pid: int) -> bytes:
    # Where the kernel put the program is another place each time.
    return Path(f"/proc/{pid}/auxv").read_bytes()


def _lost(log: Path, written: int) -> int:
    files = [log.with_name(log.name + end) for end in (".2", ".1", ".0", "")]
    text = b"".join(file.read_bytes() for file in files if file.exists())
    text = text[len(text) % _LINE_BYTES :]
    first = written - len(text) // _LINE_BYTES
    there = {int(line) for line in text.split()}
    return len(set(range(first, written)) - there) + len(text.split()) - len(there)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both; the exit status tells whether ours lost something."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.handover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args(arguments)
    raise_descriptor_limit()
    seen = [_run(side, options.logs, options.rounds) for side in (VIRTLOGD, OURS)]
    ours = seen[-1]
    return int(ours is None or bool(ours.lost_answers or ours.lost_lines))


def _run(side: Side, logs: int, rounds: int) -> Pauses | None:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Path(directory)
        try:
            processor = max(os.sched_getaffinity(0))
            with side.running(place / "daemon", place / "logs", processor, SETTINGS) as one:
                pauses = measure(one, logs, rounds)
        except Unavailable as error:
            print(error)
            return None
    print(
        f"{side.name}: {rounds} hand-overs with {logs} logs:"
        f" longest wait for an answer {statistics.median(pauses.answers):.3f} s (median;"
        f" most {max(pauses.answers):.3f}), for a write {statistics.median(pauses.writes):.4f} s"
        f" (most {max(pauses.writes):.4f}); lost {pauses.lost_answers} answers,"
        f" {pauses.lost_lines} lines",
        flush=True,
    )
    return pauses


if __name__ == "__main__":
    sys.exit(main())
