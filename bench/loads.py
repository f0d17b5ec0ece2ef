"""The table of loads, and what each should reach in comparison with virtlogd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench import (
    abused,
    abuses,
    calling,
    following,
    hung,
    lane,
    lifetime,
    noisy,
    places,
    programs,
    writing,
)
from bench.abused import ABUSE
from bench.daemons import SETTINGS
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
    Better,
    Figure,
    Load,
    higher,
    lower,
    shown,
)
from bench.others import (
    BYTE_BY_BYTE,
    DAEMON_BUSY,
    OTHERS,
    THEIR_LINES,
    USED_LONGEST,
    USED_P99,
    alone,
)

_KIB_64 = 64 * 1024
_LINE = 100


@dataclass(frozen=True)
class Floor:
    """A program that is compared with as well.

    :ivar program: its name among :func:`~bench.peers.peers`.
    :ivar title: of its rows.
    :ivar figures: by the key of the load, with goals for ours to it.
    """

    program: str
    title: str
    figures: Mapping[str, tuple[Figure, ...]]


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


def _read(calls: float, cpu: float | None = None) -> tuple[Figure, ...]:
    return higher(CALLS, calls), higher(THROUGHPUT), lower(CPU_PER_MILLION, cpu)


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


def _opening(idle: int, goal: float | None, logs: int = 256, closing: float | None = None) -> Load:
    """Open logs while so many others are open, and close them all at once; with goals for both."""
    beside = f"{idle:,} other logs" if idle else "from none on"
    return Load(
        f"i-{idle or logs}",
        f"open {logs:,} logs and close them, {beside}",
        partial(lifetime.open_and_close, logs=logs),
        (
            lower("open us each", goal),
            lower("close us each", closing),
            lower("open CPU us each"),
        ),
        idle,
        fresh=not idle,
    )


#: What others may feel of an abuse: a p99 of a millisecond or twice what it is without, if that is
#: more, a longest answer of 5 ms, and 5 % of what they print.
_BESIDE = (
    shown(alone(P50)),
    shown(P50),
    shown(alone(P99)),
    Figure(P99, Better.LOWER, 1000.0, of_own=True, times=(2.0, alone(P99))),
    Figure(alone(LONGEST), Better.NEITHER, worst=True),
    Figure(LONGEST, Better.LOWER, 5000.0, of_own=True, worst=True),
    Figure(USED_P99, Better.LOWER, 1000.0, of_own=True),
    Figure(USED_LONGEST, Better.LOWER, 5000.0, of_own=True, worst=True),
    lower(LONGEST_WRITE),
    Figure(THEIR_LINES, Better.HIGHER, 0.95, of_own=True),
    shown(DAEMON_BUSY),
)


def _abuse(
    name: str,
    title: str,
    abuse: abuses.Abuse,
    ours_only: bool = True,
    idle: int = 0,
    settings: tuple[str, ...] = SETTINGS,
    **how: Any,
) -> Load:
    """Give a load of the others beside an abuse; virtlogd has no JSON-RPC to be abused by."""
    return Load(
        f"abuse-{name}",
        f"positions of {OTHERS} logs beside {title}",
        partial(abused.beside, abuse=abuse, **how),
        (*_BESIDE, shown(ABUSE)),
        idle,
        ours_only=ours_only,
        settings=settings,
    )


def _lock(name: str, title: str, filled: bool) -> Load:
    return Load(
        f"lock-{name}",
        f"positions of {OTHERS} logs while a guest has {title}",
        partial(abused.beside_lock, filled=filled),
        _BESIDE,
    )


def _hung(name: str, title: str, mounting: places.Mounting, threads: str, again: bool) -> Load:
    """Give a load of the others beside a file system that does not answer.

    :param threads: which file systems have a thread from the beginning; others when they were slow.
    """
    return Load(
        f"hung-{name}",
        f"positions of {OTHERS} logs beside {title} that hangs",
        partial(hung.beside, again=again),
        (
            *_BESIDE,
            _most(hung.WITH_ROOM, 10.0),
            _most(hung.FULL, 10.0),
            _most(hung.RECOVERY, 1.1),
            _most(hung.THREADS, 0.0),
            _most(hung.DESCRIPTORS, 0.0),
        ),
        fresh=True,
        settings=(*SETTINGS, *hung.SETTINGS, f'file_threads = "{threads}"'),
        mounting=mounting,
    )


def _most(name: str, goal: float) -> Figure:
    """Give a figure whose worst value must not be more."""
    return Figure(name, Better.LOWER, goal, of_own=True, worst=True)


_BASE64 = partial(abuses.reads, encoding="base64")
#: As many logs as the usual limit of descriptors allows, with some left for clients.
_MANY_LOGS = 9800
#: A byte fills a file, and a write of 64 KiB the pipe.
_BYTE_BY_BYTE = (*(line.replace("2097152", "1") for line in SETTINGS), "pipe_size = 65536")

ABUSES = (
    _abuse("ones", "batches of 1 MiB of `1`", abuses.stream(abuses.ones)),
    _abuse("ones-4m", "batches of 2,000,000 `1`", abuses.stream(abuses.two_million_ones)),
    _abuse("batch", "batches of positions", abuses.stream(abuses.position_batches)),
    _abuse("notes", "notifications that read 4 MiB", abuses.stream(abuses.notifications)),
    _abuse("read", "reads of 4 MiB, base64", abuses.stream(_BASE64)),
    _abuse(
        "read-utf8",
        "reads of 4 MiB, utf-8",
        abuses.stream(partial(abuses.reads, encoding="utf-8")),
    ),
    _abuse("list-3000", "lists of 3,000 logs", abuses.stream(abuses.lists), idle=3000),
    _abuse(
        "list-9800",
        f"lists of {_MANY_LOGS:,} logs",
        abuses.stream(abuses.lists),
        idle=_MANY_LOGS,
    ),
    _abuse("discover", "descriptions of all methods", abuses.stream(abuses.discoveries)),
    _abuse("garbage", "lines that are no JSON", abuses.stream(abuses.garbage)),
    # The one exception: to decode it is one step, which is allowed once a second.
    _abuse("numbers", "texts of 16 MiB of numbers", abuses.stream(abuses.numbers)),
    _abuse("brackets", "texts of 16 MiB of brackets", abuses.stream(abuses.brackets)),
    _abuse("scattered", "brackets, few at a time", abuses.stream(abuses.scattered)),
    _abuse("small", "short texts on one line", abuses.stream(abuses.small_texts)),
    _abuse("deep", "texts of 500 levels and more", abuses.stream(abuses.deep_texts)),
    _abuse("http", "HTTP requests", abuses.stream(abuses.posts)),
    _abuse("rpc", "positions without end", abuses.stream(abuses.rpc_positions), ours_only=False),
    _abuse("rpc-read", "reads without end", abuses.stream(abuses.rpc_reads), ours_only=False),
    _abuse("ping", "pings without end", abuses.stream(abuses.pings), ours_only=False),
    _abuse(
        "roll",
        "a guest that begins 65,536 files with a write",
        abuses.writing,
        ours_only=False,
        settings=_BYTE_BY_BYTE,
        light=BYTE_BY_BYTE,
        logged=False,
    ),
    _abuse("ask", "a client that asks at once", abuses.asking(1, False), ours_only=False),
    _abuse("ask-1000", "1,000 requests at a time", abuses.asking(1000, False), ours_only=False),
    _abuse("ask-jsonrpc", "1,000 JSON requests at a time", abuses.asking(1000, True)),
    _abuse(
        "several",
        "five abusers",
        abuses.together(
            abuses.stream(abuses.ones),
            abuses.stream(_BASE64),
            abuses.stream(abuses.garbage),
            abuses.stream(abuses.rpc_positions),
            abuses.writing,
        ),
    ),
    _abuse(
        "64",
        "64 connections with lines that are no JSON",
        abuses.stream(partial(abuses.garbage, connections=64)),
    ),
    _abuse(
        "64-batch",
        "64 connections with batches",
        abuses.stream(partial(abuses.position_batches, connections=64)),
    ),
    _abuse("64-read", "64 connections with reads", abuses.stream(partial(_BASE64, connections=64))),
    _abuse(
        "64-rpc",
        "64 connections with positions",
        abuses.stream(partial(abuses.rpc_positions, connections=64)),
        ours_only=False,
    ),
    _lock("empty", "locked its empty pipe", False),
    _lock("filled", "locked its pipe with bytes in it", True),
)

HUNG = (
    _hung("fuse", "a FUSE mount", places.fuse, "auto", False),
    _hung("frozen", "a disk that has a thread", places.frozen, "always", False),
    _hung("frozen-auto", "a disk that was slow before", places.frozen, "auto", True),
)

NOISY = tuple(
    Load(
        f"noisy-{name}",
        f"positions of {OTHERS} logs beside one that is flooded, {title}",
        partial(noisy.beside, limited=limited),
        (
            shown(alone(P50)),
            shown(P50),
            shown(alone(P99)),
            shown(P99),
            lower(noisy.TIMES, 2.0 if limited else None, of_own=True),
            shown(LONGEST),
            Figure(THEIR_LINES, Better.HIGHER, 0.95, of_own=True),
            shown(noisy.FLOOD),
            shown(DAEMON_BUSY),
            *((shown(noisy.OF_RATE),) if limited else ()),
        ),
        settings=(*SETTINGS, *settings),
        ours_only=True,
    )
    for name, title, limited, settings in (
        ("unlimited", "without a rate", False, ()),
        ("drop", "with a rate", True, noisy.SETTINGS),
    )
)

LANE = Load(
    "lane",
    "position after a write, by a thread of the file system's and inline",
    lane.positions,
    tuple(
        figure
        for how in (lane.AT_ONCE, lane.NOW_AND_THEN)
        for name, goal in ((P50, 1.8), (P99, 1.6))
        for figure in (
            shown(lane.inline(name, how)),
            shown(lane.by_thread(name, how)),
            lower(lane.times(name, how), goal, of_own=True),
            shown(lane.times(name, how, lane.UNPINNED)),
        )
    ),
    fresh=True,
    settings=(*SETTINGS, *lane.SETTINGS),
    ours_only=True,
    mounting=places.memory,
)


def _followed(name: str, title: str, connections: int) -> Load:
    """Give a load of a fleet whose logs are all followed."""
    return Load(
        f"follow-{name}",
        f"{_FOLLOWED:,} logs followed {title}, 10,000 lines a second in all",
        partial(following.fleet, logs=_FOLLOWED, lines=10_000, connections=connections),
        (
            lower(following.HALF, 2.0, of_own=True),
            lower(following.MOST, 12.0, of_own=True),
            shown(following.WORST),
            lower(DAEMON_BUSY, 0.25, of_own=True),
            lower(following.MORE_MEMORY, 32.0, of_own=True),
        ),
        fresh=True,
        ours_only=True,
    )


_FOLLOWED = 1000

FOLLOW = (
    _followed("one", "over one connection", 1),
    _followed("each", "over a connection each", _FOLLOWED),
    Load(
        "follow-flood",
        "one log, 64 KiB writes, followed by one",
        following.flood,
        (Figure(THROUGHPUT, Better.HIGHER, 100.0, of_own=True), lower(CPU_PER_GIB)),
        settings=tuple(line.replace("2097152", str(512 * 1024 * 1024)) for line in SETTINGS),
        ours_only=True,
    ),
    Load(
        "follow-stuck",
        "one log, lines of 100 bytes, followed by eight who never read",
        partial(following.stuck, followers=8),
        (
            Figure(following.TIMES, Better.HIGHER, 0.95, of_own=True),
            *(
                shown(f"{name}{suffix}")
                for name in (THROUGHPUT, CPU_PER_GIB, LONGEST_WRITE)
                for suffix in (" alone", "")
            ),
            lower(following.MORE_MEMORY, 1.0, of_own=True),
        ),
        ours_only=True,
    ),
)

PROGRAMS = (
    Load(
        "page",
        "64 logs, 640 lines a second in all, each followed by a browser",
        partial(programs.page, logs=64, lines=640),
        (
            lower(programs.DAEMON_TIMES, of_own=True),
            lower(programs.PROGRAM_TIMES, of_own=True),
            Figure(programs.SEEN, Better.HIGHER, 1.0, of_own=True),
            shown(programs.HALF),
            shown(programs.MOST),
        ),
        ours_only=True,
    ),
    Load(
        "fleet",
        "16 logs, 64 KiB writes, all stored by a server of NATS",
        partial(programs.fleet, guests=16),
        (
            lower(programs.DAEMON_TIMES, of_own=True),
            lower(programs.PROGRAM_TIMES, of_own=True),
            shown(programs.STORED),
        ),
        settings=(*SETTINGS, *programs.SHIPPING),
        ours_only=True,
        lacking=programs.lacking_for_shipping,
    ),
)

LOADS = (
    Load(
        "a",
        "one log, 64 KiB writes",
        partial(writing.full_speed, logs=1, size=_KIB_64),
        _written(None, None, 1.0),
        write_bytes=_KIB_64,
    ),
    Load(
        "b",
        "one log, lines of 100 bytes",
        partial(writing.full_speed, logs=1, size=_LINE),
        _written(1.3, 0.15, 1.0),
        write_bytes=_LINE,
    ),
    Load(
        "c-lines",
        "64 logs, lines of 100 bytes",
        partial(writing.full_speed, logs=64, size=_LINE),
        _written(1.0, 0.15, 1.0),
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
        (lower(CPU_PER_MILLION, 0.05), lower(LONGEST_WRITE), shown("lines/s")),
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
        _called(2.0),
    ),
    Load(
        "g-16",
        "positions, 16 clients",
        partial(calling.positions, connections=16, window=1),
        _called(1.1),
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
    Load("h-64k", "read 64 KiB", partial(calling.reading_back, size=_KIB_64), _read(1.0, 1.0)),
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
    _opening(16, 1.0),
    _opening(0, 1.0, 1000, 1.0),
    _opening(0, None, 9950, 1.0),
    _opening(1024, 0.5),
    _opening(4096, 0.18),
    Load(
        "j",
        "memory",
        lifetime.memory,
        (
            lower("RSS MiB, no log"),
            lower("KiB a log, 1,024"),
            lower("KiB a log, 4,096", 0.8, of_own=True),
        ),
        fresh=True,
    ),
    Load(
        "k",
        "start until the first answer",
        lifetime.start_up,
        (lower("s", 0.15, of_own=True),),
        fresh=True,
    ),
    Load(
        "m",
        "logged to a disk with rotation",
        writing.sent_to_disk,
        (lower("MiB to disk/MiB", 1.0),),
        on_disk=True,
    ),
    *ABUSES,
    *HUNG,
    *NOISY,
    LANE,
    *FOLLOW,
    *PROGRAMS,
)

#: A figure of one load over that of another should stay flat: title, figure, loads, goal for ours.
FLAT = ("flat: 9,900 other logs over 16", P50, "e-9900", "e-16", 1.2)

#: What a flood is compared with beside virtlogd: the least that any program can do.
FLOOR = Floor(
    "floor, read and write",
    "one log, 64 KiB writes, beside a plain C loop",
    {"a": (higher(THROUGHPUT, 0.95), lower(CPU_PER_GIB, 1.05))},
)


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
