"""Inode numbers of removed files are kept taken, with few descriptors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.logs.fakes import descriptors
from twisted_virtlog.logs.files.placeholders import SMALL_BYTES, Placeholders
from twisted_virtlog.logs.files.reuse import RemovedFiles
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer


def made(path: Path, size: int = 0) -> int:
    """Make a file of a size and open it."""
    path.write_bytes(b"x" * size)
    return os.open(path, os.O_RDONLY)


def test_whoever_came_first_gives_his_up(tmp_path: Path) -> None:
    """No more than so many descriptors are used, and all are closed in the end."""
    before = descriptors()
    held = Placeholders(3)
    first, second = object(), object()
    files = [made(tmp_path / str(number)) for number in range(5)]
    for owner, file in zip((first, first, second, first, second), files, strict=True):
        held.hold(owner, file)
    assert len(held) == 3
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(files[1])
    held.release(second)
    assert len(held) == 1
    held.release_all()
    assert descriptors() == before


def test_only_small_files_are_held_with_what_they_hold(tmp_path: Path) -> None:
    """The room of a large one is wanted, and a FIFO has none."""
    held = Placeholders()
    for size, holds in ((0, True), (SMALL_BYTES, True), (SMALL_BYTES + 1, False)):
        os.close(made(tmp_path / "file", size))
        file = held.open_small(str(tmp_path / "file"))
        assert (file >= 0) is holds
        if holds:
            os.close(file)
    os.mkfifo(tmp_path / "fifo")
    assert held.open_small(str(tmp_path / "fifo")) == -1
    assert held.open_small(str(tmp_path / "missing")) == -1


def test_a_flood_gives_no_inode_away_again_for_a_while(tmp_path: Path) -> None:
    """Its removed files stay open, however busy the file system is; not when the log is closed."""
    before = descriptors()
    writer = Writer(str(tmp_path / "guest.log"), Limits(1000, 1))
    inodes: list[int] = []
    for _ in range(60):
        writer.append(b"x" * 1000)
        inodes.append(writer.position().inode)
    assert writer.rollovers >= 59
    for index, inode in enumerate(inodes):
        assert inode not in inodes[max(0, index - 20) : index]
    writer.close()
    assert descriptors() == before


def test_a_flood_of_large_files_makes_one_more_at_most(tmp_path: Path) -> None:
    """They are not held, for their room: a new file with the number of one is made once again."""
    before = descriptors()
    names = [tmp_path / str(number) for number in range(4)]
    for name in names:
        os.close(made(name))
    *removed, new = (name.stat().st_ino for name in names)
    files = RemovedFiles(removed)
    unmade: list[int] = []

    def begin(order: str) -> int:
        made_next = iter(order)
        file = files.replace(
            lambda: os.open(names[int(next(made_next))], os.O_RDONLY),
            lambda: unmade.append(1),
        )
        inode = os.fstat(file).st_ino
        os.close(file)
        return inode

    # The first one after a rest is made until its number is its own.
    assert begin("0123") == new
    assert len(unmade) == 3
    assert begin("03") == new
    assert begin("012") == removed[1]
    assert len(unmade) == 5
    assert begin("3") == new
    files.release()
    assert descriptors() == before
