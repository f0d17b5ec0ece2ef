"""Makes the daemon's objects and wires them: one log handler, and a listener for each protocol."""

from __future__ import annotations

import grp
import os
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorThreads,
)
from twisted.logger import Logger

from twisted_virtlog.administration import Administration
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.errors import HandOverFailed, ListenError, LogError
from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import (
    OF_VIRTLOGD,
    VERSION,
    DaemonState,
    Details,
    OpenLogState,
    by_log,
)
from twisted_virtlog.interfaces import IConversation, IOwnLog
from twisted_virtlog.jsonrpc.method import Services, ServingSocket
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation
from twisted_virtlog.libvirt.admin_program import ADMIN_PROGRAM
from twisted_virtlog.libvirt.log_program import LOG_PROGRAM
from twisted_virtlog.libvirt.program import Served, serving
from twisted_virtlog.libvirt.protocol import LibvirtConversation
from twisted_virtlog.logs.files.cleaner import Cleaner
from twisted_virtlog.logs.files.cleaning import Rules
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogHandler, LogSettings
from twisted_virtlog.logs.pipes.making import Pipes, kernel_limits, read_text
from twisted_virtlog.logs.policy import Policy, one_for_all
from twisted_virtlog.logs.read_only import ReadOnlyLogs
from twisted_virtlog.loop.clock import MonotonicClock
from twisted_virtlog.loop.idle import IdleTimeout
from twisted_virtlog.loop.threads import threads_of
from twisted_virtlog.loop.turns import Turns
from twisted_virtlog.sockets.reception import Reception
from twisted_virtlog.sockets.request_budget import RequestBudget
from twisted_virtlog.sockets.server import Server
from twisted_virtlog.values import DaemonStatus, Destination, OnWriteError, Start

_ADMIN = "admin"
_JSONRPC = "jsonrpc"
_READ_ONLY = "jsonrpc-ro"

#: In place of an endpoint: serve nobody.
NO_ENDPOINT = "none"


class _Everybody:
    """The users who may connect where the mode of the socket's file is the check."""

    def __contains__(self, uid: object) -> bool:
        return True


_EVERYBODY = _Everybody()


