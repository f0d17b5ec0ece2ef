"""The subcommand ``boots``."""

from __future__ import annotations

import click
import msgspec

from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import print_answer
from twisted_virtlog.ctl.parameters import log_path
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings


@click.command()
@log_path
@common_options
@pass_settings
def boots(settings: Settings, path: str) -> None:
    """List each time that a log was opened, oldest first, as far as its bytes are kept.

    These are the boots of its guest. NUMBER is what --boot of other commands takes. POSITION is
    where its first byte is, or the oldest one that is kept.
    """
    with settings.connect() as client:
        found = client.boots(path)
    numbers = range(1 - len(found), 1)
    answer = [
        {"number": number, **msgspec.to_builtins(boot)}
        for number, boot in zip(numbers, found, strict=True)
    ]
    print_answer(settings, answer, tables.boots_table(found))
