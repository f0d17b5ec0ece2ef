"""The subcommand ``policy``."""

from __future__ import annotations

import click

from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import print_answer
from twisted_virtlog.ctl.parameters import log_path
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings


@click.command()
@log_path
@common_options
@pass_settings
def policy(settings: Settings, path: str) -> None:
    """Show how a log is kept, and what says so.

    FROM is policies[N], an entry of that key counted from 0, with its text; the name of a key that
    the configuration file sets; or "default". A log that is not open is kept as at its last
    opening.
    """
    with settings.connect() as client:
        answer = client.policy(path)
    print_answer(settings, answer, tables.policy_table(answer))
