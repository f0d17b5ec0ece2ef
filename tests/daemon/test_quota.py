"""A real daemon keeps a guest within its quota."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from harness.daemon import running
from tests.daemon.test_history import GUEST
from tests.daemon.test_reload import Configured, configured
from twisted_virtlog.client import RemoteError

__all__ = ["configured"]

KIB = 1024
SMALL = ("max_size = 16384", "max_backups = 3")


def on_disk(directory: Path) -> int:
    """Return what all files in a directory take up."""
    return sum(path.stat().st_blocks * 512 for path in directory.iterdir())


@pytest.mark.lengthy
def test_a_quota_of_another_configuration(configured: Configured, tmp_path: Path) -> None:
    """It holds for a log that is open; who asks is told, and the ledger counts what was lost."""
    logs = tmp_path / "logs"
    logs.mkdir()
    path = str(logs / "guest.log")
    configured.read("max_size = 1000000")
    guest = configured.client.open(path, domain=GUEST)
    os.write(guest.write_end, b"x" * 16 * KIB)
    configured.client.position(path)
    configured.read("max_size = 1000000", "quota = 20480")
    os.write(guest.write_end, b"y" * 8 * KIB)
    with pytest.raises(
        RemoteError, match="quota of 20480 bytes of this guest is used up"
    ) as caught:
        configured.client.position(path)
    assert (caught.value.code, caught.value.data["errno"]) == (1006, "EDQUOT")
    assert on_disk(logs) <= 20 * KIB
    (status,) = configured.client.list()
    assert (status.state, status.pending) == ("failing", 4 * KIB)
    # (a small file is one that may roll over, and the guest's oldest output goes)
    configured.read("max_size = 8192", "quota = 20480")
    while configured.client.list()[0].state != "open":
        """It is tried again once a second."""
    assert configured.client.position(path).offset == 4 * KIB
    assert on_disk(logs) <= 20 * KIB
    ledger = configured.client.ledger(path)
    assert ledger.holds
    os.close(guest.write_end)


@pytest.mark.lengthy
def test_logs_of_a_former_daemon_count(tmp_path: Path) -> None:
    """Their guest is known, and their backups are the oldest."""
    logs = tmp_path / "logs"
    logs.mkdir()
    closed, path = logs / "closed.log", logs / "guest.log"
    with running(tmp_path / "daemon", SMALL) as daemon, daemon.client() as client:
        guest = client.open(str(closed), domain=GUEST)
        os.write(guest.write_end, b"x" * 40 * KIB)
        client.close_log(str(closed))
        os.close(guest.write_end)
    with (
        running(tmp_path / "daemon", (*SMALL, "quota = 49152")) as daemon,
        daemon.client() as client,
    ):
        guest = client.open(str(path), domain=GUEST)
        while (logs / "closed.log.0").exists():
            os.write(guest.write_end, b"y" * KIB)
            # (what there is may not have been found yet)
            with suppress(RemoteError):
                client.position(str(path))
        for _ in range(64):
            os.write(guest.write_end, b"y" * KIB)
            client.position(str(path))
            assert on_disk(logs) <= 48 * KIB
        assert closed.stat().st_size == 8 * KIB
        os.close(guest.write_end)
