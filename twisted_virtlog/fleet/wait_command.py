"""The subcommand ``wait``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime

import click

from twisted_virtlog.ctl.grep.pattern import BadPattern
from twisted_virtlog.ctl.outcomes import warn
from twisted_virtlog.ctl.parameters import parse_position, wait_timeout, wanted_options
from twisted_virtlog.ctl.settings import OTHER_REFUSED_STATUS
from twisted_virtlog.ctl.time_options import since_option
from twisted_virtlog.ctl.wait_command import TIMED_OUT_STATUS, UNWANTED_STATUS
from twisted_virtlog.ctl.wait_output import print_found
from twisted_virtlog.ctl.waiting import Found, LineWatch, watch_for
from twisted_virtlog.fleet.errors import NotThere
from twisted_virtlog.fleet.fleet import Following
from twisted_virtlog.fleet.positions import messages_from
from twisted_virtlog.fleet.selecting import Entry, History, Selection, selection
from twisted_virtlog.fleet.settings import FleetSettings, connection_options, pass_settings
from twisted_virtlog.fleet.stored import Log, Stored

#: A line that has no end is looked at once nothing has come for so long.
_QUIET_SECONDS = 0.2

_NOW = "now"


@click.command(
    epilog="""
    \b
    Exit status:
      0    the line came, and is printed
      1    a line came that --not matches, and is printed
      2    the command line is wrong
      3    no server can be reached at the beginning, or there is no stream
      4    --from is not stored, or it is not clear in which log
      124  neither came within --timeout
    """,
)
@selection
@wanted_options
@click.option(
    "--from",
    "start",
    metavar="POS",
    default=_NOW,
    show_default=True,
    help="Where to begin to look: now, or INODE:OFFSET[:BIRTH].",
)
@since_option
@wait_timeout
@connection_options
@pass_settings
@click.pass_context
def wait(
    ctx: click.Context,
    settings: FleetSettings,
    *,
    selected: Selection,
    wanted: str,
    unwanted: str | None,
    start: str,
    since: datetime | None,
    timeout: float | None,
) -> None:
    """Wait until a line comes in a log, or in any of several.

    Without PATH and --domain: in any log. The logs need not be there. A line is looked at while it
    comes: a prompt, which has no end, is found. Restarts of servers are waited for, and nothing is
    missed meanwhile.

    HOST:PATH stands before the line, unless one PATH was named. With --json: an object with
    "wanted", "host", "path", the "line" in "encoding" (utf-8, or base64 if that would not be
    exact), and "end", the position behind what matches, from which to wait for what follows.
    """
    settings.refused_status = OTHER_REFUSED_STATUS
    deadline = None if timeout is None else time.monotonic() + timeout
    if timeout is not None:
        settings.timeout = min(settings.timeout, timeout)
    where = None if start == _NOW else parse_position(start)
    if where is not None and since is not None:
        raise click.UsageError("--from cannot be used together with --since.")
    if where is not None and len(selected.paths) != 1:
        raise click.UsageError("--from is a position in one log.")
    try:
        watches = _Watches(wanted, unwanted)
    except BadPattern as error:
        raise click.UsageError(str(error)) from error
    with settings.connect() as fleet:
        end = fleet.end()
        patterns = selected.patterns(fleet.prefix)
        found = None
        if where is not None:
            history = selected.one(fleet.entries(selected))
            patterns = [history.pattern(fleet.prefix)]
            found = watches.feed(messages_from(fleet, history, where, end))
        elif since is not None:
            for history in _histories(selected, fleet.entries(selected)):
                found = found or watches.feed(fleet.history(history, end, since))
        found = found or watches.find(fleet.follow(patterns, end + 1), selected, deadline)
    if found is None:
        what = ", ".join(selected.paths) or "the logs"
        warn(f"{what}: no line that was waited for came within {timeout:g} seconds")
        ctx.exit(TIMED_OUT_STATUS)
    log, line = found
    name = "" if len(selected.paths) == 1 else log.title
    print_found(line, settings.json, {"host": log.host, "path": log.path}, name)
    if not line.wanted:
        ctx.exit(UNWANTED_STATUS)


def _histories(selected: Selection, entries: Iterable[Entry]) -> list[History]:
    try:
        return selected.histories(entries)
    except NotThere:
        # (they may come)
        return []


class _Watches:
    """Looks at the lines of several logs, each by itself."""

    def __init__(self, wanted: str, unwanted: str | None) -> None:
        """:raises BadPattern: one of them is no regular expression."""
        self._make: Callable[[bool], LineWatch] = lambda begins_line: watch_for(
            wanted, unwanted, begins_line
        )
        self._make(True)
        self._watches: dict[str, tuple[Log, LineWatch]] = {}

    def feed(self, messages: Iterable[Stored]) -> tuple[Log, Found] | None:
        """Look at what came."""
        for message in messages:
            log = message.log
            if log.subject not in self._watches:
                self._watches[log.subject] = log, self._make(message.begins_line)
            if found := self._watches[log.subject][1].feed(message):
                return log, found
        return None

    def find(
        self, following: Following, selected: Selection, deadline: float | None
    ) -> tuple[Log, Found] | None:
        """Take what comes until something is found; None if the time is over before."""
        is_rested = not self._watches
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            seconds = left if is_rested else min(_QUIET_SECONDS, left or _QUIET_SECONDS)
            came = following.next(seconds)
            if found := self.feed(one for one in came if selected.has(one.log)):
                return found
            if came:
                is_rested = False
                continue
            if not is_rested:
                is_rested = True
                for log, watch in self._watches.values():
                    if rested := watch.rest():
                        return log, rested
            if left == 0.0:
                return None
