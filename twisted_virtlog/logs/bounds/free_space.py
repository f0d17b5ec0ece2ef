"""Knows how much may be written to file systems on which some room is to be left free."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from twisted_virtlog.logs.bounds.leases import is_scarce, lease

#: A file system is asked no more often than this, as another machine may have to answer.
ASKED_SECONDS = 0.2


class _FileSystem(Struct):
    """What is known of one.

    :ivar asked_at: when it was asked.
    :ivar left: how many bytes were left then, less what was granted since.
    :ivar taken_back_at: what was left when leases were taken back; None while there is plenty.
    """

    asked_at: float
    left: int
    taken_back_at: int | None = None


class FreeSpace:
    """The room on file systems beyond what is to be left free, for the logs of one thread.

    Other programs write to them, too. So leases from when there was more room are taken back when
    that gets scarce, and again when half of it is gone.

    :ivar keep: bytes to be left free.
    """

    def __init__(
        self,
        keep: int,
        free_on: Callable[[int], int],
        seconds: Callable[[], float],
        take_back: Callable[[], object],
    ) -> None:
        """Ask nothing yet.

        :param free_on: returns the bytes that are free on the file system of a file, by the file's
            descriptor; it may raise OSError.
        :param seconds: a clock that never steps.
        :param take_back: lets all logs ask before they write anything more.
        """
        self.keep = keep
        self._free_on = free_on
        self._seconds = seconds
        self._take_back = take_back
        # By device.
        self._known: dict[int, _FileSystem] = {}

    def lease(self, file: int, device: int, logs: int) -> int:
        """Return how many bytes a file may grow by.

        :param file: its descriptor, and ``device`` the number of its file system.
        :param logs: how many logs may be written there.
        :raises OSError: the file system cannot be asked.
        """
        now = self._seconds()
        known = self._known.get(device)
        if known is None:
            known = self._known[device] = _FileSystem(now, self._left(file))
        elif now - known.asked_at >= ASKED_SECONDS:
            known.asked_at, known.left = now, self._left(file)
        self._see(known, logs)
        granted = lease(known.left, logs)
        known.left -= granted
        return granted

    def _left(self, file: int) -> int:
        return max(0, self._free_on(file) - self.keep)

    def _see(self, known: _FileSystem, logs: int) -> None:
        """Take leases back, if that is due."""
        if not is_scarce(known.left, logs):
            known.taken_back_at = None
        elif known.taken_back_at is None or known.left < (known.taken_back_at + 1) // 2:
            known.taken_back_at = known.left
            self._take_back()
