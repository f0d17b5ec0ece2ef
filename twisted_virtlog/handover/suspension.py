"""The daemon as it stands still for its next image: what goes over, and what becomes of it there.

Logs, clients and the rest each know their own part of the state. Here they stand still together,
and their parts are put into one document and taken out of it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_virtlog.errors import LogError
from twisted_virtlog.handover.state import (
    VERSION,
    DaemonState,
    Details,
    OpenLogState,
    ServerState,
    Totals,
    by_log,
)
from twisted_virtlog.values import Start

_logger = Logger()


class Known(Protocol):
    """The logs that the daemon knows; see KnownLogs."""

    def paths(self) -> tuple[str, ...]:
        """Return all of them."""

    def add_earlier(self, paths: Iterable[str]) -> None:
        """Add those that the former image knew."""


class Logs(Protocol):
    """The logs; see LogHandler."""

    @property
    def known(self) -> Known:
        """Those that are known."""

    def suspended(self) -> tuple[OpenLogState, ...]:
        """Return what the next image needs of those that are open."""

    def hung(self) -> Sequence[str]:
        """Return why threads do not end, in words."""

    def pause(self) -> Deferred[None]:
        """Have threads close their files, and do nothing; fires when that is so."""

    def go_on(self) -> None:
        """Let them go on after that, or instead."""

    def totals(self) -> Totals:
        """Return the totals of those that are closed."""

    def add_totals(self, totals: Totals) -> None:
        """Go on counting from there."""


class Past(Protocol):
    """What is noted of logs; see History."""

    def flush(self) -> None:
        """Have noted what is to be noted, in the threads of logs."""

    def pause(self) -> Deferred[None]:
        """Write that and close its file; fires when that is so."""

    def go_on(self) -> None:
        """Open the file again after that, or instead."""

    def hung(self) -> Sequence[str]:
        """Return why its thread does not end, in words."""


class Clients(Protocol):
    """The servers and their clients; see Reception."""

    def hold(self) -> None:
        """Take no more requests and clients."""

    def release(self) -> None:
        """Go on."""

    def waiting(self) -> int:
        """Return how many requests are in progress."""

    def end_subscriptions(self) -> None:
        """End what clients follow, and tell them."""

    def suspended(self, conversations: bool = True) -> dict[str, ServerState]:
        """Return what the next image needs of each server.

        :param conversations: with what clients sent and have not read.
        """


class Timeout(Protocol):
    """What ends a daemon that nobody needs; see IdleTimeout."""

    @property
    def period(self) -> int:
        """Return its seconds; 0 for never."""

    def set(self, seconds: int) -> None:
        """Set its seconds."""


class Threads(Protocol):
    """The reactor's thread pool."""

    min: int
    max: int

    def adjustPoolsize(self, minthreads: int, maxthreads: int) -> None:
        """Set the least and the most threads."""


class Suspension:
    """Hold, until no request waits, and then suspended; or release, if it came to nothing.

    :ivar hand_overs: how many images have handed over, one to the next, before this one.
    """

    def __init__(
        self,
        start: Start,
        logs: Logs,
        past: Past,
        clients: Clients,
        timeout: Timeout,
        threads: Callable[[], Threads],
        more: Callable[[Details], Details],
    ) -> None:
        """Do nothing yet.

        :param more: adds what the next image needs to know of the process.
        """
        self.hand_overs = 0
        self._start = start
        self._logs = logs
        self._past = past
        self._clients = clients
        self._timeout = timeout
        self._threads = threads
        self._more = more

    def hold(self) -> None:
        """Take no more requests and clients; requests in progress go on."""
        self._clients.hold()

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        self._clients.release()

    def waiting(self) -> int:
        """Return how many requests are in progress, whose answers come later."""
        return self._clients.waiting()

    def hung(self) -> Sequence[str]:
        """Return why threads do not end, in words."""
        return [*self._logs.hung(), *self._past.hung()]

    def pause(self) -> Deferred[None]:
        """Have the threads of file systems close their files; fires when that is so."""
        self._past.flush()
        return self._logs.pause().addCallback(lambda _: self._past.pause())

    def go_on(self) -> None:
        """Let them go on after :meth:`pause`, or instead."""
        self._past.go_on()
        self._logs.go_on()

    def end_subscriptions(self) -> None:
        """End what clients follow, as the next image does not know of such."""
        self._clients.end_subscriptions()

    def suspended(self, conversations: bool = True) -> DaemonState:
        """Return what the next image needs to go on with all logs, sockets and clients.

        :param conversations: with what clients sent and have not read, which may be much; False to
            find out whether an image can take over.
        """
        threads = self._threads()
        # (clients first: they may send then, and find that somebody is gone)
        servers = self._clients.suspended(conversations)
        details = Details(
            VERSION,
            self._start.at,
            self._start.monotonic,
            self._logs.totals(),
            timeout=self._timeout.period,
            workers=(threads.min, threads.max),
            known_logs=self._logs.known.paths(),
            hand_overs=self.hand_overs + 1,
        )
        return DaemonState(os.getpid(), servers, self._logs.suspended(), self._more(details))

    def resume(self, details: Details) -> None:
        """Go on where the former image stopped, in all but its open logs and its clients."""
        self.hand_overs = details.hand_overs
        self._logs.add_totals(details.totals)
        self._logs.known.add_earlier(details.known_logs)
        if details.timeout is not None:
            self._timeout.set(details.timeout)
        if details.workers is not None:
            self._threads().adjustPoolsize(*details.workers)


def take_over(
    logs: Sequence[OpenLogState],
    adopt: Callable[[OpenLogState, Sequence[OpenLogState]], None],
) -> None:
    """Go on with open logs, as far as possible.

    :param adopt: takes over a log, with the pipes of its former guests, oldest first.
    """
    for pipes in by_log(logs):
        # Where the present guest's pipe cannot be used, the output of former ones still can.
        while pipes:
            log = pipes.pop()
            try:
                adopt(log, pipes)
                break
            except LogError as error:
                _logger.error(
                    "{path}: this log cannot be taken over: {error}", path=log.log, error=error
                )
            except Exception:  # noqa: BLE001 (no other log may suffer)
                _logger.failure("{path}: this log cannot be taken over", path=log.log)
