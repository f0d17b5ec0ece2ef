"""Finds a file of a log that another program has given another name, by its inode number.

It is wanted after a kill, when what was written last into such a file may not be counted. Somebody
may have renamed the files of thousands of logs in one directory, so this is listed for all of them
at once, and not more than once a second.
"""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable, Mapping

from twisted_virtlog.logs.accounts.account import SeenFile
from twisted_virtlog.logs.files.log_directory import LogDirectory

_LISTING_SECONDS = 1.0


class Strays:
    """The directory that was listed last; any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """:param clock: says seconds, and never steps."""
        self._clock = clock
        self._lock = threading.Lock()
        self._path = ""
        self._names: Mapping[int, str] = {}
        self._listed_at = 0.0

    def find(self, directory: LogDirectory, path: str, inode: int) -> SeenFile | None:
        """Look for a file beside a log.

        :param directory: of the log.
        :param path: of the log.
        :param inode: of the file.
        :returns: None if it has no name there, or nobody may look.
        """
        parent, slash, _ = path.rpartition("/")
        try:
            with directory:
                name = self._listing(directory, path, parent).get(inode)
                if name is None:
                    return None
                status = directory.lstat(f"{parent}{slash}{name}")
        except OSError:
            return None
        if status.st_ino != inode or not stat.S_ISREG(status.st_mode):
            return None
        return SeenFile(inode, status.st_size)

    def _listing(self, directory: LogDirectory, path: str, parent: str) -> Mapping[int, str]:
        with self._lock:
            now = self._clock()
            if self._path != parent or now > self._listed_at + _LISTING_SECONDS:
                self._names = directory.names(path)
                self._path, self._listed_at = parent, self._clock()
            return self._names


#: For all logs of the process.
STRAYS = Strays()
