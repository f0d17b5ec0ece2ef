"""Starts the daemon in virtlogd's order: run directory, background, pid file, sockets, signals.

The reactor is imported last. Its epoll set must not be there when the process forks, as both would
share it.
"""

from __future__ import annotations

import gc
import os
import select
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import cast

from twisted.logger import Logger, globalLogBeginner

from twisted_virtlog.config.paths import Paths, default_paths
from twisted_virtlog.config.settings import ConfigError, UnreadableConfig
from twisted_virtlog.daemon.check import check
from twisted_virtlog.daemon.command.background import Outcome, Starter, go_to_background
from twisted_virtlog.daemon.command.options import Arguments
from twisted_virtlog.daemon.command.outcome import UNIT_VARIABLE, Status, say
from twisted_virtlog.daemon.command.pid_file import PidFileError, acquire
from twisted_virtlog.daemon.command.process_name import name_process
from twisted_virtlog.daemon.configuration import Configuration, LastGood, Source
from twisted_virtlog.daemon.process import (
    DaemonService,
    activated,
    default_endpoints,
    with_read_only,
)
from twisted_virtlog.daemon.run_directory import make_run_directory
from twisted_virtlog.errors import ListenError, OutputError
from twisted_virtlog.escaping import visible
from twisted_virtlog.handover.state import DaemonState, StateError
from twisted_virtlog.handover.successor import VARIABLE, Image, Kind, Successor
from twisted_virtlog.handover.taking import from_virtlogd, handed_over, own
from twisted_virtlog.loop import signals
from twisted_virtlog.service import Endpoints, IDaemonReactor
from twisted_virtlog.systemd.activation import Activation, read
from twisted_virtlog.systemd.inherited import last_configuration
from twisted_virtlog.systemd.invocation import invocation

#: Of the process under the daemon's own unit, which has the name of virtlogd's too.
_NAME = "virtlogd"

#: A start that fails takes so long at least under the daemon's own unit.
_BACK_OFF_SECONDS = 5


def start(name: str, asked: Arguments, environment: Mapping[str, str]) -> Status:
    """Run the daemon until it is told to end.

    :param name: the program's, for messages.
    :param environment: as the process got it.
    """
    status = _start(name, asked, environment)
    if _is_failure(status) and UNIT_VARIABLE in environment and VARIABLE not in environment:
        _back_off(read(environment, os.getpid()), status)
    return status


def _start(name: str, asked: Arguments, environment: Mapping[str, str]) -> Status:
    try:
        paths = default_paths(os.geteuid(), str(Path.home()), environment)
        source = _source(asked, paths, environment)
        if asked.check:
            return Status(check(name, source))
        former = _Former(environment, paths)
        background = paths.own_log if asked.daemon else None
        configuration = Configuration(source, background, former.last_good())
    # Without a home directory there is a RuntimeError.
    except (ConfigError, OutputError, OSError, RuntimeError) as error:
        say(f"{name}: {visible(str(error))}\n")
        is_file = isinstance(error, ConfigError) and not isinstance(error, UnreadableConfig)
        if is_file and UNIT_VARIABLE in environment:
            return Status.BAD_CONFIGURATION
        return Status.REFUSED
    return _Start(name, asked, paths, configuration, environment, former).run()


def _is_failure(status: Status) -> bool:
    return status not in {Status.DONE, Status.NOT_NEEDED}


def _back_off(activation: Activation, status: Status) -> None:
    """Keep the service manager from starting the daemon again in vain as fast as it can.

    Where the manager does not start it again (a configuration that is wrong), clients do who wait
    for it to accept them.
    """
    poller = select.poll()
    for descriptors in activation.sockets.values():
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
    if status is not Status.BAD_CONFIGURATION or poller.poll(0):
        signals.block()
        signals.sleep(_BACK_OFF_SECONDS)


class _Former:
    """What this process was before, or what a former one left in the service manager's store."""

    def __init__(self, environment: Mapping[str, str], paths: Paths) -> None:
        self.state: DaemonState | None = None
        self.error: StateError | None = None
        try:
            self.state = handed_over(os.environ) or from_virtlogd(paths.restart_state, os.getpid())
        except StateError as error:
            self.error = error
        self.is_tried = self.state is not None and self.state.pid != os.getpid()
        resumed = self.state is not None or self.error is not None
        self.invocation = invocation(environment, os.getpid(), resumed)

    def last_good(self) -> LastGood | None:
        """Return what to go by if the configuration is wrong; None if no log depends on it."""
        activation = self.invocation.activation
        if activation.pipes:
            return LastGood(last_configuration(activation))
        if self.state is not None and self.state.logs and not self.is_tried:
            return LastGood(None)
        return None


