"""Whether lanes can have locks, by where the directory of the locks lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from tests.logs.lanes.test_resolving import Tables
from twisted_virtlog.logs.lanes.choice import Choice
from twisted_virtlog.logs.lanes.lock import lock_path
from twisted_virtlog.logs.lanes.locks import LaneLocks
from twisted_virtlog.logs.lanes.mounts import Mount, Mounts

LANE = Mount(30, 22, "0:50", "/srv", "nfs4", "files:/export")
DISK = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


def mounts(point: Path, kind: str) -> Tables:
    """Make a table of a disk, and a file system of some type."""
    return Tables((10**6, Mounts(f"{DISK}40 22 0:60 / {point} rw - {kind} somewhere rw\n")))


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        ("tmpfs", "auto", True),
        ("tmpfs", "always", True),
        ("nfs4", "auto", False),
        ("fuse.sshfs", "auto", False),
        ("fuseblk", "always", False),
        ("nfs4", (), False),
        ("xfs", ("btrfs",), True),
        # (what leads to it is passed, too)
        ("xfs", ("ext4",), False),
        ("xfs", ("xfs",), False),
    ],
)
def test_where_the_directory_lies(
    kind: str, words: str | tuple[str, ...], expected: bool, tmp_path: Path
) -> None:
    """On what may not answer itself there are none; the log says so once."""
    point = tmp_path.resolve() / "a home"
    directory = point / "run" / "lanes"
    (tmp_path / "link").symlink_to(directory)
    table = mounts(Path(str(point).replace(" ", "\\040")), kind)
    for one in (directory, tmp_path / "link" / "of a daemon"):
        locks = LaneLocks(str(one), table, Choice(words).may_wait)
        with capturedLogs() as logged:
            found = [locks.of(LANE) is not None for _ in range(3)]
        assert found == [expected] * 3
        told = [event for event in logged if event["point"] in {str(point), "/"}]
        assert len(told) == (not expected)
    assert not point.exists()


def test_the_mount_point_of_the_directory(tmp_path: Path) -> None:
    """A mount is not touched to find out that it is one."""
    table = mounts(tmp_path.resolve(), "nfs4")
    with capturedLogs():
        assert LaneLocks(str(tmp_path), table, Choice("auto").may_wait).of(LANE) is None


def test_the_lock_of_a_mount(tmp_path: Path) -> None:
    """It is where another daemon finds it."""
    lock = LaneLocks(str(tmp_path), Tables((10**6, Mounts(DISK))), lambda _: False).of(LANE)
    assert lock is not None
    lock.acquire()
    assert os.listdir(tmp_path) == [os.path.basename(lock_path(str(tmp_path), LANE))]
    lock.release()


def test_a_daemon_without_a_directory() -> None:
    """It has none, and says nothing."""
    with capturedLogs() as logged:
        assert LaneLocks(None, Tables((1, Mounts(DISK))), lambda _: True).of(LANE) is None
    assert logged == []


def test_a_directory_that_cannot_be_found(tmp_path: Path) -> None:
    """Whoever takes a lock is told why."""
    (tmp_path / "loop").symlink_to("loop")
    locks = LaneLocks(str(tmp_path / "loop"), Tables((9, Mounts(DISK))), lambda _: False)
    lock = locks.of(LANE)
    assert lock is not None
    with pytest.raises(OSError, match="loop"):
        lock.acquire()
