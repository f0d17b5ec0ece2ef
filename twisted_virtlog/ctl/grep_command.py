"""The subcommand ``grep``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from twisted_virtlog.client import RemoteError
from twisted_virtlog.ctl.outcomes import report, warn
from twisted_virtlog.ctl.parameters import match_options
from twisted_virtlog.ctl.ranges import Limits, NoSuchBoot, range_options
from twisted_virtlog.ctl.selecting import Selection, selection
from twisted_virtlog.ctl.settings import (
    OTHER_REFUSED_STATUS,
    Settings,
    common_options,
    pass_settings,
)
from twisted_virtlog.ctl.tables import position_text

if TYPE_CHECKING:
    from twisted_virtlog.client import Position
    from twisted_virtlog.ctl.progress import Progress

_NOT_FOUND_STATUS = 1
_NO_SUCH_LOG = 1002


@click.command(
    epilog="""
    \b
    Exit status:
      0  a line matches
      1  no line matches, or no log is one of those
      2  the command line is wrong
      3  the daemon cannot be reached, or does not answer
      4  the daemon answered with an error
    """,
)
@click.argument("expression", metavar="REGEX")
@selection
@range_options
@match_options
@common_options
@pass_settings
@click.pass_context
def grep(
    ctx: click.Context,
    settings: Settings,
    *,
    expression: str,
    selected: Selection,
    limits: Limits,
    context: int,
    ignore_case: bool,
    count: bool,
    raw: bool,
) -> None:
    r"""Print the lines of logs that REGEX, a regular expression of Python's, matches.

    Without PATH and --domain: of all logs that the daemon knows, open or not. This includes
    everything written before the command started. The files of a log are one text, from the oldest
    to the newest; the program reads them by itself, which costs the daemon nothing.

    Lines are bytes: \w, \s and -i are about ASCII. The end of a line, with carriage returns
    before it, is not part of it. Pipes get the exact bytes of lines; on a terminal control
    characters of guests are made visible, but for colours. With more than one log, or --domain, the
    path stands before each line.

    With --json: an object on each line, with "path", "position", "data" in "encoding" (utf-8, or
    base64 if that would not be exact), "matched", and in "matches" where in the data something
    matches.
    """
    settings.refused_status = OTHER_REFUSED_STATUS
    # (not loaded by other commands)
    from twisted_virtlog.ctl.grep.pattern import BadPattern, compile_pattern  # noqa: PLC0415
    from twisted_virtlog.ctl.grep.printing import Printer, make_output  # noqa: PLC0415
    from twisted_virtlog.ctl.grep.reading import LogSource  # noqa: PLC0415
    from twisted_virtlog.ctl.grep.run import LogSearch  # noqa: PLC0415
    from twisted_virtlog.ctl.grep.search import make_search  # noqa: PLC0415
    from twisted_virtlog.ctl.progress import Progress  # noqa: PLC0415

    try:
        search = make_search(compile_pattern(expression, ignore_case))
    except BadPattern as error:
        raise click.BadParameter(f"{expression!r}: {error}", param_hint="REGEX") from error
    progress = Progress(sys.stderr)
    printer = Printer(sys.stdout.buffer, progress)
    with settings.connect() as client:
        paths = selected.find(client)
        output = make_output(
            *(printer, search, settings.json, not selected.is_one, context, count, raw)
        )
        found = LogSearch(
            LogSource(client, _Missing(progress)), search, output, progress.add, printer.flush
        )
        failed = False
        try:
            for path in paths:
                try:
                    found.search(path, limits.ranges(client, path))
                except RemoteError as error:
                    # (a log that is known may have no file any more)
                    if not selected.paths and error.code == _NO_SUCH_LOG:
                        continue
                    failed = True
                    progress.erase()
                    report(settings, error)
                except NoSuchBoot as error:
                    if selected.paths:
                        progress.erase()
                        warn(str(error))
        finally:
            progress.erase()
    if failed:
        ctx.exit(OTHER_REFUSED_STATUS)
    if not found.has_found:
        ctx.exit(_NOT_FOUND_STATUS)


class _Missing:
    """Says where bytes are missing, once for each log."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told: set[str] = set()

    def __call__(self, path: str, oldest: Position) -> None:
        if path not in self._told:
            self._told.add(path)
            self._progress.erase()
            where = position_text(oldest)
            warn(f"{path}: bytes are missing: rotated away before {where}")
