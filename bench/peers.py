"""Other programs that move a pipe into rotated files, and the floor, under the same load."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figures
from bench.load import Load, record
from bench.writing import Wrong, throughput

_ROTATION_BYTES = 2 * 1024 * 1024
_END_SECONDS = 60.0
#: How much of the last record is looked for at the end of a file.
_COMPARED_BYTES = 100


@dataclass(frozen=True)
class Peer:
    """A program that reads standard input until its end.

    :ivar program: looked up in the PATH, unless it is a path.
    :ivar command: the arguments for a directory, which the program fills.
    :ivar optional: it has to be installed; it is no part of the benchmark.
    """

    name: str
    program: str
    command: Callable[[Path], Sequence[str]]
    optional: bool = True

    @property
    def available(self) -> bool:
        """Return whether this machine has it."""
        return shutil.which(self.program) is not None


def peers(floor: Path) -> list[Peer]:
    """Give all that can be compared with.

    :param floor: the compiled floor.c.
    """
    return [
        Peer("s6-log", "s6-log", lambda to: ["n3", f"s{_ROTATION_BYTES}", str(to)]),
        Peer("svlogd", "svlogd", _svlogd),
        Peer("multilog", "multilog", lambda to: [f"s{_ROTATION_BYTES}", "n4", str(to)]),
        Peer("floor, read and write", str(floor), lambda to: ["read", str(to)], False),
        Peer("floor, splice", str(floor), lambda to: ["splice", str(to)], False),
    ]


def _svlogd(directory: Path) -> Sequence[str]:
    (directory / "config").write_text(f"s{_ROTATION_BYTES}\nn4\n")
    # Its own choice is 1024 bytes at a time.
    return ["-b", "65536", str(directory)]


def run(
    peer: Peer, generator: Load, above: Path, processor: int, size: int, seconds: float
) -> Figures:
    """Write to a peer at full speed; it has written all when it has ended.

    :param above: where to make a directory for its files, which is removed at the end.
    :param processor: it is pinned to this one.
    """
    directory = above / "files"
    directory.mkdir()
    command = [peer.program, *peer.command(directory)]
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(processor), *command],
        stdin=read_end,
        stdout=subprocess.DEVNULL,
    )
    os.close(read_end)
    try:
        with os.fdopen(write_end, "wb") as pipe:
            written = generator.write([pipe.fileno()], size, seconds)
        _until_ended(process)
        landed = time.monotonic()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        last = record(written.records[0] - 1, size)[-_COMPARED_BYTES:]
        if process.returncode or not any(_ends_with(file, last) for file in directory.iterdir()):
            raise Wrong(f"{peer.name}: status {process.returncode}, or the last record is missing")
        return throughput(written, size, landed, used.ru_utime + used.ru_stime)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        shutil.rmtree(directory)


def _until_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end, without reaping it.

    :raises TimeoutError: it takes too long.
    """
    ended = os.pidfd_open(process.pid)
    try:
        if not select.select([ended], [], [], _END_SECONDS)[0]:
            raise TimeoutError(f"{process.args!r} goes on after the end of its input")
    finally:
        os.close(ended)


def _ends_with(file: Path, last: bytes) -> bool:
    return file.is_file() and file.read_bytes()[-len(last) :] == last
