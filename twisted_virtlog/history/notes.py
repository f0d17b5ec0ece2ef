"""What threads note of logs, until the index's own thread takes it.

Whoever notes something waits for nobody: it is put down in memory, and that is bounded. The end of
a file that grows is noted often, so those notes are numbers in a row.
"""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Callable

from twisted_virtlog.history.deeds import CUT, MARK, MOST_DEEDS, Deed, FileBegun, Taken

#: At most so many bytes of them wait: some 65,000.
_MOST_BYTES = 2 << 20


class Haste(enum.IntEnum):
    """How soon what is noted is to be taken."""

    #: Within seconds.
    NONE = 0
    #: At once, or after a row of others: logs are opened and closed by thousands, and whoever does
    #: so is not to share the processor with the thread that writes them down.
    AFTER_ROW = 1
    #: At once, or after a short rest.
    SOON = 2


class Notes:
    """What is noted; any thread may do so, and one takes it."""

    def __init__(self, wake: Callable[[Haste], object]) -> None:
        """:param wake: has what is noted taken, as soon as the argument says.

        It is called once until it is taken, and once more if that is to be sooner.
        """
        self._wake = wake
        self._woken: Haste | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._marks = bytearray()
        self._deeds: list[Deed] = []
        self._lost_marks = self._lost_deeds = 0

    @property
    def waiting(self) -> int:
        """How many notes are still to be taken."""
        return len(self._marks) // MARK.size + len(self._deeds)

    def number(self) -> int:
        """Return a number for another file."""
        return next(self._numbers)

    def mark(self, file: int, offset: int, since: int, until: int) -> None:
        """Note where the end of a file was, from one moment to another.

        :param since: milliseconds of the boot clock, as ``until``; negative: of the wall clock.
        """
        mark = MARK.pack(file, offset, since, until)
        with self._lock:
            self._marks += mark
            if len(self._marks) > _MOST_BYTES:
                self._lose_marks()
        if self._woken is None:
            self._call(Haste.NONE)

    def cut(self, file: int) -> None:
        """Note that a file was cut."""
        self.mark(file, CUT, 0, 0)
        self._call(Haste.SOON)

    def add(self, deed: Deed, haste: Haste) -> None:
        """Note something else."""
        with self._lock:
            self._deeds.append(deed)
            if len(self._deeds) > MOST_DEEDS:
                self._lose_deeds()
        self._call(haste)

    def take(self) -> Taken:
        """Take what was noted until now."""
        # (first, as who notes something after that wakes once more)
        self._woken = None
        with self._lock:
            taken = Taken(bytes(self._marks), self._deeds, self._lost_marks, self._lost_deeds)
            self._marks, self._deeds = bytearray(), []
            self._lost_marks = self._lost_deeds = 0
        return taken

    def _call(self, haste: Haste) -> None:
        if self._woken is None or haste > self._woken:
            self._woken = haste
            self._wake(haste)

    def _lose_marks(self) -> None:
        """Forget the older half of the marks; a file that was cut must not keep former ones."""
        half = len(self._marks) // MARK.size // 2 * MARK.size
        cuts = [mark for mark in MARK.iter_unpack(self._marks[:half]) if mark[1] == CUT]
        self._lost_marks += half // MARK.size - len(cuts)
        self._marks[:half] = b"".join(MARK.pack(*mark) for mark in cuts)

    def _lose_deeds(self) -> None:
        """Forget the older half of the others, but which files were cut."""
        half = len(self._deeds) // 2
        cut = {file for file, offset, *_ in MARK.iter_unpack(self._marks) if offset == CUT}
        kept = [
            deed
            for deed in self._deeds[:half]
            if isinstance(deed, FileBegun) and deed.number in cut
        ]
        self._lost_deeds += half - len(kept)
        self._deeds[:half] = kept
