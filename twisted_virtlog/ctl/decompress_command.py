"""The subcommand ``decompress``: makes compressed backups what they were; asks no daemon."""

from __future__ import annotations

from pathlib import Path

import click

from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings
from twisted_virtlog.escaping import visible
from twisted_virtlog.packed.restoring import packed_files, restore


@click.command()
@click.argument("places", metavar="PLACE...", nargs=-1, required=True)
@common_options
@pass_settings
@click.pass_context
def decompress(ctx: click.Context, settings: Settings, places: tuple[str, ...]) -> None:
    """Decompress the backups of logs, so that libvirt's virtlogd knows them.

    PLACE is the path of a log, or of a directory of logs. No daemon is asked: before that, take
    "compress" out of its configuration, or it compresses them again. Positions in these files are
    good no more.
    """
    failed = False
    for place in places:
        try:
            files = packed_files(Path(place))
        except OSError as error:
            failed = True
            click.echo(f"virtlogctl: {visible(place)}: {error.strerror}", err=True)
            continue
        for file in files:
            try:
                size = restore(file)
            except OSError as error:
                failed = True
                reason = error.strerror or str(error)
                click.echo(f"virtlogctl: {visible(str(file))}: {reason}", err=True)
            else:
                click.echo(f"{visible(str(file.with_suffix('')))}: {size} bytes")
    if failed:
        ctx.exit(1)
