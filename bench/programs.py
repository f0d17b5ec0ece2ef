"""Loads in which a program works beside the daemon: the page's for browsers, and the shipper.

What it costs is compared with what the daemon takes for the same bytes without it, in the same
sample: processor time is hardly touched by other work on the machine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.cluster import Cluster, ShipProgram, nats_server, wait_until_read
from bench.daemons import processor_seconds
from bench.figures import MIB, Figures, Stand
from bench.page_program import serving
from bench.page_readers import reading
from bench.printing import printing
from bench.writing import opened
from twisted_virtlog.client import BlockingClient

#: The daemon's processor time beside the program, over that without it; and the program's, over
#: the latter.
DAEMON_TIMES, PROGRAM_TIMES = "daemon's CPU, x alone", "program's CPU, x the daemon's alone"
#: Lines that browsers had, over those that were printed.
SEEN = "lines seen/printed"
HALF, MOST = "p50 ms", "p99 ms"
#: From the first write until all is stored.
STORED = "MiB/s stored"

_LEAST_SECONDS = 2.0
#: The last line is under way for less.
_SETTLING_SECONDS = 0.5

_CONSUMER = "bench"
_WRITE_BYTES = 64 * 1024
#: To each log: all of it fits into its files, so that nobody waits for the shipper.
_SHIPPED_BYTES = 6 * MIB


def _user() -> str:
    """Return the name of this process's user; "" if it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


#: Lets a shipper of this user acknowledge.
SHIPPING = (f'consumers = ["{_CONSUMER}:{_user() or "root"}"]',)


def lacking_for_shipping() -> str:
    """Return what a shipper needs and is not there; "" for nothing."""
    if nats_server() is None:
        return "nats-server"
    if importlib.util.find_spec("nats") is None:
        return "nats-py"
    return "" if _user() else "a name of this user"


def page(stand: Stand, logs: int, lines: int) -> Figures:
    """Print so many lines a second to logs, each of which a browser follows, and to none."""
    seconds = max(_LEAST_SECONDS, 3 * stand.seconds)
    assert stand.target.jsonrpc is not None
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(stand.target.jsonrpc, Path(directory)) as program,
        opened(stand, logs) as (paths, pipes),
    ):

        def look() -> None:
            with printing(pipes, lines, seconds) as printer:
                printer.wait()
            time.sleep(_SETTLING_SECONDS)

        alone, _ = _used(stand, program.process.pid, look)
        with reading(program, paths) as late:
            beside, its = _used(stand, program.process.pid, look)
    late.sort()
    return {
        DAEMON_TIMES: beside / alone,
        PROGRAM_TIMES: its / alone,
        SEEN: len(late) / int(lines * seconds),
        HALF: late[len(late) // 2] * 1e3,
        MOST: late[len(late) * 99 // 100] * 1e3,
    }


def fleet(stand: Stand, guests: int) -> Figures:
    """Let guests write all they can until it is stored by a server of NATS, and without that."""
    assert stand.target.jsonrpc is not None
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = stack.enter_context(BlockingClient(stand.target.jsonrpc))

        def write(ends: Sequence[int], paths: Sequence[str]) -> None:
            stand.generator.write(ends, _WRITE_BYTES, 60.0, most_bytes=_SHIPPED_BYTES)
            for path in paths:
                client.position(path)

        with opened(stand, guests) as (paths, pipes):
            alone, _ = _used(stand, os.getpid(), lambda: write(pipes, paths))
        servers = Cluster(directory / "nats", 1)
        stack.callback(servers.close)
        shipper = ShipProgram(directory, stand.target.jsonrpc, "bench", servers, _CONSUMER)
        stack.callback(shipper.close)
        with opened(stand, guests) as (paths, pipes):
            wait_until_read(client, paths)
            began = time.monotonic()

            def ship() -> None:
                write(pipes, paths)
                wait_until_read(client, paths)

            beside, its = _used(stand, shipper.process.pid, ship)
            taken = time.monotonic() - began
    return {
        DAEMON_TIMES: beside / alone,
        PROGRAM_TIMES: its / alone,
        STORED: guests * _SHIPPED_BYTES / MIB / taken,
    }


def _used(stand: Stand, program: int, work: Callable[[], None]) -> tuple[float, float]:
    """Return the processor seconds that the daemon and a program use for some work."""
    daemon, its = stand.target.cpu(), processor_seconds(program)
    work()
    return stand.target.cpu() - daemon, processor_seconds(program) - its