class IDaemonReactor(IReactorCore, IReactorFDSet, IReactorThreads):
    """What the daemon needs of a reactor: any of Twisted's on UNIX has it."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the daemon listens: server endpoint strings of UNIX sockets, or ``none``.

    :ivar jsonrpc: for JSON-RPC clients.
    :ivar jsonrpc_ro: for JSON-RPC clients that only read, of the group ``jsonrpc_ro_group``.
    :ivar libvirt: for libvirt's drivers.
    :ivar admin: for virt-admin.
    :ivar sockets: descriptors of sockets to listen on in place of an endpoint, by server.
    """

    jsonrpc: str = NO_ENDPOINT
    jsonrpc_ro: str = NO_ENDPOINT
    libvirt: str = NO_ENDPOINT
    admin: str = NO_ENDPOINT
    sockets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class VirtlogService(Service):
    """The daemon, to be run by twistd or inside any Twisted application.

    :ivar handler: the logs, for an application that uses them without a socket; set while the
        service runs.
    :ivar keeper: what lets logs outlive the process, if something does.
    :ivar own_log: the daemon's own log; None while another application does the logging.
    """

    name = "virtlogd"
    handler: LogHandler
    keeper: Keeper = NO_KEEPER
    own_log: IOwnLog | None = None
    _logger = Logger()

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        reactor: IDaemonReactor,
        state: DaemonState | None = None,
    ) -> None:
        """Nothing is opened before the service is started.

        :param settings: of the configuration file, or ``Settings()`` for the defaults.
        :param state: of the daemon's former image, which handed over to this one.
        """
        self._settings = settings
        self._endpoints = endpoints
        self._reactor = reactor
        self._state = state

    def startService(self) -> None:
        """Listen and serve.

        :raises ListenError: a socket cannot be had; nothing is left open then.
        """
        settings = self._settings
        state, self._state = self._state, None
        former = state.details if state else None
        self._started_at = former.started_at if former else datetime.now(timezone.utc)
        self._started = former.started if former else time.monotonic()
        self._clock = MonotonicClock(self._reactor)
        self._in_thread = threads_of(self._reactor)
        self._budget = RequestBudget(self._clock)
        turns = Turns(self._reactor)
        self._reception = Reception(turns.clients, self._clock)
        self._timeout = IdleTimeout(self._clock, self._idle_since, self.timed_out)
        self.handler = LogHandler(
            self._clock,
            self._in_thread,
            turns.guests,
            Pipes(settings.pipe_size, kernel_limits(read_text)),
            _log_settings(settings),
            self.keeper,
        )
        self._cleaner = Cleaner(self._clock, self._in_thread, self._is_in_use)
        try:
            servers = self._make_servers()
            if state is not None:
                self._take_over(state.logs, self.handler.adopt)
            else:
                self._take_over(self.keeper.restored(), self.handler.restore)
            self.keeper.begin(self.handler.suspended())
            self.handler.write_former()
            if state is not None:
                served = [one for endpoint, one in servers if endpoint != NO_ENDPOINT]
                self._resume(state, [*served, *_handed_over(state, servers)])
            for endpoint, server in servers:
                if server in self.servers:
                    continue
                if server.name in self._endpoints.sockets:
                    self._reception.listen_on(self._endpoints.sockets[server.name], server)
                elif endpoint != NO_ENDPOINT:
                    self._reception.listen(
                        endpoint, server, required=state is None and server.name != _READ_ONLY
                    )
        except BaseException:
            self._reception.stop_listening()
            self._close()
            raise
        self._cleaner.set(_cleaning(settings))
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def stopService(self) -> Deferred[None]:
        """Accept no more, answer what is in progress, write what the pipes hold, and close.

        :returns: fires when all is written.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._reception.stop_listening()
        self.handler.refuse_opens()
        self._cleaner.stop()
        return self._reception.finish().addCallback(lambda _: self._close())

    @property
    def servers(self) -> Sequence[Server]:
        """The clients of each protocol, while the service runs."""
        return self._reception.servers

    def reexec(self, to_virtlogd: str | None, state_version: int | None) -> Deferred[None]:
        """Hand over to the daemon's next image; a daemon that is a process of its own can.

        :param to_virtlogd: the path of libvirt's virtlogd, to hand over to that.
        :param state_version: of the document that our own next image is to read, as an older
            release reads no higher one; None for the lowest that says all.
        :raises HandOverFailed: nothing has changed.
        """
        raise HandOverFailed("this daemon runs inside another application, which has to hand over")

    # A hand-over to the daemon's next image: hold, until none is waiting, and then suspended; or
    # release, if it came to nothing.

    def hold(self) -> None:
        """Take no more requests and clients; requests in progress go on."""
        self._reception.hold()

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        self._reception.release()

    def waiting(self) -> int:
        """Tell how many requests are in progress, whose answers come later."""
        return self._reception.waiting()

    def suspended(self) -> DaemonState:
        """Tell what the daemon's next image needs to go on with all logs, sockets and clients."""
        pool = self._reactor.getThreadPool()
        return DaemonState(
            pid=os.getpid(),
            servers=self._reception.suspended(),
            logs=self.handler.suspended(),
            details=Details(
                VERSION,
                self._started_at,
                self._started,
                self.handler.totals(),
                timeout=self._timeout.period,
                workers=(pool.min, pool.max),
                known_logs=self.handler.known.paths(),
            ),
        )

    def reload(self, settings: Settings) -> None:
        """Let other settings hold from now on, for the logs that are open and for clients too.

        Pipes that are there keep their size, and a lower ``max_clients`` disconnects nobody. The
        own log's settings are none of this object's.
        """
        self._settings = settings
        self.handler.reload(_log_settings(settings), settings.pipe_size)
        self._cleaner.set(_cleaning(settings))
        for server in self.servers:
            server.limit(self._max_clients(server.name))
        self.bind_again()

    def bind_again(self) -> None:
        """Listen anew at the paths of sockets whose files were removed; see Listener."""
        self._reception.bind_again()

    def set_timeout(self, seconds: int) -> None:
        """Call :meth:`timed_out` after so many seconds without clients and open logs; 0: never.

        The service must run. What was set before no longer holds, and the time counts from now.
        """
        self._timeout.set(seconds)

    def timed_out(self) -> None:
        """Stop, as nobody needs the daemon."""
        self.stopService()

    def shut_down(self) -> None:
        """Stop, as an administrator asked for it."""
        self.stopService()

    def info(self) -> DaemonStatus:
        """Return what the daemon is and how much it does."""
        return self._administration.status()

    def _make_servers(self) -> list[tuple[str, Server]]:
        self._administration = administration = Administration(
            Start(self._started_at, self._started),
            lambda: self._settings,
            self.handler,
            self.servers,
            self._reactor.getThreadPool,
            self.set_timeout,
            self.own_log,
            lambda: self._reactor.callFromThread(self.shut_down),
        )
        services = Services(
            handler=self.handler,
            administration=administration,
            sockets=self._jsonrpc_sockets,
            reexec=self.reexec,
            call_soon=self._reactor.callFromThread,
        )

        def jsonrpc() -> IConversation:
            return JSONRPCConversation(services)

        read_only = replace(services, handler=ReadOnlyLogs(self.handler))

        def jsonrpc_ro() -> IConversation:
            return JSONRPCConversation(read_only, read_only=True)

        log_programs = serving(Served(LOG_PROGRAM, self.handler))
        admin_programs = serving(Served(ADMIN_PROGRAM, administration))

        def libvirt() -> IConversation:
            return LibvirtConversation(log_programs)

        def admin() -> IConversation:
            return LibvirtConversation(admin_programs)

        own = os.geteuid()

        def server(
            name: str, uids: Container[int], converse: Callable[[], IConversation]
        ) -> Server:
            return Server(
                name,
                uids,
                self._max_clients(name),
                converse,
                self._budget,
                lets_first_in=name in OF_VIRTLOGD,
            )

        return [
            (self._endpoints.libvirt, server("virtlogd", {own}, libvirt)),
            (self._endpoints.admin, server(_ADMIN, {own}, admin)),
            (self._endpoints.jsonrpc, server(_JSONRPC, {0, own}, jsonrpc)),
            self._for_group(server(_READ_ONLY, _EVERYBODY, jsonrpc_ro)),
        ]

    def _for_group(self, server: Server) -> tuple[str, Server]:
        """Let a group reach a server; without one nobody listens for it.

        :raises ListenError: an endpoint was named, but no group.
        """
        endpoint, name = self._endpoints.jsonrpc_ro, self._settings.jsonrpc_ro_group
        if name:
            try:
                server.group = grp.getgrnam(name).gr_gid
            except KeyError:
                self._logger.error(
                    "{server}: jsonrpc_ro_group: there is no group {group}; nobody is served there",
                    server=server.name,
                    group=name,
                )
                return NO_ENDPOINT, server
        elif endpoint != NO_ENDPOINT and not endpoint.startswith("systemd:"):
            raise ListenError(
                f"{server.name}: cannot listen on {endpoint!r}: the configuration names no group"
                ' that may connect; write jsonrpc_ro_group = "adm", say'
            )
        return endpoint, server

    def _jsonrpc_sockets(self) -> tuple[ServingSocket, ...]:
        return tuple(
            ServingSocket(server, address, read_only=server == _READ_ONLY)
            for server in (_JSONRPC, _READ_ONLY)
            for address in self._reception.addresses(server)
        )

    def _max_clients(self, server: str) -> int:
        settings = self._settings
        return settings.admin_max_clients if server == _ADMIN else settings.max_clients

    def _take_over(
        self,
        logs: Sequence[OpenLogState],
        take_over: Callable[[OpenLogState, Sequence[OpenLogState]], None],
    ) -> None:
        """Go on with open logs, as far as can be."""
        for pipes in by_log(logs):
            while pipes:
                log = pipes.pop()
                try:
                    take_over(log, pipes)
                    break
                except LogError as error:
                    self._logger.error(
                        "{path}: this log cannot be taken over: {error}", path=log.log, error=error
                    )
                except Exception:  # noqa: BLE001 (no other log may suffer)
                    self._logger.failure("{path}: this log cannot be taken over", path=log.log)

    def _resume(self, state: DaemonState, servers: Sequence[Server]) -> None:
        """Go on with all that the former image had, as far as can be; tell of what cannot."""
        details = state.details
        if details is not None:
            self.handler.add_totals(details.totals)
            self.handler.known.add_earlier(details.known_logs)
            if details.timeout is not None:
                self.set_timeout(details.timeout)
            if details.workers is not None:
                self._reactor.getThreadPool().adjustPoolsize(*details.workers)
        self._reception.resume(state, servers)
        self._logger.info(
            "took over {logs} logs and {clients} clients",
            logs=self.handler.counts().open_logs,
            clients=self._reception.count(),
        )

    def _idle_since(self) -> float | None:
        logs, clients = self.handler.idle_since, self._reception.idle_since()
        return None if logs is None or clients is None else max(logs, clients)

    def _is_in_use(self, path: str) -> bool:
        """Tell whether a file is that of an open log, or of the daemon's own."""
        real = os.path.realpath(path)
        outputs = self.own_log.logging().outputs if self.own_log else ()
        return self.handler.is_open(path) or any(
            one.destination is Destination.FILE and os.path.realpath(one.argument) == real
            for one in outputs
        )

    def _close(self) -> None:
        self.handler.close()
        self._reception.close()
        self._budget.close()
        self._clock.close()


def _handed_over(state: DaemonState, servers: Sequence[tuple[str, Server]]) -> list[Server]:
    """Return the servers without an endpoint whose sockets a service manager had handed over."""
    return [
        server
        for endpoint, server in servers
        if endpoint == NO_ENDPOINT
        and server.name == _READ_ONLY
        and (former := state.servers.get(server.name)) is not None
        and not any(socket.bound for socket in former.sockets)
    ]


def _cleaning(settings: Settings) -> Rules:
    return Rules(settings.log_root, settings.max_age_days, settings.max_backups)


def _log_settings(settings: Settings) -> LogSettings:
    policy = Policy(
        Limits(settings.max_size, settings.max_backups), OnWriteError(settings.on_write_error)
    )
    return LogSettings(one_for_all(policy), settings.max_open_logs)
