"""What a load is and which figures it gives: the vocabulary of the table of loads."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.daemons import SETTINGS, Target
from bench.load import Load as Generator
from bench.places import Mounting, Place, are_possible

#: What a run of a load gives: a value for each figure, by name.
Figures = Mapping[str, float]

THROUGHPUT = "MiB/s"
CPU_PER_GIB = "CPU s/GiB"
LONGEST_WRITE = "longest write ms"
SLOW_WRITES = "writes over 1 ms"
WRITER_BUSY = "writer busy"
CPU_PER_MILLION = "CPU s/million"
CALLS = "calls/s"
P50 = "p50 us"
P99 = "p99 us"
LONGEST = "longest us"

MIB = 1 << 20
GIB = 1 << 30


class Better(enum.Enum):
    """Which direction is better."""

    HIGHER = "higher"
    LOWER = "lower"
    #: It is there to explain the others.
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of numbers.

    :ivar name: with its unit.
    :ivar goal: what the ratio to virtlogd should reach; None if any will do.
    :ivar of_own: the goal is one for the value itself, not for the ratio.
    :ivar times: this multiple of the value of another figure, by its name, will do as well, if it
        is more than the goal.
    :ivar worst: the worst of all samples counts, not their median.
    """

    name: str
    better: Better
    goal: float | None = None
    of_own: bool = False
    times: tuple[float, str] | None = None
    worst: bool = False

    def met(self, reached: float) -> bool | None:
        """Return whether the goal is met; None if there is none."""
        if self.goal is None:
            return None
        return reached >= self.goal if self.better is Better.HIGHER else reached <= self.goal

    def summed_up(self, values: Sequence[float]) -> float | None:
        """Give one value for all samples; None if there is no sample."""
        if not values:
            return None
        if self.worst:
            return min(values) if self.better is Better.HIGHER else max(values)
        return median(values)


def higher(name: str, goal: float | None = None) -> Figure:
    """Give a figure of which more is better."""
    return Figure(name, Better.HIGHER, goal)


def lower(name: str, goal: float | None = None, of_own: bool = False) -> Figure:
    """Give a figure of which less is better."""
    return Figure(name, Better.LOWER, goal, of_own)


def shown(name: str) -> Figure:
    """Give a figure that explains others."""
    return Figure(name, Better.NEITHER)


@dataclass(frozen=True)
class Stand:
    """What a load works with.

    :ivar target: the daemon.
    :ivar generator: makes the load.
    :ivar seconds: how long a sample should take.
    :ivar place: a file system of the load's own, if it wants one.
    """

    target: Target
    generator: Generator
    seconds: float
    place: Place | None = None


@dataclass(frozen=True)
class Load:
    """A row of the table of loads.

    :ivar key: its letter and what tells it from others of that letter.
    :ivar run: puts it on a daemon once.
    :ivar figures: what comes of it, in the order of the report.
    :ivar idle: so many other logs are open meanwhile.
    :ivar fresh: the daemon is started for each sample.
    :ivar on_disk: the logs are on a disk whatever was asked for.
    :ivar write_bytes: other programs can run it too: one pipe, with writes of so many bytes.
    :ivar settings: lines of the configuration that take the place of the usual ones.
    :ivar ours_only: it needs what virtlogd does not have.
    :ivar mounting: mounts a file system for it before the daemon is started, which is for each
        sample; in the settings ``{point}`` is where.
    :ivar lacking: returns what it needs and is not installed; "" for nothing.
    """

    key: str
    title: str
    run: Callable[[Stand], Figures]
    figures: tuple[Figure, ...]
    idle: int = 0
    fresh: bool = False
    on_disk: bool = False
    write_bytes: int = 0
    settings: tuple[str, ...] = SETTINGS
    ours_only: bool = False
    mounting: Mounting | None = None
    lacking: Callable[[], str] = lambda: ""

    @property
    def letter(self) -> str:
        """Its letter, which several may share."""
        return self.key.partition("-")[0]

    def wants(self) -> str:
        """Return what the machine does not have for it; "" if it can be run."""
        if self.mounting is not None and not are_possible():
            return "root and /dev/fuse"
        return self.lacking()
