"""Starts the daemon in virtlogd's order: run directory, background, pid file, sockets, signals.

The reactor is imported last. Its epoll set must not exist when the process forks, as both processes
would share it.
"""

from __future__ import annotations

import gc
import os
import select
import sys
from collections.abc import Mapping
from typing import cast

from twisted.logger import Logger, globalLogBeginner

from twisted_virtlog.config.paths import Paths
from twisted_virtlog.config.settings import ConfigError, UnreadableConfig
from twisted_virtlog.daemon.check import check
from twisted_virtlog.daemon.command.background import Outcome, Starter, go_to_background
from twisted_virtlog.daemon.command.options import Arguments
from twisted_virtlog.daemon.command.outcome import UNIT_VARIABLE, Status, say
from twisted_virtlog.daemon.command.pid_file import PidFile, PidFileError, acquire
from twisted_virtlog.daemon.command.process_name import name_process
from twisted_virtlog.daemon.command.unneeded import without_tls
from twisted_virtlog.daemon.process import DaemonService
from twisted_virtlog.daemon.startup import Asked, Former, Prepared, Startup
from twisted_virtlog.errors import ListenError, OutputError
from twisted_virtlog.escaping import visible
from twisted_virtlog.handover.successor import VARIABLE, Image, Kind, Successor
from twisted_virtlog.loop import signals
from twisted_virtlog.service import IDaemonReactor
from twisted_virtlog.systemd.activation import Activation, read

#: The process's name under the daemon's own unit, which also has the name of virtlogd's.
_NAME = "virtlogd"

#: The least time that a failed start takes under the daemon's own unit.
_BACK_OFF_SECONDS = 5


def start(name: str, arguments: Arguments, environment: Mapping[str, str]) -> Status:
    """Run the daemon until it is told to end.

    :param name: the program's name, for messages.
    :param environment: as the process got it.
    """
    status = _start(name, arguments, environment)
    if _is_failure(status) and UNIT_VARIABLE in environment and VARIABLE not in environment:
        _back_off(read(environment, os.getpid()), status)
    return status


def _start(name: str, arguments: Arguments, environment: Mapping[str, str]) -> Status:
    try:
        startup = Startup(_asked(arguments), environment, os.geteuid())
        if arguments.check:
            return Status(check(name, startup.source))
        prepared = startup.prepare(Former(environment, os.environ, startup.paths.restart_state))
    # Without a home directory there is a RuntimeError.
    except (ConfigError, OutputError, OSError, RuntimeError) as error:
        say(f"{name}: {visible(str(error))}\n")
        is_file = isinstance(error, ConfigError) and not isinstance(error, UnreadableConfig)
        if is_file and UNIT_VARIABLE in environment:
            return Status.BAD_CONFIGURATION
        return Status.REFUSED
    return _Start(name, prepared, arguments.pid_file, UNIT_VARIABLE in environment).run()


def _asked(arguments: Arguments) -> Asked:
    named = {"jsonrpc-ro": arguments.jsonrpc_ro, "metrics": arguments.metrics}
    return Asked(
        arguments.config,
        {server: endpoint for server, endpoint in named.items() if endpoint},
        arguments.timeout,
        arguments.verbose,
        arguments.daemon,
    )


def _is_failure(status: Status) -> bool:
    return status not in {Status.DONE, Status.NOT_NEEDED}


def _back_off(activation: Activation, status: Status) -> None:
    """Keep the service manager from starting the daemon in vain over and over.

    With a configuration that is wrong, the manager does not start it again by itself, but does so
    for clients that wait to be accepted.
    """
    poller = select.poll()
    for descriptors in activation.sockets.values():
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
    if status is not Status.BAD_CONFIGURATION or poller.poll(0):
        signals.block()
        signals.sleep(_BACK_OFF_SECONDS)


