"""The birth of a file: what it is made from, and that no two files have the same."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.logs.file_systems import KINDS
from twisted_virtlog import syscalls
from twisted_virtlog.logs.files import identity
from twisted_virtlog.values import is_outdated

ROOT = Path(__file__).parents[3]

REFUSED = -1


@pytest.fixture
def file(tmp_path: Path, _nothing_leaks: None) -> Iterator[int]:
    """Open a file for the time of a test."""
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY, 0o600)
    yield descriptor
    os.close(descriptor)


def handles(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], tuple[int, bytes] | None]
) -> None:
    """Be a file system whose handles are given; None where it refuses to give one."""

    def name_to_handle_at(_file: int, _name: bytes, _at: int, _mount: int, flags: int) -> int:
        handle = answer(flags)
        if handle is None:
            return REFUSED
        kind, data = handle
        struct.pack_into("=Ii", syscalls._answer.buffer, 0, len(data), kind)
        syscalls._answer.buffer[8 : 8 + len(data)] = data
        return 0

    monkeypatch.setattr(syscalls, "_name_to_handle_at", name_to_handle_at)


def file_system(monkeypatch: pytest.MonkeyPatch, magic: int) -> None:
    """Be a file system of a type."""

    def fstatfs(_file: int, _at: int) -> int:
        struct.pack_into("@l", syscalls._answer.buffer, 0, magic)
        return 0

    monkeypatch.setattr(syscalls, "_fstatfs", fstatfs)


def test_it_is_a_short_word_of_its_own(tmp_path: Path, file: int) -> None:
    """It can stand in a shell and between colons, and however it is asked it is the same."""
    found = identity.birth(file)
    assert re.fullmatch(r"(h[0-9a-f]+|t)\.[A-Za-z0-9_-]+", found)
    assert len(found) < 64
    for flags in (os.O_RDONLY, os.O_PATH, os.O_RDWR | os.O_APPEND):
        other = os.open(tmp_path / "file", flags)
        assert identity.birth(other) == found
        os.close(other)


@pytest.mark.parametrize("kind", [1, 0x4D])
def test_the_handle_is_taken_with_its_type(
    kind: int, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of different types say nothing of one another."""
    handles(monkeypatch, lambda _flags: (kind, b"\xff" * 16))
    found = identity.birth(file)
    assert found == f"h{kind:x}.{'_' * 21}w"
    assert not is_outdated(found, "t.5")


def test_a_long_handle_is_shortened(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of network file systems have up to 128 bytes."""
    handles(monkeypatch, lambda _flags: (2, bytes(range(128))))
    first = identity.birth(file)
    handles(monkeypatch, lambda _flags: (2, bytes(range(127)) + b"x"))
    second = identity.birth(file)
    assert first != second
    assert max(len(first), len(second)) < 32


def test_a_handle_for_nothing_but_identity_will_do(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system cannot serve NFS, as overlay mostly (AT_HANDLE_FID)."""
    fid = (0xF8, b"identity")
    handles(monkeypatch, lambda flags: fid if flags & 0x200 else None)
    assert identity.birth(file).startswith("hf8.")


@pytest.mark.parametrize("magic", [0x65735546, 0x4D44, 0x2011BAB0], ids=["FUSE", "FAT", "exFAT"])
def test_handles_that_change_by_themselves_are_not_taken(
    magic: int, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of birth is."""
    file_system(monkeypatch, magic)
    assert re.fullmatch(r"t\.[0-9a-f]+", identity.birth(file))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (1, struct.pack("=II", 7, 0)),
        (0x81, struct.pack("=QI", 7, 0)),
        (1, struct.pack("=IQ", 0, 7)),
    ],
    ids=["32 bits", "64 bits", "in memory"],
)
def test_a_handle_without_a_generation_says_nothing(
    kind: int, data: bytes, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the inode number over again."""
    handles(monkeypatch, lambda _flags: (kind, data))
    assert identity.birth(file).startswith("t.")


def test_where_nothing_is_told_it_is_empty(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a position is as good as its inode number."""
    handles(monkeypatch, lambda _flags: None)
    monkeypatch.setattr(syscalls, "_statx", lambda *_: REFUSED)
    assert identity.birth(file) == ""

    def without_birth(*_: object) -> int:
        struct.pack_into("=I", syscalls._answer.buffer, 0, 0x7FF)
        return 0

    monkeypatch.setattr(syscalls, "_statx", without_birth)
    assert identity.birth(file) == ""


def test_a_descriptor_that_is_dead_has_none() -> None:
    """And nothing is raised."""
    assert identity.birth(-1) == ""


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_two_files_of_a_file_system_have_the_same(kind: str, tmp_path: Path) -> None:
    """20,000 times the same inode number; and a rename, a restart, a new mount change nothing."""
    make, _size = KINDS[kind]
    if make and shutil.which(make[0]) is None:
        pytest.skip(f"{make[0]} is not installed")
    scenario = [sys.executable, "-W", "error", "-m", "tests.logs.file_systems", kind, str(tmp_path)]
    ended = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *scenario],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
