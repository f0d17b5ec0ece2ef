"""A real daemon compresses backups, and clients see one log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.ctl.reading import read_to_end

SETTINGS = (
    "max_size = 65536", "max_backups = 3",
    'compress = "zstd"', "compress_from = 0", "compress_delay = 0",
)  # fmt: skip
TEXT = b"".join(b"[%8d] a line of a guest, and what it says\n" % n for n in range(4500))


def virtlogctl(daemon: Daemon, *arguments: str) -> bytes:
    command = [sys.executable, "-m", "twisted_virtlog.ctl", "--socket", daemon.socket, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout


def wait_for(client: BlockingClient, *names: str) -> None:
    """Wait until only the packed one of each backup is there."""
    while any(os.path.exists(name) or not os.path.exists(f"{name}.zst") for name in names):
        client.info()


@pytest.mark.lengthy
@pytest.mark.zstd
def test_one_log_to_all_who_read(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Before a hand-over and after it; and without a daemon, zstdcat reads it as well."""
    daemon = start_daemon(*SETTINGS)
    path = str(tmp_path / "guest.log")
    backups = [f"{path}.{number}" for number in range(3)]
    with daemon.client() as client:
        opened = client.open(path)
        os.write(opened.write_end, TEXT)
        start = client.position(path)
        wait_for(client, *backups)
        assert b"".join(chunk.data for chunk in read_to_end(client, path, None, None)) == TEXT
        files = client.files(path)
        assert [file.compressed for file in files.files] == [True, True, True, False]
        assert sum(file.size for file in files.files) == len(TEXT)
        for file in files.files:
            os.close(file.descriptor)
        assert client.ledger(path).holds
        assert virtlogctl(daemon, "read", path) == TEXT
        assert virtlogctl(daemon, "tail", "-n", "4000", path) == b"".join(
            TEXT.splitlines(keepends=True)[-4000:]
        )
        found = virtlogctl(daemon, "grep", r"^\[ +(7|4321)\]", path).splitlines()
        assert found == [TEXT.splitlines()[7], TEXT.splitlines()[4321]]
        client.reexec()
    with daemon.client() as client:
        more = TEXT[: 65536 + 10]
        os.write(opened.write_end, more)
        assert client.read(path, start).data == more
        wait_for(client, *backups)
        assert client.ledger(path).holds
        children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
        assert children.read_text() == ""
    os.close(opened.write_end)
    whole = (TEXT + more)[-(3 * 65536) :]
    command = ["zstdcat", *(f"{name}.zst" for name in reversed(backups))]
    data = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    data += Path(path).read_bytes()
    assert (TEXT + more).endswith(data)
    assert len(data) > len(whole) - 65536
    told = virtlogctl(daemon, "decompress", path).decode()
    assert [line.split(":")[0] for line in told.splitlines()] == sorted(backups)
    assert (TEXT + more).endswith(
        b"".join(Path(name).read_bytes() for name in [*reversed(backups), path])
    )
