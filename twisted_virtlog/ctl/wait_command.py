"""The subcommand ``wait``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from twisted_virtlog.client import BlockingClient, Position, RemoteError
from twisted_virtlog.ctl.outcomes import warn
from twisted_virtlog.ctl.parameters import log_path, parse_position, wait_timeout, wanted_options
from twisted_virtlog.ctl.settings import (
    OTHER_REFUSED_STATUS,
    Settings,
    connection_options,
    pass_settings,
)

if TYPE_CHECKING:
    from twisted_virtlog.client.blocking_following import BlockingFollowing
    from twisted_virtlog.ctl.waiting import Found, LineWatch

UNWANTED_STATUS = 1
#: That of timeout(1).
TIMED_OUT_STATUS = 124

#: A line that has no end is looked at once the log has been quiet for so long.
_QUIET_SECONDS = 0.2

_NO_SUCH_LOG = 1002

_NOW, _BOOT = "now", "boot"


@contextmanager
def followed(
    client: BlockingClient, path: str, where: Position | None, from_opening: bool
) -> Iterator[BlockingFollowing]:
    """Follow a log inside the context.

    :param where: from there on; None for now.
    :param from_opening: from where it was opened last instead, also if that is just now.
    """
    if from_opening:
        where = _last_opening(client, path)
    while True:
        with client.follow(path, where) as following:
            # (it may have been opened between the two questions)
            opened = _last_opening(client, path) if from_opening else where
            if opened == where:
                yield following
                return
        where = opened


@click.command(
    epilog="""
    \b
    Exit status:
      0    the line came, and is printed
      1    a line came that --not matches, and is printed
      2    the command line is wrong
      3    the daemon cannot be reached at the beginning
      4    the daemon answered with an error
      124  neither came within --timeout
    """,
)
@log_path
@wanted_options
@click.option(
    "--from",
    "start",
    metavar="POS",
    default=_NOW,
    show_default=True,
    help="Where to begin to look: now, INODE:OFFSET[:BIRTH], or boot, which is where the log was"
    " opened last.",
)
@wait_timeout
@connection_options
@pass_settings
@click.pass_context
def wait(
    ctx: click.Context,
    settings: Settings,
    *,
    path: str,
    wanted: str,
    unwanted: str | None,
    start: str,
    timeout: float | None,
) -> None:
    """Wait until a line comes in a log.

    The log need not be open, nor be there. A line is looked at while it comes: a prompt, which has
    no end, is found. Restarts of the daemon are waited for, and nothing is missed meanwhile.

    To miss nothing of a guest that is started after this: print the position first (virtlogctl
    position, or append an empty message to a log that is not open), start the guest, and wait from
    there.

    With --json: an object with "wanted", the "line" in "encoding" (utf-8, or base64 if that would
    not be exact), and "end", the position behind what matches, from which to wait for what follows.
    """
    settings.refused_status = OTHER_REFUSED_STATUS
    deadline = None if timeout is None else time.monotonic() + timeout
    if timeout is not None:
        settings.timeout = min(settings.timeout, timeout)
    # (not loaded by other commands)
    from twisted_virtlog.ctl.grep.pattern import BadPattern  # noqa: PLC0415
    from twisted_virtlog.ctl.wait_output import print_found  # noqa: PLC0415
    from twisted_virtlog.ctl.waiting import watch_for  # noqa: PLC0415

    where = None if start in {_NOW, _BOOT} else parse_position(start)
    with settings.connect() as client:
        try:
            with followed(client, path, where, start == _BOOT) as following:
                watch = watch_for(wanted, unwanted, _begins_line(client, path, following.position))
                found = _find(following, watch, deadline)
        except BadPattern as error:
            raise click.UsageError(str(error)) from error
    if found is None:
        warn(f"{path}: no line that was waited for came within {timeout:g} seconds")
        ctx.exit(TIMED_OUT_STATUS)
    print_found(found, settings.json)
    if not found.wanted:
        ctx.exit(UNWANTED_STATUS)


def _last_opening(client: BlockingClient, path: str) -> Position | None:
    """Return where a log was opened last; None if it was never."""
    try:
        boots = client.boots(path)
    except RemoteError as error:
        if error.code != _NO_SUCH_LOG:
            raise
        return None
    return boots[-1].start if boots else None


def _begins_line(client: BlockingClient, path: str, position: Position) -> bool:
    """Return whether a line begins at a position, as far as that can be said."""
    if not position.offset:
        return True
    before = Position(position.inode, position.offset - 1, position.birth)
    try:
        chunk = client.read(path, before, 1)
    except RemoteError:
        return False
    return chunk.data == b"\n" and not chunk.gap


def _find(following: BlockingFollowing, watch: LineWatch, deadline: float | None) -> Found | None:
    """Take what comes until something is found; None if the time is over before."""
    is_rested = True
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            # (what is there now came in time)
            left = 0.0
        seconds = left if is_rested else min(_QUIET_SECONDS, left or _QUIET_SECONDS)
        chunk = following.next(seconds)
        if chunk is not None:
            if found := watch.feed(chunk):
                return found
            is_rested = False
            continue
        if not is_rested:
            is_rested = True
            if found := watch.rest():
                return found
        if left == 0.0:
            return None
