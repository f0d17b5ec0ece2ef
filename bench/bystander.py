"""The log of another guest, which stays as it is whatever the bounds of others are."""

from __future__ import annotations

import os
from pathlib import Path

from bench.ledger import Mistake
from twisted_virtlog.interfaces import ILogHandler
from twisted_virtlog.logs.files.names import oldest_first
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.policy import Policy
from twisted_virtlog.values import Domain, Opened

#: Its files are full after so many bytes each, and have this many backups.
POLICY = Policy(Limits(1000, 2))

#: What its guest writes: two full files, and a part of the third.
_OUTPUT = b"another guest's\n" * 150

_DOMAIN = Domain("0d6a3e0c-7b0b-4d3c-9d3d-0c5f5a8f1f5e", "another")


class Bystander:
    """A log that is open and written no more, with the oldest backups of all.

    :ivar path: the log's.
    :ivar written: bytes that its guest wrote.
    """

    written = len(_OUTPUT)

    def __init__(self, directory: Path) -> None:
        """Do nothing before :meth:`open`."""
        self.path = str(directory / "another.log")
        self._names = oldest_first(self.path, POLICY.limits.max_backups)
        self._pipe = -1
        self._seen: list[tuple[int, int, int]] = []

    def open(self, handler: ILogHandler) -> None:
        """Write all that is written ever, while nothing fails."""
        opened = handler.open(self.path, "stress", _DOMAIN, False)
        assert isinstance(opened, Opened)
        self._pipe = opened.write_end
        os.write(self._pipe, _OUTPUT)
        handler.position(self.path)
        for age, path in enumerate(self._names):
            os.utime(path, (age, age))
        self._seen = self._look()

    def close(self) -> None:
        """End the guest."""
        os.close(self._pipe)

    @property
    def on_disk(self) -> int:
        """What its files take up, in bytes."""
        return sum(os.stat(path).st_blocks * 512 for path in self._names)

    def check(self) -> None:
        """See that its files are what they were.

        :raises Mistake: one of them was removed, renamed or written.
        """
        if self._look() != self._seen:
            raise Mistake(f"{self.path}: the files of another guest are not what they were")

    def _look(self) -> list[tuple[int, int, int]]:
        found = []
        for path in self._names:
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return found
