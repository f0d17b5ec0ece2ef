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
from twisted_virtlog.client import ClientError, RemoteError
from twisted_virtlog.client.asyncio_client import AsyncioClient, connect
from twisted_virtlog.client.usual_socket import usual_socket
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ship.acknowledging import Acknowledger
from twisted_virtlog.ship.configuration import Configuration, parse
from twisted_virtlog.ship.counts import Counts, metrics_text
from twisted_virtlog.ship.otlp import Otlp
from twisted_virtlog.ship.relp import Relp
from twisted_virtlog.ship.shipping import Shipper
from twisted_virtlog.ship.sink import Refused, Sink, Unavailable
from twisted_virtlog.ship.sink_settings import NEED_CONSUMER, NatsSink, OtlpSink, SinkSettings

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
    """Ship the logs of this host's guests to NATS JetStream, to OTLP or to RELP.

    It asks the daemon's read-only socket, and needs no right but that. The sink, or the daemon,
    says up to where a log is shipped, so it may be killed at any time.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s: %(message)s", force=True
    )
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    try:
        configuration = _read(file)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    if not _HAS_NATS and any(isinstance(sink, NatsSink) for sink in configuration.sinks):
        raise click.ClickException(
            "nats-py is not installed here: pip install 'twisted-virtlog[ship]'"
        )
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


def _sink(settings: SinkSettings, counts: Counts) -> Sink:
    if isinstance(settings, NatsSink):
        return JetStream(settings)
    if isinstance(settings, OtlpSink):
        return Otlp(settings, counts)
    return Relp(settings, counts)


async def _check(configuration: Configuration) -> int:
    """Say what can be reached; return the exit status."""
    is_well = True
    try:
        async with await connect(configuration.socket) as client:
            info = await client.info()
            click.echo(f"{configuration.socket}: {info.name} {info.version}")
            for settings in configuration.sinks:
                if settings.consumer:
                    is_well &= await _check_consumer(client, settings)
    except ClientError as error:
        is_well = False
        click.echo(f"{configuration.socket}: {error}")
    for settings in configuration.sinks:
        try:
            said = await _sink(settings, Counts()).check()
        except (Refused, Unavailable) as error:
            is_well = False
            said = str(error)
        click.echo(f"{settings.name}: {said}")
    return 0 if is_well else WRONG_STATUS


async def _check_consumer(client: AsyncioClient, settings: SinkSettings) -> bool:
    """Say whether the daemon lets this user acknowledge as a sink's consumer."""
    try:
        await client.acknowledge(settings.consumer, {})
    except RemoteError as error:
        click.echo(f"{settings.name}: the consumer {settings.consumer}: {error}")
        return False
    click.echo(f"{settings.name}: the consumer {settings.consumer} may acknowledge")
    return True


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
    configuration: Configuration, settings: SinkSettings, counts: dict[str, Counts]
) -> None:
    """Ship to one sink; the others go on whatever becomes of it."""
    counted = counts[settings.name] = Counts()
    sink = _sink(settings, counted)
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
    acknowledger = None
    if settings.consumer:
        acknowledger = Acknowledger(configuration.socket, settings.consumer)
    needs = isinstance(settings, NEED_CONSUMER)
    try:
        await Shipper(configuration, sink, counted, acknowledger, needs).run()
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
