"""Loads that write: how fast bytes get from pipes into files, and at what price."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import (
    CPU_PER_GIB,
    CPU_PER_MILLION,
    GIB,
    LONGEST_WRITE,
    MIB,
    SLOW_WRITES,
    THROUGHPUT,
    WRITER_BUSY,
    Figures,
    Stand,
)
from bench.load import Written, tail
from bench.rpc import CallFailed

#: With many logs, the contents of this many are compared, and the sizes of all.
_COMPARED = 4

_CLOSING_SECONDS = 60.0
#: What a daemon notes when many logs are opened, but not at once, it has written down by then.
_NOTING_SECONDS = 1.0
_LOOKING_SECONDS = 0.001


class Wrong(Exception):
    """The files do not hold what was written."""


@contextlib.contextmanager
def opened(stand: Stand, count: int) -> Iterator[tuple[list[str], list[int]]]:
    """Open so many logs; at the end their pipes are closed and their files removed.

    :returns: their paths and the write ends of their pipes.
    """
    paths = [str(stand.target.logs / f"busy{number}.log") for number in range(count)]
    pipes: list[int] = []
    try:
        with stand.target.client() as client:
            # One after another, so that those before a failure are closed.
            pipes.extend(client.open(path) for path in paths)
        yield paths, pipes
    finally:
        for pipe in pipes:
            os.close(pipe)
        _until_closed(stand, paths)
        for path in paths:
            for file in files(path):
                file.unlink()


def _until_closed(stand: Stand, paths: Sequence[str]) -> None:
    """Ask until no log is open any more.

    :raises TimeoutError: one is for too long.
    """
    deadline = time.monotonic() + _CLOSING_SECONDS
    with stand.target.client() as client:
        for path in paths:
            with contextlib.suppress(CallFailed):
                while time.monotonic() < deadline:
                    client.position(path)
                    time.sleep(_LOOKING_SECONDS)
                raise TimeoutError(f"{path} does not close")


def files(path: str) -> list[Path]:
    """Give the files of a log that there are, the oldest first."""
    log = Path(path)
    backups = log.parent.glob(f"{log.name}.*")
    by_age = sorted(backups, key=lambda file: int(file.suffix[1:]), reverse=True)
    return [*by_age, *([log] if log.exists() else [])]


def check(paths: Sequence[str], records: Sequence[int], size: int) -> None:
    """Compare files with what was written: how much they hold, and the bytes of some.

    :raises Wrong: they differ.
    """
    for number, (path, count) in enumerate(zip(paths, records, strict=True)):
        found = files(path)
        length = sum(file.stat().st_size for file in found)
        # All but the newest are full but for a line that did not fit, and none is missing.
        full = all(2 * MIB - 80 <= file.stat().st_size <= 2 * MIB for file in found[:-1])
        complete = length == count * size or (len(found) == 4 and length < count * size)
        if not full or not complete:
            sizes = [file.stat().st_size for file in found]
            raise Wrong(f"{path}: {count} records of {size} bytes were written; sizes are {sizes}")
        if number < _COMPARED:
            kept = b"".join(file.read_bytes() for file in found)
            if kept != tail(count, size, length):
                raise Wrong(f"{path}: the last {length} bytes are not those that were written")


def full_speed(stand: Stand, logs: int, size: int, most_bytes: int = 0) -> Figures:
    """Write to logs as fast as they are read, from a process for each.

    The time is that from the first write until a position was told for each log, so all that was
    written is in the files.
    """
    with opened(stand, logs) as (paths, pipes), stand.target.client() as client:
        used = stand.target.cpu()
        written = stand.generator.write(pipes, size, stand.seconds, most_bytes=most_bytes)
        client.positions(paths)
        landed = time.monotonic()
        used = stand.target.cpu() - used
        check(paths, written.records, size)
        return throughput(written, size, landed, used)


def throughput(written: Written, size: int, landed: float, used: float) -> Figures:
    """Make figures of what was written.

    :param landed: when all was in the files.
    :param used: processor seconds of the reader.
    """
    total = sum(written.records) * size
    return {
        THROUGHPUT: total / MIB / (landed - written.began),
        CPU_PER_GIB: used / total * GIB,
        LONGEST_WRITE: written.longest * 1e3,
        SLOW_WRITES: written.over_millisecond,
        WRITER_BUSY: written.busy,
    }


def fleet(stand: Stand, logs: int, lines: int) -> Figures:
    """Write a line to one log after another, so many lines a second in all."""
    seconds = 3 * stand.seconds
    with opened(stand, logs) as (paths, pipes), stand.target.client() as client:
        time.sleep(_NOTING_SECONDS)
        used = stand.target.cpu()
        written = stand.generator.write(pipes, 100, seconds, rate=lines)
        client.positions(paths[:1])
        # What the positions of all would cost is not what is measured, so they come after.
        used = stand.target.cpu() - used
        client.positions(paths)
        check(paths, written.records, 100)
        total = sum(written.records)
        return {
            CPU_PER_MILLION: used / total * 1e6,
            LONGEST_WRITE: written.longest * 1e3,
            "lines/s": total / (written.ended - written.began),
        }


def sent_to_disk(stand: Stand) -> Figures:
    """Return how much of what is logged goes to the disk, while rotation removes most of it."""
    size = 64 * 1024
    logged = 512 * MIB
    before = stand.target.sent_to_disk()
    with opened(stand, 1) as (paths, pipes), stand.target.client() as client:
        written = stand.generator.write(pipes, size, 60.0, most_bytes=logged)
        client.positions(paths)
        check(paths, written.records, size)
        sent = stand.target.sent_to_disk() - before
    return {"MiB to disk/MiB": sent / (sum(written.records) * size)}
