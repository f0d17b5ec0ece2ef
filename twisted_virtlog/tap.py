"""The twistd plugin: options, and the service that they make.

It and the command twisted-virtlogd alone touch the global reactor and the environment: an
application that embeds the daemon uses :mod:`twisted_virtlog.service` instead.
"""

from __future__ import annotations

import getopt
import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, cast

from twisted.logger import LogLevel
from twisted.python import usage

from twisted_virtlog.config.paths import default_paths
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.daemon.check import check
from twisted_virtlog.daemon.configuration import Configuration, Source
from twisted_virtlog.daemon.process import (
    DaemonService,
    activated,
    default_endpoints,
    with_read_only,
)
from twisted_virtlog.daemon.run_directory import make_run_directory
from twisted_virtlog.daemon.twistd import Twistd
from twisted_virtlog.errors import OutputError
from twisted_virtlog.handover.state import StateError
from twisted_virtlog.handover.successor import Image, Successor
from twisted_virtlog.handover.taking import handed_over, own
from twisted_virtlog.service import Endpoints, IDaemonReactor
from twisted_virtlog.systemd.inherited import started_environment
from twisted_virtlog.systemd.invocation import invocation

#: The options that name the servers' endpoints.
_ENDPOINTS = {
    "virtlogd": "libvirt",
    "admin": "admin",
    "jsonrpc": "jsonrpc",
    "jsonrpc-ro": "jsonrpc-ro",
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
        ["check", None, "Report all mistakes in the configuration, and end."],
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
    ]


def makeService(options: Options) -> DaemonService:
    """Make the service for twistd and twist.

    A mistake in the configuration ends the process with status 1 and one line that names it.
    """
    # Importing it installs it, which only a process of our own may do.
    from twisted.internet import reactor  # noqa: PLC0415

    try:
        if options["check"]:
            raise SystemExit(check("virtlogd", _source(options, os.environ, os.geteuid())))
        state = handed_over(os.environ)
        configuration, endpoints = prepare(
            options, os.environ, os.geteuid(), leaves_terminal=_leaves_terminal(options)
        )
    # Without a home directory there is a RuntimeError.
    except (ConfigError, OutputError, StateError, OSError, RuntimeError) as error:
        raise SystemExit(f"virtlogd: {error}") from error
    if state is not None:
        if state.pid != os.getpid():
            # Only tried.
            raise SystemExit(0)
        own(state)
    _quiet_twist(options)
    # Twisted has taken from the present one what it is about.
    invoked = invocation(started_environment(), os.getpid(), resumed=state is not None)
    named = {server for server, option in _ENDPOINTS.items() if options[option]}
    return DaemonService(
        configuration,
        activated(endpoints, invoked.activation, named),
        cast(IDaemonReactor, reactor),
        _successor(options),
        state,
        invoked,
        Twistd(options.parent or {}),
    )


def prepare(
    options: Mapping[str, str | None],
    environment: Mapping[str, str],
    uid: int,
    leaves_terminal: bool = False,
) -> tuple[Configuration, Endpoints]:
    """Read the configuration and open the daemon's own log.

    :param leaves_terminal: the process will go to the background, without standard error.
    :raises ConfigError: the configuration cannot be used.
    :raises OutputError: an output cannot be opened.
    :raises OSError: the run directory or that of the log cannot be made.
    :raises RuntimeError: the user has no home directory.
    """
    paths = default_paths(uid, str(Path.home()), environment)
    source = _source(options, environment, uid)
    configuration = Configuration(source, paths.own_log if leaves_terminal else None)
    if not (options["jsonrpc"] and options["libvirt"] and options["admin"]):
        make_run_directory(paths)
    default = default_endpoints(paths)
    endpoints = Endpoints(
        jsonrpc=options["jsonrpc"] or default.jsonrpc,
        libvirt=options["libvirt"] or default.libvirt,
        admin=options["admin"] or default.admin,
    )
    group = configuration.settings.jsonrpc_ro_group
    return configuration, with_read_only(
        endpoints, group, options["jsonrpc-ro"], default.jsonrpc_ro
    )


def _source(options: Mapping[str, str | None], environment: Mapping[str, str], uid: int) -> Source:
    """Say where the configuration is.

    :raises RuntimeError: the user has no home directory.
    """
    named = options["config"]
    default = default_paths(uid, str(Path.home()), environment).config
    # (twistd leaves the directory in which a relative path has its meaning)
    return Source(os.path.abspath(named or default), bool(named), environment)


def _successor(options: Options) -> Successor:
    """Tell how to start this process again, as twistd or twist."""
    directory = os.getcwd()
    command, arguments = list(sys.orig_argv), sys.argv[1:]
    trial = [*command]
    pid_file = None
    parent = options.parent
    if isinstance(parent, usage.Options) and "nodaemon" in parent:
        # twistd would fork, and would find its own pid file in its way.
        rest = getopt.getopt(arguments, parent.shortOpt, parent.longOpt)[1]
        at = len(command) - len(rest)
        # (what a former image was given already would make the command longer each time)
        stay = ["--nodaemon"] if _leaves_terminal(options) else []
        trial[at:at] = [*stay, "--pidfile="]
        command[at:at] = stay
        pid_file = os.path.abspath(parent["pidfile"]) if parent["pidfile"] else None
    image = Image(sys.executable, tuple(command), tuple(trial), directory, pid_file)
    return Successor(
        image=lambda: image,
        virtlogd_options=("-f", options["config"]) if options["config"] else (),
        directory=directory,
        state_file=default_paths(os.geteuid(), str(Path.home()), os.environ).restart_state,
    )


def _quiet_twist(options: Options) -> None:
    """Keep what is no warning out of twist's log, standard output, unless somebody asked for it.

    The daemon has its own log, which twist's would repeat. twist reads its level after this.
    """
    parent = options.parent
    arguments = itertools.takewhile(lambda one: one != "virtlogd", sys.argv[1:])
    named = any(one.startswith(("--log-level", "--log-file")) for one in arguments)
    if isinstance(parent, usage.Options) and "logLevel" in parent and not named:
        parent["logLevel"] = LogLevel.warn


def _leaves_terminal(options: Options) -> bool:
    """Tell whether twistd goes to the background; twist never does."""
    parent: Mapping[str, object] = options.parent or {}
    return not parent.get("nodaemon", True)