class _Start:
    """The way from a configuration that can be used to a daemon that runs."""

    def __init__(self, name: str, prepared: Prepared, pid_file: str | None, has_unit: bool) -> None:
        """:param pid_file: None for the default path; empty for no file.

        :param has_unit: the daemon's own unit has started the process.
        """
        self._name = name
        self._prepared = prepared
        self._has_unit = has_unit
        self._is_resumed = prepared.former.state is not None
        self._pid_file = prepared.paths.pid_file if pid_file is None else pid_file
        self._logger = Logger(observer=prepared.configuration.own_log)
        self._starter: Starter | None = None
        # (before its directory is left)
        self._successor = _successor(prepared.paths, os.getcwd())

    def run(self) -> Status:
        """Run the daemon; see :func:`start`."""
        prepared = self._prepared
        try:
            prepared.make_run_directory()
        except OSError as error:
            reason = f"unable to create rundir {prepared.paths.run_directory}: {error.strerror}"
            return self._refused(reason, Status.NO_RUN_DIRECTORY)
        if prepared.former.error is not None:
            return self._refused(str(prepared.former.error), Status.FAILED)
        if prepared.former.is_tried:
            prepared.former.accept()
            return Status.DONE
        prepared.own_descriptors()
        if prepared.asked.background and self._is_resumed:
            # It is in the background already.
            os.chdir("/")
        elif prepared.asked.background:
            process = go_to_background()
            if isinstance(process, Outcome):
                # (the daemon has logged the reason)
                if process.reason:
                    say(f"{self._name}: {process.reason}\n")
                return Status.REFUSED if process.reason else Status.DONE
            self._starter = process
        try:
            return self._with_pid_file()
        except Exception as error:  # noqa: BLE001 (in the background nobody would see it)
            self._logger.failure("the daemon cannot start")
            return self._refused(f"{type(error).__name__}: {error}", Status.FAILED)

    def _with_pid_file(self) -> Status:
        # Signals wait until the service obeys them: half a start would leave files behind.
        signals.block()
        try:
            pid_file = acquire(self._pid_file, os.getpid())
        except PidFileError as error:
            if not self._is_resumed:
                return self._refused(str(error), Status.REFUSED)
            # The lock ended with the former image, and guests' logs matter more.
            self._logger.error("{error}; going on without it", error=error)
            pid_file = acquire("", os.getpid())
        try:
            return self._serve(pid_file)
        finally:
            pid_file.release()

    def _serve(self, pid_file: PidFile) -> Status:
        with without_tls():
            from twisted.internet import reactor  # noqa: PLC0415 (see the module)

        if self._has_unit:
            name_process(_NAME, sys.argv[1:])
        running = cast(IDaemonReactor, reactor)
        own_log = self._prepared.configuration.own_log
        globalLogBeginner.beginLoggingTo([own_log], redirectStandardIO=False)
        service = self._prepared.service(running, self._successor)
        try:
            service.begin()
        except (ListenError, OSError) as error:
            return self._refused(str(error), Status.NO_SOCKETS)
        service.ending.release(pid_file.release)
        service.ending.status = lambda: self._status(service)
        running.addSystemEventTrigger("before", "shutdown", service.stopService)
        if self._starter is not None:
            # (after the service has taken charge of signals)
            running.callWhenRunning(self._starter.ready)
        # What was made so far stays, and the garbage collector need not look at it again.
        gc.freeze()
        gc.enable()
        running.run()
        return self._status(service)

    def _status(self, service: DaemonService) -> Status:
        if service.ended_on_purpose and self._has_unit:
            return Status.NOT_NEEDED
        return Status.DONE

    def _refused(self, reason: str, status: Status) -> Status:
        """Report why the daemon does not run, to its log and to whoever started it, but once."""
        self._logger.error("{reason}", reason=reason)
        if self._starter is not None:
            self._starter.failed(reason)
        elif not self._prepared.configuration.own_log_is_on_standard_error:
            say(f"{self._name}: {visible(reason)}\n")
        return status


def _successor(paths: Paths, directory: str) -> Successor:
    """Return how to start this process again, as virtlogd does: as what has its path by then.

    :param directory: where it was started.
    """
    arguments = tuple(sys.argv[1:])

    def image() -> Image:
        command = os.path.join(directory, sys.argv[0])
        if os.access(command, os.X_OK):
            again = (sys.argv[0], *arguments)
            return Image(command, again, again, directory, kind=Kind.EITHER)
        # It was started as a module.
        again = tuple(sys.orig_argv)
        return Image(sys.executable, again, again, directory)

    return Successor(image, arguments, directory, paths.restart_state)
