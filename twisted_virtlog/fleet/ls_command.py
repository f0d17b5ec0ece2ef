"""The subcommand ``ls``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from twisted_virtlog.ctl.outcomes import json_of
from twisted_virtlog.ctl.tables import drawn, position_text, time_text
from twisted_virtlog.ctl.time_options import time_options
from twisted_virtlog.escaping import visible
from twisted_virtlog.fleet.selecting import Entry, Selection, selection
from twisted_virtlog.fleet.settings import FleetSettings, common_options, pass_settings

_HEADINGS = ("HOST", "PATH", "GUEST", "DRIVER", "POSITION", "MESSAGES", "LAST")


@click.command("ls")
@selection
@time_options
@common_options
@pass_settings
def list_logs(
    settings: FleetSettings, *, selected: Selection, since: datetime | None, until: datetime | None
) -> None:
    """List the logs that are stored, each host's by itself.

    POSITION is up to where a log is stored, as virtlogctl on that host has it; LAST is when that
    came. With --since and --until: those of which something came last in that time.

    With --json: an array of objects with "host", "path", "domain", "driver", "position", "messages"
    and "last".
    """
    with settings.connect() as fleet:
        entries = [
            entry
            for history in selected.histories(fleet.entries(selected))
            for entry in history.entries
        ]
        counts = fleet.counts(selected)
    entries = [
        entry
        for entry in entries
        if (since is None or entry.last >= since) and (until is None or entry.last <= until)
    ]
    if settings.json:
        click.echo(json_of([_members(entry, counts) for entry in entries]))
    else:
        click.echo(_table(entries, counts))


def _members(entry: Entry, counts: dict[str, int]) -> dict[str, object]:
    log = entry.log
    domain = None if log.uuid is None else {"uuid": log.uuid, "name": log.domain}
    return {
        "host": log.host,
        "path": log.path,
        "domain": domain,
        "driver": log.driver,
        "position": entry.end,
        "messages": counts.get(log.subject, 0),
        "last": entry.last.isoformat(),
    }


def _table(entries: Sequence[Entry], counts: dict[str, int]) -> str:
    rows = [_HEADINGS]
    for entry in entries:
        log = entry.log
        rows.append(
            (
                visible(log.host),
                visible(log.path),
                visible(log.domain or "-"),
                visible(log.driver or "-"),
                position_text(entry.end),
                str(counts.get(log.subject, 0)),
                time_text(entry.last),
            )
        )
    return drawn(rows)
