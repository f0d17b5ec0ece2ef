"""Tells trails, and those who watch logs, what happens to the logs of one thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Protocol

import msgspec

from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.following.trail import Trail
from twisted_virtlog.logs.observing import LogThread
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.values import (
    Domain,
    DropReason,
    LogState,
    LogStatus,
    Watched,
    WatchKind,
)


class Interested(Protocol):
    """Who wants to know; any thread may ask.

    :ivar is_watched: somebody watches which logs there are.
    """

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches which logs there are."""

    def trails(self, *names: str) -> Sequence[Trail]:
        """Return the trails of a log, by its path and its real path."""

    def happened(self, event: Watched) -> None:
        """Tell those who watch; in the reactor's thread."""


class FollowedLogs:
    """See LogObserver."""

    def __init__(self, interested: Interested, thread: LogThread) -> None:
        """:param thread: whose logs these are."""
        self._interested = interested
        self._thread = thread

    def opened(self, log: OpenLog, truncated: bool) -> None:
        """Begin to follow it, if anybody does."""
        self._attach(log)
        self._tell(WatchKind.OPENED, log)

    def adopted(self, log: OpenLog) -> None:
        """Begin to follow it, if anybody does."""
        self._attach(log)

    def _attach(self, log: OpenLog) -> None:
        trails = self._interested.trails(log.real_path, log.path)
        if trails:
            for trail in trails:
                trail.thread = self._thread
                trail.opened(log)
            log.set_trails(trails)

    def closed(self, log: OpenLog) -> None:
        """Let those end who wanted to, and wait for the next guest."""
        for trail in log.trails:
            trail.guest_gone()
            trail.let_go()
        self._tell(WatchKind.CLOSED, log)

    def followed(self, log: OpenLog) -> None:
        """Let those end who wanted to."""
        for trail in log.trails:
            trail.guest_gone()
        # (its path may be spelled otherwise)
        self._tell(WatchKind.OPENED, log)

    def left(self, log: OpenLog) -> None:
        """Wait for whoever goes on."""
        for trail in log.trails:
            trail.let_go()

    def state_changed(self, log: OpenLog) -> None:
        """Tell so."""
        self._tell(WatchKind.STATE, log)

    def woken(self, log: OpenLog) -> None:
        """Wake those who have found nothing."""
        # (none, if the log is awake for somebody else)
        for trail in log.trails:
            trail.wake()

    def file_ends(self, log: OpenLog) -> None:
        """Keep the file for those who read it."""
        for trail in log.trails:
            trail.file_ends()

    def was_cut(self, log: OpenLog, size: int) -> None:
        """Note what is missing."""
        for trail in log.trails:
            trail.was_cut(size)

    def dropped(self, log: OpenLog, count: int, reason: DropReason) -> None:
        """Do nothing: they never were in the log."""

    def appending(self, real_path: str, writer: Writer) -> None:
        """Follow what is written."""
        for trail in self._interested.trails(real_path):
            trail.thread = self._thread
            trail.appending(writer)

    def appended(self, real_path: str, writer: Writer, driver: str, domain: Domain | None) -> None:
        """Let it be read."""
        self.not_appended(real_path, writer)

    def not_appended(self, real_path: str, writer: Writer) -> None:
        """Follow the writer no more."""
        for trail in self._interested.trails(real_path):
            if trail.writer is writer:
                trail.let_go()

    def removed(self, real_path: str) -> None:
        """Let nobody wait for what is gone."""
        for trail in self._interested.trails(real_path):
            trail.thread = self._thread
            trail.removed()

    def paused(self) -> None:
        """Close the files that are kept."""
        for trail in self._interested.trails():
            if trail.thread is self._thread:
                trail.paused()

    def _tell(self, kind: WatchKind, log: OpenLog) -> None:
        interested = self._interested
        if interested.is_watched:
            status = msgspec.structs.replace(log.known_status(), thread=self._thread.point)
            if kind is WatchKind.CLOSED:
                status = closed_status(status)
            self._thread.in_reactor(lambda: interested.happened(Watched(kind, status)))


def closed_status(status: LogStatus) -> LogStatus:
    """Return what is told of a log that was closed just now.

    :param status: what was told of it before.
    """
    return msgspec.structs.replace(
        status,
        state=LogState.CLOSED,
        position=None,
        error=None,
        pipe=None,
        pending=None,
        thread=None,
        closed_at=datetime.now(timezone.utc),
    )
