"""The table of loads, and what each should reach in comparison with virtlogd."""

from __future__ import annotations

from functools import partial

from bench import calling, lifetime, writing
from bench.figures import (
    CALLS,
    CPU_PER_GIB,
    CPU_PER_MILLION,
    LONGEST,
    LONGEST_WRITE,
    P50,
    P99,
    SLOW_WRITES,
    THROUGHPUT,
    WRITER_BUSY,
    Figure,
    Load,
    higher,
    lower,
    shown,
)

_KIB_64 = 64 * 1024
_LINE = 100


def _written(
    throughput: float | None, cpu: float | None, longest: float | None = None
) -> tuple[Figure, ...]:
    """Give the figures of writing at full speed, with their goals."""
    return (
        higher(THROUGHPUT, throughput),
        lower(CPU_PER_GIB, cpu),
        lower(LONGEST_WRITE, longest),
        lower(SLOW_WRITES),
        shown(WRITER_BUSY),
    )


def _answered(p50: float | None, p99: float | None = None) -> tuple[Figure, ...]:
    return lower(P50, p50), lower(P99, p99), lower(LONGEST), lower(CPU_PER_MILLION)


def _called(calls: float | None) -> tuple[Figure, ...]:
    return higher(CALLS, calls), lower(CPU_PER_MILLION), shown("client busy")


def _read(calls: float) -> tuple[Figure, ...]:
    return higher(CALLS, calls), higher(THROUGHPUT), lower(CPU_PER_MILLION)


def _position(idle: int, p50: float, p99: float | None = None) -> Load:
    return Load(
        f"e-{idle}",
        f"position after a write, {idle:,} other logs",
        calling.after_a_write,
        _answered(p50, p99),
        idle,
    )


def _busy(idle: int, throughput: float) -> Load:
    return Load(
        f"n-{idle}",
        f"one log, lines, {idle:,} other logs",
        partial(writing.full_speed, logs=1, size=_LINE),
        _written(throughput, None),
        idle,
    )


def _opening(idle: int, goal: float | None) -> Load:
    """Open logs while so many others are open; with none, as many as a fleet has."""
    logs = 256 if idle else 1000
    beside = f"{idle:,} other logs" if idle else "from none on"
    return Load(
        f"i-{idle or logs}",
        f"open {logs:,} logs and close them, {beside}",
        partial(lifetime.open_and_close, logs=logs),
        (lower("open us each", goal), lower("close us each"), lower("open CPU us each")),
        idle,
        fresh=not idle,
    )


