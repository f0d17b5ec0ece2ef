"""Measures how long virtlogctl takes to start, beside a program that only has as many commands.

    python -m bench.starting
    python -m bench.starting --rounds 101

The other program has the same commands and options of its own, made with click alone. What takes
part of the time in both is Python's own start. Each round runs all once; the ratios are medians of
those of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.noise import preferred
from harness.daemon import CHECKOUT, running
from twisted_virtlog.ctl import main as virtlogctl

#: What a command on the path runs.
_OURS = "import sys; from twisted_virtlog.ctl import main; sys.exit(main(prog_name='virtlogctl'))"

_BARE = '''
import click

@click.group(context_settings={{"help_option_names": ["-h", "--help"]}})
@click.option("--socket", type=click.Path(), envvar="SOCKET", help="The socket.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.option("--timeout", type=click.FloatRange(min=0), help="How long to wait.")
@click.version_option("1.0", prog_name="bare")
def bare():
    """A program with commands that do nothing."""
{commands}
bare()
'''
_BARE_COMMAND = '''
@bare.command("{name}")
def _():
    """{help}"""
'''

#: At most so many times as long as the other's may the help take, and so long a first byte.
_HELP_GOAL = 1.3
_FIRST_BYTE_GOAL_MS = 100

#: Commands that ask a daemon one thing.
_ASKING = ("info", "list", "boots /none")

_TOP = "virtlogctl top"
#: What the table of top ends with.
_LAST_DRAWN = b"n path"
_PAINT_GOAL_MS = 150


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of a program took.

    :ivar first_byte: seconds until something was printed, or all of a table was drawn.
    :ivar wall: seconds until it had ended.
    :ivar processor: seconds of a processor.
    """

    first_byte: float
    wall: float
    processor: float


def run(command: list[str]) -> Run:
    """Run a program in this environment; what it prints is thrown away."""
    read_end, write_end = os.pipe()
    began = time.monotonic()
    actions = [(os.POSIX_SPAWN_DUP2, write_end, number) for number in (1, 2)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    os.close(write_end)
    with open(read_end, "rb", buffering=0) as output:
        output.read(1)
        first_byte = time.monotonic() - began
        while output.read(65536):
            pass
    _pid, _status, used = os.wait4(pid, 0)
    return Run(first_byte, time.monotonic() - began, used.ru_utime + used.ru_stime)


def paint(command: list[str]) -> Run:
    """Run a program on a terminal, until it has drawn its last line and is told to quit."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(command[0], command)
    began = time.monotonic()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    seen = b""
    while _LAST_DRAWN not in seen:
        seen += os.read(terminal, 65536)
    painted = time.monotonic() - began
    os.write(terminal, b"q")
    # (a terminal whose program has ended is no more to be read)
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass
    os.close(terminal)
    _pid, _status, used = os.wait4(pid, 0)
    return Run(painted, time.monotonic() - began, used.ru_utime + used.ru_stime)


def bare_program() -> str:
    """Return a program with the commands of virtlogctl and nothing in them."""
    commands = (
        _BARE_COMMAND.format(name=name, help=command.short_help)
        for name, command in virtlogctl.commands.items()
    )
    return _BARE.format(commands="".join(commands))


def measure(place: Path, rounds: int) -> dict[str, list[Run]]:
    """Run everything in turn.

    :param place: an empty directory.
    :returns: the runs of each program, by its name.
    """
    bare = place / "bare.py"
    bare.write_text(bare_program())
    os.environ["PYTHONPATH"] = str(CHECKOUT)
    with running(place) as daemon:
        asking = [sys.executable, "-c", _OURS, "--socket", daemon.socket]
        commands = {
            "python": [sys.executable, "-c", "print()"],
            "bare --help": [sys.executable, str(bare), "--help"],
            "virtlogctl --help": [sys.executable, "-c", _OURS, "--help"],
            **{f"virtlogctl {name}": [*asking, *name.split()] for name in _ASKING},
        }
        taken: dict[str, list[Run]] = {name: [] for name in (*commands, _TOP)}
        for _ in range(rounds + 1):
            for name, command in commands.items():
                taken[name].append(run(command))
            taken[_TOP].append(paint([*asking, "top"]))
    # (the first one of each has compiled modules)
    return {name: runs[1:] for name, runs in taken.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.starting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, preferred():
        taken = measure(Path(directory), options.rounds)
    print(f"{'':22}{'first byte ms':>14}{'fastest':>9}{'in all ms':>11}{'CPU ms':>8}")
    for name, runs in taken.items():
        print(_row(name, runs))
    print(_ratio(taken["virtlogctl --help"], taken["bare --help"]))
    print(
        f"first byte of a command that asks: at most {_FIRST_BYTE_GOAL_MS} ms,"
        f" of {_TOP} when it is drawn: at most {_PAINT_GOAL_MS} ms"
    )
    return 0


def _row(name: str, runs: Sequence[Run]) -> str:
    first_bytes = [one.first_byte * 1e3 for one in runs]
    wall = median(one.wall for one in runs) * 1e3
    processor = median(one.processor for one in runs) * 1e3
    return (
        f"{name:22}{median(first_bytes):14.1f}{min(first_bytes):9.1f}{wall:11.1f}{processor:8.1f}"
    )


def _ratio(ours: Sequence[Run], bare: Sequence[Run]) -> str:
    pairs = list(zip(ours, bare, strict=True))
    wall = median(one.wall / other.wall for one, other in pairs)
    processor = median(one.processor / other.processor for one, other in pairs)
    return (
        f"--help: {wall:.2f} of what the bare program takes, {processor:.2f} of its CPU time;"
        f" at most {_HELP_GOAL:g}"
    )


if __name__ == "__main__":
    sys.exit(main())
