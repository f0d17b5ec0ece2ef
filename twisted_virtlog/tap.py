"""The twistd plugin: options, and the service that they make.

The only module that touches the global reactor, the environment and the process: an application
that embeds the daemon uses :mod:`twisted_virtlog.service` instead.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, cast

from twisted.application.service import IServiceCollection
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger, globalLogPublisher
from twisted.python import usage
from twisted.python.components import Componentized

from twisted_virtlog.binding import ListenError
from twisted_virtlog.config.paths import Paths, default_paths
from twisted_virtlog.config.settings import ConfigError, Settings, read, with_environment
from twisted_virtlog.ownlog.observer import Once, OwnLog
from twisted_virtlog.ownlog.outputs import OutputError, default_output
from twisted_virtlog.ownlog.spec import Destination, parse_filters, parse_level, parse_outputs
from twisted_virtlog.service import NO_ENDPOINT, Endpoints, IDaemonReactor, VirtlogService

_STDIN = 0


class Options(usage.Options):
    """What ``twistd virtlogd`` and ``twist virtlogd`` take."""

    synopsis = "[options]"
    longdesc = (
        "Writes what guests print into size-rotated files, in the place of libvirt's virtlogd. An"
        " ENDPOINT is a Twisted server endpoint of a UNIX socket, as unix:/path:mode=600 or"
        " systemd:domain=UNIX:name=virtlogd.socket, or none. By default the configuration is"
        " /etc/libvirt/virtlogd.conf and the sockets are in /run/libvirt for root; for other users"
        " $XDG_CONFIG_HOME/libvirt/virtlogd.conf and $XDG_RUNTIME_DIR/libvirt."
    )
    optParameters: ClassVar = [
        ["config", None, None, "Configuration file, instead of libvirt's virtlogd.conf."],
        ["jsonrpc", None, None, "Endpoint for JSON-RPC, instead of virtlogd-jsonrpc-sock."],
        ["libvirt", None, None, "Endpoint for libvirt's drivers, instead of virtlogd-sock."],
        ["admin", None, NO_ENDPOINT, "Endpoint for virt-admin; not served yet."],
    ]

    def postOptions(self) -> None:
        """Refuse what this version does not serve.

        Not with Twisted's UsageError: before Twisted 26 twistd then ended with status 0.
        """
        if self["admin"] != NO_ENDPOINT:
            message = (
                f"virtlogd: --admin {self['admin']}: this version does not serve libvirt's admin"
                f" protocol; leave the option out or say --admin {NO_ENDPOINT}"
            )
            raise SystemExit(message)


class DaemonService(VirtlogService):
    """The daemon as a process of its own: logs where its configuration says, and ends clearly."""

    def __init__(
        self, settings: Settings, endpoints: Endpoints, reactor: IDaemonReactor, own_log: OwnLog
    ) -> None:
        super().__init__(settings, endpoints, reactor)
        self._own_log = own_log
        self._observer = Once(own_log)

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """See IService. twistd asks the application where to log, and then logs nowhere else."""
        if isinstance(parent, Componentized):
            parent.setComponent(  # type: ignore[no-untyped-call]  # Twisted's has no types
                ILogObserver, self._observer
            )
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted's has no types

    def startService(self) -> None:
        """Start, or end the process with the reason in one line."""
        # twist does not ask the application. Who observes already is not added again.
        globalLogPublisher.addObserver(self._observer)
        self._reactor.callWhenRunning(self._observer.logging_has_begun)
        # After the reactor has installed its handlers.
        self._reactor.callWhenRunning(self._end_well_on_signals)
        try:
            super().startService()
        except (ListenError, OSError) as error:
            raise self._ending(error) from error

    def _ending(self, error: Exception) -> SystemExit:
        """Tell why the process ends, in its log and to whoever has started it, but not twice."""
        self._logger.error("{error}", error=error)
        if any(output.destination is Destination.STDERR for output in self._own_log.outputs):
            return SystemExit(1)
        # Twisted has put its log in this place.
        sys.stderr = sys.__stderr__
        return SystemExit(f"virtlogd: {error}")

    def _end_well_on_signals(self) -> None:
        """Make a signal end the process with status 0; twistd would let the signal kill it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop))

    def _stop(self) -> None:
        # A signal may come again while the first one is obeyed.
        with suppress(ReactorNotRunning):
            self._reactor.stop()


def makeService(options: Options) -> VirtlogService:
    """Make the service for twistd and twist.

    A mistake in the configuration ends the process with status 1 and one line that names it.
    """
    # Importing it installs it, which only a process of our own may do.
    from twisted.internet import reactor  # noqa: PLC0415

    try:
        settings, endpoints, own_log = prepare(
            options, os.environ, os.geteuid(), leaves_terminal=_leaves_terminal(options)
        )
    # Without a home directory there is a RuntimeError.
    except (ConfigError, OutputError, OSError, RuntimeError) as error:
        raise SystemExit(f"virtlogd: {error}") from error
    return DaemonService(settings, endpoints, cast(IDaemonReactor, reactor), own_log)


def prepare(
    options: Mapping[str, str | None],
    environment: Mapping[str, str],
    uid: int,
    leaves_terminal: bool = False,
) -> tuple[Settings, Endpoints, OwnLog]:
    """Read the configuration and open the daemon's own log.

    :param leaves_terminal: the process will go to the background, without standard error.
    :raises ConfigError: the configuration cannot be used.
    :raises OutputError: an output cannot be opened.
    :raises OSError: the run directory or that of the log cannot be made.
    :raises RuntimeError: the user has no home directory.
    """
    paths = default_paths(uid, str(Path.home()), environment)
    named = options["config"]
    settings, warnings = read(named or paths.config, required=bool(named))
    settings = with_environment(settings, environment)
    own_log = _own_log(settings, paths.own_log if leaves_terminal else None)
    logger = Logger(observer=own_log)
    for warning in warnings:
        logger.warn("{warning}", warning=warning)
    endpoints = Endpoints(
        jsonrpc=options["jsonrpc"] or _endpoint(paths, paths.jsonrpc_socket, "600"),
        libvirt=options["libvirt"] or _endpoint(paths, paths.log_socket, "700"),
    )
    return settings, endpoints, own_log


def _leaves_terminal(options: Options) -> bool:
    """Tell whether twistd goes to the background; twist never does."""
    parent: Mapping[str, object] = options.parent or {}
    return not parent.get("nodaemon", True)


def _own_log(settings: Settings, default_file: str | None) -> OwnLog:
    level = parse_level(settings.log_level)
    outputs = parse_outputs(settings.log_outputs)
    if not outputs:
        # Not sys.stdin, which is None when the process was started without one.
        outputs = [default_output(level, os.isatty(_STDIN), default_file)]
        if outputs[0].destination is Destination.FILE:
            os.makedirs(os.path.dirname(outputs[0].argument), exist_ok=True)
    return OwnLog(outputs, parse_filters(settings.log_filters), level)


def _endpoint(paths: Paths, socket: str, mode: str) -> str:
    """Give the endpoint of a default path, whose directory is made."""
    os.makedirs(paths.run_directory, paths.run_mode, exist_ok=True)
    path: str = quoteStringArgument(socket)
    return f"unix:{path}:mode={mode}"