LOADS = (
    Load(
        "a",
        "one log, 64 KiB writes",
        partial(writing.full_speed, logs=1, size=_KIB_64),
        _written(8.0, 0.10, 1.0),
        write_bytes=_KIB_64,
    ),
    Load(
        "b",
        "one log, lines of 100 bytes",
        partial(writing.full_speed, logs=1, size=_LINE),
        _written(1.2, 0.13, 1.0),
        write_bytes=_LINE,
    ),
    Load(
        "c-lines",
        "64 logs, lines of 100 bytes",
        partial(writing.full_speed, logs=64, size=_LINE),
        _written(1.2, 0.15, 1.0),
    ),
    Load(
        "c-64k",
        "64 logs, 64 KiB writes",
        partial(writing.full_speed, logs=64, size=_KIB_64),
        _written(4.0, 0.20, 1.0),
    ),
    Load(
        "d",
        "1,000 logs, 10,000 lines a second in all",
        partial(writing.fleet, logs=1000, lines=10_000),
        (lower(CPU_PER_MILLION, 0.06), lower(LONGEST_WRITE), shown("lines/s")),
    ),
    # With 10,000 virtlogd takes the whole processor, so a ratio to it says as much of the machine.
    Load(
        "d-1000",
        "1,000 logs, 1,000 lines a second in all",
        partial(writing.fleet, logs=1000, lines=1000),
        (lower(CPU_PER_MILLION), lower(LONGEST_WRITE), shown("lines/s")),
    ),
    _position(16, 1.0, 1.0),
    _position(1024, 0.25),
    _position(4096, 0.08),
    _position(9900, 0.025),
    _busy(1024, 35.0),
    _busy(4096, 190.0),
    _busy(9900, 530.0),
    Load(
        "f-quiet",
        "position of a quiet log while another floods",
        partial(calling.beside_a_flood, of_flooded=False),
        (
            lower(P50, 2.0),
            lower(P99, 1.0),
            lower(LONGEST),
            higher(f"flood {THROUGHPUT}"),
            lower(f"flood {LONGEST_WRITE}"),
        ),
    ),
    Load(
        "f-flooded",
        "position of the flooded log itself",
        partial(calling.beside_a_flood, of_flooded=True),
        (lower(P50, 0.02), lower(LONGEST, 0.05)),
    ),
    Load(
        "g-serial",
        "positions, one client",
        partial(calling.positions, connections=1, window=1),
        _called(1.0),
    ),
    Load(
        "g-32",
        "positions, 32 requests at a time",
        partial(calling.positions, connections=1, window=32),
        _called(1.8),
    ),
    Load(
        "g-16",
        "positions, 16 clients",
        partial(calling.positions, connections=16, window=1),
        _called(1.0),
    ),
    Load(
        "g-jsonrpc",
        "positions, one client, ours by JSON-RPC",
        partial(calling.positions, connections=1, window=1, jsonrpc=True),
        _called(None),
    ),
    Load(
        "g-jsonrpc32",
        "positions, 32 at a time, ours by JSON-RPC",
        partial(calling.positions, connections=1, window=32, jsonrpc=True),
        _called(None),
    ),
    Load("h-64k", "read 64 KiB", partial(calling.reading_back, size=_KIB_64), _read(1.0)),
    Load("h-4m", "read 4 MiB", partial(calling.reading_back, size=64 * _KIB_64), _read(1.0)),
    Load(
        "h-64k-jsonrpc",
        "read 64 KiB, ours by JSON-RPC",
        partial(calling.reading_back, size=_KIB_64, jsonrpc=True),
        _read(0.8),
    ),
    Load(
        "h-4m-jsonrpc",
        "read 4 MiB, ours by JSON-RPC",
        partial(calling.reading_back, size=64 * _KIB_64, jsonrpc=True),
        _read(0.8),
    ),
    _opening(0, None),
    _opening(1024, 0.5),
    _opening(4096, 0.18),
    Load(
        "j",
        "memory",
        lifetime.memory,
        (
            lower("RSS MiB, no log", 1.7),
            lower("KiB a log, 1,024"),
            lower("KiB a log, 4,096", 0.5),
        ),
        fresh=True,
    ),
    Load(
        "k",
        "start until the first answer",
        lifetime.start_up,
        (lower("s", 0.25, of_own=True),),
        fresh=True,
    ),
    Load(
        "m",
        "logged to a disk with rotation",
        writing.sent_to_disk,
        (lower("MiB to disk/MiB", 1.0),),
        on_disk=True,
    ),
)

#: A figure of one load over that of another should stay flat: title, figure, loads, goal for ours.
FLAT = ("flat: 9,900 other logs over 16", P50, "e-9900", "e-16", 1.2)


def chosen(names: str) -> tuple[Load, ...]:
    """Give loads by letters and keys, separated by commas, in the order of the table.

    :raises ValueError: there is none of that name.
    """
    wanted = set(names.split(","))
    unknown = wanted - {load.key for load in LOADS} - {load.letter for load in LOADS}
    if unknown:
        keys = ", ".join(load.key for load in LOADS)
        raise ValueError(f"no load {', '.join(sorted(unknown))}; there are {keys}")
    return tuple(load for load in LOADS if wanted & {load.key, load.letter})
