"""What a sink that is dead for good costs the daemon: files are held for it, up to the caps.

    python -m bench.dead_sink [--guests 64] [--rate 16] [--seconds 20]

Of two daemons one holds all logs for a consumer that never comes, at caps that are reached at once,
so that with each roll-over a file is held and another one goes unread.
"""

from __future__ import annotations

import argparse
import os
import pwd
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.alike import Found, compared
from bench.figures import MIB

_KIB = 1024
#: So many files are held of each log.
_HELD = 2


def _kinds(file_bytes: int) -> Mapping[str, Sequence[str]]:
    """Return the configurations of both, whose files have so many bytes."""
    usual = (f"max_size = {file_bytes}", "max_backups = 1")
    dead = (
        f'consumers = ["sink:{pwd.getpwuid(os.geteuid()).pw_name}"]',
        'hold = "sink"',
        f"hold_max_log = {_HELD * file_bytes}",
    )
    return {"alone": usual, "dead": (*usual, *dead)}


def _written(found: Found, path: str | None = None) -> int:
    """Return what was written into a log, or into all."""
    return found.client.ledger(path).written.total


def is_exact(found: Found, cap: int) -> bool:
    """Return whether what a consumer has not read is what was written, and held to a cap.

    :param cap: of each log, in bytes.
    """
    rows = found.client.consumers()
    return bool(rows) and all(
        one.unread_bytes + (one.lag_bytes or 0) == _written(found, one.path)
        and one.held_bytes <= cap
        for one in rows
    )


def _row(name: str, found: Found, written: float) -> str:
    return (
        f"{name:6}  {found.used / written * 1000:7.2f}  {found.taken_by(0.5):6.3f}"
        f"  {found.taken_by(0.99):6.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table.

    :returns: the exit status: 1 if a byte is not accounted for.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--guests", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=16.0, help="mebibytes a second, for each")
    parser.add_argument("--file-kib", type=int, default=256, help="size of a file")
    options = parser.parse_args(arguments)
    file_bytes = options.file_kib * _KIB
    kinds = _kinds(file_bytes)
    with (
        tempfile.TemporaryDirectory() as directory,
        compared(Path(directory), kinds, options.guests, options.rate, options.seconds) as found,
    ):
        print("sink    ms of the processor for a MiB; p50 ms, p99 ms of a position")
        for name, one in found.items():
            print(_row(name, one, _written(one) / MIB))
        dead = found["dead"]
        is_right = is_exact(dead, _HELD * file_bytes)
        rows = dead.client.consumers()
        print(
            f"unread {sum(one.unread_bytes for one in rows)},"
            f" held {sum(one.held_bytes for one in rows)},"
            f" {'exact' if is_right else 'NOT EXACT'}"
        )
    return int(not is_right)


if __name__ == "__main__":
    sys.exit(main())
