"""The subcommand ``read``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import click

from twisted_virtlog.client import BlockingClient, Chunk, Position
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.excerpt import print_excerpt
from twisted_virtlog.ctl.outcomes import warn
from twisted_virtlog.ctl.parameters import log_path, start_position
from twisted_virtlog.ctl.parts import last_lines, read_range
from twisted_virtlog.ctl.progress import shown
from twisted_virtlog.ctl.ranges import Limits, Range, range_options
from twisted_virtlog.ctl.reading import CHUNK_BYTES, read_to_end
from twisted_virtlog.ctl.recording import ReadAgain, Recording
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings


@click.command()
@log_path
@start_position
@range_options
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option(
    "--bytes", "max_bytes", type=click.IntRange(min=1), metavar="N", help="At most N bytes."
)
@common_options
@pass_settings
def read(
    settings: Settings,
    *,
    path: str,
    start: Position | None,
    limits: Limits,
    tail: int | None,
    max_bytes: int | None,
) -> None:
    """Copy the exact bytes of a log to standard output.

    This includes everything written before the command started, from the oldest file of the
    rotation to the newest. A message on standard error says if bytes after --from are missing
    because they were rotated away.

    With --json: an object with "data" in "encoding" (utf-8, or base64 if that would not be exact),
    "start" (without --tail), "end" and "gap".
    """
    if tail is not None and max_bytes is not None:
        raise click.UsageError("--tail and --bytes cannot be used together.")
    if not limits.are_none and (start is not None or max_bytes is not None):
        raise click.UsageError(
            "--from and --bytes cannot be used together with --since, --until or --boot."
        )
    with settings.connect() as client:
        if limits.are_none:
            chunks = read_to_end(client, path, start, max_bytes)
        else:
            chunks = _read_ranges(client, path, limits.ranges(client, path))

        def read_again(position: Position, length: int) -> Chunk:
            return client.read(path, position, min(length, CHUNK_BYTES))

        if settings.json:
            print_excerpt(_record(chunks, tail), read_again, with_start=tail is None)
        elif tail is None:
            _copy(_with_gaps(chunks, path))
        else:
            _print_tail(_record(_with_gaps(chunks, path), tail), read_again, path)


def _read_ranges(client: BlockingClient, path: str, ranges: Sequence[Range]) -> Iterator[Chunk]:
    """Read parts of a log; where there are none, nothing at its end."""
    chunk = None
    for one in ranges:
        for chunk in read_range(client, path, one):
            yield chunk
    if chunk is None:
        end = last_lines(client, path, 0).end
        yield Chunk(b"", end, end, gap=False)


def _copy(chunks: Iterable[Chunk]) -> None:
    # (on a terminal the data itself shows the progress)
    for chunk in chunks if sys.stdout.isatty() else shown(chunks, sys.stderr):
        sys.stdout.buffer.write(chunk.data)


def _with_gaps(chunks: Iterable[Chunk], path: str) -> Iterator[Chunk]:
    for chunk in chunks:
        if chunk.gap:
            oldest = tables.position_text(chunk.start)
            warn(f"{path}: bytes are missing: rotated away before {oldest}")
        yield chunk


def _record(chunks: Iterable[Chunk], tail: int | None) -> Recording:
    recording = Recording(tail)
    for chunk in shown(chunks, sys.stderr):
        recording.add(chunk)
    return recording


def _print_tail(recording: Recording, read_again: ReadAgain, path: str) -> None:
    was_complete = not recording.gap
    for data in recording.content(read_again):
        sys.stdout.buffer.write(data)
    if was_complete and recording.gap:
        warn(f"{path}: bytes are missing: rotated away in the meantime")
