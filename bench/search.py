"""Measures a search in the files of a log beside GNU grep's, in one run.

    python -m bench.search
    python -m bench.search --mib 50 --rounds 3

The files are in memory, and what is found is written to a file. Starting a program and compiling
an expression are not counted: of grep, what it takes to search an empty file is taken off.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figures import MIB
from bench.noise import preferred
from twisted_virtlog.client import LogFile
from twisted_virtlog.ctl.grep.blocks import blocks
from twisted_virtlog.ctl.grep.finders import Finder, re_finder
from twisted_virtlog.ctl.grep.output import PlainOutput
from twisted_virtlog.ctl.grep.pattern import compile_pattern
from twisted_virtlog.ctl.grep.pieces import file_pieces
from twisted_virtlog.ctl.grep.search import Search

#: A way to find lines, made for a pattern.
Make = Callable[[re.Pattern[bytes]], "Finder | None"]

_FILE_BYTES = 2 * MIB

#: What lines are made of.
_TEXT = (
    "the link device memory usb scsi host controller registered driver network interface up down"
    " state enabled disabled mapped region reserved irq pci bridge window io port bus timeout reset"
    " queue depth request failed retry sector buffer virtual filesystem mounted ext4 xfs journal"
    " recovery service started stopped target reached unit login session user root audit"
)
_WORDS = _TEXT.split()

#: So seldom is a line one of these.
_RARE_LINES = 20_011
_RARE = (
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
    "Out of memory: Killed process 4711 (mysqld)",
    "eth0: link is up, 1000 Mbps, full duplex",
    "EXT4-fs ErRoR (device vda1): bad block bitmap checksum",
)


@dataclass(frozen=True)
class Kind:
    """What is searched for.

    :ivar goal: how many times as long as grep's a search may take; None for no goal.
    """

    name: str
    expression: str
    ignore_case: bool = False
    goal: float | None = 1.5


_KINDS = (
    Kind("literal", "Kernel panic"),
    Kind("alternation", "Kernel panic|Out of memory|Segmentation fault"),
    Kind("repetition", r"eth[0-9]+: link is (up|down), [0-9]{3,4} Mbps"),
    Kind("-i", "ext4-fs error", ignore_case=True),
    Kind("-i alternation", "kernel panic|out of memory|fs error", ignore_case=True),
    Kind("every tenth line", r"sshd\[[0-9]+\]", goal=2.0),
    Kind("every line", "e.*r|.", goal=None),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that a search took: by the clock, and of a processor."""

    wall: float
    processor: float


def write_files(directory: Path, mib: int) -> list[Path]:
    """Write as much of what guests print, with the line ends of their consoles."""
    chance = random.Random(1)
    paths = []
    number = 0
    for index in range(max(1, mib * MIB // _FILE_BYTES)):
        lines: list[bytes] = []
        size = 0
        while size < _FILE_BYTES:
            number += 1
            line = f"[{number * 0.0123:12.6f}] {_body(number, chance)}\r\n".encode()
            lines.append(line)
            size += len(line)
        path = directory / f"log.{index:03}"
        path.write_bytes(b"".join(lines))
        paths.append(path)
    return paths


def _body(number: int, chance: random.Random) -> str:
    if number % _RARE_LINES == 0:
        return _RARE[number // _RARE_LINES % len(_RARE)]
    words = " ".join(chance.choices(_WORDS, k=chance.randrange(4, 14)))
    return f"{words} sshd[{chance.randrange(30000)}]: done" if number % 10 == 0 else words


def grep(kind: Kind, paths: Sequence[Path], output: Path) -> Spent:
    """Search with GNU grep."""
    flags = ["-h", "-E", *(["-i"] if kind.ignore_case else [])]
    with output.open("wb") as stream:
        return _spent(
            lambda: subprocess.run(
                ["grep", *flags, "-e", kind.expression, *paths],
                stdout=stream,
                # It is fastest where a character is a byte, as it is here.
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        )


def ours(kind: Kind, make: Make, paths: Sequence[Path], output: Path) -> Spent:
    """Search as ``virtlogctl grep`` does once it has the descriptors."""
    pattern = compile_pattern(kind.expression, kind.ignore_case)
    finder = make(pattern)
    assert finder is not None, kind
    search = Search(pattern, finder)
    with output.open("wb") as stream:
        return _spent(lambda: _search(search, paths, PlainOutput(stream, with_path=False)))


def _search(search: Search, paths: Sequence[Path], output: PlainOutput) -> None:
    output.begin("/log")
    for block in blocks(file_pieces(_opened(paths), None, parted=True)):
        output.add(block, search.lines(block.data))
    output.end()


def _opened(paths: Iterable[Path]) -> list[LogFile]:
    files = []
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        files.append(LogFile(status.st_ino, "", status.st_size, False, descriptor))
    return files


def _spent(act: Callable[[], object]) -> Spent:
    before, began = _processor_seconds(), time.monotonic()
    act()
    return Spent(time.monotonic() - began, _processor_seconds() - before)


def _processor_seconds() -> float:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def ways() -> Iterator[tuple[str, Make]]:
    """Yield the ways to find lines that are installed."""
    if importlib.util.find_spec("hyperscan") is not None:
        from twisted_virtlog.ctl.grep.by_hyperscan import hyperscan_finder  # noqa: PLC0415

        yield "hyperscan", hyperscan_finder
    yield "re", re_finder


def measure(kind: Kind, paths: Sequence[Path], place: Path, rounds: int) -> list[str]:
    """Search in each way in turn.

    :returns: a line for each way.
    :raises AssertionError: they did not find the same.
    """
    empty = place / "empty"
    empty.touch()
    theirs: list[Spent] = []
    found: dict[str, list[Spent]] = {}
    for _ in range(rounds):
        start_up = grep(kind, [empty], place / "nothing")
        all_of_it = grep(kind, paths, place / "grep")
        theirs.append(
            Spent(
                all_of_it.wall - start_up.wall,
                all_of_it.processor - start_up.processor,
            )
        )
        for name, make in ways():
            found.setdefault(name, []).append(ours(kind, make, paths, place / name))
            assert (place / name).read_bytes() == (place / "grep").read_bytes(), (kind, name)
    lines = []
    for name, spent in found.items():
        wall = median(own.wall / other.wall for own, other in zip(spent, theirs, strict=True))
        processor = median(
            own.processor / other.processor for own, other in zip(spent, theirs, strict=True)
        )
        goal = f"{kind.goal:g}" if name == "hyperscan" and kind.goal is not None else ""
        lines.append(
            f"{kind.name:18}{name:10}"
            f"{median(one.wall for one in theirs) * 1e3:9.0f}"
            f"{median(one.wall for one in spent) * 1e3:9.0f}{wall:8.2f}{processor:11.2f}{goal:>6}"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mib", type=int, default=200, help="in files of 2 MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fs", type=Path, default=Path("/dev/shm"), metavar="DIR")
    options = parser.parse_args(arguments)
    if shutil.which("grep") is None:
        sys.exit("bench: there is no grep")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.fs) as directory, preferred():
        place = Path(directory)
        logs = place / "logs"
        logs.mkdir()
        paths = write_files(logs, options.mib)
        print(f"{'':18}{'by':10}{'grep ms':>9}{'ours ms':>9}{'ratio':>8}{'of CPU':>11}{'goal':>6}")
        for kind in _KINDS:
            for line in measure(kind, paths, place, options.rounds):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
