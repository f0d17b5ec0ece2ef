"""The load generator as a program: what it writes, and what it says of itself."""

from __future__ import annotations

import os
import threading

import pytest

from bench.load import Load, LoadFailed, record


def _read_all(pipe: int, into: list[bytes]) -> None:
    with os.fdopen(pipe, "rb") as file:
        into.append(file.read())


def _written(generator: Load, pipes: int, size: int, **how: float) -> tuple[list[bytes], list[int]]:
    """Let it write to pipes; give what came out of each, and what it says it wrote."""
    found: list[list[bytes]] = [[] for _ in range(pipes)]
    ends = [os.pipe() for _ in range(pipes)]
    threads = [
        threading.Thread(target=_read_all, args=(read_end, into))
        for (read_end, _), into in zip(ends, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        written = generator.write([end for _, end in ends], size, **how)  # type: ignore[arg-type]
    finally:
        for _, end in ends:
            os.close(end)
        for thread in threads:
            thread.join()
    assert written.ended >= written.began
    assert 0 <= written.longest <= written.ended - written.began
    return [into[0] for into in found], list(written.records)


@pytest.mark.parametrize("size", [1, 100, 200, 65536])
@pytest.mark.parametrize("pipes", [1, 3])
def test_records_come_out_as_said(generator: Load, pipes: int, size: int) -> None:
    """Numbered from 0 on in each pipe, up to the limit in bytes."""
    found, records = _written(generator, pipes, size, seconds=60.0, most_bytes=10 * size)
    assert records == [10] * pipes
    expected = b"".join(record(number, size) for number in range(10))
    assert found == [expected] * pipes


@pytest.mark.parametrize("size", [1, 100])
def test_a_rate_is_kept_over_all_pipes(generator: Load, size: int) -> None:
    """So many records in all in the time, about as many to each pipe."""
    found, records = _written(generator, 7, size, seconds=0.05, rate=2000.0)
    assert sum(records) == 100
    assert max(records) - min(records) <= 1
    for data, count in zip(found, records, strict=True):
        assert data == b"".join(record(number, size) for number in range(count))


@pytest.mark.parametrize("rate", [0.0, 1000.0])
def test_what_a_write_takes_is_counted_from_some_time_on(generator: Load, rate: float) -> None:
    """A write that waits for longer than that counts for the rest."""
    read_end, write_end = os.pipe()
    try:
        for since, counts in ((0.0, True), (3600.0, False)):
            written = generator.write([write_end], 100, 0.01, rate, most_bytes=500, since=since)
            assert written.records[0]
            assert bool(written.longest) is counts
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_flood_ends_when_it_is_told(generator: Load) -> None:
    """Also while the writer waits for a pipe that nobody reads."""
    read_end, write_end = os.pipe()
    try:
        with generator.flooding(write_end, 65536) as seen:
            assert os.read(read_end, 16) == b"0" * 16
        (written,) = seen
        assert written.records[0] >= 1
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_load_that_fails_says_why(generator: Load) -> None:
    """Nobody listens there."""
    with pytest.raises(LoadFailed, match="No such file or directory"):
        generator.call("/nonexistent/socket", [b""], seconds=1.0)
