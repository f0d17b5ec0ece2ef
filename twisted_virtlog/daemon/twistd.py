"""What twistd leaves undone: when the service cannot start, to say so and to remove its pid file.

twistd does so only for an Exception, whose traceback it shows. A SystemExit, which shows one line,
passes it by: a process that waits for the start in the background would wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted_virtlog.daemon.command.outcome import STDERR
from twisted_virtlog.loop.processes import is_dying

#: How many bytes of a reason twistd shows, after a digit and a space.
_LONGEST = 98


class Twistd:
    """The twistd that runs this process, if any; to be made before it goes to the background."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Keep standard error for whoever waits for a start in the background.

        :param options: those of twistd, which puts the pipe to the waiting process there, or of
            another runner; may be empty.
        """
        self._options = options
        self._waiting = None
        if not options.get("nodaemon", True):
            with suppress(OSError):
                self._waiting = os.dup(STDERR)

    def started(self) -> None:
        """Close the terminal, as the service runs."""
        if self._waiting is not None:
            os.close(self._waiting)
            self._waiting = None

    def failed(self, reason: str) -> None:
        """Say why the service does not start, and remove the pid file."""
        if self._waiting is not None:
            with suppress(OSError):
                os.write(self._waiting, f"virtlogd: {reason}\n".encode("utf-8", "backslashreplace"))
        pipe = self._options.get("statusPipe")
        if pipe is not None:
            with suppress(OSError):
                os.write(pipe, b"1 " + reason.encode("ascii", "backslashreplace")[:_LONGEST])
        self.remove_pid_file()

    def remove_pid_file(self) -> None:
        """Remove the file if it names this process, whether or not twistd has written it."""
        _remove_pid_file(self._options, lambda pid: pid == os.getpid())


def forget_dying(options: Mapping[str, Any]) -> None:
    """Remove twistd's pid file if it names a process that waits for a file system to let it end.

    twistd would take that for one that lives. To be called before it looks.

    :param options: those of twistd, or of another runner; may be empty.
    """
    _remove_pid_file(options, is_dying)


def _remove_pid_file(options: Mapping[str, Any], names: Callable[[int], bool]) -> None:
    path = options.get("pidfile")
    if path and "nodaemon" in options:
        with suppress(OSError, ValueError), open(path, "rb") as file:
            if names(int(file.read())):
                os.unlink(path)
