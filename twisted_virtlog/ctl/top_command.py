"""The subcommand ``top``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import click
import msgspec

from twisted_virtlog.client.feed import Feed
from twisted_virtlog.ctl.outcomes import json_of, warn
from twisted_virtlog.ctl.presence import connect
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings
from twisted_virtlog.ctl.top.board import ORDERS, Board
from twisted_virtlog.ctl.top.text import of_all, table
from twisted_virtlog.ctl.top.updates import Listed, Lost, Told, Update, updates
from twisted_virtlog.ctl.top.view import View

_DEFAULT_INTERVAL_SECONDS = 2.0
_DEFAULT_LINES = 10
#: Of a line that may be as long as it likes.
_ANY_WIDTH = 1 << 20


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=_DEFAULT_INTERVAL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until rates are taken again.",
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(list(ORDERS)),
    default="rate",
    show_default=True,
    help="Which logs come first.",
)
@click.option("--plain", is_flag=True, help="Print plain lines on a terminal, too.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=1),
    default=_DEFAULT_LINES,
    show_default=True,
    metavar="N",
    help="How many logs to print in plain lines, at most.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after plain lines were printed N times.  [default: go on for ever]",
)
@common_options
@pass_settings
def top(
    settings: Settings,
    *,
    interval: float,
    order: str,
    plain: bool,
    lines: int,
    count: int | None,
) -> None:
    """Show the open logs, those first to which most is written, until it is ended.

    BYTES/S is what was written to the files of a log since the table was shown before. DROPPED are
    bytes lost since the log was opened, and PENDING those that could not be written yet; of a
    failing log the reason stands behind the path.

    On a terminal it is a table that stays up to date; its last line says which keys it has. Where
    there is none, with --plain or --json, and where curses cannot draw, the first logs are printed
    now and then.

    With --json: an object on each line with "time", "totals", and "logs", each with "path",
    "guest", "state", "error", "rate", "dropped", "pending" and "followers".
    """
    # (the terminal is left alone until a daemon has answered)
    path, timeout = settings.socket_path, settings.timeout or None
    coming = updates(connect(path, timeout, Feed), lambda: Feed(path, timeout), interval)
    first = next(coming)
    if not (plain or settings.json or count is not None) and _drawn(coming, first, interval, order):
        return
    _print(settings, coming, first, order, lines, count)


def _drawn(coming: Iterator[Update], first: Update, interval: float, order: str) -> bool:
    """Draw on the terminal until it is ended; return whether that is possible."""
    try:
        # (not in every installation of Python)
        from twisted_virtlog.ctl.top.screen import Screen, can_draw  # noqa: PLC0415
    except ImportError:
        return False
    if not can_draw():
        return False
    screen = Screen(coming, interval, View(order))
    screen.take(first)
    screen.run()
    return True


def _print(
    settings: Settings,
    coming: Iterator[Update],
    first: Update,
    order: str,
    lines: int,
    count: int | None,
) -> None:
    board = Board()
    _take(board, first)
    printed = 0
    for update in coming:
        if isinstance(update, Lost):
            warn(f"{update.reason}; trying again")
            continue
        _take(board, update)
        if isinstance(update, Listed):
            click.echo(_json(board, order) if settings.json else _lines(board, order, lines))
            printed += 1
            if printed == count:
                return


def _take(board: Board, update: Update) -> None:
    if isinstance(update, Listed):
        board.listed(update.logs, update.time)
    elif isinstance(update, Told):
        board.told(update.kind, update.log, update.time)


def _lines(board: Board, order: str, lines: int) -> str:
    rows = board.rows(order, is_reversed=False, wanted="")[:lines]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = [line.text.rstrip() for line in table(rows, order, _ANY_WIDTH)]
    return "\n".join([of_all(board.totals(), now), *body, ""])


def _json(board: Board, order: str) -> str:
    return json_of(
        {
            "time": datetime.now(timezone.utc),
            "totals": msgspec.to_builtins(board.totals()),
            "logs": msgspec.to_builtins(board.rows(order, is_reversed=False, wanted="")),
        }
    )
