"""The logs as clients of the read-only socket see them: they may read those that the daemon knows.

Any path is one that the daemon could read; without this rule the socket would be root's cat(1) for
whoever may connect to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from zope.interface import implementer

from twisted_virtlog.errors import NotAllowed
from twisted_virtlog.interfaces import Answer, ILogHandler
from twisted_virtlog.values import Closed, Counts, Domain, Excerpt, LogStatus, Opened, Position


@implementer(ILogHandler)
class ReadOnlyLogs:
    """Lets through what changes nothing.

    :param handler: of all logs.
    """

    def __init__(self, handler: ILogHandler) -> None:
        self._handler = handler

    def open(self, path: str, driver: str, domain: Domain | None, truncate: bool) -> Answer[Opened]:
        """Refuse; see ILogHandler."""
        self._refuse_change(path)

    def close_log(self, path: str) -> Answer[Closed]:
        """Refuse; see ILogHandler."""
        self._refuse_change(path)

    def append(
        self, path: str, message: bytes, driver: str, domain: Domain | None
    ) -> Answer[Position]:
        """Refuse; see ILogHandler."""
        self._refuse_change(path)

    def position(self, path: str) -> Answer[Position]:
        """Ask for the position of a log that is known."""
        self._check(path)
        answer: Answer[Position] = self._handler.position(path)
        return answer

    def read(self, path: str, position: Position | None, max_bytes: int) -> Answer[Excerpt]:
        """Read a log that is known."""
        self._check(path)
        answer: Answer[Excerpt] = self._handler.read(path, position, max_bytes)
        return answer

    def logs(self) -> Sequence[LogStatus]:
        """Return all open logs."""
        found: Sequence[LogStatus] = self._handler.logs()
        return found

    def counts(self) -> Counts:
        """Return the totals."""
        found: Counts = self._handler.counts()
        return found

    def is_known(self, path: str) -> bool:
        """Return whether a log may be read."""
        known: bool = self._handler.is_known(path)
        return known

    def _check(self, path: str) -> None:
        if not self._handler.is_known(path):
            raise NotAllowed(
                f"{path} is no log that the daemon knows: it was neither opened nor appended to"
                " since the daemon first started; the read-only socket serves no other file",
                path,
            )

    def _refuse_change(self, path: str) -> NoReturn:
        raise NotAllowed(f"{path}: the read-only socket changes no log", path)
