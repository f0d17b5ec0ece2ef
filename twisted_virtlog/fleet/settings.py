"""The options that all commands have: which stream is read, and how what is found is printed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.ctl.settings import (
    DEFAULT_TIMEOUT_SECONDS,
    REFUSED_STATUS,
    json_option,
    storing,
    timeout_option,
)

if TYPE_CHECKING:
    from twisted_virtlog.fleet.fleet import Fleet
    from twisted_virtlog.ship.sink_settings import NatsSink

F = TypeVar("F", bound=Callable[..., Any])

USUAL_FILE = "/etc/libvirt/virtlog-ship.toml"
CONFIG_VARIABLE = "VIRTLOG_FLEET_CONFIG"
SERVER_VARIABLE = "VIRTLOG_FLEET_SERVER"


class NoExtra(Exception):
    """A package of the extra ``ship`` is not installed; the message says what to do."""


@dataclass
class FleetSettings:
    """The options, before or after the command's name.

    :ivar config: a file of virtlog-ship; "" for the usual one, if that is there.
    :ivar server: servers in place of those of the file.
    :ivar timeout: seconds, 0 for no limit.
    :ivar refused_status: the exit status where no log is one of those that were asked for.
    """

    config: str = ""
    server: tuple[str, ...] = ()
    json: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    refused_status: int = REFUSED_STATUS

    def sink(self) -> NatsSink:
        """Return the stream that is read, as it is configured.

        :raises ConfigError: the file cannot be read, or used.
        """
        from twisted_virtlog.ship.configuration import parse  # noqa: PLC0415
        from twisted_virtlog.ship.sink_settings import NatsSink  # noqa: PLC0415

        file = self.config
        if not file and not self.server and Path(USUAL_FILE).exists():
            file = USUAL_FILE
        found = NatsSink()
        if file:
            try:
                text = Path(file).read_text(encoding="utf-8")
            except OSError as error:
                raise ConfigError(file, f"it cannot be read: {error.strerror}") from error
            except UnicodeDecodeError as error:
                raise ConfigError(file, "this is not UTF-8") from error
            sinks = [sink for sink in parse(text, file).sinks if isinstance(sink, NatsSink)]
            if not sinks:
                raise ConfigError(file, "it has no sink of NATS, which alone can be read")
            found = sinks[0]
        return replace(found, servers=self.server) if self.server else found

    def connect(self) -> closing[Fleet]:
        """Connect to a server, until the end of a context.

        :raises ConfigError: it is not clear to which one.
        :raises NoExtra: what is needed for that is not installed.
        :raises NoServer: none answers.
        """
        try:
            from twisted_virtlog.fleet.fleet import Fleet  # noqa: PLC0415
        except ModuleNotFoundError as error:
            # (the command is there wherever the package is)
            if error.name != "nats":
                raise
            raise NoExtra(
                "nats-py is not installed here: pip install 'twisted-virtlog[ship]'"
            ) from error
        return closing(Fleet(self.sink(), self.timeout or None))


pass_settings = click.make_pass_decorator(FleetSettings, ensure=True)

_store = storing(FleetSettings)


def common_options(function: F) -> F:
    """Add the options of :class:`FleetSettings`."""
    return connection_options(timeout_option(_store)(function))


def connection_options(function: F) -> F:
    """Add the same options, but for the time-out of an answer."""
    for option in (
        json_option(_store),
        click.option(
            "--server",
            multiple=True,
            metavar="URL",
            envvar=SERVER_VARIABLE,
            help="A server of the cluster, such as nats://10.0.0.1:4222; may be repeated."
            f"  [default: ${SERVER_VARIABLE}, or as configured]",
            expose_value=False,
            callback=_store,
        ),
        click.option(
            "--config",
            type=click.Path(),
            envvar=CONFIG_VARIABLE,
            help="A configuration of virtlog-ship; its first sink of NATS is read."
            f"  [default: ${CONFIG_VARIABLE}, or {USUAL_FILE} if it is there]",
            expose_value=False,
            callback=_store,
        ),
    ):
        function = option(function)
    return function
