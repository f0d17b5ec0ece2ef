"""What outlives the daemon's process: the seam between logs and whoever keeps their pipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted_virtlog.handover.state import OpenLogState


class Keeper(Protocol):
    """Keeps the read ends of pipes, so that the daemon's next process goes on with their logs.

    Nothing here blocks or raises: a log that cannot be kept is served all the same.
    """

    def restored(self) -> Sequence[OpenLogState]:
        """Give the logs of a former process, once; whoever takes them owns their pipes."""

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        """Start to keep; called once.

        :param logs: those that are open now, of which some may be kept already.
        """

    def opened(self, log: OpenLogState) -> None:
        """Keep a log before its opener hears of it."""

    def outage(self, log: OpenLogState) -> None:
        """Note what is new of a log.

        Bytes were dropped, its file says so, bytes are stranded, or it has a successor.

        The record takes the place of the former one of the same pipe.
        """

    def closed(self, pipe: int) -> None:
        """Let go of a pipe whose last byte is in its log's file.

        :param pipe: its inode number.
        """

    def keeps(self, pipe: int) -> bool:
        """Return whether a pipe outlives the process."""


class NoKeeper:
    """Keeps nothing: logs end with the process."""

    def restored(self) -> Sequence[OpenLogState]:
        """See Keeper."""
        return ()

    def begin(self, logs: Sequence[OpenLogState]) -> None:
        """See Keeper."""

    def opened(self, log: OpenLogState) -> None:
        """See Keeper."""

    def outage(self, log: OpenLogState) -> None:
        """See Keeper."""

    def closed(self, pipe: int) -> None:
        """See Keeper."""

    def keeps(self, pipe: int) -> bool:
        """See Keeper."""
        return False


NO_KEEPER = NoKeeper()
