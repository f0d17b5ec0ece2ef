"""The subcommand ``list``."""

from __future__ import annotations

import click
import msgspec

from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.holders import find_holders
from twisted_virtlog.ctl.outcomes import print_answer
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings


@click.command("list")
@click.option("--closed", is_flag=True, help="Also the known logs that are not open.")
@common_options
@pass_settings
def list_logs(settings: Settings, closed: bool) -> None:
    """List the open logs.

    POSITION is the end of the log's file, without what is still in the pipe. HOLDERS are the
    processes that can write to the pipe; root sees those of all users. THREAD, where a log has one,
    is the mount point of the file system whose own thread writes the log. With --closed, KEPT are
    the bytes in the log's files, as far as they are known.
    """
    with settings.connect() as client:
        logs = client.list(closed=closed)
    holders = find_holders({log.pipe for log in logs if log.pipe is not None})
    answer = [{**msgspec.to_builtins(log), "holders": holders.of(log.pipe)} for log in logs]
    print_answer(settings, answer, tables.logs_table(logs, holders, closed))
