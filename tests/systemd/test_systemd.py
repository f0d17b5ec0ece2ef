"""The daemon under a real systemd, as its units start it; see boot.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT
from tests.systemd import boot, inside

pytestmark = [pytest.mark.root, pytest.mark.slow]


def _run(directory: Path, name: str, **environment: str) -> str:
    directory.mkdir(exist_ok=True)
    settings = [f"{key}={value}" for key, value in environment.items()]
    program = ["env", f"PYTHONPATH={CHECKOUT}", "PYTHONDONTWRITEBYTECODE=1", *settings]
    program += [sys.executable, "-m", "tests.systemd.inside", name]
    seen = {Path(sys.prefix), CHECKOUT}
    status, said = boot.run(program, directory / "exchange", sorted(seen))
    assert status == 0, said
    return said


@pytest.mark.parametrize(
    "name",
    [
        inside.activation.__name__,
        inside.analysis.__name__,
        inside.attributes.__name__,
        inside.narrowed.__name__,
        inside.restart.__name__,
        inside.followed.__name__,
        inside.locked_pipe.__name__,
        pytest.param(inside.hung_mount.__name__, marks=pytest.mark.fuse),
        inside.ended.__name__,
        inside.names.__name__,
        inside.wrong_file.__name__,
        inside.watchdog.__name__,
        inside.successor.__name__,
        inside.reload.__name__,
        inside.full.__name__,
        inside.storeless.__name__,
        inside.dropped.__name__,
        inside.removal.__name__,
        pytest.param(inside.to_virtlogd.__name__, marks=pytest.mark.libvirt),
        pytest.param(inside.documents.__name__, marks=pytest.mark.libvirt),
        pytest.param(inside.by_hand.__name__, marks=pytest.mark.libvirt),
    ],
)
def test_under_systemd(tmp_path: Path, name: str) -> None:
    """What the function of that name in inside.py says."""
    _run(tmp_path, name)


@pytest.mark.parametrize("kills", [100])
def test_kills_under_systemd_cost_no_byte(tmp_path: Path, kills: int) -> None:
    """As often as the daemon is killed, systemd starts it again with all logs."""
    _run(tmp_path, inside.kills.__name__, KILLS=str(kills))


@pytest.mark.parametrize("logs", [3000])
def test_many_logs_under_systemd(tmp_path: Path, logs: int) -> None:
    """Storing them holds up nobody, and all of them come back."""
    _run(tmp_path, inside.many.__name__, LOGS=str(logs))
