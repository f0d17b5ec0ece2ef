"""Compares this daemon with libvirt's virtlogd under the same loads, side by side.

    python -m bench                        # everything; some forty minutes
    python -m bench --loads abuse,lock     # what one client or guest can do to the others
    python -m bench --loads hung           # what a file system that does not answer does to them
    python -m bench --quick --loads a,b,e  # some loads, one short round
    python -m bench --plot picture.svg     # throughput and latency over the number of logs
    python -m bench --guard                # whether the ratios that matter have fallen

Needs a C compiler, virtlogd, and two processors that have nothing else to do. As root virtlogd
runs in a mount namespace of its own; as another user both run as session daemons.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import plot, report
from bench.daemons import OURS, VIRTLOGD, Unavailable
from bench.figures import Load
from bench.guard import FALL, guard
from bench.load import Load as Generator
from bench.load import LoadFailed
from bench.loads import LOADS, chosen
from bench.noise import preferred
from bench.peers import peers
from bench.rounds import Outcome, Plan, Rounds, raise_descriptor_limit

#: Rounds, and seconds that a sample takes.
_WHOLE, _QUICK, _GUARD = (5, 1.5), (1, 0.4), (3, 0.3)
_RETRIES = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: the exit status: 1 if a load failed, or the guard found a ratio that has fallen.
    """
    options = _options(arguments)
    raise_descriptor_limit()
    everywhere = sorted(os.sched_getaffinity(0))
    # The daemons are pinned to the last processor; what this process starts has the others.
    os.sched_setaffinity(0, everywhere[:-1] or everywhere)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as directory,
            tempfile.TemporaryDirectory(prefix="bench-", dir=options.fs) as logs,
            tempfile.TemporaryDirectory(prefix="bench-", dir=options.disk) as disk,
            preferred(),
        ):
            generator = Generator(Path(directory))
            plan = _plan(options, generator, Path(logs), Path(disk), everywhere[-1])
            rounds = Rounds(plan, generator, Path(directory))
            if options.guard:
                return guard(rounds, options.fall)
            outcomes = list(rounds.run(options.loads or _usual(options)))
    except (Unavailable, LoadFailed) as error:
        sys.exit(f"bench: {error}")
    finally:
        os.sched_setaffinity(0, everywhere)
    _show(outcomes, options, plan)
    return int(any(outcome.failure for outcome in outcomes))


def _plan(
    options: argparse.Namespace, generator: Generator, logs: Path, disk: Path, processor: int
) -> Plan:
    if options.guard:
        rounds, seconds = _GUARD
    else:
        rounds, seconds = _QUICK if options.quick else _WHOLE
    others = [] if options.ours_only or options.guard else peers(generator.floor)
    return Plan(
        sides=[OURS] if options.ours_only else [VIRTLOGD, OURS],
        rounds=options.repeat or rounds,
        seconds=options.seconds or seconds,
        logs=logs,
        disk=disk,
        processor=processor,
        peers=[peer for peer in others if peer.available],
        retries=0 if options.guard else options.retries,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _show(outcomes: Sequence[Outcome], options: argparse.Namespace, plan: Plan) -> None:
    # In the order of the table, not in that of the runs.
    ordered = sorted(outcomes, key=lambda outcome: LOADS.index(outcome.load))
    lines = report.rows(ordered, VIRTLOGD.name, OURS.name)
    print(report.table(lines))
    others = report.peer_table(ordered, OURS.name)
    if others:
        absent = [peer.name for peer in peers(Path()) if peer.optional and not peer.available]
        print(f"\n{others}\nnot installed: {', '.join(absent) or 'none'}")
    foreign = [
        sample.foreign for one in ordered for taken in one.samples.values() for sample in taken
    ]
    print(f"\nothers used at most {max(foreign, default=0.0):.0%} of a processor in a sample")
    for outcome in ordered:
        if outcome.failure:
            print(f"failed: {outcome.load.key}: {outcome.failure}")
    if options.json:
        text = json.dumps(report.as_json(lines, ordered, _circumstances(options, plan)), indent=1)
        options.json.write_text(text + "\n")
    if options.markdown:
        options.markdown.write_text(report.markdown(lines) + "\n")
    if options.plot:
        options.plot.write_text(plot.svg(plot.panels(lines)))


def _usual(options: argparse.Namespace) -> Sequence[Load]:
    """Return the loads that are run if none are named."""
    return chosen(",".join(plot.KEYS)) if options.plot else LOADS


def _circumstances(options: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "logs_on": str(options.fs),
        "disk": str(options.disk),
        "rounds": plan.rounds,
        "seconds_a_sample": plan.seconds,
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--loads",
        type=_chosen,
        metavar="NAMES",
        help="letters or names of loads, separated by commas; --list shows them",
    )
    parser.add_argument("--list", action="store_true", help="show the loads, and end")
    parser.add_argument("--quick", action="store_true", help="one round of short samples")
    parser.add_argument("--repeat", type=int, metavar="N", help="samples of each side")
    parser.add_argument(
        "--retries",
        type=int,
        default=_RETRIES,
        metavar="N",
        help="how often a sample is taken again that other work disturbed (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="that a sample should take")
    parser.add_argument(
        "--fs", type=Path, default=Path("/dev/shm"), metavar="DIR", help="where logs are written"
    )
    parser.add_argument(
        "--disk", type=Path, default=Path("/var/tmp"), metavar="DIR", help="the same for load m"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to a file")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write what has a goal as a document's table"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what was measured over the number of logs"
    )
    parser.add_argument("--ours-only", action="store_true", help="do not run virtlogd")
    parser.add_argument(
        "--guard", action="store_true", help="fail if a ratio that matters has fallen"
    )
    parser.add_argument(
        "--fall",
        type=float,
        default=FALL,
        metavar="SHARE",
        help="by how much, for --guard (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.list:
        for load in LOADS:
            print(f"{load.key:14} {load.title}")
        parser.exit()
    return options


def _chosen(names: str) -> tuple[Any, ...]:
    try:
        return chosen(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
