"""What many browsers, and many logs, cost the page's program and the daemon."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.daemons import processor_seconds
from bench.figures import MIB, Figure, lower, shown
from bench.page_program import Stand, opened, resident_mib
from bench.page_readers import reading, request
from bench.printing import printing

#: A figure of a measurement, and what was found.
Found = tuple[Figure, float]

_LINES_A_SECOND = 10
_OTHERS = 20
_STUCK_RATE = 2 * MIB
_PIECE = b"." * 65535 + b"\n"
_LIST_SECONDS = 2.0


@dataclass(frozen=True)
class _Cost:
    """Processors that were busy, and memory in MiB."""

    daemon: float
    program: float
    memory: float
    late: Sequence[float]


def browsers(stand: Stand, count: int, most: float, more_memory: float | None) -> Iterator[Found]:
    """Let so many browsers follow a log each.

    :param most: the goal for the program, in hundredths of a processor.
    """
    without = _cost(stand, count, None)
    cost = _cost(stand, count, count)
    yield (
        lower(f"{count} browsers: program, % of a processor", most, of_own=True),
        cost.program * 100,
    )
    more = (cost.daemon - without.daemon) * 100
    yield lower(f"{count} browsers: daemon, % more", 5 if count <= 100 else None, of_own=True), more
    yield shown(f"{count} browsers: daemon without, %"), without.daemon * 100
    yield lower(f"{count} browsers: program, MiB", more_memory, of_own=True), cost.memory
    yield shown(f"{count} browsers: a line under way, p50 ms"), _part(cost.late, 0.5)
    yield shown(f"{count} browsers: a line under way, p99 ms"), _part(cost.late, 0.99)


def _cost(stand: Stand, logs: int, readers: int | None) -> _Cost:
    pids = stand.daemon.process.pid, stand.program.process.pid
    with opened(stand, logs) as (paths, pipes), contextlib.ExitStack() as stack:
        late: list[float] = []
        if readers is not None:
            late = stack.enter_context(reading(stand.program, paths[:readers]))
        with printing(pipes, _LINES_A_SECOND * logs, stand.seconds + 60):
            begun, before = time.monotonic(), [processor_seconds(pid) for pid in pids]
            time.sleep(stand.seconds)
            taken = time.monotonic() - begun
            used = [processor_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
            memory = resident_mib(pids[1])
        stack.close()
    return _Cost(used[0] / taken, used[1] / taken, memory, late)


def stuck(stand: Stand) -> Iterator[Found]:
    """Let one browser read nothing of a log that much comes to, beside others who read."""
    with opened(stand, _OTHERS + 1) as (paths, pipes):
        without = _others(stand, paths, pipes)
        host, _, port = stand.program.address.rpartition(":")
        with socket.create_connection((host, int(port))) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(request(stand.program.address, stand.program.token, paths[-1]))
            one.recv(65536)
            before = resident_mib(stand.program.process.pid)
            with _writing(pipes[-1]):
                beside = _others(stand, paths, pipes)
            grown = resident_mib(stand.program.process.pid) - before
    more = (_part(beside, 0.99) / _part(without, 0.99) - 1) * 100
    yield lower("one that does not read: program, more KiB", 256, of_own=True), grown * 1024
    yield lower("one that does not read: others' p99, % more", 10, of_own=True), more


def _others(stand: Stand, paths: Sequence[str], pipes: Sequence[int]) -> Sequence[float]:
    lines = _LINES_A_SECOND * _OTHERS
    with (
        reading(stand.program, paths[:_OTHERS]) as late,
        printing(pipes[:_OTHERS], lines, stand.seconds),
    ):
        time.sleep(stand.seconds)
    return late


@contextlib.contextmanager
def _writing(pipe: int) -> Iterator[None]:
    """Write at an even rate meanwhile."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(len(_PIECE) / _STUCK_RATE):
            os.write(pipe, _PIECE)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def many_logs(stand: Stand, count: int) -> Iterator[Found]:
    """Look at the list of many logs, a hundred of which are written to."""
    daemon = stand.daemon.process.pid
    name = f"list of {count} logs"
    with opened(stand, count // 2):
        """These are closed afterwards, and stay in the list."""
    with opened(stand, count - count // 2) as (_, pipes), printing(pipes[:100], 100, 3600):
        alone = _busy(daemon, lambda: time.sleep(stand.seconds))
        sizes: list[int] = []
        with contextlib.closing(_listed(stand)) as events:
            next(events)

            def look() -> None:
                ends = time.monotonic() + max(stand.seconds, 3 * _LIST_SECONDS)
                while time.monotonic() < ends:
                    sizes.append(len(next(events)))

            looked = _busy(daemon, look)
    yield lower(f"{name}: a refresh, KB", 10, of_own=True), max(sizes) / 1000
    yield lower(f"{name}: daemon while one looks, % more", 4, of_own=True), (looked - alone) * 100
    yield shown(f"{name}: daemon while nobody does, %"), alone * 100


def _listed(stand: Stand) -> Generator[bytes, None, None]:
    """Yield the events of the list."""
    connection = http.client.HTTPConnection(stand.program.address, timeout=60)
    with contextlib.closing(connection):
        target, headers = stand.program.request("list", order="rate")
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        event = b""
        while line := response.readline():
            event += line
            if line == b"\n":
                if b"event: rows" in event:
                    yield event
                event = b""


def _busy(pid: int, act: Callable[[], None]) -> float:
    """Return how busy a process is while something is done."""
    begun, before = time.monotonic(), processor_seconds(pid)
    act()
    return (processor_seconds(pid) - before) / (time.monotonic() - begun)


def search(stand: Stand, mib: int) -> Iterator[Found]:
    """Find a text that is in one line of a log, the last."""
    with opened(stand, 1) as (paths, pipes):
        for _ in range(mib * MIB // len(_PIECE)):
            os.write(pipes[0], _PIECE.replace(b"." * 100, b"." * 99 + b"\n"))
        os.write(pipes[0], b"a needle\n")
        with stand.daemon.client() as client:
            client.position(paths[0])
        taken = []
        for _ in range(5):
            begun = time.perf_counter()
            answer = json.loads(stand.program.ask("search", path=paths[0], find="needle"))
            taken.append((time.perf_counter() - begun) * 1e3)
            assert len(answer["lines"]) == 1, answer
    yield lower(f"search of {mib} MiB for a text, ms", 100, of_own=True), median(taken)


def _part(values: Sequence[float], part: float) -> float:
    """Return what is as slow as a part of all, in milliseconds."""
    ordered = sorted(values)
    return ordered[int(len(ordered) * part)] * 1e3 if ordered else float("nan")
