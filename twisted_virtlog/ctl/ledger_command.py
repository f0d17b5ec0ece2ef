"""The subcommand ``ledger``."""

from __future__ import annotations

import click

from twisted_virtlog.client import BlockingClient, Ledger, RemoteError
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import print_answer, tell
from twisted_virtlog.ctl.parameters import optional_log_path
from twisted_virtlog.ctl.settings import (
    OTHER_REFUSED_STATUS,
    REFUSED_STATUS,
    Settings,
    common_options,
    pass_settings,
)

_NO_SUCH_LOG = 1002


@click.command()
@optional_log_path
@click.option("--check", is_flag=True, help="Exit with status 1 if the counts do not agree.")
@common_options
@pass_settings
@click.pass_context
def ledger(ctx: click.Context, settings: Settings, path: str | None, check: bool) -> None:
    """Show what became of every byte of an open log since it was opened.

    Without PATH, of all logs together since the daemon first started, where what is stored is that
    of the open ones. With --check the exit status is 1 if a byte is missing or too many, and 4 if
    the daemon answers with an error.
    """
    if check:
        settings.refused_status = OTHER_REFUSED_STATUS
    with settings.connect() as client:
        found = client.ledger(path)
        print_answer(settings, found, tables.ledger_table(found))
        wrong = _gaps(client, path, found) if check and found.holds is False else {}
    for one, (intake, storage) in wrong.items():
        gaps = {"intake": intake, "storage": storage}
        said = ", ".join(f"{name} by {gap}" for name, gap in gaps.items() if gap)
        tell(settings, f"{one}: the counts do not agree: {said} bytes", data={"path": one, **gaps})
    if check and found.holds is False:
        ctx.exit(REFUSED_STATUS)


def _gaps(client: BlockingClient, path: str | None, found: Ledger) -> dict[str, tuple[int, int]]:
    """Return by how many bytes the counts of logs do not agree, for those that do not."""
    ledgers = {path: found} if path is not None else _all(client)
    gaps = {one: (ledger.intake_gap, ledger.storage_gap) for one, ledger in ledgers.items()}
    return {one: gap for one, gap in gaps.items() if any(gap)}


def _all(client: BlockingClient) -> dict[str, Ledger]:
    found = {}
    for log in client.list():
        try:
            found[log.path] = client.ledger(log.path)
        except RemoteError as error:
            # (one may have been closed meanwhile)
            if error.code != _NO_SUCH_LOG:
                raise
    return found
