"""The pid file, against other processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hanging import hanging
from twisted_virtlog.daemon.command import pid_file as pid_file_module
from twisted_virtlog.daemon.command.pid_file import PidFileError, acquire

#: Holds a file's lock until its input ends.
_HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 1)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "virtlogd.pid"


def _locked(path: Path) -> bool:
    """Return whether another process finds the first byte locked."""
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), 6, 1)"
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)
    return run.returncode != 0


def test_it_holds_the_process_id_and_is_locked(path: Path) -> None:
    """Without a line end, readable for all, and gone in the end."""
    umask = os.umask(0o022)
    pid_file = acquire(str(path), 123)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o644
    assert not os.get_inheritable(pid_file.descriptor)
    assert _locked(path)
    # (which takes the lock away from this process)
    assert path.read_bytes() == b"123"
    pid_file.release()
    assert not path.exists()


def test_a_dead_daemon_s_file_is_taken_over(path: Path) -> None:
    """Nobody has locked it; what was in it is gone."""
    path.write_text("4567890 garbage")
    pid_file = acquire(str(path), 12)
    assert path.read_bytes() == b"12"
    pid_file.release()


def test_a_live_daemon_s_file_is_not(path: Path) -> None:
    """It is left as it is."""
    path.write_text("77")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        reason = f"Failed to acquire pid file '{path}': Resource temporarily unavailable"
        with pytest.raises(PidFileError, match=reason):
            acquire(str(path), 12)
        assert path.read_text() == "77"
        holder.communicate()


def test_a_file_that_its_holder_removes_meanwhile_is_made_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would hold a file that nobody else finds."""
    taken = []

    def lockf(descriptor: int, *arguments: int) -> None:
        taken.append(descriptor)
        if len(taken) == 1:
            path.unlink()

    monkeypatch.setattr(fcntl, "lockf", lockf)
    pid_file = acquire(str(path), 12)
    assert len(taken) == 2
    assert path.read_bytes() == b"12"
    pid_file.release()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no/directory", "Failed to open .*: No such file or directory"),
        (".", "Failed to open .*: Is a directory"),
        ("fifo", "Failed to open .*: No such device or address"),
        ("full", "Failed to write .*: "),
    ],
)
def test_why_it_cannot_be_had(tmp_path: Path, name: str, reason: str) -> None:
    """And nothing waits for ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(PidFileError, match=reason):
        acquire(str(tmp_path / name), 12)


def test_no_file_is_asked_for() -> None:
    """With an empty name, as in virtlogd."""
    acquire("", 12).release()


def test_the_file_of_a_daemon_that_cannot_end_is_replaced(path: Path) -> None:
    """Its lock is held as long as that daemon is there."""
    code = f"""
import os
from twisted_virtlog.daemon.command.pid_file import acquire
acquire({str(path)!r}, os.getpid())
"""
    with hanging(code) as other:
        with pytest.raises(PidFileError):
            acquire(str(path), 12)
        other.die()
        assert _locked(path)
        pid_file = acquire(str(path), 12)
        assert _locked(path)
        other.let_go()
        other.process.wait()
        assert _locked(path)
        # (which takes the lock away from this process)
        assert path.read_bytes() == b"12"
        pid_file.release()


def test_one_that_replaces_it_leaves_another_s_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that start at once find the same file; the second one finds the first one's new file."""
    code = f"""
import os
from twisted_virtlog.daemon.command.pid_file import acquire
acquire({str(path)!r}, os.getpid())
"""
    with hanging(code) as other:
        other.die()

        def meanwhile(descriptor: int) -> int:
            monkeypatch.undo()
            # (as another process; one has each lock but once)
            path.unlink()
            path.write_text("another's")
            return other.process.pid

        monkeypatch.setattr(pid_file_module, "_holder", meanwhile)
        taken = acquire(str(path), 12)
        assert path.read_bytes() == b"12"
        taken.release()
        assert not path.exists()
