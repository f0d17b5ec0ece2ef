"""What callers are promised to see when a call fails, by name; no wire codes."""

from __future__ import annotations

import os
from datetime import datetime

from twisted_virtlog.values import Domain


class DaemonError(Exception):
    """The base of all errors that the daemon raises on purpose.

    :ivar path: the log that was asked for, or None where no log was involved.
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class LogError(DaemonError):
    """The base of those that the log handler raises."""


class LogBusy(LogError):
    """The log is open already; its pipe belongs to another caller.

    :ivar driver: the holder's driver.
    :ivar domain: the holder's guest, if it named one.
    :ivar opened_at: since when, an aware time.
    :ivar pipe: the pipe's inode number; see LogStatus.
    """

    def __init__(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        opened_at: datetime,
        pipe: int,
        former: int = 0,
    ) -> None:
        """:param former: how many former guests' output waits for the log's file."""
        holder = f"driver {driver!r}" + (f", guest {domain.name!r}" if domain else "")
        since = opened_at.isoformat(timespec="seconds")
        waiting = (
            f"; the output of {former} guests before it waits, as the log's file cannot be written"
            if former
            else ""
        )
        super().__init__(f"{path} is open already, by {holder}, since {since}{waiting}", path)
        self.driver = driver
        self.domain = domain
        self.opened_at = opened_at
        self.pipe = pipe


class NoSuchLog(LogError):
    """The log is not open (position, close), or no file of it exists (read)."""


class NotAllowed(LogError):
    """The log must not be asked for by this client."""


class SystemFailure(LogError):
    """An operation of the system failed.

    :ivar action: what was tried, in virtlogd's words, as ``Unable to open file: /p/a.log``.
    :ivar errno: the system's reason, a number as in the module errno.
    """

    def __init__(self, action: str, errno: int, path: str | None = None) -> None:
        super().__init__(f"{action}: {os.strerror(errno)}", path)
        self.action = action
        self.errno = errno


class OutputError(SystemFailure):
    """An output of the daemon's own log cannot be opened; the message is libvirt's."""


class NotWritten(SystemFailure):
    """The log's file cannot be written now, so no true position can be given.

    :ivar pending_bytes: bytes that wait in the pipe.
    """

    def __init__(self, action: str, errno: int, path: str, pending_bytes: int) -> None:
        super().__init__(action, errno, path)
        self.pending_bytes = pending_bytes


class LimitReached(LogError):
    """A limit of the daemon was reached.

    :ivar limit: its name, as ``open_logs``.
    """

    def __init__(self, message: str, limit: str, path: str | None = None) -> None:
        super().__init__(message, path)
        self.limit = limit


class UnsupportedBackups(LogError):
    """``max_backups`` is larger than virtlogd's limit of 32, which it notices at each call."""


class ShuttingDown(LogError):
    """The daemon is stopping and opens no more logs."""


class ListenError(DaemonError):
    """A socket cannot be listened on; the message says which, why, and who has it."""


class HandOverFailed(DaemonError):
    """The daemon could not hand over to its next image, and goes on; the message says why."""


class AdministrationError(DaemonError):
    """The base of those that come of administering the daemon."""


class NoSuchServer(AdministrationError):
    """The daemon has no server of this name.

    :ivar server: the name.
    """

    def __init__(self, server: str) -> None:
        super().__init__(f"there is no server {server!r}; virtlogctl clients tells those there are")
        self.server = server


class NoSuchClient(AdministrationError):
    """A server has no client of this number, or no longer.

    :ivar server: the server's name.
    :ivar id: the number.
    """

    def __init__(self, server: str, number: int) -> None:
        super().__init__(f"server {server!r} has no client {number}")
        self.server = server
        self.id = number


class BadSetting(AdministrationError):
    """A value that a setting cannot have; the message is libvirt's where it has one.

    :ivar remedy: what would be right.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class BadLimits(BadSetting):
    """More clients would be anonymous than there may be at all."""


class NoOwnLog(AdministrationError):
    """The daemon runs inside another application, whose log its messages are part of."""

    def __init__(self) -> None:
        super().__init__("this daemon runs inside another application, which does the logging")
