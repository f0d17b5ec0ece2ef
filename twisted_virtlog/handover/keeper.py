"""Keeps the pipes of open logs for the daemon's next process: what logs ask of whoever does it.

A lane moves the bytes of its logs through staging pipes, see logs/pipes/staging.py. They are kept
too, and so is the lane's record of whose bytes are in them, see ownership.py. What a thread drops
goes through a pipe that is kept until it is counted, see logs/pipes/drops.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted_virtlog.handover.state import OpenLogState


class StagingKeeper(Protocol):
    """Keeps what threads have taken out of guests' pipes; nothing here raises."""

    def lane(self, record: int) -> None:
        """Keep a lane's record of whose bytes are in its staging pipes, which come after it.

        :param record: a descriptor of it, which stays the caller's; see Ownership.
        """

    def lane_ended(self, number: int) -> None:
        """Let go of a lane's record, once nothing is staged in the lane.

        :param number: the record's inode number.
        """

    def staging(self, read_end: int) -> Callable[[], object]:
        """Keep a staging pipe, which is empty.

        :param read_end: stays the caller's.
        :returns: what the lane's thread calls before the first byte enters: it waits until the pipe
            and the lane's record are kept, for a minute at most.
        """

    def unstaging(self, number: int) -> None:
        """Let go of a staging pipe whose last byte is in its log's file.

        :param number: its inode number; it may be that of a pipe that is not kept.
        """

    def dropping(self, read_end: int) -> Callable[[], bool] | None:
        """Keep a pipe through which what a thread drops goes, which is empty between two calls.

        :param read_end: stays the caller's.
        :returns: what says, at once, whether the pipe outlives the process by now; None if it never
            will.
        """

    def dropping_ended(self, number: int) -> None:
        """Let go of such a pipe.

        :param number: its inode number.
        """


class Keeper(StagingKeeper, Protocol):
    """Keeps the read ends of pipes, so that the daemon's next process goes on with their logs.

    Nothing here blocks or raises: a log that cannot be kept is served all the same.
    """

    def restored(self) -> Sequence[OpenLogState]:
        """Return the logs of a former process, once; the caller owns their pipes.

        That process may not be gone, as a thread of it may wait for a file system that does not
        answer. So a log that has a lane, and what is staged of it (see LogDetails), are not to be
        touched before the lane's lock is free.
        """

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        """Start to keep; called once.

        :param logs: those that are open now, of which some may be kept already.
        """

    def opened(self, log: OpenLogState) -> None:
        """Keep a log before its opener hears of it."""

    def outage(self, log: OpenLogState) -> None:
        """Record what is new about a log, in place of the former record of the same pipe.

        Bytes were dropped, the file now says so, bytes are stranded, or another guest followed.
        """

    def closed(self, pipe: int) -> None:
        """Let go of a pipe whose last byte is in its log's file.

        :param pipe: its inode number.
        """

    def keeps(self, pipe: int) -> bool:
        """Return whether a pipe outlives the process."""

    def settled(self) -> Callable[[], object]:
        """Return what a thread calls to wait, for some seconds at most, until it is done.

        That is, until the keeper has let go of all the pipes that were closed until now.
        """


class NoKeeper:
    """Keeps nothing: logs end with the process."""

    def restored(self) -> Sequence[OpenLogState]:
        """Return no logs."""
        return ()

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        """Do nothing."""

    def opened(self, log: OpenLogState) -> None:
        """Do nothing."""

    def outage(self, log: OpenLogState) -> None:
        """Do nothing."""

    def closed(self, pipe: int) -> None:
        """Do nothing."""

    def keeps(self, pipe: int) -> bool:
        """Return False."""
        return False

    def settled(self) -> Callable[[], object]:
        """Return what does not wait."""
        return _nothing

    def lane(self, record: int) -> None:
        """Do nothing."""

    def lane_ended(self, number: int) -> None:
        """Do nothing."""

    def staging(self, read_end: int) -> Callable[[], object]:
        """Return what does not wait."""
        return _nothing

    def unstaging(self, number: int) -> None:
        """Do nothing."""

    def dropping(self, read_end: int) -> Callable[[], bool] | None:
        """Return None."""
        return None

    def dropping_ended(self, number: int) -> None:
        """Do nothing."""


def _nothing() -> None:
    """Do nothing."""


NO_KEEPER = NoKeeper()
