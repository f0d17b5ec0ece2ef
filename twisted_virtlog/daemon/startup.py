"""From a command line to a service: the steps that twistd's plugin and the command have in common.

They are separate steps, as each program does more between them: twistd goes to the background by
itself, and the command does so in virtlogd's order. The global reactor and the environment are not
used here; they are parameters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from msgspec import Struct, field

from twisted_virtlog.config.paths import Paths, default_paths
from twisted_virtlog.daemon.configuration import Configuration, LastGood, Source
from twisted_virtlog.daemon.endpoints import choose, need_run_directory
from twisted_virtlog.daemon.process import DaemonService
from twisted_virtlog.daemon.run_directory import make_run_directory
from twisted_virtlog.daemon.twistd import Twistd
from twisted_virtlog.handover.state import DaemonState, StateError
from twisted_virtlog.handover.successor import Successor
from twisted_virtlog.handover.taking import accept, bury, from_virtlogd, handed_over, own
from twisted_virtlog.service import Endpoints, IDaemonReactor
from twisted_virtlog.systemd.inherited import last_configuration
from twisted_virtlog.systemd.invocation import invocation


class Asked(Struct, frozen=True):
    """What a command line asks for, whichever program it belongs to.

    :ivar config: the configuration file, which must exist; None for the default one.
    :ivar endpoints: the server endpoints that were named, by server.
    :ivar timeout: seconds without clients and open logs after which the daemon ends; 0 for never.
    :ivar background: the process goes to the background, without standard error.
    """

    config: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 0
    verbose: bool = False
    background: bool = False


class Former:
    """What this process was before, or what a former one left in the service manager's store.

    :ivar state: what was handed over to it; None if nothing was.
    :ivar error: why that cannot be used; None if it can.
    :ivar is_tried: this is a trial: the state belongs to another process, which wants to know
        whether this image can use it.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        variables: MutableMapping[str, str],
        state_file: str | None,
    ) -> None:
        """Take what was handed over.

        :param environment: as the process got it.
        :param variables: the process's own environment, from which what a former image put there
            is removed.
        :param state_file: where libvirt's virtlogd leaves its state; None if this process cannot
            have been one.
        """
        self.state: DaemonState | None = None
        self.error: StateError | None = None
        try:
            self.state = handed_over(variables)
            if self.state is None and state_file is not None:
                self.state = from_virtlogd(state_file, os.getpid())
        except StateError as error:
            self.error = error
        self.is_tried = self.state is not None and self.state.pid != os.getpid()
        self._variables = variables
        resumed = self.state is not None or self.error is not None
        self.invocation = invocation(environment, os.getpid(), resumed)

    def accept(self) -> None:
        """Tell the process that tries this image that it would take over."""
        accept(self._variables)

    def last_good(self) -> LastGood | None:
        """Return what to go by if the configuration is wrong; None if no log depends on it."""
        activation = self.invocation.activation
        if activation.pipes:
            return LastGood(last_configuration(activation))
        if self.state is not None and self.state.logs and not self.is_tried:
            return LastGood(None)
        return None


class Startup:
    """The first step: which paths and which configuration hold.

    :ivar paths: by default.
    :ivar source: where the configuration is.
    """

    def __init__(self, asked: Asked, environment: Mapping[str, str], uid: int) -> None:
        """:param environment: as the process got it.

        :raises RuntimeError: the user has no home directory.
        """
        self.asked = asked
        self.paths = default_paths(uid, str(Path.home()), environment)
        self.source = _source(asked, self.paths, environment)

    def prepare(self, former: Former) -> Prepared:
        """Read the configuration, and open the daemon's own log.

        :raises ConfigError: the configuration cannot be used.
        :raises OutputError: an output cannot be opened.
        :raises OSError: the directory of the own log cannot be made.
        """
        background_file = self.paths.own_log if self.asked.background else None
        configuration = Configuration(self.source, background_file, former.last_good())
        return Prepared(self.asked, self.paths, former, configuration)


class Prepared(Struct, frozen=True):
    """A daemon whose configuration holds, and whose own log is open."""

    asked: Asked
    paths: Paths
    former: Former
    configuration: Configuration

    def make_run_directory(self) -> None:
        """Make the directory of the default sockets, if one of them is to be there.

        :raises OSError: it cannot be made.
        """
        if need_run_directory(self.asked.endpoints):
            make_run_directory(self.paths)

    def own_descriptors(self) -> None:
        """Keep what was handed over from programs that this process executes."""
        if self.former.state is not None:
            own(self.former.state)
            bury()

    def service(
        self, reactor: IDaemonReactor, successor: Successor, runner: Twistd | None = None
    ) -> DaemonService:
        """Make the service."""
        invoked = self.former.invocation
        return DaemonService(
            self.configuration,
            self.endpoints(),
            reactor,
            successor,
            self.former.state,
            invoked,
            runner,
            self.asked.timeout,
            self.paths.lanes,
            self.paths.state,
        )

    def endpoints(self) -> Endpoints:
        """Return where the daemon listens."""
        return choose(
            self.asked.endpoints,
            self.paths,
            self.configuration.settings.jsonrpc_ro_group,
            self.former.invocation.activation,
        )


def _source(asked: Asked, paths: Paths, environment: Mapping[str, str]) -> Source:
    # The process may leave the directory in which a relative path has its meaning.
    if asked.config is None:
        return Source(os.path.abspath(paths.config), False, environment, asked.verbose)
    file = os.path.abspath(asked.config) if asked.config else ""
    return Source(file, True, environment, asked.verbose)
