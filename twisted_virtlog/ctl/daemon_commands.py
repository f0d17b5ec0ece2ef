"""The subcommands about the daemon itself: ``info``, ``metrics``, ``reexec`` and ``discover``."""

from __future__ import annotations

import json
import os
import sys

import click
import msgspec

from twisted_virtlog.client import DaemonInfo
from twisted_virtlog.ctl import tables
from twisted_virtlog.ctl.outcomes import json_of, print_answer
from twisted_virtlog.ctl.settings import Settings, common_options, pass_settings
from twisted_virtlog.escaping import visible


@click.command()
@common_options
@pass_settings
def info(settings: Settings) -> None:
    """Show the daemon's socket, version, limits and totals.

    "lanes" are the threads of file systems that may not answer, and "lane_oldest_s" is for how many
    seconds the longest of their operations has lasted.
    """
    with settings.connect() as client:
        answer = client.info()
    _print_info(settings, answer)


@click.command()
@click.option(
    "--to-virtlogd",
    metavar="PATH",
    help="Hand over to libvirt's virtlogd at this path instead.",
)
@click.option(
    "--state-version",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write version N of the state, for an older release to take over; 1 is the oldest.",
)
@common_options
@pass_settings
def reexec(settings: Settings, to_virtlogd: str | None, state_version: int | None) -> None:
    """Make the daemon re-execute itself, as after an upgrade.

    The new image takes over all logs, sockets and clients; neither guests nor clients notice. If it
    cannot start, the daemon continues as it is, and the reason is printed. virtlogd takes over
    everything except the JSON-RPC socket and its clients.
    """
    with settings.connect() as client:
        client.reexec(os.path.abspath(to_virtlogd) if to_virtlogd else None, state_version)
        if to_virtlogd:
            if settings.json:
                click.echo("null")
            return
        # (the next image answers this, as soon as it serves)
        answer = client.info()
    _print_info(settings, answer)


@click.command()
@common_options
@pass_settings
def metrics(settings: Settings) -> None:
    """Print what the daemon counts and measures, in Prometheus' text format.

    As for the textfile collector of node_exporter; doc/operations.md has an example.
    """
    with settings.connect() as client:
        text = client.metrics()
    if settings.json:
        click.echo(json_of({"text": text}))
        return
    if sys.stdout.isatty():
        # (a path may have anything in it)
        text = "\n".join(map(visible, text.split("\n")))
    click.echo(text, nl=False)


@click.command()
@common_options
@pass_settings
def discover(settings: Settings) -> None:
    """Print the OpenRPC document of the daemon's methods, in JSON."""
    with settings.connect() as client:
        document = client.discover()
    click.echo(json.dumps(document, indent=None if settings.json else 2))


def _print_info(settings: Settings, info: DaemonInfo) -> None:
    socket = os.path.abspath(settings.socket_path)
    answer = {"socket": socket, **msgspec.to_builtins(info)}
    print_answer(settings, answer, tables.info_table(info, socket))
