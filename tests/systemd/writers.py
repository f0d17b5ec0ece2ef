"""Guests that write numbered lines all the time, whatever becomes of the daemon."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from twisted_virtlog.logs.files.names import oldest_first

LINE_BYTES = 10
_LINES_AT_ONCE = 50


def lines(begin: int, end: int) -> bytes:
    """Give numbered lines."""
    return b"".join(b"%09d\n" % number for number in range(begin, end))


class Guest:
    """Writes into a pipe until it is told to stop.

    :ivar stopped: it was told so.
    :ivar written: how many lines.
    :ivar failure: why a write failed.
    """

    def __init__(self, write_end: int, path: Path, pause: float = 0.0) -> None:
        """Take over the write end of the pipe of the log at a path.

        :param pause: seconds between two writes, so that rotation keeps all.
        """
        self.path = path
        self.stopped = False
        self.written = 0
        self.failure: OSError | None = None
        self._write_end = write_end
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def stop(self) -> None:
        """Write no more, and close the pipe."""
        self.stopped = True
        self._stop.set()
        self._thread.join()
        os.close(self._write_end)

    def wrong(self, max_backups: int) -> str:
        """Return what is wrong with the log's files; empty if they have all lines in order."""
        if self.failure is not None:
            return f"{self.path}: {self.failure}"
        names = oldest_first(str(self.path), max_backups)
        text = b"".join(Path(name).read_bytes() for name in names if os.path.exists(name))
        if text == lines(0, self.written):
            return ""
        first = text[:LINE_BYTES]
        return f"{self.path}: {len(text)} bytes from {first!r} on are not {self.written} lines"

    def _write(self) -> None:
        try:
            while not self._stop.wait(self._pause):
                os.write(self._write_end, lines(self.written, self.written + _LINES_AT_ONCE))
                self.written += _LINES_AT_ONCE
        except OSError as error:
            self.failure = error
