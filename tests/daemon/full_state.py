"""What a daemon keeps beside its logs on a full disk. Run by test_history.py on a small one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from harness.daemon import running
from tests.daemon.conftest import wait_for_message
from tests.daemon.test_history import SOON, kinds, own_log, written


def check(small: Path, directory: Path) -> None:
    """Start on a full disk, note what happens, make room, and start again.

    :param small: a small file system, empty.
    :param directory: a directory elsewhere.
    """
    logs = [directory / f"guest{number}.log" for number in range(20)]
    filler = small / "filler"
    settings = [f'state_dir = "{small / "state"}"', "log_level = 2"]
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with running(directory / "daemon", settings, SOON) as daemon, daemon.client() as client:
        for log in logs:
            written(client, log, b"a line\n")
            assert kinds(client, log) == ["opened", "closed"]
        assert [Path(one.path) for one in client.list(closed=True)] == sorted(logs)
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
        wait_for_message(daemon, "kept there again")
        assert own_log(daemon).count("are kept in memory alone") == 1, own_log(daemon)
        daemon.process.kill()
        daemon.process.wait()
    with running(directory / "daemon", settings) as daemon, daemon.client() as client:
        assert [Path(one.path) for one in client.list(closed=True)] == sorted(logs)
        for log in logs:
            assert kinds(client, log) == ["opened", "closed"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as elsewhere:
        check(Path(sys.argv[1]), Path(elsewhere))
