"""What every output of the daemon's own log can do."""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.logger import LogEvent


class Sink(ABC):
    """An opened output."""

    @abstractmethod
    def write(self, event: LogEvent) -> None:
        """Write an event, at once or soon; raise nothing, and wait for nobody."""

    @abstractmethod
    def close(self) -> None:
        """Close what was opened, after what waits is written."""
