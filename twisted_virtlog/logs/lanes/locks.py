"""The locks of all lanes of a daemon, where they can be had at all.

The directory of the locks may itself lie on a file system that does not answer, as below a home of
NFS. Then whoever took a lock would wait for that one as well, whichever lane it is for. So there
are no locks then, and the log says once what that means.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from twisted_virtlog.logs.lanes.lock import LaneLock, lock_path
from twisted_virtlog.logs.lanes.mounts import Mount
from twisted_virtlog.logs.lanes.resolving import Resolving, Table


class LaneLocks:
    """The locks in one directory."""

    _logger = Logger()

    def __init__(
        self, directory: str | None, table: Table, may_wait: Callable[[Mount], bool]
    ) -> None:
        """Touch nothing yet.

        :param directory: an absolute path; it need not be there. None for no locks.
        :param may_wait: whether a mount is one that may not answer.
        """
        self._directory = directory
        self._table = table
        self._may_wait = may_wait
        self._is_told = False

    def of(self, mount: Mount) -> LaneLock | None:
        """Return the lock of a lane; None if there are no locks.

        :param mount: by which the lane's file system was found.
        """
        directory = self._directory
        if directory is None:
            return None
        waits = self._waits_for(directory)
        if waits is None:
            return LaneLock(lock_path(directory, mount))
        if not self._is_told:
            self._is_told = True
            self._logger.warn(
                "{directory} lies on {point}, which may not answer itself: the lanes have no locks,"
                " so that a daemon that follows one that was killed while it waited for a file"
                " system does not wait for its end",
                directory=directory,
                point=waits.point,
            )
        return None

    def _waits_for(self, directory: str) -> Mount | None:
        """Return the mount of a directory, or one that leads to it, if that may not answer."""
        resolving = Resolving(directory, self._table)
        try:
            refused = resolving.advance(lambda mount: not self._may_wait(mount))
        except OSError:
            # (whoever takes a lock there is told why that cannot be)
            return None
        if refused is None and self._may_wait(resolving.mount):
            return resolving.mount
        return refused
