"""Packed files become what they were, whatever happens to their names meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twisted_virtlog.packed import restoring
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.making import pack
from twisted_virtlog.packed.restoring import packed_files, restore

TEXT = b"what a guest says\n" * 40000


def packed(path: Path) -> Path:
    """Make a packed file."""
    source, target = os.memfd_create("source"), os.open(path, os.O_CREAT | os.O_RDWR, 0o640)
    os.pwrite(source, TEXT, 0)
    for _ in pack(source, target, Origin(1, "", len(TEXT))):
        pass
    os.setxattr(target, "user.mark", b"1")
    os.utime(target, ns=(10**18, 10**18))
    os.close(source)
    os.close(target)
    return path


def test_the_packed_files_of_a_log_and_of_all(tmp_path: Path) -> None:
    names = ["a.log.0.zst", "a.log.12.zst", ".a.log.held.3.zst", "b.log.1.zst", "a.log.b.zst"]
    paths = {packed(tmp_path / name) for name in names}
    (tmp_path / "a.log.5.zst").write_bytes(b"another's")
    (tmp_path / "a.log.6.zst").symlink_to(tmp_path / "a.log.0.zst")
    (tmp_path / "a.log.1").write_bytes(b"")
    assert {one.name for one in packed_files(tmp_path / "a.log")} == set(names[:3])
    assert set(packed_files(tmp_path)) == paths
    with pytest.raises(FileNotFoundError):
        packed_files(tmp_path / "nowhere" / "a.log")


def test_a_file_becomes_what_it_was(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.log.1.zst")
    assert restore(path) == len(TEXT)
    (found,) = tmp_path.iterdir()
    assert found.name == "a.log.1"
    assert found.read_bytes() == TEXT
    status = found.stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 10**18)
    assert os.getxattr(found, "user.mark") == b"1"


def test_the_file_itself_wins(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.log.1.zst")
    (tmp_path / "a.log.1").write_bytes(b"it is here")
    restore(path)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"it is here"]


@pytest.mark.parametrize("when", [1, 2])
def test_a_rotation_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """The file is there once."""
    path = packed(tmp_path / "a.log.1.zst")
    looks = 0
    is_named = restoring._is_named

    def rotate_first(file: int, name: str, directory: int) -> bool:
        nonlocal looks
        looks += 1
        if looks == when:
            path.rename(tmp_path / "a.log.2.zst")
        return is_named(file, name, directory)

    monkeypatch.setattr(restoring, "_is_named", rotate_first)
    with pytest.raises(FileNotFoundError):
        restore(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.log.2.zst"]


def test_a_broken_file_stays(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.log.1.zst")
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(OSError, match="seek table"):
        restore(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.log.1.zst"]
