"""A real daemon accounts for every byte."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.daemon import running
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.values import Dropped, Intake, RemovedBytes, Written


def test_a_ledger_of_a_log_and_of_all(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Of logs that were written, rolled over and closed."""
    daemon = start_daemon("max_size = 1000", "max_backups = 1")
    path, other = (str(tmp_path / name) for name in ("a.log", "b.log"))
    with daemon.client() as client:
        guest, its = client.open(path), client.open(other)
        os.write(guest.write_end, b"x" * 2999 + b"\n")
        os.write(its.write_end, b"some\n")
        client.append(path, "message")
        client.close_log(other)
        ledger = client.ledger(path)
        together = client.ledger()
        os.close(guest.write_end)
        os.close(its.write_end)
    assert (ledger.holds, together.holds) == (True, True)
    assert (ledger.intake_gap, ledger.storage_gap, together.intake_gap) == (0, 0, 0)
    assert ledger.intake == Intake(3000, Dropped(), 0)
    assert ledger.written == Written(3000, 7, 0)
    assert ledger.storage is not None
    kept = sum(os.path.getsize(path + suffix) for suffix in ("", ".0"))
    assert ledger.storage.kept == kept
    assert ledger.storage.removed == RemovedBytes(rotation=3007 - kept)
    assert together.intake == Intake(3005, Dropped(), 0)
    assert together.written == Written(3005, 7, 0)
    assert together.storage == ledger.storage


@pytest.mark.lengthy
def test_what_is_counted_of_all_outlives_a_kill(tmp_path: Path) -> None:
    """The logs end with the process, as nobody keeps their pipes; the counts go on."""
    with ExitStack() as stack:
        daemon = stack.enter_context(running(tmp_path / "daemon", ()))
        with daemon.client() as client:
            guest = client.open(str(tmp_path / "a.log"))
            os.write(guest.write_end, b"12345")
            client.append(str(tmp_path / "b.log"), "message")
            client.position(str(tmp_path / "a.log"))
            before = client.ledger()
        daemon.process.kill()
        daemon.process.wait()
        os.close(guest.write_end)
        daemon = stack.enter_context(running(tmp_path / "daemon", ()))
        with daemon.client() as client:
            after = client.ledger()
    assert (after.since, after.intake, after.written) == (
        before.since,
        Intake(5, Dropped(), 0),
        Written(5, 7, 0),
    )
    assert after.storage is not None
    assert after.storage.kept == 0
