"""The subcommand ``tail``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime

import click

from twisted_virtlog.client import BlockingClient, Position, RemoteError, TimeMark
from twisted_virtlog.ctl.outcomes import report, warn
from twisted_virtlog.ctl.parameters import start_position, tail_options
from twisted_virtlog.ctl.parts import Part, last_lines, read_range
from twisted_virtlog.ctl.ranges import Limits, NoSuchBoot, Range, range_options
from twisted_virtlog.ctl.recording import Recording
from twisted_virtlog.ctl.selecting import NothingSelected, Selection, selection
from twisted_virtlog.ctl.settings import (
    REFUSED_STATUS,
    Settings,
    common_options,
    pass_settings,
)
from twisted_virtlog.ctl.tail_output import Output, Piece, Source, standard_output

DEFAULT_LINES = 10

_NO_SUCH_LOG = 1002


@click.command()
@selection
@range_options
@start_position
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, for ever.")
@tail_options(DEFAULT_LINES)
@click.option(
    "--until-closed",
    is_flag=True,
    help="With -f: end when the guest is gone; if it is not there yet, after its next run.",
)
@click.option("--raw", is_flag=True, help="Let the terminal obey what guests print.")
@common_options
@pass_settings
@click.pass_context
def tail(
    ctx: click.Context,
    settings: Settings,
    *,
    selected: Selection,
    limits: Limits,
    start: Position | None,
    follow: bool,
    lines: int | None,
    timestamps: bool,
    until_closed: bool,
    raw: bool,
) -> None:
    """Print the last lines of logs, and with -f what is written to them from then on.

    Logs need not be open; with -f they need not even be there. With several logs, or --domain, the
    name of the log stands before each line. With -f and --domain, logs that are opened later are
    followed, too.

    With -f each byte is printed once, whatever becomes of the log's files: also over restarts of
    the daemon, which are waited for. A message on standard error says if bytes were rotated away
    before they could be read.

    Pipes get the exact bytes of one log; on a terminal control characters of guests are made
    visible, but for colours. With --json: an object on each line with "path", the "data" in
    "encoding" (utf-8, or base64 if that would not be exact), "start" and "end" (positions), "gap"
    and "missed".
    """
    if not selected.paths and selected.domain is None:
        raise click.UsageError("Name a log, or guests with --domain.")
    if start is not None and (limits.boot is not None or limits.since is not None):
        raise click.UsageError("--from cannot be used together with --since or --boot.")
    if start is not None and not selected.is_one:
        raise click.UsageError("--from is a position in one log.")
    if follow and limits.until is not None:
        raise click.UsageError("-f and --until cannot be used together.")
    if until_closed and not follow:
        raise click.UsageError("--until-closed needs -f.")
    output = Output(
        standard_output(),
        names=not selected.is_one,
        timestamps=timestamps,
        as_json=settings.json,
        raw=raw,
        warn=warn,
    )
    command = _Tail(settings, output, limits, start, lines, timestamps)
    if follow:
        command.follow(selected, until_closed)
    else:
        command.print(selected)
    if command.failed:
        ctx.exit(REFUSED_STATUS)


class _Tail:
    """What is wanted of logs."""

    def __init__(
        self,
        settings: Settings,
        output: Output,
        limits: Limits,
        start: Position | None,
        lines: int | None,
        timestamps: bool,
    ) -> None:
        self.failed = False
        self._settings = settings
        self._output = output
        self._limits = limits
        self._start = start
        self._lines = lines
        self._timestamps = timestamps

    def print(self, selected: Selection) -> None:
        """Print what is there."""
        from twisted_virtlog.ctl.tailing import short_names  # noqa: PLC0415

        with self._settings.connect() as client:
            paths = selected.find(client)
            names = short_names(paths)
            sources = [self._output.source(path, names[path]) for path in paths]
            for source in sources:
                try:
                    self._print_one(client, source)
                except (RemoteError, NoSuchBoot) as error:
                    # (a log that is known may have no file any more)
                    is_gone = isinstance(error, RemoteError) and error.code == _NO_SUCH_LOG
                    if selected.paths or not is_gone:
                        self._refuse(error)
                self._output.end(source)

    def follow(self, selected: Selection, until_closed: bool) -> None:
        """Print what is there, and what comes."""
        from twisted_virtlog.client.feed import Feed  # noqa: PLC0415
        from twisted_virtlog.ctl.tailing import Tailing, joins_of, short_names  # noqa: PLC0415

        names: dict[str, str] = {}

        def name_of(path: str) -> str:
            names.update(short_names([*names, path]))
            return names[path]

        joins = None if selected.domain is None else joins_of(selected.has, name_of)
        timeout = self._settings.timeout or None

        def connect() -> Feed:
            return Feed(self._settings.socket_path, timeout)

        tailing = Tailing(connect, self._output, until_closed, joins, warn)
        with self._settings.connect() as client:
            try:
                paths = selected.find(client)
            except NothingSelected:
                # (they may come)
                paths = ()
            names.update(short_names(paths))
            for path in paths:
                source = self._output.source(path, names[path])
                try:
                    position = self._print_one(client, source)
                except NoSuchBoot as error:
                    self._refuse(error)
                    continue
                except RemoteError as error:
                    if error.code != _NO_SUCH_LOG:
                        self._refuse(error)
                        continue
                    position = None
                tailing.add(source, position)
            self._output.flush()
            tailing.run(connect())
        self.failed = self.failed or bool(tailing.failed)

    def _refuse(self, error: RemoteError | NoSuchBoot) -> None:
        self.failed = True
        if isinstance(error, RemoteError):
            report(self._settings, error)
        else:
            warn(str(error))

    def _print_one(self, client: BlockingClient, source: Source) -> Position | None:
        """Print what is there of a log; return where it goes on."""
        path, limits = source.path, self._limits
        if self._start is not None:
            ranges: Sequence[Range] = [Range(self._start)]
        elif limits.boot is None and limits.since is None and limits.until is None:
            lines = DEFAULT_LINES if self._lines is None else self._lines
            part = last_lines(client, path, lines)
            self._print_part(client, source, part)
            return part.end
        else:
            ranges = limits.ranges(client, path)
        end: Position | None = None
        for one in ranges:
            end = self._print_range(client, source, one) or end
        if end is None:
            # (nothing is in that time)
            end = last_lines(client, path, 0).end
        return end

    def _print_range(
        self, client: BlockingClient, source: Source, wanted: Range
    ) -> Position | None:
        path = source.path
        if self._lines is not None:
            recording = Recording(self._lines)
            for chunk in read_range(client, path, wanted):
                recording.add(chunk)
            if recording.end is None:
                return None
            content = recording.content(lambda at, length: client.read(path, at, length))
            part = Part(b"".join(content), None, recording.end)
            self._print_part(client, source, part)
            return recording.end
        end = None
        for chunk in read_range(client, path, wanted):
            times = self._times(client, path, chunk.start, chunk.end, len(chunk.data))
            piece = Piece(chunk.data, chunk.start, chunk.end, chunk.gap, None, times)
            self._output.print(source, piece)
            end = chunk.end
        return end

    def _print_part(self, client: BlockingClient, source: Source, part: Part) -> None:
        if part.data:
            times = self._times(client, source.path, part.start, part.end, len(part.data))
            piece = Piece(part.data, part.start, part.end, times=times)
            self._output.print(source, piece)

    def _times(
        self,
        client: BlockingClient,
        path: str,
        start: Position | None,
        end: Position,
        count: int,
    ) -> Callable[[int], datetime | None] | None:
        """Return what says when a byte came, by its offset in so many that end somewhere."""
        if not self._timestamps:
            return None
        marks = client.times(path, start, None)
        offsets, times = _by_offset(marks, start, end, count)

        def time_of(offset: int) -> datetime | None:
            at = bisect_right(offsets, offset)
            return times[at] if at < len(times) else None

        return time_of


def _by_offset(
    marks: Sequence[TimeMark], start: Position | None, end: Position, count: int
) -> tuple[list[int], list[datetime]]:
    """Return marks by offsets among bytes that end at a position, as far as that can be said.

    Those in the file of the end count back from there, others in that of the start from its
    beginning on; of files between nobody need know more than that order.
    """
    offsets: list[int] = []
    times: list[datetime] = []
    for mark in marks:
        position = mark.position
        if position.inode == end.inode:
            offset = count - (end.offset - position.offset)
        elif start is not None and position.inode == start.inode:
            offset = position.offset - start.offset
        else:
            offset = max(offsets, default=0)
        if offset > 0:
            offsets.append(max(offset, offsets[-1] if offsets else 0))
            times.append(mark.time)
    return offsets, times
