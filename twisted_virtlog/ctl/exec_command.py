"""The subcommand ``exec``."""

from __future__ import annotations

import click

from twisted_virtlog.client import Domain
from twisted_virtlog.ctl.parameters import log_path, origin_options
from twisted_virtlog.ctl.running import become, find_command
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings


@click.command(
    "exec",
    epilog="""
    Example: virtlogctl exec /var/log/guest.log --append-stderr -- qemu-system-x86_64 -nographic
    """,
)
@log_path
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--append-stderr",
    is_flag=True,
    help="Write standard error to the log too; by default it is left alone.",
)
@click.option("--truncate", is_flag=True, help="Begin with an empty log, and remove its backups.")
@origin_options
@common_options
@pass_settings
def execute(
    settings: Settings,
    *,
    path: str,
    command: tuple[str, ...],
    append_stderr: bool,
    truncate: bool,
    driver: str,
    domain: Domain | None,
) -> None:
    """Open a log and run COMMAND with its standard output in the log.

    Write -- before COMMAND if it has options. virtlogctl becomes COMMAND: process id, signals and
    exit status are the command's. The log is closed when all processes that hold its output have
    ended.
    """
    # Before the log is opened, and possibly truncated, in vain.
    file = find_command(command[0])
    with settings.connect() as client:
        opened = client.open(path, driver, domain, truncate)
    become(file, command, opened.write_end, append_stderr)
