"""The subcommand ``read``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime

import click

from twisted_virtlog.client import Chunk
from twisted_virtlog.ctl.excerpt import print_excerpt
from twisted_virtlog.ctl.outcomes import warn
from twisted_virtlog.ctl.parameters import normal_path, start_position
from twisted_virtlog.ctl.progress import shown
from twisted_virtlog.ctl.recording import Recording
from twisted_virtlog.ctl.tables import position_text
from twisted_virtlog.ctl.time_options import time_options
from twisted_virtlog.fleet.fleet import Fleet
from twisted_virtlog.fleet.positions import messages_from
from twisted_virtlog.fleet.selecting import History, Selection, complete_path, host_option
from twisted_virtlog.fleet.settings import FleetSettings, common_options, pass_settings
from twisted_virtlog.fleet.stored import Stored
from twisted_virtlog.values import Position


def _normal(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    return normal_path(value)


@click.command()
@click.argument("path", callback=_normal, shell_complete=complete_path)
@host_option
@start_position
@time_options
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option(
    "--bytes", "max_bytes", type=click.IntRange(min=1), metavar="N", help="At most N bytes."
)
@common_options
@pass_settings
def read(
    settings: FleetSettings,
    *,
    path: str,
    host: str | None,
    start: Position | None,
    since: datetime | None,
    until: datetime | None,
    tail: int | None,
    max_bytes: int | None,
) -> None:
    """Copy the exact bytes of a log to standard output.

    This includes everything that was stored before the command started, from the oldest message on,
    of a guest that moved from all its hosts by time. A message on standard error says where bytes
    are missing. PATH must be one log: of several guests or hosts, --host says which.

    With --json: an object with "data" in "encoding" (utf-8, or base64 if that would not be exact),
    "start" (without --tail) and "end", each with its "host", and "gap".
    """
    if tail is not None and max_bytes is not None:
        raise click.UsageError("--tail and --bytes cannot be used together.")
    if (since is not None or until is not None) and (start is not None or max_bytes is not None):
        raise click.UsageError(
            "--from and --bytes cannot be used together with --since or --until."
        )
    selected = Selection((path,), host=host)
    with settings.connect() as fleet:
        end = fleet.end()
        history = selected.one(fleet.entries(selected))
        if start is not None:
            messages = messages_from(fleet, history, start, end)
        elif tail is not None and since is None and until is None:
            messages = iter(fleet.last_lines(history, tail, end))
        else:
            messages = fleet.history(history, end, since, until)
        if max_bytes is not None:
            messages = _at_most(messages, max_bytes)
        if settings.json:
            _print_excerpt(fleet, history, messages, tail)
        elif tail is None:
            _copy(_with_gaps(messages))
        else:
            recording = Recording(tail)
            excerpt = _Excerpt(fleet, recording)
            excerpt.record(_with_gaps(messages))
            for data in recording.content(excerpt.read_again):
                sys.stdout.buffer.write(data)


class _Excerpt:
    """Messages that are recorded, and read again by their numbers.

    (In the recording an inode is the number of a message, and an offset one in its data.)

    :ivar first: the first of them; likewise ``last``.
    """

    def __init__(self, fleet: Fleet, recording: Recording) -> None:
        self.first: Stored | None = None
        self.last: Stored | None = None
        self._fleet = fleet
        self._recording = recording

    def record(self, messages: Iterable[Stored]) -> None:
        """Take messages, which each may lack some of its first bytes, or of its last ones."""
        for message in shown(messages, sys.stderr):
            self.first, self.last = self.first or message, message
            start = Position(message.sequence, message.skipped)
            self._recording.add(_chunk(start, message.data, message.gap))

    def read_again(self, position: Position, length: int) -> Chunk:
        """Return data of a message that was recorded."""
        found = self._fleet.message(position.inode)
        if found is None:
            return _chunk(position, b"", gap=True)
        return _chunk(position, found.data[position.offset : position.offset + length], gap=False)


def _chunk(start: Position, data: bytes, gap: bool) -> Chunk:
    return Chunk(data, start, Position(start.inode, start.offset + len(data)), gap)


def _print_excerpt(
    fleet: Fleet, history: History, messages: Iterable[Stored], tail: int | None
) -> None:
    recording = Recording(tail)
    excerpt = _Excerpt(fleet, recording)
    excerpt.record(messages)
    if recording.end is None:
        # (nothing is in that time)
        recording.add(_chunk(Position(0, 0), b"", gap=False))

    def place(position: Position | None) -> object:
        first, last = excerpt.first, excerpt.last
        if first is None or last is None:
            entry = history.newest
            return _place(entry.log.host, entry.end)
        if position is recording.start:
            return _place(first.log.host, first.start)
        return _place(last.log.host, last.end)

    print_excerpt(recording, excerpt.read_again, with_start=tail is None, shown=place)


def _place(host: str, position: Position) -> dict[str, object]:
    return {
        "host": host,
        "inode": position.inode,
        "offset": position.offset,
        "birth": position.birth,
    }


def _at_most(messages: Iterable[Stored], count: int) -> Iterator[Stored]:
    """Yield messages with so many bytes in all."""
    for message in messages:
        yield message.before(count)
        count -= len(message.data)
        if count <= 0:
            return


def _copy(messages: Iterable[Stored]) -> None:
    # (on a terminal the data itself shows the progress)
    for message in messages if sys.stdout.isatty() else shown(messages, sys.stderr):
        sys.stdout.buffer.write(message.data)


def _with_gaps(messages: Iterable[Stored]) -> Iterator[Stored]:
    for message in messages:
        if message.gap:
            oldest = position_text(message.start)
            warn(f"{message.log.title}: bytes are missing before {oldest}")
        yield message
