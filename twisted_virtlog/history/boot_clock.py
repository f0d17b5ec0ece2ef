"""Reads the boot clock, and sees by the way whether the wall clock has stepped.

Both are slewed together, so that they differ by the same until somebody sets the wall clock. The
kernel tells of that at once, by a timer that it cancels then; so nothing is missed while nobody
reads.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.history.wall_times import SLACK_MS, UNWATCHED_MS, Watch, watch
from twisted_virtlog.loop.guard import guarded
from twisted_virtlog.loop.timerfd import SteppedFD

_MS_NS = 1_000_000

#: Two readings one after the other take no longer; if they do, the thread was stopped between.
_TOGETHER_NS = 5 * _MS_NS

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/timens_offsets")


def boot_id() -> str:
    """Return what tells the machine's present boot, and this clock of it, from all others.

    A time namespace has a boot clock of its own. Where /proc does not tell, each process counts as
    in a boot of its own: that makes times less exact.
    """
    try:
        own = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex
    try:
        lines = _TIME_NAMESPACE.read_text(encoding="ascii").splitlines()
    except OSError:  # a kernel without
        lines = []
    for name, *ahead in map(str.split, lines):
        if name == "boottime" and ahead != ["0", "0"]:
            return f"{own}+{'.'.join(ahead)}"
    return own


def read_clocks() -> tuple[int, int | None]:
    """Return milliseconds of the boot clock, and by how many the wall clock is ahead of it.

    :returns: the second is None if they could not be read together.
    """
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    wall = time.time_ns()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    ahead = (wall - before) // _MS_NS if after - before < _TOGETHER_NS else None
    return after // _MS_NS, ahead


class BootClock:
    """The boot clock, and what the wall clock showed meanwhile; any thread may read it."""

    def __init__(
        self,
        stepped: Callable[[], object],
        read: Callable[[], tuple[int, int | None]] = read_clocks,
    ) -> None:
        """Begin to watch.

        :param stepped: called when the wall clock has stepped, in the thread that sees it.
        """
        self._stepped = stepped
        self._read = read
        self._lock = threading.Lock()
        self._ended: list[Watch] = []
        ahead: int | None = None
        while ahead is None:
            self._since, ahead = read()
        # The present watch: by how much the wall clock is ahead, and until when that was seen.
        self._ahead, self._until = ahead, self._since

    def ms(self) -> int:
        """Return milliseconds of the boot clock."""
        now, ahead = self._read()
        if ahead is not None:
            if -SLACK_MS <= ahead - self._ahead <= SLACK_MS:
                self._until = now
            else:
                self._look_again()
        return now

    def _look_again(self) -> None:
        """See whether the wall clock has stepped, as it seems."""
        with self._lock:
            # (whoever was held up after reading has read what was before)
            now, ahead = self._read()
            if ahead is None or -SLACK_MS <= ahead - self._ahead <= SLACK_MS:
                return
            # (the kernel has told of it: that was not long ago)
            self._until = max(self._until, now - UNWATCHED_MS)
            self._ended.append(self._present())
            self._since, self._ahead, self._until = now, ahead, now
        self._stepped()

    def _present(self) -> Watch:
        return watch(self._since, max(self._since, self._until), self._ahead)

    def present(self) -> Watch:
        """Return the present watch, until now."""
        self.ms()
        with self._lock:
            return self._present()

    def take(self) -> list[Watch]:
        """Return the watches that have ended since the last time, and the present one."""
        self.ms()
        with self._lock:
            ended, self._ended = self._ended, []
            return [*ended, self._present()]


@implementer(IReadDescriptor)
class StepReader:
    """Has the clocks read when the wall clock was set, as a descriptor on the reactor."""

    _logger = Logger()

    def __init__(self, reactor: IReactorFDSet, clock: BootClock) -> None:
        """Register with the reactor; :meth:`close` unregisters."""
        self._reactor = reactor
        self._clock = clock
        self._steps = SteppedFD()
        reactor.addReader(self)

    def close(self) -> None:
        """Look no more."""
        self._reactor.removeReader(self)
        self._steps.close()

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._steps.fileno()

    def logPrefix(self) -> str:
        return "wall clock"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing; the reactor has ended."""

    @guarded("looking at the clocks failed")
    def doRead(self) -> None:
        """Read the clocks."""
        if self._steps.fileno() != -1:
            self._steps.take()
            self._clock.ms()
