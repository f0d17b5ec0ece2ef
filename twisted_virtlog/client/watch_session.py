"""Watching which logs there are, over restarts of the daemon, without the sockets."""

from __future__ import annotations

from collections.abc import Sequence

from twisted_virtlog.client.calls import LogInfo, Requests
from twisted_virtlog.client.errors import ClientError, Disconnected
from twisted_virtlog.client.notifications import FeedEnd, FeedLog, Notification, Snapshot
from twisted_virtlog.client.session import Session
from twisted_virtlog.client.subscriptions import watch_logs

_REQUESTS = Requests()


class WatchSession(Session[Snapshot | FeedLog]):
    """What happens to logs.

    On each connection it yields a snapshot, and then what happens. What happened between the
    daemon's answers to ``log.watch`` and ``log.list`` comes after the snapshot, which may have it
    already: whoever takes each log as the last that was told of it has it as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._subscription: int | None = None

    def _begin(self) -> None:
        self._holding = True
        self._ask(watch_logs(), self._watching)
        self._ask(_REQUESTS.list(), self._listed)

    def _watching(self, outcome: int | ClientError) -> None:
        if isinstance(outcome, ClientError):
            self._refuse(outcome)
            return
        self._subscription = outcome

    def _listed(self, outcome: Sequence[LogInfo] | ClientError) -> Snapshot | None:
        if isinstance(outcome, ClientError):
            self._refuse(outcome)
            return None
        self.started = True
        self._holding = False
        return Snapshot(outcome)

    def _take(self, told: Notification) -> FeedLog | None:
        if told.subscription != self._subscription:
            return None
        if isinstance(told, FeedLog):
            return told
        if isinstance(told, FeedEnd):
            if told.reason == "shutting down":
                raise Disconnected("the daemon is shutting down")
            self.ended = told.reason
        return None
