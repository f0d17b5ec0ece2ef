"""The subcommand ``tail``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime

import click

from twisted_virtlog.ctl.outcomes import warn
from twisted_virtlog.ctl.parameters import start_position, tail_options
from twisted_virtlog.ctl.tail_output import Output, Piece, Source, standard_output
from twisted_virtlog.ctl.time_options import time_options
from twisted_virtlog.fleet.errors import NotThere
from twisted_virtlog.fleet.fleet import Fleet
from twisted_virtlog.fleet.naming import Names
from twisted_virtlog.fleet.positions import messages_from
from twisted_virtlog.fleet.selecting import Entry, History, Selection, selection
from twisted_virtlog.fleet.settings import FleetSettings, common_options, pass_settings
from twisted_virtlog.fleet.stored import LastLines, Log, Stored
from twisted_virtlog.values import Position

DEFAULT_LINES = 10

#: A line without an end is printed once its log has been quiet for so long.
_QUIET_SECONDS = 0.3


@click.command()
@selection
@time_options
@start_position
@click.option("-f", "--follow", is_flag=True, help="Go on with what is stored, for ever.")
@tail_options(DEFAULT_LINES)
@click.option("--raw", is_flag=True, help="Let the terminal obey what guests print.")
@common_options
@pass_settings
def tail(
    settings: FleetSettings,
    *,
    selected: Selection,
    since: datetime | None,
    until: datetime | None,
    start: Position | None,
    follow: bool,
    lines: int | None,
    timestamps: bool,
    raw: bool,
) -> None:
    """Print the last lines of logs, and with -f what is stored of them from then on.

    Without PATH and --domain: of all logs. The name of the log stands before each line, its host
    first, unless PATH is one log. With -f, logs that begin later are followed, too, and a guest
    that moves is followed to its new host.

    With -f each byte is printed once, also over restarts of servers, which are waited for. A
    message on standard error says if bytes are missing in the stream.

    Pipes get the exact bytes of one log; on a terminal control characters of guests are made
    visible, but for colours. With --json: an object on each line with "host", "path", the "data" in
    "encoding" (utf-8, or base64 if that would not be exact), "start" and "end" (positions), "gap"
    and "missed".
    """
    if start is not None and since is not None:
        raise click.UsageError("--from cannot be used together with --since.")
    if start is not None and len(selected.paths) != 1:
        raise click.UsageError("--from is a position in one log.")
    if follow and until is not None:
        raise click.UsageError("-f and --until cannot be used together.")
    with settings.connect() as fleet:
        # (what is stored from now on comes later)
        end = fleet.end()
        entries = fleet.entries(selected)
        histories = _histories(selected, entries, follow)
        is_one = len(selected.paths) == 1 and len(histories) == 1
        if start is not None:
            histories = [selected.one(entries)]
        output = Output(
            standard_output(),
            names=not is_one,
            timestamps=timestamps,
            as_json=settings.json,
            raw=raw,
            warn=warn,
        )
        command = _Tail(fleet, output, [entry.log for entry in entries])
        for history in histories:
            if start is not None:
                command.print(_last(messages_from(fleet, history, start, end), lines))
            elif since is None and until is None:
                count = DEFAULT_LINES if lines is None else lines
                command.print(fleet.last_lines(history, count, end))
            else:
                with closing(fleet.history(history, end, since, until)) as messages:
                    command.print(_last(messages, lines))
            if not follow:
                command.end(history)
        if follow:
            patterns = selected.patterns(fleet.prefix)
            if is_one:
                patterns = [histories[0].pattern(fleet.prefix)]
            command.follow(selected, patterns, end + 1)


def _histories(selected: Selection, entries: list[Entry], follow: bool) -> list[History]:
    try:
        return selected.histories(entries)
    except NotThere:
        if not follow:
            raise
        # (they may come)
        return []


def _last(messages: Iterable[Stored], count: int | None) -> Iterable[Stored]:
    """Return the last lines of messages; all where no number is given."""
    if count is None:
        return messages
    lines = LastLines(count)
    for message in messages:
        lines.add(message)
    return lines.messages()


class _Tail:
    """Prints messages of logs."""

    def __init__(self, fleet: Fleet, output: Output, logs: Sequence[Log]) -> None:
        self._fleet = fleet
        self._output = output
        self._names = Names(logs)
        self._sources: dict[str, Source] = {}
        for log in logs:
            # (so that their lines align)
            self._source(log)

    def print(self, messages: Iterable[Stored]) -> None:
        """Print what came of logs."""
        for message in messages:
            source = self._source(message.log)
            time = message.time
            piece = Piece(
                *(message.data, message.start, message.end, message.gap, message.missed),
                times=lambda _, time=time: time,  # type: ignore[misc]
            )
            self._output.print(source, piece)

    def end(self, history: History) -> None:
        """Print what is left of lines that have no end."""
        for entry in history.entries:
            self._output.end(self._source(entry.log))

    def follow(self, selected: Selection, patterns: list[str], start: int) -> None:
        """Print what comes, for ever."""
        output = self._output
        output.flush()
        following = self._fleet.follow(patterns, start)
        is_quiet = True
        while True:
            came = following.next(None if is_quiet else _QUIET_SECONDS)
            if not came:
                for source in self._sources.values():
                    output.rest(source)
                output.flush()
                is_quiet = True
                continue
            self.print(message for message in came if selected.has(message.log))
            is_quiet = output.is_exact
            if is_quiet:
                output.flush()

    def _source(self, log: Log) -> Source:
        source = self._sources.get(log.subject)
        if source is None:
            name = self._names.of(log)
            source = self._sources[log.subject] = self._output.source(log.path, name, log.host)
        return source
