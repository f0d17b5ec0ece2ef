"""How long a client waits while backups are compressed, and without that.

    python -m bench.packing_waits [--seconds 10] [--rate 8]

Guests write at an even rate, and each backup is compressed as soon as it is one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.alike import Found, compared
from bench.figures import MIB
from twisted_virtlog.client import BlockingClient

_GUESTS = 4
_FILES = re.compile(r"^virtlogd_compressed_files_total (\d+)", re.MULTILINE)
#: What is a long time for an answer.
_LONG_SECONDS = 0.001

_SETTINGS = (f"max_size = {MIB}", "max_backups = 3", "compress_from = 0", "compress_delay = 0")
_KINDS = {
    "compressed": ('compress = "zstd"', *_SETTINGS),
    "not": ('compress = ""', *_SETTINGS),
}


def _compressed(client: BlockingClient) -> int:
    """Return how many backups a daemon has compressed."""
    (files,) = _FILES.findall(client.metrics())
    return int(files)


def _row(name: str, found: Found) -> str:
    over = sum(one > _LONG_SECONDS for one in found.taken)
    p50, p99, longest = (found.taken_by(share) for share in (0.5, 0.99, 1))
    return (
        f"{name:10}  {_compressed(found.client):10}  {len(found.taken):7}  {p50:6.2f}  {p99:6.2f}"
        f"  {longest:10.2f}  {over:9}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=8.0, help="mebibytes a second, for each")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as directory,
        compared(Path(directory), _KINDS, _GUESTS, options.rate, options.seconds) as found,
    ):
        print("backups     compressed  answers  p50 ms  p99 ms  longest ms  over 1 ms")
        for name, one in found.items():
            print(_row(name, one))
    return 0


if __name__ == "__main__":
    sys.exit(main())
