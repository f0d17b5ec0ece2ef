"""Runs loads in turn against both daemons: A B A B, so that what drifts, drifts for both."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from bench.daemons import VIRTLOGD, Side, Target
from bench.figures import Figures, Load, Stand
from bench.lifetime import idle_logs
from bench.load import Load as Generator
from bench.load import LoadFailed
from bench.noise import Meter
from bench.peers import Peer
from bench.peers import run as run_peer
from bench.places import Mounting, Place
from bench.rpc import CallFailed
from bench.writing import Wrong

#: A sample with more than this share of a processor used by others is disturbed.
_FOREIGN = 0.3
#: Descriptors of the daemon beside two for each log.
_SPARE_DESCRIPTORS = 150

#: What may go wrong with a load: a daemon that loses bytes, answers with errors, hangs or ends.
_FAILURES = (Wrong, LoadFailed, CallFailed, OSError, RuntimeError)


@dataclass(frozen=True)
class Plan:
    """How to run.

    :ivar sides: the daemons in the order of a round.
    :ivar rounds: samples of each.
    :ivar seconds: that a sample should take.
    :ivar logs: a directory on the file system for logs; ``disk`` one on a disk.
    :ivar processor: of the daemons; the load has all others.
    :ivar peers: further programs for loads that they can run.
    :ivar retries: how often a sample is taken again that others disturbed.
    :ivar tell: is called with a line about progress.
    """

    sides: Sequence[Side]
    rounds: int
    seconds: float
    logs: Path
    disk: Path
    processor: int
    peers: Sequence[Peer] = ()
    retries: int = 2
    tell: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Sample:
    """One run of a load on one side.

    :ivar foreign: the share of a processor that others had meanwhile.
    """

    figures: Figures
    foreign: float


@dataclass
class Outcome:
    """What came out for one load.

    :ivar samples: by side, in the order of the rounds.
    :ivar failure: what went wrong.
    """

    load: Load
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failure: str | None = None

    def values(self, side: str, figure: str) -> list[float]:
        """Give a figure's values, none where the side did not run or does not give it."""
        found = self.samples.get(side, [])
        return [sample.figures[figure] for sample in found if figure in sample.figures]


class Rounds:
    """The runner."""

    def __init__(self, plan: Plan, generator: Generator, directory: Path) -> None:
        """:param directory: for sockets and configuration; its path must be short."""
        self._plan = plan
        self._generator = generator
        self._directory = directory
        self._count = 0

    def run(self, loads: Sequence[Load]) -> Iterator[Outcome]:
        """Run loads, those with as many other logs and the same settings on the same daemons."""
        possible = [load for load in loads if self._is_possible(load)]
        shared = [load for load in possible if not load.fresh]
        for (idle, settings), group in groupby(sorted(shared, key=_needs), key=_needs):
            together = list(group)
            if not self._descriptors_suffice(idle):
                names = ", ".join(load.key for load in together)
                self._plan.tell(f"not run, too few descriptors (ulimit -n): {names}")
                continue
            with ExitStack() as stack:
                stands = {
                    side.name: stack.enter_context(self._standing(side, idle, settings))
                    for side in self._plan.sides
                    if any(_fits(load, side) for load in together)
                }
                for load in together:
                    yield self._outcome(load, partial(self._put_on_standing, stands=stands))
        for load in possible:
            if load.fresh:
                yield self._outcome(load, self._put_on_fresh)

    def _is_possible(self, load: Load) -> bool:
        wants = load.wants()
        if wants:
            self._plan.tell(f"not run, needs {wants}: {load.key}")
        return not wants

    def _outcome(self, load: Load, put: Callable[[Outcome], None]) -> Outcome:
        """Run a load; what goes wrong with it is told, and the others are run all the same."""
        outcome = Outcome(load)
        try:
            put(outcome)
        except _FAILURES as error:
            outcome.failure = f"{type(error).__name__}: {error}"
            self._plan.tell(f"{load.key} failed: {outcome.failure}")
        return outcome

    def _put_on_standing(self, outcome: Outcome, stands: dict[str, Stand]) -> None:
        load = outcome.load
        for _ in range(self._plan.rounds):
            for side in self._plan.sides:
                if not _fits(load, side):
                    continue
                name, stand = side.name, stands[side.name]
                logs = self._plan.disk if load.on_disk else self._plan.logs
                with tempfile.TemporaryDirectory(dir=logs) as directory:
                    here = replace(stand, target=stand.target.with_logs(Path(directory)))
                    self._sample(outcome, name, partial(load.run, here), here.target.cpu)
            for peer in self._plan.peers if load.write_bytes else ():
                self._peer(outcome, peer)

    def _put_on_fresh(self, outcome: Outcome) -> None:
        for _ in range(self._plan.rounds):
            for side in self._plan.sides:
                if not _fits(outcome.load, side):
                    continue
                with self._standing(side, 0, outcome.load.settings, outcome.load.mounting) as stand:
                    run = partial(outcome.load.run, stand)
                    self._sample(outcome, side.name, run, stand.target.cpu)

    def _peer(self, outcome: Outcome, peer: Peer) -> None:
        with tempfile.TemporaryDirectory(dir=self._plan.logs) as directory:
            run = partial(
                run_peer,
                peer,
                self._generator,
                Path(directory),
                self._plan.processor,
                outcome.load.write_bytes,
                self._plan.seconds,
            )
            self._sample(outcome, peer.name, run, lambda: 0.0)

    def _sample(
        self,
        outcome: Outcome,
        name: str,
        run: Callable[[], Figures],
        used: Callable[[], float],
    ) -> None:
        """Take a sample, and again if it was disturbed; the least disturbed one counts."""
        taken = []
        for _ in range(1 + (0 if outcome.load.fresh else self._plan.retries)):
            meter = Meter(used)
            figures = run()
            taken.append(Sample(figures, meter.foreign()))
            if taken[-1].foreign <= _FOREIGN:
                break
        best = min(taken, key=lambda sample: sample.foreign)
        outcome.samples.setdefault(name, []).append(best)
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in best.figures.items())
        self._plan.tell(f"{outcome.load.key}, {name}: {numbers} (others {best.foreign:.0%})")

    @contextmanager
    def _standing(
        self,
        side: Side,
        idle: int,
        settings: Sequence[str],
        mounting: Mounting | None = None,
    ) -> Iterator[Stand]:
        """Start a daemon with so many idle logs."""
        self._count += 1
        own = self._directory / f"{self._count}"
        with ExitStack() as stack:
            logs = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._plan.logs)))
            place = stack.enter_context(mounting(logs)) if mounting else None
            point = str(place.point) if place else ""
            lines = [line.replace("{point}", point) for line in settings]
            running = side.running(own, logs, self._plan.processor, lines)
            stand = self._stand(stack.enter_context(running), place)
            stack.enter_context(idle_logs(stand, idle))
            yield stand

    def _stand(self, target: Target, place: Place | None) -> Stand:
        return Stand(target, self._generator, self._plan.seconds, place)

    @staticmethod
    def _descriptors_suffice(idle: int) -> bool:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return 2 * idle + _SPARE_DESCRIPTORS <= limit


def _needs(load: Load) -> tuple[int, tuple[str, ...]]:
    return load.idle, load.settings


def _fits(load: Load, side: Side) -> bool:
    return side is not VIRTLOGD or not load.ours_only


def raise_descriptor_limit() -> None:
    """Allow this process and those that it starts all the descriptors that they may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
