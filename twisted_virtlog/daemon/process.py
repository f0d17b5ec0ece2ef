"""The service of a process of its own: it logs as configured, obeys signals, and ends clearly."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import msgspec
from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger, globalLogPublisher
from twisted.python.components import Componentized

from twisted_virtlog.daemon.configuration import Configuration
from twisted_virtlog.daemon.counts import memory_of_counts
from twisted_virtlog.daemon.descriptor_limit import make_room, raise_limit
from twisted_virtlog.daemon.ending import Ending
from twisted_virtlog.daemon.endpoints import own_directory
from twisted_virtlog.daemon.garbage import Garbage
from twisted_virtlog.daemon.log.observer import Once
from twisted_virtlog.daemon.reload import Reload
from twisted_virtlog.daemon.twistd import Twistd
from twisted_virtlog.errors import HandOverFailed, ListenError, OutputError
from twisted_virtlog.handover.giving import HandOver
from twisted_virtlog.handover.state import DaemonState, Details, LoggingState
from twisted_virtlog.handover.successor import Successor
from twisted_virtlog.loop import signals
from twisted_virtlog.loop.threads import DeafThread, own_threads_of
from twisted_virtlog.service import (
    Endpoints,
    IDaemonReactor,
    Process,
    VirtlogService,
)
from twisted_virtlog.systemd.inherited import take
from twisted_virtlog.systemd.invocation import Invocation
from twisted_virtlog.systemd.supervision import Supervisor, supervision

#: How long a hand-over waits for the own log.
_LET_GO_SECONDS = 1.0

#: The service manager's sockets, as Twisted's endpoints name them.
_SYSTEMD = "systemd:"


class DaemonService(Service):
    """The daemon as a process of its own, whatever runs its reactor.

    :ivar stopping: it was told to end.
    :ivar ended_on_purpose: it ends because it is not needed or an administrator ended it, so it is
        not to be started again before a client comes.
    """

    name = "virtlogd"
    _logger = Logger()

    def __init__(
        self,
        configuration: Configuration,
        endpoints: Endpoints,
        reactor: IDaemonReactor,
        successor: Successor,
        state: DaemonState | None = None,
        invocation: Invocation | None = None,
        runner: Twistd | None = None,
        timeout: int = 0,
        lanes: str | None = None,
        state_directory: str | None = None,
    ) -> None:
        """:param successor: what takes over from this process on SIGUSR1.

        :param invocation: how a service manager started the process; None if none did.
        :param runner: told how :meth:`startService` went.
        :param timeout: seconds without clients and open logs after which the process ends; 0
            for never. That of a former image comes first.
        :param lanes: the directory in which each daemon has one for the locks of its lanes; None
            for no locks.
        :param state_directory: of what is kept beside the logs, if the configuration does not say;
            None for none.
        """
        self.stopping = False
        self.ended_on_purpose = False
        self._configuration = configuration
        self._endpoints = endpoints
        self._reactor = reactor
        self._successor = successor
        self._state = state
        self._invocation = invocation or Invocation()
        self._runner = runner or Twistd({})
        self._timeout = timeout
        self._lanes = lanes
        self._state_directory = state_directory
        self._observer = Once(configuration.own_log)
        self._ending: Ending | None = None

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Have twistd, which asks the application where to log, write to the own log alone."""
        if isinstance(parent, Componentized):
            parent.setComponent(  # type: ignore[no-untyped-call]  # Twisted's has no types
                ILogObserver, self._observer
            )
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # Twisted's has no types

    def startService(self) -> None:
        """Start, or end the process with the reason in one line."""
        # twist does not ask the application. (An observer is not added twice.)
        globalLogPublisher.addObserver(self._observer)
        self._reactor.callWhenRunning(self._observer.logging_has_begun)
        try:
            self.begin()
        except (ListenError, OSError) as error:
            self._logger.error("{error}", error=error)
            self._runner.failed(str(error))
            if self._configuration.own_log_is_on_standard_error:
                raise SystemExit(1) from error
            # Twisted has put its log in this place.
            sys.stderr = sys.__stderr__
            raise SystemExit(f"virtlogd: {error}") from error
        self._runner.started()

    def begin(self) -> None:
        """Start.

        :raises ListenError: a socket cannot be listened on.
        :raises OSError: no descriptors are left, for example.
        """
        raise_limit()
        make_room()
        self._reactor.getThreadPool().threadFactory = DeafThread
        state, self._state = self._state, None
        self._supervision = self._supervised(state)
        if state is not None and state.details is not None:
            self._resume_logging(state.details.logging)
        directory = own_directory(self._lanes, self._endpoints, state) if self._lanes else None
        memory = memory_of_counts(state, self._invocation.activation, self._supervision, directory)
        virtlog = self._virtlog = VirtlogService(
            self._configuration.settings,
            self._endpoints,
            self._reactor,
            state,
            Process(
                self._supervision.keeper,
                self._configuration.own_log,
                self._end_on_purpose,
                self._reexec,
                self._suspended,
                directory,
                self._state_directory,
                memory,
            ),
        )
        try:
            self._virtlog.startService()
        except BaseException:
            self._supervision.close()
            raise
        self._ending = Ending(virtlog.hung, self._configuration.own_log)
        self._ending.release(self._runner.remove_pid_file)
        self._reactor.addSystemEventTrigger("after", "shutdown", self._ending.finish)
        if state is None or state.details is None:
            self._virtlog.set_timeout(self._timeout)
        self._reload = Reload(self._configuration, self._supervision, self._virtlog.reload)
        # After the reactor has installed its handlers.
        self._reactor.callWhenRunning(self._obey_signals)
        self._reactor.callWhenRunning(self._supervision.ready)
        self._supervision.look_after(self._virtlog.bind_again)
        self._garbage = Garbage(self._virtlog.clock)
        self._reactor.callWhenRunning(self._garbage.begin)
        self._hand_over = HandOver(
            self._virtlog,
            self,
            self._virtlog.clock,
            own_threads_of(self._reactor),
            self._reactor.callFromThread,
            self._successor.state_file,
        )
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def stopService(self) -> Deferred[None]:
        """Stop the daemon, then take leave of the service manager.

        :returns: fires when everything is written.
        """
        self.stopping = True
        self._supervision.stopping()
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._garbage.end()
        return self._virtlog.stopService().addCallback(lambda _: self._stopped())

    @property
    def ending(self) -> Ending:
        """The end of the process; only while the daemon runs."""
        assert self._ending is not None
        return self._ending

    def let_go(self) -> None:
        """Have the own log's files written and closed: a disk that hangs would hold up an exec.

        :raises HandOverFailed: one hangs.
        """
        hanging = self._configuration.own_log.let_go(_LET_GO_SECONDS)
        if hanging:
            raise HandOverFailed(f"the daemon's own log hangs: no answer from {', '.join(hanging)}")

    def prepare_for_virtlogd(self) -> None:
        """Keep the service manager from expecting of libvirt's virtlogd what it does not do."""
        self._supervision.hand_over_to_virtlogd()

    def stay(self) -> None:
        """Go on after :meth:`prepare_for_virtlogd`."""
        self._supervision.go_on()

    def _stopped(self) -> None:
        self._supervision.close()
        self.ending.written()

    def _suspended(self, details: Details) -> Details:
        """Add what the next image needs to know of the service manager and of the own log."""
        changed = self._configuration.changed_logging()
        return msgspec.structs.replace(
            details,
            kept=self._supervision.suspended(),
            counts=self._virtlog.accounts.file,
            logging=LoggingState.of(changed) if changed else None,
        )

    def _reexec(self, to_virtlogd: str | None, state_version: int | None) -> Deferred[None]:
        """Hand over as a client asks."""
        successor = self._successor
        image = successor.virtlogd(to_virtlogd) if to_virtlogd else successor.image()
        return self._hand_over.begin(image, for_client=True, state_version=state_version)

    def _resume_logging(self, state: LoggingState | None) -> None:
        if state is None:
            return
        try:
            self._configuration.resume_logging(state.logging())
        except (OutputError, ValueError) as error:
            self._logger.error("{error}; the daemon logs as configured", error=error)

    def _supervised(self, state: DaemonState | None) -> Supervisor:
        activation = self._invocation.activation
        endpoints = self._endpoints
        names = (
            endpoints.jsonrpc,
            endpoints.jsonrpc_ro,
            endpoints.libvirt,
            endpoints.admin,
        )
        take(activation, strictly=not any(name.startswith(_SYSTEMD) for name in names))
        return supervision(
            self._reactor, self._invocation.environment, os.getpid(), activation, state
        )

    def _obey_signals(self) -> None:
        """Obey signals; twistd would let some of them kill the process."""
        signals.obey(
            self._reactor.callFromThread,
            stop=self._stop,
            reload=self._reload,
            hand_over=self._hand_over_at_signal,
        )

    def _hand_over_at_signal(self) -> None:
        # (if it fails, the log says why)
        self._hand_over.begin(self._successor.image(), for_client=False).addErrback(lambda _: None)

    def _end_on_purpose(self) -> None:
        self.ended_on_purpose = True
        self._stop()

    def _stop(self) -> None:
        self.stopping = True
        if self._ending is not None:
            self._ending.begin()
        # A signal may come again while the first one is obeyed.
        with suppress(ReactorNotRunning):
            self._reactor.stop()
