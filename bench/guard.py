"""Fails when a ratio that matters has fallen; for CI.

Only ratios of one run are looked at, never times: to virtlogd, or of the daemon beside an abuse, a
flood, who follows or another program, to itself alone. What fails is run again, twice at most.
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

#: By this share a ratio may fall; where machines differ from run to run more is allowed.
FALL = 0.25

_RUNS_AGAIN = 2

#: Ratios to watch, by load.
Watched = Mapping[str, Mapping[str, float]]


def guard(rounds: Rounds, fall: float = FALL) -> int:
    """Run the loads with a ratio in the file, and print how they compare.

    :param fall: by this share, or more, none may have fallen.
    :returns: the exit status.
    """
    watched = possible(json.loads(RATIOS.read_text()))
    fallen = _run(rounds, watched, fall)
    for _ in range(_RUNS_AGAIN):
        if not fallen:
            break
        print(f"again: {', '.join(sorted(fallen))}")
        fallen = _run(rounds, {key: watched[key] for key in fallen}, fall)
    for key in sorted(fallen):
        print(f"fallen by {fall:.0%} or more: {key}")
    return int(bool(fallen))


def possible(watched: Watched) -> Watched:
    """Return those of loads for which this machine, or this user, has all that they need."""
    wants = {load.key: load.wants() for load in LOADS if load.key in watched}
    for key, lacking in wants.items():
        if lacking:
            print(f"not looked at, as it needs {lacking}: {key}")
    return {key: ratios for key, ratios in watched.items() if not wants.get(key)}


def _run(rounds: Rounds, watched: Watched, fall: float) -> set[str]:
    loads = [load for load in LOADS if load.key in watched]
    lines = report.rows(rounds.run(loads), VIRTLOGD.name, OURS.name)
    print(report.table([row for row in lines if row.figure.name in watched.get(row.key, {})]))
    return fallen_loads(lines, watched, fall)


def fallen_loads(lines: Sequence[Row], watched: Watched, fall: float = FALL) -> set[str]:
    """Give the loads with a ratio that has fallen by a share of the one watched, or is missing."""
    reached = {(row.key, row.figure.name): row for row in lines}
    return {
        key
        for key, ratios in watched.items()
        for figure, before in ratios.items()
        if _has_fallen(reached.get((key, figure)), before, 1 - fall)
    }


def _has_fallen(row: Row | None, before: float, left: float) -> bool:
    now = None if row is None else row.ours if row.figure.of_own else row.ratio
    if row is None or now is None:
        return True
    return now <= before * left if row.figure.better is Better.HIGHER else now >= before / left
