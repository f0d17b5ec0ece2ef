"""Measures the page: how soon one sees what a guest writes, and what many who look cost.

    python -m bench.page                       # everything; some five minutes
    python -m bench.page --only flood          # one measurement
    python -m bench.page --quick               # small ones, to see whether all works

Needs Debian's chromium and playwright for what is seen, and a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import page_crowds, page_seen
from bench.noise import preferred
from bench.page_crowds import Found
from bench.page_program import Stand, standing
from bench.rounds import raise_descriptor_limit


@dataclass(frozen=True)
class _Size:
    """How large the measurements are.

    :ivar seconds: how long each takes, where it takes as long as one likes.
    """

    seconds: float
    browsers: int
    crowd: int
    logs: int
    mib: int
    flood_mib: int
    times: int


_WHOLE = _Size(10.0, 100, 1000, 10_000, 8, 1024, 5)
_QUICK = _Size(1.0, 10, 20, 100, 1, 8, 1)

#: By its name, how a measurement is made.
KINDS: Mapping[str, Callable[[Stand, _Size], Iterator[Found]]] = {
    "seen": lambda stand, size: page_seen.seen(stand, size.browsers),
    "flood": lambda stand, _size: page_seen.flood(stand),
    "memory": lambda stand, size: page_seen.memory(stand, size.flood_mib),
    "browsers": lambda stand, size: page_crowds.browsers(stand, size.browsers, 10, None),
    "crowd": lambda stand, size: page_crowds.browsers(stand, size.crowd, 80, 150),
    "stuck": lambda stand, _size: page_crowds.stuck(stand),
    "list": lambda stand, size: page_crowds.many_logs(stand, size.logs),
    "rows": lambda stand, size: page_seen.listed(stand, size.logs),
    "jump": lambda stand, size: page_seen.jump(stand, size.mib),
    "search": lambda stand, size: page_crowds.search(stand, size.mib),
    "load": lambda stand, _size: page_seen.first_load(stand),
    "restarts": lambda stand, size: page_seen.restarts(stand, size.times),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=KINDS, metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fs", type=Path, default=Path("/dev/shm"), metavar="DIR")
    options = parser.parse_args(arguments)
    size = _QUICK if options.quick else _WHOLE
    raise_descriptor_limit()
    print(f"{'':54}{'goal':>10}{'found':>12}  met")
    with preferred():
        for name in options.only or KINDS:
            with (
                tempfile.TemporaryDirectory(prefix="bench-", dir=options.fs) as directory,
                standing(Path(directory), size.seconds) as stand,
            ):
                for figure, value in KINDS[name](stand, size):
                    goal = "" if figure.goal is None else f"{figure.goal:g}"
                    met = {None: "", True: "yes", False: "no"}[figure.met(value)]
                    print(f"{figure.name:54}{goal:>10}{value:12.1f}  {met}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
