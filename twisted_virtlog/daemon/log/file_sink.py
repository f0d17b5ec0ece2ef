"""Lines in libvirt's form, at the end of a file or on standard error, written by a thread."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from functools import partial

from twisted.logger import LogEvent

from twisted_virtlog.daemon.log.lines import line_of
from twisted_virtlog.daemon.log.output_thread import thread_of
from twisted_virtlog.daemon.log.sink import Sink
from twisted_virtlog.errors import OutputError

_STDERR = 2

#: What takes longer is not worth waiting for: it may be a disk that hangs.
_SILENT_SECONDS = 1.0

# O_NONBLOCK: opening a FIFO that nobody reads fails, and does not wait.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK


class FileSink(Sink):
    """A file, or standard error, which may be a pipe that nobody reads.

    A file that cannot be opened in time counts as open: what is logged waits for it.
    """

    def __init__(self, path: str | None = None, make_directory: bool = False) -> None:
        """Have it opened; see :meth:`check`.

        :param path: an absolute one; None for standard error, which is not closed in the end.
        :param make_directory: also make the file's directory if it does not exist.
        """
        self._path = path
        self._make_directory = make_directory
        self._thread = thread_of(path or "standard error")
        self._thread.users += 1
        self._is_closed = False
        self._opened = threading.Event()
        self._error: OutputError | None = None
        # What follows, and the private methods, are the thread's.
        self._descriptor = _STDERR if path is None else None
        self._is_known = False
        self._is_torn = False
        self._has_ended = False
        self._real_path = path
        if path is None:
            self._opened.set()
        else:
            self._thread.do(self._begin)

    def check(self, seconds: float) -> None:
        """Wait for some seconds at most until it is known whether it can be opened.

        :raises OutputError: it cannot.
        """
        if not self._thread.is_silent(_SILENT_SECONDS):
            self._opened.wait(seconds)
        if self._error is not None:
            raise self._error

    def write(self, event: LogEvent) -> None:
        if not self._is_closed:
            line = line_of(event, threading.get_native_id()).encode("utf-8", "backslashreplace")
            self._thread.offer(len(line), partial(self._write, line))

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._thread.users -= 1
            self._thread.do(self._end)

    def let_go(self) -> None:
        """Close soon what was opened; the next event opens it again."""
        self._thread.do(self._let_go)

    def file(self) -> str | None:
        """Return the path of the file, without symbolic links; None for standard error."""
        return self._real_path

    def _begin(self) -> None:
        try:
            # One that was closed meanwhile is not opened any more.
            if not self._is_closed:
                self._open()
        except OutputError as error:
            self._error = error
        finally:
            self._opened.set()

    def _open(self) -> int:
        """Return the descriptor, opened if need be.

        :raises OutputError: the file, or its directory, cannot be opened or made.
        """
        path = self._path
        if self._descriptor is None and path is not None:
            if self._make_directory:
                _make(os.path.dirname(path))
            try:
                self._descriptor = os.open(path, _FLAGS, 0o600)
            except OSError as error:
                raise OutputError(f"failed to open {path}", error.errno or 0) from error
            # The thread may wait for who reads a FIFO.
            os.set_blocking(self._descriptor, True)
            self._is_known = False
            self._real_path = os.path.realpath(path)
        assert self._descriptor is not None
        return self._descriptor

    def _write(self, line: bytes) -> None:
        thread = self._thread
        if thread.untold:
            told = f" ({thread.untold} messages before this one could not be written)\n"
            line = line.rstrip(b"\n") + told.encode()
        if self._has_ended:
            # Another thread logged while this was closed.
            thread.untold += 1
            return
        try:
            self._write_whole(line)
        except (OSError, OutputError):
            # There is nowhere left to report it. The file may be dead, as after a umount by force:
            # the next line opens it again.
            thread.untold += 1
            self._let_go()
        else:
            thread.untold = 0

    def _write_whole(self, line: bytes) -> None:
        descriptor = self._open()
        if not self._is_known:
            self._thread.is_interruptible = not stat.S_ISREG(os.fstat(descriptor).st_mode)
            self._is_known = True
        # On a full disk the first part of a line may have been written.
        left = memoryview(b"\n" + line if self._is_torn else line)
        while left:
            left = left[os.write(descriptor, left) :]
            self._is_torn = bool(left)

    def _let_go(self) -> None:
        descriptor = self._descriptor
        if self._path is not None and descriptor is not None:
            self._descriptor = None
            with suppress(OSError):
                os.close(descriptor)

    def _end(self) -> None:
        self._let_go()
        self._has_ended = True


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {directory}", error.errno or 0) from error
