"""The twistd plugin: options, and the service that they make.

Only this module and the command twisted-virtlogd use the global reactor and the environment. An
application that embeds the daemon uses :mod:`twisted_virtlog.service` instead.
"""

from __future__ import annotations

import getopt
import itertools
import os
import sys
from collections.abc import Mapping
from typing import ClassVar, cast

from twisted.logger import LogLevel
from twisted.python import usage

from twisted_virtlog.config.paths import Paths
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.daemon.check import check
from twisted_virtlog.daemon.process import DaemonService
from twisted_virtlog.daemon.startup import Asked, Former, Startup
from twisted_virtlog.daemon.twistd import Twistd, forget_dying
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


class Options(usage.Options):
    """What ``twistd virtlogd`` and ``twist virtlogd`` take."""

    synopsis = "[options]"
    longdesc = (
        "Writes what guests print into size-rotated files, in the place of libvirt's virtlogd. An"
        " ENDPOINT is the path of a UNIX socket, or a Twisted server endpoint of one, as"
        " unix:/path:mode=600 or systemd:domain=UNIX:name=virtlogd.socket, or none. By default the"
        " configuration is /etc/libvirt/virtlogd.conf and the sockets are in /run/libvirt for root;"
        " for other users $XDG_CONFIG_HOME/libvirt/virtlogd.conf and $XDG_RUNTIME_DIR/libvirt."
    )
    optFlags: ClassVar = [
        ["check", None, "Report all mistakes in the configuration and exit."],
    ]
    optParameters: ClassVar = [
        ["config", None, None, "Configuration file, instead of libvirt's virtlogd.conf."],
        ["jsonrpc", None, None, "Endpoint for JSON-RPC, instead of virtlogd-jsonrpc-sock."],
        [
            "jsonrpc-ro",
            None,
            None,
            "Endpoint for JSON-RPC clients that only read, who are of the group jsonrpc_ro_group.",
        ],
        ["libvirt", None, None, "Endpoint for libvirt's drivers, instead of virtlogd-sock."],
        ["admin", None, None, "Endpoint for virt-admin, instead of virtlogd-admin-sock."],
        ["metrics", None, None, "Endpoint for Prometheus; there is none by default."],
    ]

    def postOptions(self) -> None:
        """Let a process that cannot end not keep twistd from starting another."""
        forget_dying(self.parent or {})


def makeService(options: Options) -> DaemonService:
    """Make the service for twistd and twist.

    A mistake in the configuration ends the process with status 1 and one line that says it.
    """
    # Importing the reactor installs it, which only a process of our own may do.
    from twisted.internet import reactor  # noqa: PLC0415

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
        cast(IDaemonReactor, reactor),
        _successor(options, startup.paths),
        Twistd(options.parent or {}),
    )


def asked(options: Options) -> Asked:
    """Return what the options ask for."""
    named = {server: options[option] for server, option in _ENDPOINTS.items() if options[option]}
    return Asked(options["config"] or None, named, background=_leaves_terminal(options))


def _successor(options: Options, paths: Paths) -> Successor:
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
        stay = ["--nodaemon"] if _leaves_terminal(options) else []
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


def _quiet_twist(options: Options) -> None:
    """Keep all but warnings out of twist's log, standard output, unless its options ask for more.

    The daemon has a log of its own, which twist's would repeat. twist reads its level later.
    """
    parent = options.parent
    arguments = itertools.takewhile(lambda one: one != "virtlogd", sys.argv[1:])
    named = any(one.startswith(("--log-level", "--log-file")) for one in arguments)
    if isinstance(parent, usage.Options) and "logLevel" in parent and not named:
        parent["logLevel"] = LogLevel.warn


def _leaves_terminal(options: Options) -> bool:
    """Return whether twistd goes to the background; twist never does."""
    parent: Mapping[str, object] = options.parent or {}
    return not parent.get("nodaemon", True)
