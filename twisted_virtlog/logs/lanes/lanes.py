"""All lanes: one for each file system that is waited for, as long as somebody needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet
from twisted.python.failure import Failure

from twisted_virtlog.errors import NoAnswer
from twisted_virtlog.logs.lanes.lane import Lane, LaneAnswers, Silent
from twisted_virtlog.logs.lanes.mounts import MOUNTINFO, Mounts
from twisted_virtlog.loop.clock import Clock

T = TypeVar("T")

#: A lane that nobody has used for so long ends.
IDLE_SECONDS = 60.0

#: A file system that has not answered for so long is said not to.
TIMEOUT_SECONDS = 5.0


class Lanes:
    """The lanes, by the numbers of their file systems (``st_dev``)."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: Clock,
        timeout_seconds: Callable[[], float] = lambda: TIMEOUT_SECONDS,
    ) -> None:
        """Have no lane yet; register with the reactor. :meth:`close` unregisters.

        :param timeout_seconds: see Lane.
        """
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._answers = LaneAnswers(reactor)
        self._lanes: dict[int, Lane] = {}
        self._end: IDelayedCall | None = None

    def call(
        self,
        device: int,
        path: str,
        action: str,
        call: Callable[[], T],
        release: Callable[[], object],
    ) -> Deferred[T]:
        """Call something in the lane of a file system.

        :param device: the number of the file system.
        :param path: of the file that is meant.
        :param action: what is tried, in the words of :class:`SystemFailure`.
        :param release: see :meth:`Lane.call`.
        :returns: its result; fails with NoAnswer if the file system does not answer.
        """
        lane = self._lane(device, path)

        def explain(failure: Failure) -> Failure:
            if failure.check(Silent) is None:
                return failure
            return Failure(NoAnswer(action, path, lane.name))

        return lane.call(call, release=release).addErrback(explain)

    def make(self, name: str) -> Lane:
        """Make a lane, which is the caller's to close, before all of these.

        :param name: of the mount, for people.
        """
        return Lane(name, self._answers, self._clock, self._timeout_seconds)

    def busy_for(self, seconds: float) -> list[str]:
        """Return the names of those whose present call has lasted for some seconds or more."""
        return [lane.name for lane in self._lanes.values() if lane.busy_seconds() >= seconds]

    def waited(self) -> Mapping[str, float]:
        """Return for how many seconds the present call of each has lasted, by name; 0 for none."""
        return {lane.name: lane.busy_seconds() for lane in self._lanes.values()}

    def __len__(self) -> int:
        return len(self._lanes)

    def close(self) -> None:
        """End all; a thread that waits in the kernel ends with the process."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        self._answers.close()

    def _lane(self, device: int, path: str) -> Lane:
        lane = self._lanes.get(device)
        if lane is None:
            lane = self._lanes[device] = self.make(_name(path))
            if self._end is None:
                self._end = self._clock.callLater(IDLE_SECONDS, self._end_idle)
        return lane

    def _end_idle(self) -> None:
        now = self._clock.seconds()
        for device, lane in list(self._lanes.items()):
            if not lane.is_busy and now - lane.used_at >= IDLE_SECONDS:
                lane.close()
                del self._lanes[device]
        self._end = self._clock.callLater(IDLE_SECONDS, self._end_idle) if self._lanes else None


def _name(path: str) -> str:
    """Return the mount point of a path, for people; the path itself where that is not known."""
    try:
        with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
            mount = Mounts(file.read()).of(path)
    except OSError:
        mount = None
    return path if mount is None else mount.point
