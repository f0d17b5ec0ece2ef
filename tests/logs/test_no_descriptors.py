"""A log goes on when the process has no descriptors left."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer

_LINE = b"seven..\n"


def _open_for_ever(opened: list[int]) -> None:
    while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))


@contextmanager
def _descriptors_left(left: int) -> Iterator[None]:
    """Let the process open no more than so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    opened: list[int] = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            _open_for_ever(opened)
        for _ in range(left):
            os.close(opened.pop())
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("left", [0, 1, 2])
@pytest.mark.parametrize("backups", [0, 2])
def test_it_rotates_with_the_descriptor_it_has(tmp_path: Path, backups: int, left: int) -> None:
    """A new file takes the old one's; what was written is in the files as ever."""
    log = tmp_path / "guest.log"
    writer = Writer(str(log), Limits(len(_LINE), backups))
    with _descriptors_left(left):
        for _ in range(9):
            writer.append(_LINE)
    assert writer.rollovers == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "guest.log",
        *[f"guest.log.{number}" for number in range(backups)],
    ]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {_LINE}
    assert writer.position().inode == log.stat().st_ino
    writer.close()


def test_a_removed_file_is_made_again_without_a_descriptor(tmp_path: Path) -> None:
    """As with descriptors."""
    log = tmp_path / "guest.log"
    writer = Writer(str(log), Limits(0, 0))
    with _descriptors_left(0):
        log.unlink()
        writer.append(_LINE)
    assert log.read_bytes() == _LINE
    writer.close()
