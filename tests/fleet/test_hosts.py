"""What the program reads is what the hosts have: with daemons, shippers and a server."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon, running
from tests.fleet.conftest import NOON, WEB, Line, Shelf
from twisted_virtlog.client import BlockingClient, Domain

pytestmark = [pytest.mark.nats, pytest.mark.lengthy]

_PROGRAM = "from twisted_virtlog.ship.program import main; main()"
_SECONDS = 60.0
#: Smaller than a message, so that some have bytes of two files.
_FILE_BYTES = 50_000
_RANGES = 12


@contextlib.contextmanager
def host(directory: Path, name: str, shelf: Shelf) -> Iterator[Daemon]:
    """Run a host: a daemon, and what ships its logs."""
    directory.mkdir()
    settings = (f"max_size = {_FILE_BYTES}", "max_backups = 32")
    with running(directory / "daemon", settings) as daemon:
        file = directory / "virtlog-ship.toml"
        file.write_text(
            f'socket = "{daemon.socket}"\nhost = "{name}"\n'
            f'[[sinks]]\nservers = ["{shelf.server.url}"]\n'
        )
        command = [sys.executable, "-c", _PROGRAM, "--config", str(file)]
        with (
            (directory / "log").open("wb") as log,
            subprocess.Popen(command, cwd=CHECKOUT, stderr=log) as shipper,
        ):
            try:
                yield daemon
            finally:
                shipper.kill()


def text(seed: int, size: int) -> bytes:
    """Return lines of any length, with any bytes in them."""
    chance = random.Random(seed)
    parts = []
    while size > 0:
        line = chance.randbytes(chance.choice((0, 3, 80, 4000))).replace(b"\n", b"") + b"\n"
        parts.append(line)
        size -= len(line)
    return b"".join(parts)


def files(path: Path) -> bytes:
    """Return the bytes of a log's files."""
    backups = sorted(
        path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix.lstrip("."))
    )
    return b"".join(file.read_bytes() for file in (*backups, path))


def wait_for(shelf: Shelf, data: bytes, *arguments: str) -> None:
    """Wait until all of a log is stored, and check it."""
    deadline = time.monotonic() + _SECONDS
    while True:
        result = shelf.run(*arguments)
        if result.exit_code == 0 and len(result.stdout_bytes) >= len(data):
            assert sha256(result.stdout_bytes).digest() == sha256(data).digest()
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def positions(daemon: Daemon, path: Path, offsets: Sequence[int]) -> Iterator[str]:
    """Return positions of a log's bytes, as virtlogctl has them."""
    with daemon.client() as client:
        for offset in offsets:
            end = client.read(str(path), None, offset).end
            yield f"{end.inode}:{end.offset}:{end.birth}"


def test_the_bytes_are_those_of_the_files(shelf: Shelf, tmp_path: Path) -> None:
    """All of them, and any range, over rotations."""
    path = tmp_path / "guest.log"
    with host(tmp_path / "n17", "n17", shelf) as daemon:
        written = text(1, 400_000)
        with daemon.client() as client:
            write_end = client.open(str(path), "qemu", Domain(name="web", uuid=WEB)).write_end
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(written)
        wait_for(shelf, written, "read", str(path))
        assert files(path) == written
        chance = random.Random(2)
        offsets = sorted(chance.sample(range(1, len(written)), _RANGES))
        for offset, where in zip(offsets, positions(daemon, path, offsets), strict=True):
            count = chance.choice((1, 1000, _FILE_BYTES, 3 * _FILE_BYTES))
            result = shelf.run("read", str(path), "--from", where, "--bytes", str(count))
            wanted = written[offset : offset + count]
            assert sha256(result.stdout_bytes).digest() == sha256(wanted).digest(), where
            assert result.stderr == ""


def test_what_is_shipped_later_has_its_time(shelf: Shelf, tmp_path: Path) -> None:
    """The daemon's, so it is put before what came elsewhere after it, and was stored before it."""
    path = tmp_path / "guest.log"
    domain = Domain(name="web", uuid=WEB)
    shelf.put([Line("n18", "/other", b"other\n")])
    shelf.server.kill()
    with host(tmp_path / "n17", "n17", shelf) as daemon, daemon.client() as client:
        with os.fdopen(client.open(str(path), "qemu", domain).write_end, "wb") as pipe:
            pipe.write(b"first\n")
        came = time_of(client, path, 6)
        shelf.server.start()
        # (two hours by the clock of that host)
        later = (came + timedelta(hours=2) - NOON).total_seconds()
        shelf.put([Line("n18", str(path), b"second\n", WEB, "web", later)])
        wait_for(shelf, b"first\nsecond\n", "read", str(path))
        now = came + timedelta(hours=1)
        wait_for(shelf, b"first\n", "read", str(path), "--until", str(now))
        (found,) = json.loads(shelf.run("ls", "--json", "--host", "n17").stdout)
        assert datetime.fromisoformat(found["last"]) == came


def time_of(client: BlockingClient, path: Path, size: int) -> datetime:
    """Wait until the daemon says when all of a log had come, which has so many bytes."""
    deadline = time.monotonic() + _SECONDS
    while True:
        (log,) = client.list(closed=True)
        mark = client.times(str(path))[-1]
        if log.state == "closed" and mark.position.offset == size:
            return mark.time
        assert time.monotonic() < deadline


def test_a_guest_that_moves_has_one_log(shelf: Shelf, tmp_path: Path) -> None:
    """First what the one host had, then what the other one has, and then the first one again."""
    path = tmp_path / "guest.log"
    domain = Domain(name="web", uuid=WEB)
    whole = b""
    with (
        host(tmp_path / "n17", "n17", shelf) as first,
        host(tmp_path / "n18", "n18", shelf) as second,
    ):
        for number, daemon in enumerate((first, second, first)):
            written = text(number, 60_000)
            whole += written
            with daemon.client() as client:
                write_end = client.open(str(path), "qemu", domain).write_end
                with os.fdopen(write_end, "wb") as pipe:
                    pipe.write(written)
            wait_for(shelf, whole, "read", str(path))
            # (the other host has files of its own)
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
    assert [line.split()[0] for line in shelf.run("ls", str(path)).stdout.splitlines()[1:]] == [
        "n17",
        "n18",
    ]
