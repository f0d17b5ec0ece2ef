"""Fails when a ratio that matters is half as good as it was, or worse; for CI.

Only ratios of one run are looked at, never times, and what fails is run again, twice at most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import report
from bench.daemons import OURS, VIRTLOGD
from bench.figures import Better
from bench.loads import LOADS
from bench.report import Row
from bench.rounds import Rounds

#: By load and figure: the ratio that was reached, on the machine where it was the worse.
RATIOS = Path(__file__).with_name("guard.json")

_FALLEN = 2.0
_RUNS_AGAIN = 2

#: Ratios to watch, by load.
Watched = Mapping[str, Mapping[str, float]]


def guard(rounds: Rounds) -> int:
    """Run the loads with a ratio in the file, and print how they compare.

    :returns: the exit status.
    """
    watched: Watched = json.loads(RATIOS.read_text())
    fallen = _run(rounds, watched)
    for _ in range(_RUNS_AGAIN):
        if not fallen:
            break
        print(f"again: {', '.join(sorted(fallen))}")
        fallen = _run(rounds, {key: watched[key] for key in fallen})
    for key in sorted(fallen):
        print(f"fallen by half or more: {key}")
    return int(bool(fallen))


def _run(rounds: Rounds, watched: Watched) -> set[str]:
    loads = [load for load in LOADS if load.key in watched]
    lines = report.rows(rounds.run(loads), VIRTLOGD.name, OURS.name)
    print(report.table([row for row in lines if row.figure.name in watched.get(row.key, {})]))
    return fallen_loads(lines, watched)


def fallen_loads(lines: Sequence[Row], watched: Watched) -> set[str]:
    """Give the loads with a ratio that is half as good as the one watched, or missing."""
    reached = {(row.key, row.figure.name): row for row in lines}
    return {
        key
        for key, ratios in watched.items()
        for figure, before in ratios.items()
        if _has_fallen(reached.get((key, figure)), before)
    }


def _has_fallen(row: Row | None, before: float) -> bool:
    if row is None or row.ratio is None:
        return True
    if row.figure.better is Better.HIGHER:
        return row.ratio <= before / _FALLEN
    return row.ratio >= before * _FALLEN
