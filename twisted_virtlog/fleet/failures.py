"""Turns what went wrong into a message and an exit status; loaded when something has."""

from __future__ import annotations

import click

from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ctl.outcomes import error_json, warn
from twisted_virtlog.ctl.settings import UNREACHABLE_STATUS, USAGE_STATUS
from twisted_virtlog.fleet.errors import NoServer, NotThere
from twisted_virtlog.fleet.settings import FleetSettings, NoExtra


def explain(settings: FleetSettings, error: Exception) -> int | None:
    """Print what went wrong, in JSON if that was requested.

    :returns: the exit status; None if this is a mistake in the program, and nothing was printed.
    """
    if isinstance(error, NotThere):
        status = settings.refused_status
    elif isinstance(error, NoServer):
        status = UNREACHABLE_STATUS
    elif isinstance(error, ConfigError | NoExtra):
        status = USAGE_STATUS
    else:
        return None
    if settings.json:
        click.echo(error_json(str(error)), err=True)
    else:
        warn(str(error))
    return status
