"""Turns what went wrong into a message and an exit status; loaded when something has."""

from __future__ import annotations

import click

from twisted_virtlog.client import BadRequest, ClientError, RemoteError, Unreachable
from twisted_virtlog.ctl.advice import advice
from twisted_virtlog.ctl.outcomes import error_json, report, tell
from twisted_virtlog.ctl.ranges import NoSuchBoot
from twisted_virtlog.ctl.running import CannotRun
from twisted_virtlog.ctl.selecting import NothingSelected
from twisted_virtlog.ctl.settings import (
    REFUSED_STATUS,
    UNREACHABLE_STATUS,
    USAGE_STATUS,
    Settings,
)
from twisted_virtlog.escaping import visible


def explain(settings: Settings, error: Exception) -> int | None:
    """Print what went wrong, in JSON if that was requested.

    :returns: the exit status; None if this is a mistake in the program, and nothing was printed.
    """
    if isinstance(error, RemoteError):
        report(settings, error)
        return settings.refused_status
    if isinstance(error, Unreachable):
        what_to_do = advice(settings.socket_path, error)
        tell(settings, f"{error}. {what_to_do}" if what_to_do else str(error))
        return UNREACHABLE_STATUS
    status = _status(error)
    if status == UNREACHABLE_STATUS:
        tell(settings, f"{error} (socket {settings.socket_path})")
    elif status is not None:
        tell(settings, str(error))
    return status


def show_usage_error(error: click.UsageError, as_json: bool) -> None:
    """Print what is wrong with the command line."""
    # (without a command, click shows the help)
    bare = error.ctx is not None and error.message == error.ctx.get_help()
    message = "Missing command." if bare else error.format_message()
    if as_json:
        click.echo(error_json(message), err=True)
    elif bare:
        error.show()
    else:
        # What it quotes from the command line may contain anything.
        click.UsageError(visible(message), error.ctx).show()


def _status(error: Exception) -> int | None:
    if isinstance(error, CannotRun):
        return error.status
    if isinstance(error, NothingSelected | NoSuchBoot):
        return REFUSED_STATUS
    if isinstance(error, BadRequest):
        return USAGE_STATUS
    return UNREACHABLE_STATUS if isinstance(error, ClientError) else None
