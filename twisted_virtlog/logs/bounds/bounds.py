"""Bounds the room that the logs of one thread may take up: the edge, which asks files and disks."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from twisted_virtlog.errors import BoundReached
from twisted_virtlog.logs.bounds.free_space import FreeSpace
from twisted_virtlog.logs.files.writer import Writer

#: The unit of st_blocks, whatever the file system's blocks are.
_UNIT_BYTES = 512


class Written(Protocol):
    """An open log."""

    writer: Writer


class Bounds:
    """How much room the logs of a thread may take up; see writer.Bound.

    A log is bound when it is opened, and again when other settings hold.
    """

    def __init__(
        self,
        keep_free: int,
        seconds: Callable[[], float],
        logs: Mapping[str, Written],
    ) -> None:
        """Bound nothing yet.

        :param keep_free: bytes to be left free on each file system; 0 for none.
        :param seconds: a clock that never steps.
        :param logs: the thread's open logs, as they come and go.
        """
        self._seconds = seconds
        self._logs = logs
        self.set(keep_free)

    def set(self, keep_free: int) -> None:
        """Let another setting hold, for logs that are bound from now on."""
        self._space = FreeSpace(keep_free, _free_on, self._seconds, self._take_back)

    def _take_back(self) -> None:
        for log in self._logs.values():
            log.writer.ask_bound()

    def bind(self, writer: Writer) -> None:
        """Bound what a log may take up, if anything is to be."""
        writer.bound = self if self._space.keep else None

    def reach(self, writer: Writer, size: int, wanted: int) -> int:
        """See Bound."""
        status = os.fstat(writer.file)
        granted = self._space.lease(writer.file, status.st_dev, max(1, len(self._logs)))
        # (what its last block has room for takes up nothing more)
        end = max(size, status.st_blocks * _UNIT_BYTES) + granted
        if end <= size:
            raise self._no_free_space(writer)
        return end

    def _no_free_space(self, writer: Writer) -> BoundReached:
        return BoundReached(
            f"Unable to write to file {writer.path}",
            errno.ENOSPC,
            writer.path,
            f"its file system is to have {self._space.keep} bytes free (host_keep_free)",
        )


def _free_on(file: int) -> int:
    """Return the bytes that are free on the file system of a file, for others than root."""
    room = os.fstatvfs(file)
    return room.f_bavail * room.f_frsize
