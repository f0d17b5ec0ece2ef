"""What the own log says of a disk that hangs for a while. Run by test_machine.py as root.

Argument: a directory for a file system, whose writes hang while it is frozen (see fsfreeze(8)), and
for the daemon.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from harness.daemon import Daemon, running


@contextmanager
def disk(directory: Path) -> Iterator[Path]:
    """Mount an ext4."""
    image, point = directory / "image", directory / "a disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


@contextmanager
def frozen(point: Path) -> Iterator[None]:
    """Let all that writes there wait."""
    subprocess.run(["fsfreeze", "--freeze", point], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", point], check=True)


class OwnLog:
    """The daemon's own log, read on and on."""

    def __init__(self, daemon: Daemon) -> None:
        self._file = (Path(daemon.socket).parent / "daemon.log").open(encoding="utf-8")

    def line(self, part: str) -> str:
        """Wait for the next line with a text in it."""
        line = ""
        while True:
            line += self._file.readline()
            if not line.endswith("\n"):
                time.sleep(0.01)
            elif part in line:
                return line
            else:
                line = ""


def check(directory: Path, point: Path) -> None:
    """Let the daemon hang in a guest's output, in a client's call, and after a hand-over."""
    log, other = point / "guest.log", point / "other.log"
    mount = re.escape(f"(mount {point}, ext4 of /dev/")
    with running(directory / "daemon") as daemon, daemon.client() as client:
        own_log = OwnLog(daemon)
        pipe = client.open(str(log)).write_end
        for _ in range(2):
            with frozen(point):
                os.write(pipe, b"a line\n")
                begun = own_log.line("stood still")
            ended = own_log.line("turns again")
            assert ": warning : daemon : the reactor has stood still for 0." in begun, begun
            assert "in twisted_virtlog.logs." in begun or "of twisted_virtlog.logs." in begun, begun
            assert re.search(rf", for the log {re.escape(str(log))} {mount}\S+\);", begun), begun
            assert re.search(
                rf"turns again, after \d+\.\d\d s, for the log {re.escape(str(log))} {mount}", ended
            ), ended
            # The daemon's next image watches as well.
            client.reexec()

        with frozen(point):
            call = Thread(target=client.append, args=(str(other), "a message\n"))
            call.start()
            begun = own_log.line("stood still")
        call.join()
        own_log.line("turns again")
        assert f", for the log {other} (mount {point}, ext4 of /dev/" in begun, begun
        assert f", called by the client with pid {os.getpid()}, uid 0;" in begun, begun
        assert client.position(str(log)).offset == len("a line\n") * 2
        os.close(pipe)


if __name__ == "__main__":
    with disk(Path(sys.argv[1])) as mounted:
        check(Path(sys.argv[1]), mounted)
