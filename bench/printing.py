"""Prints lines to pipes, each with the time at which it was written: a program of its own.

python -m bench.printing LINES_A_SECOND SECONDS DESCRIPTOR,...
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

#: A line: the time in nanoseconds of the monotonic clock, filled up.
LINE_BYTES = 100
DIGITS = 20


def line(now: int) -> bytes:
    """Give a line that was written at a time."""
    return b"%0*d" % (DIGITS, now) + b"." * (LINE_BYTES - DIGITS - 1) + b"\n"


@contextlib.contextmanager
def printing(
    pipes: Sequence[int], lines: float, seconds: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program meanwhile, which ends once it has printed everything.

    :param lines: how many it prints in a second, to all pipes together.
    """
    descriptors = ",".join(map(str, pipes))
    command = [sys.executable, "-m", "bench.printing", str(lines), str(seconds), descriptors]
    with subprocess.Popen(command, pass_fds=pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def main(arguments: list[str]) -> None:
    """Print to one pipe after another, so many lines a second in all."""
    rate, seconds = float(arguments[0]), float(arguments[1])
    pipes = [int(number) for number in arguments[2].split(",")]
    begun = time.monotonic()
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        os.write(pipes[number % len(pipes)], line(time.monotonic_ns()))


if __name__ == "__main__":
    main(sys.argv[1:])
