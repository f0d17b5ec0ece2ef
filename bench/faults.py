"""Lets faults of all kinds come upon logs at random, and accounts for every byte written.

Rounds of one act each (a write, a rollover, a cut, a removed or renamed file, a full disk, a dead
descriptor, other bounds, ...) with the log handler in this process, as many as --rounds; and
daemons that are killed with SIGKILL and that hand over while guests write, as often as --kills and
--handovers; as often as --slow-kills and --slow-handovers with logs on a file system that is slow
and does not answer at times, which takes root.

    python -m bench.faults                    # 1,000,000 rounds, 1,300 kills, 1,200 hand-overs
    python -m bench.faults --lose             # a daemon that loses a byte now and then: fails
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import fault_rounds, killed_daemons, slow_daemons
from bench.fault_rounds import Outcome
from bench.places import are_possible

_SHOWN_MISTAKES = 10


def _shares(total: int, parts: int) -> list[int]:
    return [total * (number + 1) // parts - total * number // parts for number in range(parts)]


def _in_process(directory: str, rounds: int, seed: str, loses: bool) -> Outcome:
    with tempfile.TemporaryDirectory(dir=directory) as place:
        return fault_rounds.run(Path(place), rounds, seed, loses)


def _rounds(pool: ProcessPoolExecutor, options: argparse.Namespace, place: str) -> Outcome:
    total = Outcome()
    waiting = [
        pool.submit(_in_process, place, share, f"{options.seed}-{number}", options.lose)
        for number, share in enumerate(_shares(options.rounds, options.processes))
    ]
    for one in waiting:
        total.add(one.result())
    return total


def _tasks(
    options: argparse.Namespace, place: str, handovers: int, kills: int
) -> Iterator[killed_daemons.Task]:
    shares = zip(
        _shares(handovers, options.processes), _shares(kills, options.processes), strict=True
    )
    for number, share in enumerate(shares):
        seed = f"{options.seed}-{number}"
        yield killed_daemons.Task(f"{place}/{number}", *share, seed, options.lose)


def _daemons(pool: ProcessPoolExecutor, options: argparse.Namespace, place: str) -> Outcome:
    total = Outcome()
    tasks = _tasks(options, place, options.handovers, options.kills)
    for outcome in pool.map(killed_daemons.run, tasks):
        total.add(outcome)
    return total


def _slow(pool: ProcessPoolExecutor, options: argparse.Namespace, place: str) -> Outcome:
    total = Outcome()
    tasks = _tasks(options, place, options.slow_handovers, options.slow_kills)
    for outcome in pool.map(slow_daemons.run, tasks):
        total.add(outcome)
    return total


def _report(title: str, outcome: Outcome, seconds: float) -> None:
    rounds = ", ".join(f"{name} {count}" for name, count in outcome.rounds.most_common())
    totals = outcome.totals
    print(
        f"{title}: {rounds};\n  {totals.written} bytes written: {totals.kept} in files,"
        f" {totals.removed} rotated away, {totals.cut} cut or removed by others, {totals.lost}"
        f" reported lost, {totals.missing} missing; {len(outcome.mistakes)} mistakes,"
        f" {seconds:.1f} s",
        flush=True,
    )
    for mistake in outcome.mistakes[:_SHOWN_MISTAKES]:
        print(f"  {mistake}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both; the exit status tells whether every byte was accounted for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--handovers", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--slow-handovers", type=int, default=200 if are_possible() else 0)
    parser.add_argument("--slow-kills", type=int, default=300 if are_possible() else 0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="where the logs are written (default: temporary)")
    parser.add_argument("--lose", action="store_true", help="lose a byte now and then")
    options = parser.parse_args(arguments)
    failed = False
    with ProcessPoolExecutor(options.processes) as pool:
        for title, run, wanted in (
            ("rounds", _rounds, options.rounds),
            ("daemons", _daemons, options.handovers + options.kills),
            ("slow daemons", _slow, options.slow_handovers + options.slow_kills),
        ):
            if wanted:
                began = time.monotonic()
                with tempfile.TemporaryDirectory(dir=options.directory) as place:
                    outcome = run(pool, options, place)
                failed = failed or bool(outcome.mistakes)
                _report(title, outcome, time.monotonic() - began)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
