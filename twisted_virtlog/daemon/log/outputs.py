"""The places where the daemon's own messages go: standard error, a file, syslog, journald.

Writing never raises, and never waits for a disk or for another process: a message that syslog or
the journal does not take at once, or that a file does not take while its queue is full, is counted,
and the number is added to the next one that it takes.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from abc import abstractmethod

from twisted.logger import LogEvent

from twisted_virtlog.daemon.log.file_sink import FileSink
from twisted_virtlog.daemon.log.lines import message_of, part_of, priority_of
from twisted_virtlog.daemon.log.sink import Sink
from twisted_virtlog.errors import OutputError
from twisted_virtlog.values import Destination, Output, Priority

SYSLOG_SOCKET = "/dev/log"
JOURNAL_SOCKET = "/run/systemd/journal/socket"

_SYSLOG_DAEMON = 3 << 3
_SYSLOG_SEVERITY = {
    Priority.DEBUG: 7,
    Priority.INFO: 6,
    Priority.WARNING: 4,
    Priority.ERROR: 3,
}
_IDENTIFIER = "virtlogd"


class DatagramSink(Sink):
    """Datagrams to a UNIX socket of another daemon, which may go away and come back."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._missed = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def write(self, event: LogEvent) -> None:
        message = message_of(event)
        if self._missed:
            message += f" ({self._missed} messages before this one could not be sent)"
        try:
            self._socket.sendto(self.datagram(event, message), self._path)
        except OSError:
            self._missed += 1
        else:
            self._missed = 0

    def close(self) -> None:
        self._socket.close()

    @abstractmethod
    def datagram(self, event: LogEvent, message: str) -> bytes:
        """Return the datagram of a message."""


class SyslogSink(DatagramSink):
    """The local syslog daemon (RFC 3164, without a time, which the daemon adds)."""

    def __init__(self, identifier: str, path: str) -> None:
        super().__init__(path)
        self._identifier = identifier

    def datagram(self, event: LogEvent, message: str) -> bytes:
        priority = _SYSLOG_DAEMON | _SYSLOG_SEVERITY[priority_of(event)]
        text = f"<{priority}>{self._identifier}[{os.getpid()}]: {message}"
        return text.encode("utf-8", "backslashreplace")


class JournalSink(DatagramSink):
    """systemd's journal, in its native protocol."""

    def datagram(self, event: LogEvent, message: str) -> bytes:
        severity = _SYSLOG_SEVERITY[priority_of(event)]
        text = message.encode("utf-8", "backslashreplace")
        # A value with newlines is written with its length.
        return (
            b"MESSAGE\n"
            + struct.pack("<Q", len(text))
            + text
            + (
                f"\nPRIORITY={severity}\nSYSLOG_IDENTIFIER={_IDENTIFIER}"
                f"\nSYSLOG_PID={os.getpid()}\nLIBVIRT_SOURCE={part_of(event)}\n"
            ).encode("utf-8", "backslashreplace")
        )


def open_output(output: Output, deadline: float, make_directory: bool = False) -> Sink:
    """Open an output.

    A file that is not open in time counts as open: what is logged waits for it, and what does not
    fit is counted.

    :param deadline: by time.monotonic.
    :param make_directory: also make the directory of a file if it does not exist.
    :raises OutputError: it cannot be opened.
    """
    try:
        return _opened(output, deadline, make_directory)
    except OSError as error:
        what = output.argument or output.destination.value
        raise OutputError(f"failed to open {what}", error.errno or 0) from error


def _opened(output: Output, deadline: float, make_directory: bool) -> Sink:
    if output.destination is Destination.STDERR:
        return FileSink()
    if output.destination is Destination.SYSLOG:
        return SyslogSink(output.argument, SYSLOG_SOCKET)
    if output.destination is Destination.JOURNALD:
        return JournalSink(JOURNAL_SOCKET)
    sink = FileSink(output.argument, make_directory)
    try:
        sink.check(max(0.0, deadline - time.monotonic()))
    except OutputError:
        sink.close()
        raise
    return sink


def default_output(
    priority: Priority, has_terminal: bool, background_file: str | None = None
) -> Output:
    """Return where messages go when the configuration does not say it, as in libvirt 9.0.0.

    :param has_terminal: standard input is a terminal, so somebody sees standard error.
    :param background_file: the file of a daemon that goes to the background, where nobody sees
        standard error; None for one that stays.
    """
    if (background_file or not has_terminal) and os.access(JOURNAL_SOCKET, os.W_OK):
        return Output(priority, Destination.JOURNALD)
    if background_file:
        return Output(priority, Destination.FILE, background_file)
    return Output(priority, Destination.STDERR)
