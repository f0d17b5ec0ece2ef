"""An administration of servers that have clients, threads and a log, and no sockets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, cast

from tests.fakes.handler import FakeHandler
from twisted_virtlog.administration import Administration
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.daemon.log.observer import OwnLog
from twisted_virtlog.interfaces import IConversation
from twisted_virtlog.sockets.connection import Connection
from twisted_virtlog.sockets.peer_credentials import PeerCredentials
from twisted_virtlog.sockets.server import Client, Server
from twisted_virtlog.values import Counts, Destination, Output, Priority, Start

CONNECTED_AT = 1_795_426_961

#: Half a year earlier.
STARTED_AT = datetime(2026, 5, 23, 12, tzinfo=timezone.utc)


class FakeQueue:
    """Work that waits for a thread.

    :ivar waiting: how many pieces.
    """

    waiting = 3

    def qsize(self) -> int:
        return self.waiting


class FakeThreadPool:
    """Has numbers, and no threads."""

    def __init__(self, least: int = 0, most: int = 10) -> None:
        self.min = least
        self.max = most
        self.waiters = [None] * 2
        self.working = [None] * 5
        self._queue = FakeQueue()

    def adjustPoolsize(self, minthreads: int, maxthreads: int) -> None:
        assert 0 <= minthreads <= maxthreads
        self.min, self.max = minthreads, maxthreads


class Cut:
    """Takes the place of a client's connection, which an administrator may abort."""

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self._number = number

    def abort(self) -> None:
        del self._server.clients[self._number]


def on_standard_error(level: Priority) -> Sequence[Output]:
    """Return the default outputs of a log that a test sees."""
    return [Output(level, Destination.STDERR)]


def no_conversation() -> IConversation:
    """Take the place of what makes a conversation, where nobody connects."""
    raise NotImplementedError


class FakeDaemon:
    """What an administration acts on.

    :ivar timeouts: those that were set.
    :ivar shutdowns: how many times it was told to end.
    """

    def __init__(self, *, has_own_log: bool = True, **pool: int) -> None:
        """:param pool: see FakeThreadPool."""
        self._own_log = OwnLog(on_standard_error) if has_own_log else None
        self.pool: Any = FakeThreadPool(**pool)
        self.timeouts: list[int] = []
        self.shutdowns = 0
        self.servers = [
            Server("virtlogd", {0}, 1024, no_conversation),
            Server("admin", {0}, 5000, no_conversation),
        ]
        self.administration = Administration(
            Start(STARTED_AT, time.monotonic() - 1.5),
            lambda: Settings(max_clients=7),
            FakeHandler(counts=Counts(1, 0, 2, 3, 4, 5, 6, 2, 1.5)),
            self.servers,
            lambda: self.pool,
            self.timeouts.append,
            self._own_log,
            self._shut_down,
        )

    def _shut_down(self) -> None:
        self.shutdowns += 1

    @property
    def own_log(self) -> OwnLog:
        """The own log of one that has one."""
        assert self._own_log is not None
        return self._own_log

    def connect(self, *numbers: int, uid: int = 0, pid: int = 2168, server: int = 0) -> None:
        """Let clients with these numbers be there.

        :param server: its index.
        """
        of = self.servers[server]
        for number in numbers:
            connection = cast(Connection, Cut(of, number))
            peer = PeerCredentials(pid, uid, 0)
            of.clients[number] = Client(number, CONNECTED_AT, peer, connection)
