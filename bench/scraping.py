"""What a scrape of the metrics costs, and who waits for it.

    python -m bench.scraping [--logs 9000] [--scrapes 20] [--seconds 5]

Logs are open and nobody writes to them. For each setting of metrics_logs the metrics are scraped
again and again, and meanwhile a client asks for positions, one after another; before that he does
so alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.daemons import processor_seconds
from harness import daemon
from harness.scraper import Scraper
from twisted_virtlog.client import BlockingClient

_OPEN_METRICS = "application/openmetrics-text"

#: Descriptors that a process needs beside two for each log.
_SPARE = 200


def _positions(client: BlockingClient, path: str, goes_on: Callable[[], bool]) -> list[float]:
    """Ask for a position, and again as long as something goes on; return how long each took."""
    found: list[float] = []
    while not found or goes_on():
        begun = time.perf_counter()
        client.position(path)
        found.append(time.perf_counter() - begun)
    return found


def _shown(times: Sequence[float]) -> str:
    ordered = sorted(times)
    p50, p99 = (ordered[int(len(ordered) * part)] * 1e6 for part in (0.5, 0.99))
    return f"position p50 {p50:.0f} us, p99 {p99:.0f} us, longest {ordered[-1] * 1e3:.2f} ms"


def measure(directory: Path, shown: str, logs: int, scrapes: int, seconds: float) -> None:
    """Print the figures of one setting."""
    metrics = directory / "metrics"
    with ExitStack() as stack:
        settings = [f'metrics_logs = "{shown}"', "pipe_size = 4096", f"max_open_logs = {logs}"]
        target = stack.enter_context(
            daemon.running(directory, settings, options=["--metrics", str(metrics)])
        )
        client = stack.enter_context(target.client())
        for number in range(logs):
            path = str(directory / f"guest-{number:05}-serial0.log")
            stack.callback(os.close, client.open(path).write_end)
        ends = time.monotonic() + seconds
        print(
            f"{shown}, alone: {_shown(_positions(client, path, lambda: time.monotonic() < ends))}"
        )
        scraper = stack.enter_context(Scraper(str(metrics)))
        scraper.get()
        took: list[float] = []
        size = 0
        used = processor_seconds(target.process.pid)

        def scrape() -> None:
            nonlocal size
            for _ in range(scrapes):
                begun = time.perf_counter()
                size = len(scraper.get(_OPEN_METRICS))
                took.append(time.perf_counter() - begun)

        thread = threading.Thread(target=scrape)
        thread.start()
        waited = _positions(client, path, thread.is_alive)
        thread.join()
        used = processor_seconds(target.process.pid) - used
        took.sort()
        print(
            f"{shown}, scraped {scrapes} times: {_shown(waited)}; a scrape of {size / 1e6:.2f} MB"
            f" p50 {took[len(took) // 2] * 1e3:.0f} ms, longest {took[-1] * 1e3:.0f} ms,"
            f" the daemon's CPU with the positions {used / scrapes * 1e3:.0f} ms each"
        )


def main() -> None:
    """Run all settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=9000)
    parser.add_argument("--scrapes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logs = min(arguments.logs, (most - _SPARE) // 2)
    for shown in ("none", "some", "all"):
        with tempfile.TemporaryDirectory() as directory:
            measure(Path(directory), shown, logs, arguments.scrapes, arguments.seconds)


if __name__ == "__main__":
    main()
