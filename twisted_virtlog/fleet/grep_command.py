"""The subcommand ``grep``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import groupby

import click

from twisted_virtlog.ctl.grep.pattern import BadPattern, compile_pattern
from twisted_virtlog.ctl.grep.pieces import Piece
from twisted_virtlog.ctl.grep.printing import Printer, make_output
from twisted_virtlog.ctl.grep.run import LogSearch
from twisted_virtlog.ctl.grep.search import make_search
from twisted_virtlog.ctl.outcomes import warn
from twisted_virtlog.ctl.parameters import match_options
from twisted_virtlog.ctl.progress import Progress
from twisted_virtlog.ctl.ranges import Range
from twisted_virtlog.ctl.settings import OTHER_REFUSED_STATUS
from twisted_virtlog.ctl.tables import position_text
from twisted_virtlog.ctl.time_options import time_options
from twisted_virtlog.fleet.selecting import History, Selection, selection
from twisted_virtlog.fleet.settings import FleetSettings, common_options, pass_settings
from twisted_virtlog.fleet.stored import Log, Stored

_NOT_FOUND_STATUS = 1

#: (what is searched is chosen before)
_ALL = (Range(),)


@click.command(
    epilog="""
    \b
    Exit status:
      0  a line matches
      1  no line matches
      2  the command line is wrong
      3  no server can be reached, or there is no stream
      4  no log is one of those that were asked for
    """,
)
@click.argument("expression", metavar="REGEX")
@selection
@time_options
@match_options
@common_options
@pass_settings
@click.pass_context
def grep(
    ctx: click.Context,
    settings: FleetSettings,
    *,
    expression: str,
    selected: Selection,
    since: datetime | None,
    until: datetime | None,
    context: int,
    ignore_case: bool,
    count: bool,
    raw: bool,
) -> None:
    r"""Print the lines of logs that REGEX, a regular expression of Python's, matches.

    Without PATH and --domain: of all logs that are stored. A log is searched from its oldest
    message to its newest; that of a guest that moved on all its hosts, by time.

    Lines are bytes: \w, \s and -i are about ASCII. The end of a line, with carriage returns
    before it, is not part of it. Pipes get the exact bytes of lines; on a terminal control
    characters of guests are made visible, but for colours. HOST:PATH stands before each line,
    unless one log of one host was named.

    With --json: an object on each line, with "host", "path", "position", "data" in "encoding"
    (utf-8, or base64 if that would not be exact), "matched", and in "matches" where in the data
    something matches.
    """
    settings.refused_status = OTHER_REFUSED_STATUS
    try:
        search = make_search(compile_pattern(expression, ignore_case))
    except BadPattern as error:
        raise click.BadParameter(f"{expression!r}: {error}", param_hint="REGEX") from error
    progress = Progress(sys.stderr)
    printer = Printer(sys.stdout.buffer, progress)
    with settings.connect() as fleet:
        end = fleet.end()
        entries = fleet.entries(selected)
        histories = selected.histories(entries)
        logs = {entry.log.title: entry.log for entry in entries}
        is_one = len(selected.paths) == 1 and len(entries) == 1

        def members(title: str) -> dict[str, object]:
            return {"host": logs[title].host, "path": logs[title].path}

        output = make_output(
            *(printer, search, settings.json, not is_one, context, count, raw, members)
        )
        source = _Source(progress)
        found = LogSearch(source, search, output, progress.add, printer.flush)
        try:
            for history in _each(histories, count):
                with closing(fleet.history(history, end, since, until)) as messages:
                    if len(history.entries) == 1:
                        # (also one of which nothing is in that time, as it is counted)
                        found.search(source.of(history.newest.log, messages), _ALL)
                        continue
                    for log, run in groupby(messages, lambda one: one.log):
                        found.search(source.of(log, run), _ALL)
        finally:
            progress.erase()
    if not found.has_found:
        ctx.exit(_NOT_FOUND_STATUS)


def _each(histories: Sequence[History], count: bool) -> Iterator[History]:
    """Yield what is searched as one text: where lines are counted, each host's log by itself."""
    for history in histories:
        if count:
            yield from (History((entry,)) for entry in history.entries)
        else:
            yield history


class _Source:
    """Gives a search the messages of one log after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._messages: Iterable[Stored] = ()
        self._told: set[str] = set()

    def of(self, log: Log, messages: Iterable[Stored]) -> str:
        """Have messages that follow one another; return what their log is called."""
        self._messages = messages
        return log.title

    def pieces(self, path: str, _wanted: Range) -> Iterator[Piece]:
        """See Source."""
        parted = True
        for message in self._messages:
            if message.gap:
                self._tell(path, message)
            parted |= message.gap
            for data, position in message.by_file():
                yield Piece(data, position, parted)
                parted = False

    def _tell(self, path: str, message: Stored) -> None:
        """Say where bytes are missing, once for each log."""
        if path not in self._told:
            self._told.add(path)
            self._progress.erase()
            warn(f"{path}: bytes are missing before {position_text(message.start)}")
