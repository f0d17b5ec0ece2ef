"""The keeper as a lane's logs see it: all that they ask is done in the reactor's thread.

The keeper talks to the service manager by a socket of the reactor's. What logs tell it is rare: a
log is opened or closed, or its file fails; and what comes next must not happen before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted_virtlog.handover.keeper import NO_KEEPER, Keeper
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs.lanes.lane import Lane


class LaneKeeper:
    """A keeper for the thread of a lane; once all lanes are closed, nothing is kept."""

    def __init__(self, lane: Lane, keeper: Keeper) -> None:
        self._lane = lane
        self._keeper = keeper

    def restored(self) -> Sequence[OpenLogState]:
        """Return no logs: the reactor asks for them."""
        return ()

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        """Do nothing: the reactor does so."""

    def opened(self, log: OpenLogState) -> None:
        """Have a log kept."""
        self._lane.in_reactor(lambda: self._keeper.opened(log), lambda: NO_KEEPER.opened(log))

    def outage(self, log: OpenLogState) -> None:
        """Have recorded what is new about a log."""
        self._lane.in_reactor(lambda: self._keeper.outage(log), lambda: NO_KEEPER.outage(log))

    def closed(self, pipe: int) -> None:
        """Have a pipe let go, in its turn."""
        self._lane.later_in_reactor(lambda: self._keeper.closed(pipe))

    def keeps(self, pipe: int) -> bool:
        """Return whether a pipe outlives the process."""
        return self._lane.in_reactor(
            lambda: self._keeper.keeps(pipe), lambda: NO_KEEPER.keeps(pipe)
        )

    def settled(self) -> Callable[[], object]:
        """Return what waits until all is let go that was closed before."""
        return self._lane.in_reactor(self._keeper.settled, NO_KEEPER.settled)

    def lane(self, record: int) -> None:
        """Have the lane's record kept."""
        self._lane.in_reactor(lambda: self._keeper.lane(record), lambda: NO_KEEPER.lane(record))

    def lane_ended(self, number: int) -> None:
        """Have the lane's record let go, in its turn."""
        self._lane.later_in_reactor(lambda: self._keeper.lane_ended(number))

    def staging(self, read_end: int) -> Callable[[], object]:
        """Have a staging pipe kept; return what waits until it is."""
        return self._lane.in_reactor(
            lambda: self._keeper.staging(read_end), lambda: NO_KEEPER.staging(read_end)
        )

    def unstaging(self, number: int) -> None:
        """Have a staging pipe let go, in its turn."""
        self._lane.later_in_reactor(lambda: self._keeper.unstaging(number))

    def dropping(self, read_end: int) -> Callable[[], bool] | None:
        """Have the lane's drop pipe kept; return what says whether it is."""
        return self._lane.in_reactor(
            lambda: self._keeper.dropping(read_end), lambda: NO_KEEPER.dropping(read_end)
        )

    def dropping_ended(self, number: int) -> None:
        """Have it let go, in its turn."""
        self._lane.later_in_reactor(lambda: self._keeper.dropping_ended(number))
