"""Starts the daemon in virtlogd's order: run directory, background, pid file, sockets, signals.

The reactor is imported last. Its epoll set must not be there when the process forks, as both would
share it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from twisted.logger import Logger, globalLogBeginner

from twisted_virtlog.binding import ListenError
from twisted_virtlog.cli.background import Outcome, Starter, go_to_background
from twisted_virtlog.cli.options import Arguments
from twisted_virtlog.cli.outcome import UNIT_VARIABLE, Status, say
from twisted_virtlog.cli.pid_file import PidFileError, acquire
from twisted_virtlog.config.paths import Paths, default_paths
from twisted_virtlog.config.settings import ConfigError
from twisted_virtlog.configuration import Configuration, Source
from twisted_virtlog.daemon import DaemonService, activated, default_endpoints
from twisted_virtlog.handover import SIGNALS
from twisted_virtlog.ownlog.outputs import OutputError
from twisted_virtlog.run_directory import make_run_directory
from twisted_virtlog.service import IDaemonReactor
from twisted_virtlog.state import DaemonState, StateError
from twisted_virtlog.successor import Image, Kind, Successor
from twisted_virtlog.systemd.invocation import invocation
from twisted_virtlog.takeover import from_virtlogd, handed_over, own


def start(name: str, asked: Arguments, environment: Mapping[str, str]) -> Status:
    """Run the daemon until it is told to end.

    :param name: the program's, for messages.
    :param environment: as the process got it.
    """
    try:
        paths = default_paths(os.geteuid(), str(Path.home()), environment)
        source = _source(asked, paths, environment)
        configuration = Configuration(source, paths.own_log if asked.daemon else None)
    # Without a home directory there is a RuntimeError.
    except (ConfigError, OutputError, OSError, RuntimeError) as error:
        say(f"{name}: {error}\n")
        return Status.REFUSED
    return _Start(name, asked, paths, configuration, environment).run()


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
    ) -> None:
        self._name = name
        self._environment = environment
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
        try:
            state = handed_over(os.environ) or from_virtlogd(self._paths.restart_state, os.getpid())
        except StateError as error:
            return self._refused(str(error), Status.FAILED)
        if state is not None:
            if state.pid != os.getpid():
                # Only tried.
                return Status.DONE
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
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
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

        running = cast(IDaemonReactor, reactor)
        globalLogBeginner.beginLoggingTo([self._configuration.own_log], redirectStandardIO=False)
        invoked = invocation(self._environment, os.getpid(), resumed=self._state is not None)
        service = DaemonService(
            self._configuration,
            activated(default_endpoints(self._paths), invoked.activation, named=()),
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

    def _refused(self, reason: str, status: Status) -> Status:
        """Tell why the daemon does not run, in its log and to who started it, but not twice."""
        self._logger.error("{reason}", reason=reason)
        if self._starter is not None:
            self._starter.failed(reason)
        elif not self._configuration.own_log_is_on_standard_error:
            say(f"{self._name}: {reason}\n")
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
