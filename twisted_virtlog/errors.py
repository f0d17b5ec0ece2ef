"""The errors that the daemon raises, without their codes in the protocols."""

from __future__ import annotations

import errno as errno_module
import os
from collections.abc import Sequence
from datetime import datetime

from twisted_virtlog.values import Domain


class DaemonError(Exception):
    """The base of all errors that the daemon raises on purpose.

    :ivar path: the log that was asked for, or None if no log was involved.
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class LogError(DaemonError):
    """The base of the errors that the log handler raises."""


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


class HeldByOther(LogError):
    """Another process, which is a daemon and lives, writes the logs of a file system.

    :ivar pid: its number.
    :ivar mount: where the file system is mounted.
    :ivar reason: the same in words, for a person.
    """

    def __init__(self, path: str, pid: int, mount: str) -> None:
        self.reason = f"process {pid}, another daemon, writes the logs on {mount}"
        super().__init__(f"{path}: {self.reason}; end it, and this daemon goes on", path)
        self.pid = pid
        self.mount = mount


class NoSuchLog(LogError):
    """The log is not open (position, close), not known (remove), or has no file (read)."""


class NotAllowed(LogError):
    """The client may not access the log.

    :ivar roots: below which directories it would have to be; none if that is not why.
    """

    def __init__(self, message: str, path: str | None = None, roots: Sequence[str] = ()) -> None:
        super().__init__(message, path)
        self.roots = roots


class SystemFailure(LogError):
    """An operation of the system failed.

    :ivar action: what was tried, in virtlogd's words, such as ``Unable to open file: /p/a.log``.
    :ivar errno: the error number.
    :ivar reason: why it failed, in words.
    :ivar explanation: what the error number alone does not say.
    """

    def __init__(
        self, action: str, errno: int, path: str | None = None, explanation: str = ""
    ) -> None:
        strerror = os.strerror(errno)
        self.reason = f"{explanation}: {strerror}" if explanation else strerror
        super().__init__(f"{action}: {self.reason}", path)
        self.action = action
        self.errno = errno
        self.explanation = explanation


class LeadsOut(SystemFailure):
    """What the log's path leads to may be elsewhere than below ``log_roots``.

    :ivar roots: these.
    """

    def __init__(
        self, action: str, errno: int, path: str, explanation: str, roots: Sequence[str]
    ) -> None:
        super().__init__(action, errno, path, explanation)
        self.roots = roots


class NoAnswer(SystemFailure):
    """A file system does not answer (ETIMEDOUT).

    :ivar mount: where it is mounted.
    """

    def __init__(self, action: str, path: str, mount: str) -> None:
        super().__init__(action, errno_module.ETIMEDOUT, path, _unanswered(mount))
        self.mount = mount


class BoundReached(SystemFailure):
    """A file may not grow, by what the configuration says of all that is written.

    The system itself would have taken the bytes.
    """


class OutputError(SystemFailure):
    """An output of the daemon's own log cannot be opened; the message is libvirt's."""


class NotWritten(SystemFailure):
    """The log's file cannot be written now, so its true end is not known.

    :ivar pending_bytes: the number of bytes that wait in the pipe, or on their way from it to the
        file; None if it cannot be asked.
    :ivar mount: where the file system is mounted, if it does not answer (ETIMEDOUT); else None.
    :ivar maybe_written: an append had begun when it was given up, and may happen all the same.
    """

    def __init__(
        self,
        action: str,
        errno: int,
        path: str,
        pending_bytes: int | None,
        mount: str | None = None,
        maybe_written: bool = False,
        explanation: str = "",
    ) -> None:
        if mount is not None:
            explanation = _unanswered(mount)
        if maybe_written:
            explanation += ", and the message may be written all the same"
        super().__init__(action, errno, path, explanation.lstrip(", "))
        self.pending_bytes = pending_bytes
        self.mount = mount
        self.maybe_written = maybe_written


def _unanswered(mount: str) -> str:
    return f"the file system on {mount} does not answer"


class LimitReached(LogError):
    """A limit of the daemon was reached.

    :ivar limit: its name, such as ``open_logs``.
    """

    def __init__(self, message: str, limit: str, path: str | None = None) -> None:
        super().__init__(message, path)
        self.limit = limit


class UnsupportedBackups(LogError):
    """``max_backups`` is above virtlogd's limit of 32, which virtlogd checks at each call."""


class ShuttingDown(LogError):
    """The daemon is stopping, and opens no more logs."""


class ListenError(DaemonError):
    """A socket cannot be listened on; the message says which, why, and who has it."""


class HandOverFailed(DaemonError):
    """The daemon could not hand over to its next image, and continues; the message says why."""


class AdministrationError(DaemonError):
    """The base of the errors of the daemon's administration."""


class NoSuchServer(AdministrationError):
    """The daemon has no server of this name.

    :ivar server: the name.
    """

    def __init__(self, server: str) -> None:
        super().__init__(f"there is no server {server!r}; virtlogctl limits lists them")
        self.server = server


class NoSuchClient(AdministrationError):
    """A server has no client of this number (any more).

    :ivar server: the server's name.
    :ivar id: the number.
    """

    def __init__(self, server: str, number: int) -> None:
        super().__init__(f"server {server!r} has no client {number}")
        self.server = server
        self.id = number


class BadSetting(AdministrationError):
    """A value that a setting cannot have; the message is libvirt's if it has one.

    :ivar remedy: what to do instead.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class NoSuchConsumer(BadSetting):
    """Nobody of that name consumes logs."""


class BadLimits(BadSetting):
    """The limit of anonymous clients would be above that of all clients."""


class NoOwnLog(AdministrationError):
    """The daemon runs inside another application, whose log has its messages."""

    def __init__(self) -> None:
        super().__init__("this daemon runs inside another application, which does the logging")
