"""The program ``virtlog-ship``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import click

from twisted_virtlog import __version__
from twisted_virtlog.client import ClientError
from twisted_virtlog.client.asyncio_client import connect
from twisted_virtlog.client.usual_socket import usual_socket
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ship.configuration import Configuration, NatsSink, parse
from twisted_virtlog.ship.counts import Counts, metrics_text
from twisted_virtlog.ship.shipping import Shipper
from twisted_virtlog.ship.sink import Refused, Unavailable

try:
    from twisted_virtlog.ship.jetstream import JetStream
except ModuleNotFoundError as error:
    # (the command is there wherever the package is)
    if error.name != "nats":
        raise
    _HAS_NATS = False
else:
    _HAS_NATS = True

_logger = logging.getLogger(__name__)

_USUAL_FILE = "/etc/libvirt/virtlog-ship.toml"

WRONG_STATUS = 1

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0
#: How often the file of metrics is written.
_METRICS_SECONDS = 10.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    metavar="FILE",
    default=_USUAL_FILE,
    show_default=True,
    help="What to ship, and where to.",
)
@click.option("--check", is_flag=True, help="Say whether all can be reached, and end.")
@click.option(
    "--metrics",
    metavar="FILE",
    help="Write what is counted to a file, for node_exporter's textfile collector.",
)
@click.version_option(__version__, prog_name="virtlog-ship")
def main(file: str, check: bool, metrics: str | None) -> None:
    """Ship the logs of this host's guests to NATS JetStream, each byte once.

    It asks the daemon's read-only socket, and needs no right but that. What is stored says up to
    where a log is shipped, so it may be killed at any time.
    """
    if not _HAS_NATS:
        raise click.ClickException(
            "nats-py is not installed here: pip install 'twisted-virtlog[ship]'"
        )
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s: %(message)s", force=True
    )
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    try:
        configuration = _read(file)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    work = _check(configuration) if check else _ship(configuration, metrics)
    sys.exit(asyncio.run(work))


def _read(file: str) -> Configuration:
    """Read a file.

    :raises ConfigError: it cannot be read, or used.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(file, f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(file, "this is not UTF-8") from error
    found = parse(text, file)
    return replace(
        found,
        host=found.host or socket.gethostname(),
        socket=found.socket or usual_socket(),
    )


async def _check(configuration: Configuration) -> int:
    """Say what can be reached; return the exit status."""
    status = 0
    try:
        async with await connect(configuration.socket) as client:
            info = await client.info()
    except ClientError as error:
        status = WRONG_STATUS
        click.echo(f"{configuration.socket}: {error}")
    else:
        click.echo(f"{configuration.socket}: {info.name} {info.version}")
    for settings in configuration.sinks:
        sink = JetStream(settings)
        try:
            await sink.connect(once=True)
        except (Refused, Unavailable) as error:
            status = WRONG_STATUS
            click.echo(f"{settings.name}: {error}")
        else:
            state = "is there" if sink.is_there else "can be made"
            click.echo(f"{settings.name}: the stream {settings.stream} {state}")
            await sink.close()
    return status


async def _ship(configuration: Configuration, metrics: str | None) -> int:
    """Ship until a signal says to stop."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    counts: dict[str, Counts] = {}
    tasks = [
        loop.create_task(_ship_to(configuration, settings, counts))
        for settings in configuration.sinks
    ]
    if metrics is not None:
        tasks.append(loop.create_task(_write_metrics(metrics, counts)))
    waiting = loop.create_task(stopped.wait())
    done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, waiting):
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)
    for task in done - {waiting}:
        # (none of them ends by itself)
        task.result()
    return 0


async def _ship_to(
    configuration: Configuration, settings: NatsSink, counts: dict[str, Counts]
) -> None:
    """Ship to one sink; the others go on whatever becomes of it."""
    sink = JetStream(settings)
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            await sink.connect()
        except (Refused, Unavailable) as error:
            _logger.error("%s: %s", settings.name, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            break
    _logger.info("%s: shipping from %s", settings.name, configuration.socket)
    shipper = Shipper(configuration, settings.subject, configuration.socket, sink)
    counts[settings.name] = shipper.counts
    try:
        await shipper.run()
    finally:
        await sink.close()


async def _write_metrics(file: str, counts: dict[str, Counts]) -> None:
    while True:
        text = metrics_text(sorted(counts.items()))
        with contextlib.suppress(OSError):
            await asyncio.to_thread(_write, file, text)
        await asyncio.sleep(_METRICS_SECONDS)


def _write(file: str, text: str) -> None:
    # (who reads it reads a whole one)
    beside = f"{file}.{os.getpid()}"
    Path(beside).write_text(text, encoding="utf-8")
    os.replace(beside, file)
