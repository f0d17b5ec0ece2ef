"""From the options of twistd's plugin to the service.

It is imported when twistd asks for the service, with all that the service needs.
"""

from __future__ import annotations

import getopt
import itertools
import os
import sys
from collections.abc import Mapping

from twisted.logger import LogLevel
from twisted.python import usage

from twisted_virtlog.config.paths import Paths
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.daemon.check import check
from twisted_virtlog.daemon.process import DaemonService
from twisted_virtlog.daemon.startup import Asked, Former, Startup
from twisted_virtlog.daemon.twistd import Twistd
from twisted_virtlog.errors import OutputError
from twisted_virtlog.handover.state import StateError
from twisted_virtlog.handover.successor import Image, Successor
from twisted_virtlog.service import IDaemonReactor
from twisted_virtlog.systemd.inherited import started_environment

#: The options that name the servers' endpoints.
_ENDPOINTS = {
    "virtlogd": "libvirt",
    "admin": "admin",
    "jsonrpc": "jsonrpc",
    "jsonrpc-ro": "jsonrpc-ro",
    "metrics": "metrics",
}


def service_of(options: usage.Options, reactor: IDaemonReactor) -> DaemonService:
    """Make the service that the plugin's options ask for; see ``makeService``.

    :raises SystemExit: there is none; the message, if any, says why.
    """
    # Twisted has removed from the present environment what the service manager said.
    environment = {**started_environment(), **os.environ}
    try:
        startup = Startup(asked(options), environment, os.geteuid())
        if options["check"]:
            raise SystemExit(check("virtlogd", startup.source))
        former = Former(environment, os.environ, state_file=None)
        if former.error is not None:
            raise former.error
        prepared = startup.prepare(former)
        prepared.make_run_directory()
    # Without a home directory there is a RuntimeError.
    except (ConfigError, OutputError, StateError, OSError, RuntimeError) as error:
        raise SystemExit(f"virtlogd: {error}") from error
    if former.is_tried:
        former.accept()
        raise SystemExit(0)
    prepared.own_descriptors()
    _quiet_twist(options)
    return prepared.service(
        reactor,
        _successor(options, startup.paths),
        Twistd(options.parent or {}),
    )


def asked(options: usage.Options) -> Asked:
    """Return what the options ask for."""
    named = {server: options[option] for server, option in _ENDPOINTS.items() if options[option]}
    return Asked(options["config"] or None, named, background=leaves_terminal(options))


def _successor(options: usage.Options, paths: Paths) -> Successor:
    """Return how to start this process again, as twistd or twist."""
    directory = os.getcwd()
    command, arguments = list(sys.orig_argv), sys.argv[1:]
    trial = [*command]
    pid_file = None
    parent = options.parent
    if isinstance(parent, usage.Options) and "nodaemon" in parent:
        # twistd would fork, and its own pid file would be in its way.
        rest = getopt.getopt(arguments, parent.shortOpt, parent.longOpt)[1]
        at = len(command) - len(rest)
        # (given to a former image already, they would make the command longer each time)
        stay = ["--nodaemon"] if leaves_terminal(options) else []
        trial[at:at] = [*stay, "--pidfile="]
        command[at:at] = stay
        pid_file = os.path.abspath(parent["pidfile"]) if parent["pidfile"] else None
    image = Image(sys.executable, tuple(command), tuple(trial), directory, pid_file)
    return Successor(
        image=lambda: image,
        virtlogd_options=("-f", options["config"]) if options["config"] else (),
        directory=directory,
        state_file=paths.restart_state,
    )


def _quiet_twist(options: usage.Options) -> None:
    """Keep all but warnings out of twist's log, standard output, unless its options ask for more.

    The daemon has a log of its own, which twist's would repeat. twist reads its level later.
    """
    parent = options.parent
    arguments = itertools.takewhile(lambda one: one != "virtlogd", sys.argv[1:])
    named = any(one.startswith(("--log-level", "--log-file")) for one in arguments)
    if isinstance(parent, usage.Options) and "logLevel" in parent and not named:
        parent["logLevel"] = LogLevel.warn


def leaves_terminal(options: usage.Options) -> bool:
    """Return whether twistd goes to the background; twist never does."""
    parent: Mapping[str, object] = options.parent or {}
    return not parent.get("nodaemon", True)
