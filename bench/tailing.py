"""What readers of a rotated log lose: a follower of the daemon, tail -F, and one as a kubelet's.

    python -m bench.tailing [--rates 5,20,80] [--seconds 10]

A guest prints numbered lines at a rate, in MiB a second, into a log of small files, and three read
along. Each line that one of them does not have, or has twice, is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import daemon
from twisted_virtlog.client import BlockingClient

_SETTINGS = ("max_size = 131072", "max_backups = 3")
_LINE_BYTES = 64
_LINES_AT_ONCE = 64
#: How often a kubelet's reader looks whether there is more, or another file.
_LOOK_SECONDS = 0.01
_END = b"the end"
_PATIENCE_SECONDS = 60.0
_READ_BYTES = 64 * 1024


@dataclass
class Loss:
    """What a reader has of the lines.

    :ivar said: bytes that it was told are missing.
    """

    lines: int = 0
    last: int = -1
    missing: int = 0
    doubled: int = 0
    said: int = 0
    rest: bytes = b""
    ended: bool = False

    def add(self, data: bytes) -> None:
        """Count the lines of which some bytes come."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line.startswith(_END):
                self.ended = True
            elif line[:12].isdigit() and len(line) == _LINE_BYTES - 1:
                self._count(int(line[:12]))

    def _count(self, number: int) -> None:
        self.lines += 1
        if number <= self.last:
            self.doubled += 1
            return
        self.missing += number - self.last - 1
        self.last = number


#: Reads a log, by its path and the daemon's socket, until the end or until told to stop.
Reader = Callable[[str, str, Loss, threading.Event], None]


def follower(path: str, address: str, loss: Loss, stop: threading.Event) -> None:
    """Follow it through the daemon."""
    with BlockingClient(address) as client:
        for chunk in client.follow(path):
            if chunk.gap:
                loss.said += chunk.missed or 0
                loss.rest = b""
            loss.add(chunk.data)
            if loss.ended:
                return


def tail(path: str, _address: str, loss: Loss, stop: threading.Event) -> None:
    """Run GNU tail -F."""
    command = ["tail", "-F", "-c", "+1", path]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    ) as process:
        assert process.stdout is not None

        def end() -> None:
            stop.wait()
            process.kill()

        stopper = threading.Thread(target=end)
        stopper.start()
        while not loss.ended and (data := process.stdout.read(_READ_BYTES)):
            loss.add(data)
        stop.set()
        stopper.join()


def kubelet(path: str, _address: str, loss: Loss, stop: threading.Event) -> None:
    """Read to the end of the file, then look whether the name has another one."""
    file = os.open(path, os.O_RDONLY)
    try:
        while not loss.ended and not stop.is_set():
            data = os.read(file, _READ_BYTES)
            if data:
                loss.add(data)
                continue
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino != os.fstat(file).st_ino:
                    # (what came meanwhile to the former file is lost, and so are files between)
                    another = os.open(path, os.O_RDONLY)
                    os.close(file)
                    file = another
                    continue
            time.sleep(_LOOK_SECONDS)
    finally:
        os.close(file)


READERS: dict[str, Reader] = {"follower": follower, "tail -F": tail, "kubelet's": kubelet}


def run(rate: float, seconds: float, ours: daemon.Daemon, directory: Path) -> dict[str, Loss]:
    """Print at a rate, in MiB a second, and let all readers read along."""
    path = str(directory / f"guest-{rate:g}.log")
    losses = {name: Loss() for name in READERS}
    stop = threading.Event()
    with BlockingClient(ours.socket) as client:
        pipe = client.open(path).write_end
    threads = [
        threading.Thread(target=read, args=(path, ours.socket, losses[name], stop))
        for name, read in READERS.items()
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    count = _print(pipe, rate, seconds)
    os.close(pipe)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    threads[0].join(_PATIENCE_SECONDS)
    for thread in threads[1:]:
        thread.join(max(0.0, min(2.0, deadline - time.monotonic())))
    stop.set()
    for thread in threads:
        thread.join()
    for loss in losses.values():
        loss.missing += count - 1 - loss.last
    return losses


def _print(pipe: int, rate: float, seconds: float) -> int:
    """Print lines; return how many."""
    begun = time.monotonic()
    number = 0
    for block in _blocks():
        due = begun + number * _LINE_BYTES / (rate * 1048576)
        if due - begun > seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        os.write(pipe, block)
        number += _LINES_AT_ONCE
    os.write(pipe, _END + b"\n")
    return number


def _blocks() -> Iterator[bytes]:
    number = 0
    filling = b"." * (_LINE_BYTES - 13)
    while True:
        yield b"".join(
            b"%012d%s\n" % (one, filling) for one in range(number, number + _LINES_AT_ONCE)
        )
        number += _LINES_AT_ONCE


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="5,20,80", help="MiB a second, separated by commas")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    print("MiB/s  reader     lines      missing    doubled  told missing (bytes)")
    with tempfile.TemporaryDirectory(prefix="tailing-") as name:
        directory = Path(name)
        with daemon.running(directory / "daemon", _SETTINGS) as ours:
            for rate in map(float, options.rates.split(",")):
                for reader, loss in run(rate, options.seconds, ours, directory).items():
                    numbers = f"{loss.lines:<10} {loss.missing:<10} {loss.doubled:<8} {loss.said}"
                    print(f"{rate:<6g} {reader:<10} {numbers}", flush=True)


if __name__ == "__main__":
    main()
