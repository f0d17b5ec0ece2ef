"""What an administrator may ask and change: clients, limits, threads, the own log, the end."""

from __future__ import annotations

import functools
import grp
import os
import pwd
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import NamedTuple, overload

from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from twisted_virtlog import __version__
from twisted_virtlog.config.logging import SpecError, parse_filters, parse_outputs
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.errors import (
    BadLimits,
    BadSetting,
    NoOwnLog,
    NoSuchClient,
    NoSuchServer,
)
from twisted_virtlog.interfaces import IAdministration, ILogHandler, IOwnLog
from twisted_virtlog.sockets.server import Client, Server
from twisted_virtlog.values import (
    ClientInfo,
    ClientLimits,
    DaemonStatus,
    Logging,
    Priority,
    Start,
    ThreadPoolStatus,
)

#: The settings that are limits, in the order in which they are shown.
_LIMITS = ("max_clients", "max_open_logs", "max_size", "max_backups", "pipe_size")

#: A minimum of threads is started at once, so that an unlimited one would end the daemon.
MAX_WORKERS = 1024


#: Every message of the daemon is compared with every filter.
MAX_SPEC_CHARACTERS = 65536


@implementer(IAdministration)
class Administration:
    """Acts on the servers, the threads and the own log of one daemon."""

    def __init__(
        self,
        start: Start,
        settings: Callable[[], Settings],
        logs: ILogHandler,
        servers: Sequence[Server],
        thread_pool: Callable[[], ThreadPool],
        set_timeout: Callable[[int], None],
        own_log: IOwnLog | None,
        shut_down: Callable[[], None],
    ) -> None:
        """Change nothing yet.

        :param settings: returns those that hold now.
        :param servers: may change.
        :param thread_pool: returns the reactor's.
        :param shut_down: ends the daemon, but not before it has returned.
        :param own_log: None if another application does the logging.
        """
        self._start = start
        self._settings = settings
        self._logs = logs
        self._servers = servers
        self._thread_pool = thread_pool
        self._set_timeout = set_timeout
        self._own_log = own_log
        self._shut_down = shut_down

    def status(self) -> DaemonStatus:
        settings = self._settings()
        return DaemonStatus(
            version=__version__,
            pid=os.getpid(),
            started_at=self._start.at,
            uptime_s=round(time.monotonic() - self._start.monotonic, 3),
            limits={name: getattr(settings, name) for name in _LIMITS},
            counts=self._logs.counts(),
            clients=sum(len(server.clients) for server in self._servers),
        )

    def servers(self) -> Sequence[str]:
        return sorted(server.name for server in self._servers)

    def clients(self, server: str) -> Sequence[ClientInfo]:
        # There are few users among them, and looking one up may take a while.
        names = _Names(functools.cache(_user_name), functools.cache(_group_name))
        return _Clients(list(self._server(server).clients.values()), names)

    def client(self, server: str, number: int) -> ClientInfo:
        return _info(self._client(server, number), _Names(_user_name, _group_name))

    def disconnect(self, server: str, number: int) -> None:
        self._client(server, number).connection.abort()

    def limits(self, server: str) -> ClientLimits:
        found = self._server(server)
        return ClientLimits(
            len(found.clients), found.max_clients, found.max_anonymous_clients, found.refused
        )

    def set_limits(self, server: str, max_clients: int | None, max_anonymous: int | None) -> None:
        found = self._server(server)
        clients = found.max_clients if max_clients is None else max_clients
        anonymous = found.max_anonymous_clients if max_anonymous is None else max_anonymous
        if anonymous > clients:
            raise BadLimits(
                "The overall maximum number of clients waiting for authentication must not be less"
                " than the overall maximum number of clients",
                "give a maximum of clients that is not below that of unauthenticated ones",
            )
        found.limit(clients, anonymous)

    def thread_pool(self, server: str) -> ThreadPoolStatus:
        found = self._server(server)
        pool = self._thread_pool()
        idle, busy = len(pool.waiters), len(pool.working)
        return ThreadPoolStatus(
            min_workers=pool.min,
            max_workers=pool.max,
            workers=idle + busy,
            free_workers=idle,
            priority_workers=found.priority_workers,
            waiting_jobs=pool._queue.qsize(),  # noqa: SLF001  # Twisted says it nowhere else
        )

    def set_thread_pool(
        self,
        server: str,
        min_workers: int | None,
        max_workers: int | None,
        priority_workers: int | None,
    ) -> None:
        found = self._server(server)
        pool = self._thread_pool()
        least = pool.min if min_workers is None else min_workers
        most = pool.max if max_workers is None else max_workers
        if least > most:
            raise BadSetting(
                "minWorkers cannot be larger than maxWorkers",
                f"give a minimum of at most {most}, or a larger maximum",
            )
        if bool(most) != bool(pool.max):
            raise BadSetting(
                "maxWorkers must not be switched from zero to non-zero and vice versa",
                "give a maximum of at least 1",
            )
        if most > MAX_WORKERS:
            raise BadSetting(
                f"maxWorkers must not be larger than {MAX_WORKERS}",
                f"give a maximum of at most {MAX_WORKERS}",
            )
        if (least, most) != (pool.min, pool.max):
            pool.adjustPoolsize(least, most)
        if priority_workers is not None:
            found.priority_workers = priority_workers

    def logging(self) -> Logging:
        return self._log().logging()

    def set_logging(self, level: Priority | None, filters: str | None, outputs: str | None) -> None:
        log = self._log()
        for text in (filters, outputs):
            if text is not None and len(text) > MAX_SPEC_CHARACTERS:
                raise BadSetting(
                    f"{len(text)} characters are too long for the log's filters or outputs",
                    f"write at most {MAX_SPEC_CHARACTERS} characters",
                )
        try:
            new_filters = None if filters is None else parse_filters(filters)
            new_outputs = None if outputs is None else parse_outputs(outputs)
        except SpecError as error:
            raise BadSetting(str(error), error.remedy) from error
        log.change(level, new_filters, new_outputs)

    def set_timeout(self, seconds: int) -> None:
        self._set_timeout(seconds)

    def shut_down(self) -> None:
        self._shut_down()

    def _server(self, name: str) -> Server:
        for server in self._servers:
            if server.name == name:
                return server
        raise NoSuchServer(name)

    def _client(self, server: str, number: int) -> Client:
        client = self._server(server).clients.get(number)
        if client is None:
            raise NoSuchClient(server, number)
        return client

    def _log(self) -> IOwnLog:
        if self._own_log is None:
            raise NoOwnLog
        return self._own_log


class _Names(NamedTuple):
    user: Callable[[int], str | None]
    group: Callable[[int], str | None]


class _Clients(Sequence[ClientInfo]):
    """Clients that were there at one moment, each told of when it is asked for."""

    def __init__(self, clients: Sequence[Client], names: _Names) -> None:
        self._clients = clients
        self._names = names

    def __len__(self) -> int:
        return len(self._clients)

    @overload
    def __getitem__(self, index: int) -> ClientInfo: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ClientInfo]: ...

    def __getitem__(self, index: int | slice) -> ClientInfo | Sequence[ClientInfo]:
        if isinstance(index, slice):
            return [_info(client, self._names) for client in self._clients[index]]
        return _info(self._clients[index], self._names)


def _info(client: Client, names: _Names) -> ClientInfo:
    peer = client.peer
    return ClientInfo(
        id=client.id,
        connected_at=datetime.fromtimestamp(client.connected_at, timezone.utc),
        pid=peer.pid,
        uid=peer.uid,
        gid=peer.gid,
        user=names.user(peer.uid),
        group=names.group(peer.gid),
    )


def _user_name(uid: int) -> str | None:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return None


def _group_name(gid: int) -> str | None:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return None
