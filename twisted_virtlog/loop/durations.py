"""How long things took, as counts by length: cheap to add to, and told as histograms."""

from __future__ import annotations

from bisect import bisect_left

#: The upper bounds of the counts, in seconds; one more count is for what took longer.
BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Durations:
    """How long many of one kind took.

    :ivar counts: how many took up to each of the bounds, and no less than the bound before.
    :ivar seconds: how long all took together.
    :ivar failed: how many of them failed.
    """

    __slots__ = ("counts", "failed", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.failed = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class ByName(dict[str, Durations]):
    """How long many took, by the name of their kind, which begins with the first."""

    def __missing__(self, name: str) -> Durations:
        """Begin with another kind."""
        found = self[name] = Durations()
        return found
