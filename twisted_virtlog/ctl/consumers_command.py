"""The subcommand ``consumers``: who has read what of logs, and what is held for them."""

from __future__ import annotations

import click

from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import print_answer
from twisted_virtlog.ctl.parameters import optional_log_path
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings
from twisted_virtlog.escaping import visible


@click.group(invoke_without_command=True)
@common_options
@pass_settings
@click.pass_context
def consumers(ctx: click.Context, settings: Settings) -> None:
    """Show who has read what of logs, or forget one who will not come again.

    Without a command, as with "list".
    """
    if ctx.invoked_subcommand is None:
        _print(settings)


@consumers.command(name="list")
@common_options
@pass_settings
def list_consumers(settings: Settings) -> None:
    """Show up to where each consumer has read each log.

    LAG is what it has yet to read, HELD what rotation would have removed and is kept, and UNREAD
    what went before it was read, all in bytes.
    """
    _print(settings)


@consumers.command
@click.argument("consumer")
@optional_log_path
@common_options
@pass_settings
def forget(settings: Settings, consumer: str, path: str | None) -> None:
    """Forget what CONSUMER has read of PATH, or of all logs; nothing is held for it any more.

    If it acknowledges a log again, that is held for it again. One that will not should not stand
    in the daemon's configuration either.
    """
    with settings.connect() as client:
        client.forget_consumer(consumer, path)
    what = "all logs" if path is None else visible(path)
    text = f"what {visible(consumer)} has read of {what} is forgotten"
    print_answer(settings, {"consumer": consumer, "path": path}, text)


def _print(settings: Settings) -> None:
    with settings.connect() as client:
        found = client.consumers()
    print_answer(settings, found, tables.consumers_table(found))
