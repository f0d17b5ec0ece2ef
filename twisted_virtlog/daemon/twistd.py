"""What twistd leaves undone when the service cannot start: who started it is told, and no pid file.

twistd does it for an Exception alone, of which it shows the traceback. A SystemExit, which shows
one line, passes it by: the process that waits for a start in the background would wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from twisted_virtlog.daemon.command.outcome import STDERR

#: How many bytes of a reason twistd shows, behind a digit and a space.
_LONGEST = 98


class Twistd:
    """The twistd that runs this process, if one does; made before it goes to the background."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Keep the standard error of whoever waits for a start in the background.

        :param options: twistd's own, in which it puts the pipe to the process that waits; of
            another runner, or empty.
        """
        self._options = options
        self._waiting = None
        if not options.get("nodaemon", True):
            with suppress(OSError):
                self._waiting = os.dup(STDERR)

    def started(self) -> None:
        """Let go of the terminal, as the service runs."""
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
        self._remove_pid_file()

    def _remove_pid_file(self) -> None:
        """Remove the file if it is this process's, whether twistd has written it or not."""
        path = self._options.get("pidfile")
        if path and "nodaemon" in self._options:
            with suppress(OSError), open(path, "rb") as file:
                if file.read().strip() == b"%d" % os.getpid():
                    os.unlink(path)
