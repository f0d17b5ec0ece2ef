"""Policies: what holds for some logs only."""

from __future__ import annotations

import os
from pathlib import Path

from harness.daemon import Daemon
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import Domain, PolicyWord

_CI = Domain("c7a5fdbd-edaf-9455-926a-d65c16db1809", "ci 7")
_ENTRY = "domain:'ci *' max_size=20 max_backups=5"


def _written(daemon: Daemon, path: Path, domain: Domain | None) -> dict[str, int]:
    with daemon.client() as client:
        opened = client.open(str(path), driver="qemu", domain=domain)
        os.write(opened.write_end, b"ten bytes\n" * 9)
        client.position(str(path))
        os.close(opened.write_end)
    return {one.name: one.stat().st_size for one in path.parent.glob(f"{path.name}*")}


def test_logs_of_some_guests_are_kept_in_another_way(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """While they are open and afterwards; and what holds can be asked."""
    entries = f'policies = ["{_ENTRY}", "driver:QEMU max_size=50 max_backups=1"]'
    daemon = start_daemon("max_size = 1000", entries)
    ci, other = tmp_path / "ci.log", tmp_path / "other.log"
    assert _written(daemon, ci, _CI) == {
        "ci.log": 10,
        **{f"ci.log.{number}": 20 for number in range(4)},
    }
    assert _written(daemon, other, None) == {"other.log": 40, "other.log.0": 50}
    with daemon.client() as client:
        assert client.read(str(ci)).data == b"ten bytes\n" * 9
        words = client.policy(str(ci))
        assert words["max_size"] == PolicyWord(20, "policies[0]", _ENTRY)
        assert words["pipe_size"] == PolicyWord(1048576, "default")
        assert client.policy(str(other))["max_backups"].value == 1
        assert client.policy(str(tmp_path / "none"))["max_size"] == PolicyWord(1000, "max_size")
