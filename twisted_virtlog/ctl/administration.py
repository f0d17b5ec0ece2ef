"""The subcommands of virtlogctl that administer the daemon."""

from __future__ import annotations

import click

from twisted_virtlog.client import ServerLimits
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import print_answer
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings
from twisted_virtlog.escaping import visible

_UINT32 = 2**32 - 1


@click.command()
@click.argument("server", required=False)
@common_options
@pass_settings
def clients(settings: Settings, server: str | None) -> None:
    """List who is connected to the daemon, or to one SERVER.

    A server is the clients of one protocol: virtlogd (libvirt's drivers), jsonrpc or admin.
    """
    with settings.connect() as client:
        answer = client.clients(server)
    print_answer(settings, answer, tables.clients_table(answer))


@click.command()
@click.argument("server")
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@common_options
@pass_settings
def disconnect(settings: Settings, server: str, number: int) -> None:
    """Close a client's connection at once.

    SERVER and ID are as "virtlogctl clients" lists them. The logs that the client opened stay open.
    """
    with settings.connect() as client:
        answer = client.disconnect(server, number)
    print_answer(settings, answer, visible(f"client {number} of {server} is disconnected"))


@click.command()
@click.argument("server", required=False)
@click.option(
    "--max-clients",
    type=click.IntRange(0, _UINT32),
    metavar="N",
    help="Serve at most N clients of SERVER at once. Nobody is disconnected; others wait.",
)
@common_options
@pass_settings
def limits(settings: Settings, server: str | None, max_clients: int | None) -> None:
    """Show, or set, how many clients may be connected.

    A setting holds until the daemon reads its configuration again.
    """
    if max_clients is not None and server is None:
        raise click.UsageError("--max-clients needs a SERVER.")
    with settings.connect() as client:
        if max_clients is not None and server is not None:
            answer = [client.set_limits(server, max_clients)]
        else:
            answer = [
                ServerLimits(one.server, one.max_clients, len(one.clients))
                for one in client.clients(server)
            ]
    print_answer(settings, answer, tables.limits_table(answer))


@click.command()
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The level of messages that no filter matches.",
)
@click.option("--filters", metavar="FILTERS", help='Such as "1:logs 3:jsonrpc"; empty for none.')
@click.option(
    "--outputs",
    metavar="OUTPUTS",
    help='Such as "3:stderr 1:file:/a.log"; empty for the default.',
)
@common_options
@pass_settings
def logging(
    settings: Settings, level: str | None, filters: str | None, outputs: str | None
) -> None:
    """Show, or set, what the daemon logs about itself, and where.

    FILTERS and OUTPUTS have the form of libvirt's log_filters and log_outputs. A setting holds
    until the daemon reads its configuration again.
    """
    with settings.connect() as client:
        if level is filters is outputs is None:
            answer = client.logging()
        else:
            answer = client.set_logging(level, _items(filters), _items(outputs))
    print_answer(settings, answer, tables.logging_table(answer))


def _items(text: str | None) -> list[str] | None:
    # Only spaces separate, as in libvirt.
    return None if text is None else [item for item in text.split(" ") if item]


ADMINISTRATION = (clients, disconnect, limits, logging)
