"""Makes the daemon's objects and wires them: one log handler, and a listener for each protocol."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorThreads,
)
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twisted_virtlog import __version__
from twisted_virtlog.clock import MonotonicClock
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.endpoints import listen
from twisted_virtlog.event_set import EventSet
from twisted_virtlog.interfaces import IConversation
from twisted_virtlog.jsonrpc.method import Services
from twisted_virtlog.jsonrpc.protocol import JSONRPCConversation
from twisted_virtlog.jsonrpc.schema import DaemonCounts, DaemonInfo
from twisted_virtlog.listening import Listener
from twisted_virtlog.logs.handler import LogHandler, LogSettings
from twisted_virtlog.logs.pipes import Pipes, kernel_limits, read_text
from twisted_virtlog.logs.rotation import Limits
from twisted_virtlog.logs.watch import PipeWatch
from twisted_virtlog.rpc.log_program import LOG_PROGRAM
from twisted_virtlog.rpc.program import Served, serving
from twisted_virtlog.rpc.protocol import LibvirtConversation
from twisted_virtlog.servers import Server

T = TypeVar("T")

#: In place of an endpoint: serve nobody.
NO_ENDPOINT = "none"


class IDaemonReactor(IReactorCore, IReactorFDSet, IReactorThreads):
    """What the daemon needs of a reactor: any of Twisted's on UNIX has it."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the daemon listens: server endpoint strings of UNIX sockets, or ``none``.

    :ivar jsonrpc: for JSON-RPC clients.
    :ivar libvirt: for libvirt's drivers.
    """

    jsonrpc: str = NO_ENDPOINT
    libvirt: str = NO_ENDPOINT


class VirtlogService(Service):
    """The daemon, to be run by twistd or inside any Twisted application.

    :ivar handler: the logs, for an application that uses them without a socket; set while the
        service runs.
    :ivar servers: the clients of each protocol; filled while the service runs.
    """

    name = "virtlogd"
    handler: LogHandler
    _logger = Logger()

    def __init__(self, settings: Settings, endpoints: Endpoints, reactor: IDaemonReactor) -> None:
        """Nothing is opened before the service is started.

        :param settings: of the configuration file, or ``Settings()`` for the defaults.
        """
        self._settings = settings
        self._endpoints = endpoints
        self._reactor = reactor
        self.servers: list[Server] = []
        self._listeners: list[Listener] = []

    def startService(self) -> None:
        """Listen and serve.

        :raises ListenError: a socket cannot be had; nothing is left open then.
        """
        settings = self._settings
        self._started_at = datetime.now(timezone.utc)
        self._started = time.monotonic()
        self._clock = MonotonicClock(self._reactor)
        self._clients = EventSet(self._reactor)
        self.handler = LogHandler(
            self._clock,
            self._in_thread,
            PipeWatch(self._reactor),
            Pipes(settings.pipe_size, kernel_limits(read_text)),
            LogSettings(
                Limits(settings.max_size, settings.max_backups),
                drops=settings.on_write_error == "drop",
                max_open_logs=settings.max_open_logs,
            ),
        )
        try:
            for endpoint, server in self._make_servers():
                if endpoint != NO_ENDPOINT:
                    self.servers.append(server)
                    listener = listen(self._clients, self._clock, endpoint, server)
                    self._listeners.append(listener)
                    self._logger.info(
                        "{server}: listening on {endpoint}", server=server.name, endpoint=endpoint
                    )
        except BaseException:
            self._stop_listening()
            self._close()
            raise
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's has no types

    def stopService(self) -> Deferred[None]:
        """Accept no more, answer what is in progress, write what the pipes hold, and close.

        :returns: fires when all is written.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's has no types
        self._stop_listening()
        self.handler.refuse_opens()
        finished = DeferredList([server.finish(self._clock) for server in self.servers])
        return finished.addCallback(lambda _: self._close())

    def info(self) -> DaemonInfo:
        """Tell what the daemon is and how much it does."""
        settings = self._settings
        counts = self.handler.counts()
        return DaemonInfo(
            name="twisted-virtlog",
            version=__version__,
            pid=os.getpid(),
            started_at=self._started_at,
            uptime_s=round(time.monotonic() - self._started, 3),
            limits={
                "max_clients": settings.max_clients,
                "max_open_logs": settings.max_open_logs,
                "max_size": settings.max_size,
                "max_backups": settings.max_backups,
                "pipe_size": settings.pipe_size,
            },
            counts=DaemonCounts(
                open_logs=counts.open_logs,
                failing_logs=counts.failing_logs,
                opened_logs=counts.opened_logs,
                bytes_written=counts.bytes_written,
                bytes_lost=counts.bytes_lost,
                rollovers=counts.rollovers,
                clients=sum(len(server.clients) for server in self.servers),
            ),
        )

    def _make_servers(self) -> list[tuple[str, Server]]:
        services = Services(
            handler=self.handler, info=self.info, call_soon=self._reactor.callFromThread
        )

        def jsonrpc() -> IConversation:
            return JSONRPCConversation(services)

        programs = serving(Served(LOG_PROGRAM, self.handler))

        def libvirt() -> IConversation:
            return LibvirtConversation(programs)

        own = os.geteuid()
        most = self._settings.max_clients
        return [
            (self._endpoints.libvirt, Server("virtlogd", {own}, most, libvirt)),
            (self._endpoints.jsonrpc, Server("jsonrpc", {0, own}, most, jsonrpc)),
        ]

    def _in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.stopListening()

    def _close(self) -> None:
        self.handler.close()
        self._clients.close()
        self._clock.close()
        self._listeners.clear()
        self.servers.clear()
