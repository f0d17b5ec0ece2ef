"""A file that another program has renamed is found by its number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from twisted_virtlog.logs.accounts.account import SeenFile
from twisted_virtlog.logs.files.beneath import Beneath
from twisted_virtlog.logs.files.log_directory import LogDirectory
from twisted_virtlog.logs.files.strays import Strays


@pytest.fixture(params=[LogDirectory, Beneath])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> LogDirectory:
    """Reach the files by paths, and below a root."""
    if request.param is Beneath:
        return Beneath(os.path.realpath(tmp_path), [str(tmp_path)])
    return LogDirectory()


def moved(path: Path) -> int:
    """Make a file that has lost its name; return its number."""
    path.write_bytes(b"12345")
    path.rename(f"{path}.moved")
    return os.stat(f"{path}.moved").st_ino


def test_it_is_found_beside_the_log(directory: LogDirectory, tmp_path: Path) -> None:
    """With the size that it has now."""
    path = tmp_path / "guest.log"
    inode = moved(path)
    strays = Strays()
    assert strays.find(directory, str(path), inode) == SeenFile(inode, 5)
    Path(f"{path}.moved").write_bytes(b"1234567")
    assert strays.find(directory, str(path), inode) == SeenFile(inode, 7)


def test_one_that_is_nowhere(directory: LogDirectory, tmp_path: Path) -> None:
    """It was removed, or is something else by now, or there is no directory."""
    path = tmp_path / "guest.log"
    inode = moved(path)
    strays = Strays()
    assert strays.find(directory, str(path), 1) is None
    Path(f"{path}.moved").unlink()
    assert strays.find(directory, str(path), inode) is None
    other = tmp_path / "other"
    other.mkdir()
    assert Strays().find(directory, str(path), other.stat().st_ino) is None
    assert strays.find(LogDirectory(), str(tmp_path / "none" / "guest.log"), inode) is None


def test_a_directory_is_listed_once_for_many(tmp_path: Path) -> None:
    """For one second."""
    listed = []

    class Counted(LogDirectory):
        def names(self, path: str) -> Mapping[int, str]:
            listed.append(path)
            return super().names(path)

    now = 0.0
    strays, directory = Strays(lambda: now), Counted()
    inodes = {name: moved(tmp_path / name) for name in ("a", "b", "c")}
    for name in ("a", "b"):
        assert strays.find(directory, str(tmp_path / name), inodes[name])
    assert len(listed) == 1
    now = 1.1
    assert strays.find(directory, str(tmp_path / "c"), inodes["c"])
    assert len(listed) == 2
    (tmp_path / "d").mkdir()
    inode = moved(tmp_path / "d" / "e")
    assert strays.find(directory, str(tmp_path / "d" / "e"), inode)
    assert len(listed) == 3