def _source(asked: Arguments, paths: Paths, environment: Mapping[str, str]) -> Source:
    if asked.config is None:
        return Source(paths.config, False, environment, asked.verbose)
    # The process may leave the directory in which a relative path has its meaning.
    file = os.path.abspath(asked.config) if asked.config else ""
    return Source(file, True, environment, asked.verbose)


class _Start:
    """The way from a configuration to a daemon that runs."""

    def __init__(
        self,
        name: str,
        asked: Arguments,
        paths: Paths,
        configuration: Configuration,
        environment: Mapping[str, str],
        former: _Former,
    ) -> None:
        self._name = name
        self._environment = environment
        self._former = former
        self._asked = asked
        self._paths = paths
        self._configuration = configuration
        self._logger = Logger(observer=configuration.own_log)
        self._starter: Starter | None = None
        self._state: DaemonState | None = None
        # Before it is left.
        self._successor = _successor(paths, os.getcwd())

    def run(self) -> Status:
        """See :func:`start`."""
        try:
            make_run_directory(self._paths)
        except OSError as error:
            reason = f"unable to create rundir {self._paths.run_directory}: {error.strerror}"
            return self._refused(reason, Status.NO_RUN_DIRECTORY)
        if self._former.error is not None:
            return self._refused(str(self._former.error), Status.FAILED)
        if self._former.is_tried:
            return Status.DONE
        state = self._former.state
        if state is not None:
            own(state)
            self._state = state
        if self._asked.daemon and state is not None:
            # It is in the background already.
            os.chdir("/")
        elif self._asked.daemon:
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
        # They wait until the service obeys them; a start half done would leave files behind.
        signals.block()
        path = self._paths.pid_file if self._asked.pid_file is None else self._asked.pid_file
        try:
            pid_file = acquire(path, os.getpid())
        except PidFileError as error:
            if self._state is None:
                return self._refused(str(error), Status.REFUSED)
            # The lock ended with the former image, and guests' logs matter more.
            self._logger.error("{error}; going on without it", error=error)
            pid_file = acquire("", os.getpid())
        try:
            return self._serve()
        finally:
            pid_file.release()

    def _serve(self) -> Status:
        from twisted.internet import reactor  # noqa: PLC0415 (see the module)

        if UNIT_VARIABLE in self._environment:
            name_process(_NAME, sys.argv[1:])
        running = cast(IDaemonReactor, reactor)
        globalLogBeginner.beginLoggingTo([self._configuration.own_log], redirectStandardIO=False)
        invoked = self._former.invocation
        service = DaemonService(
            self._configuration,
            activated(self._endpoints(), invoked.activation, self._named()),
            running,
            self._successor,
            self._state,
            invoked,
        )
        try:
            service.begin()
        except (ListenError, OSError) as error:
            return self._refused(str(error), Status.NO_SOCKETS)
        if self._state is None or self._state.details is None:
            service.set_timeout(self._asked.timeout)
        running.addSystemEventTrigger("before", "shutdown", service.stopService)
        if self._starter is not None:
            # After the service has taken charge of signals.
            running.callWhenRunning(self._starter.ready)
        # What was made until now is there to stay, and need not be looked at again.
        gc.freeze()
        gc.enable()
        running.run()
        if service.ended_on_purpose and UNIT_VARIABLE in self._environment:
            return Status.NOT_NEEDED
        return Status.DONE

    def _endpoints(self) -> Endpoints:
        default = default_endpoints(self._paths)
        group = self._configuration.settings.jsonrpc_ro_group
        return with_read_only(default, group, self._asked.jsonrpc_ro, default.jsonrpc_ro)

    def _named(self) -> Container[str]:
        return ("jsonrpc-ro",) if self._asked.jsonrpc_ro else ()

    def _refused(self, reason: str, status: Status) -> Status:
        """Tell why the daemon does not run, in its log and to who started it, but not twice."""
        self._logger.error("{reason}", reason=reason)
        if self._starter is not None:
            self._starter.failed(reason)
        elif not self._configuration.own_log_is_on_standard_error:
            say(f"{self._name}: {visible(reason)}\n")
        return status


def _successor(paths: Paths, directory: str) -> Successor:
    """Tell how to start this process again: as what has the command's path then, as virtlogd does.

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
