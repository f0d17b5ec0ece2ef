"""How long a client waits while backups are compressed, and without that.

    python -m bench.packing_waits [--seconds 10] [--rate 8]

Guests write at an even rate, and each backup is compressed as soon as it is one. Both daemons run
at the same time and are asked for positions in turn, so that both have the same neighbours.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.figures import MIB
from harness.daemon import running
from twisted_virtlog.client import BlockingClient

_GUESTS = 4
_PIECE = 4096
_FILES = re.compile(r"^virtlogd_compressed_files_total (\d+)", re.MULTILINE)
#: How often all are asked, and what is a long time for an answer.
_EVERY_SECONDS = 0.002
_LONG_SECONDS = 0.001

_KINDS = {"compressed": 'compress = "zstd"', "not": 'compress = ""'}
_SETTINGS = (f"max_size = {MIB}", "max_backups = 3", "compress_from = 0", "compress_delay = 0")


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


def _compressed(client: BlockingClient) -> int:
    """Return how many backups a daemon has compressed."""
    (files,) = _FILES.findall(client.metrics())
    return int(files)


def _row(name: str, files: int, taken: Sequence[float]) -> str:
    ordered = sorted(taken)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
    over = sum(one > _LONG_SECONDS for one in ordered)
    return (
        f"{name:10}  {files:10}  {len(ordered):7}  {p50:6.2f}  {p99:6.2f}"
        f"  {ordered[-1] * 1000:10.2f}  {over:9}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=8.0, help="mebibytes a second, for each")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clients: dict[str, BlockingClient] = {}
        asked: dict[str, str] = {}
        writers = []
        for name, setting in _KINDS.items():
            daemon = stack.enter_context(running(directory / name, (setting, *_SETTINGS)))
            client = clients[name] = stack.enter_context(daemon.client())
            paths = [f"{directory}/{name}/{number}.log" for number in range(_GUESTS)]
            asked[name] = paths[0]
            ends = [client.open(path).write_end for path in paths]
            for end in ends:
                stack.callback(os.close, end)
            writers.append(
                threading.Thread(target=_write, args=(ends, options.rate, options.seconds))
            )
        for writer in writers:
            writer.start()
        taken = _asked(clients, asked, lambda: any(one.is_alive() for one in writers))
        for writer in writers:
            writer.join()
        print("backups     compressed  answers  p50 ms  p99 ms  longest ms  over 1 ms")
        for name, client in clients.items():
            print(_row(name, _compressed(client), taken[name]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
