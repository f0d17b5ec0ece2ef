"""The command ``python -m twisted_virtlog.systemd``: installs the units, and removes them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from twisted_virtlog.systemd import installation

_UNIT_DIRECTORY = click.option(
    "--unit-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="/etc/systemd/system",
    show_default=True,
    help="Where the units go; those in /lib/systemd/system are overridden, not changed.",
)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only show what would be done.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Let virtlogd.service run twisted-virtlogd instead of libvirt's virtlogd."""


@main.command()
@_UNIT_DIRECTORY
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    default=sys.prefix,
    show_default="the environment of this interpreter",
    help="twisted-virtlogd is in bin/ below it.",
)
@click.option(
    "--jsonrpc-ro-group",
    "read_only_group",
    metavar="GROUP",
    help="Also install virtlogd-jsonrpc-ro.socket, to which this group may connect: its members may"
    " read what guests print.",
)
@click.option(
    "--metrics-group",
    metavar="GROUP",
    help="Also install virtlogd-metrics.socket, to which this group may connect: its members see"
    " which guests there are, and how much they print.",
)
@_DRY_RUN
def install(
    unit_dir: Path,
    prefix: Path,
    read_only_group: str | None,
    metrics_group: str | None,
    dry_run: bool,
) -> None:
    """Write virtlogd.service and its sockets."""
    daemon = Path(os.path.abspath(prefix)) / "bin" / "twisted-virtlogd"
    if not os.access(daemon, os.X_OK):
        raise click.ClickException(f"{daemon} is not a program; see --prefix")
    try:
        version = installation.systemd_version()
        texts = installation.units(daemon, version, read_only_group, metrics_group)
        if not dry_run:
            installation.install(texts, unit_dir)
    except (installation.InstallationError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for name, text in texts.items():
        click.echo(unit_dir / name)
        if dry_run:
            click.echo(text)
    if not dry_run:
        click.echo("now: systemctl daemon-reload")


@main.command()
@_UNIT_DIRECTORY
@_DRY_RUN
def uninstall(unit_dir: Path, dry_run: bool) -> None:
    """Remove the units, so that those of libvirt's package are in force again."""
    try:
        found = installation.installed(unit_dir)
        if not dry_run:
            installation.uninstall(found)
    except (installation.InstallationError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for path in found:
        click.echo(path)
    if found and not dry_run:
        click.echo("now: systemctl daemon-reload")


if __name__ == "__main__":
    main(prog_name="python -m twisted_virtlog.systemd")
