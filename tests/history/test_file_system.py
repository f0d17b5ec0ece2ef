"""What tells a file system apart: it lasts over a new mount, and no other has it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.daemon import CHECKOUT
from twisted_virtlog.history import file_system as module
from twisted_virtlog.history.file_system import file_system_id

# (imported by its name in the child)
_KINDS = {"ext4": 64, "xfs": 300, "btrfs": 128, "tmpfs": 0}

_IN_NAMESPACE = """
import os, subprocess, sys
from pathlib import Path
from tests.logs.file_systems import KINDS, mounted
from twisted_virtlog.history.file_system import file_system_id
kind, directory = sys.argv[1], Path(sys.argv[2])
make, size = KINDS[kind]
found = []
point = directory / "mounted"
point.mkdir()
images = [directory / "first", directory / "second"]
for image in images:
    with open(image, "wb") as file:
        file.truncate(size << 20)
    if make:
        subprocess.run([*make, image], check=True, stdout=subprocess.DEVNULL)
def ask():
    file = os.open(point / "file", os.O_CREAT | os.O_WRONLY, 0o600)
    os.close(os.open(point / "other", os.O_CREAT, 0o600))
    found.append(file_system_id(file))
    os.close(file)
for image in (*images, images[0]):
    with mounted(kind, image, point):
        ask()
        # Whatever its device's number is: another one has that meanwhile.
        ask()
print(*found)
"""


@pytest.mark.root
@pytest.mark.parametrize("kind", _KINDS)
def test_it_lasts_over_a_new_mount(kind: str, tmp_path: Path) -> None:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable]
    ended = subprocess.run(
        [*command, "-c", _IN_NAMESPACE, kind, str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    first, first_too, second, second_too, again, again_too = ended.stdout.split()
    assert (first, second, again) == (first_too, second_too, again_too)
    assert first != second
    # (nothing is left of what is in memory)
    assert (first == again) == (kind != "tmpfs")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Be a file system, of which a test says what it answers."""
    kernel = SimpleNamespace(uuid=None, fsid=0, device=os.makedev(8, 0x12345))

    def ioctl(file: int, request: int, answer: bytearray) -> int:
        assert request == 0x80111500
        if kernel.uuid is None:
            raise OSError("ENOTTY")
        answer[0] = len(kernel.uuid)
        answer[1 : 1 + len(kernel.uuid)] = kernel.uuid
        return 0

    system = SimpleNamespace(
        fstatvfs=lambda file: SimpleNamespace(f_fsid=kernel.fsid),
        fstat=lambda file: SimpleNamespace(st_dev=kernel.device),
        major=os.major,
        minor=os.minor,
    )
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(module, "os", system)
    return kernel


def test_the_uuid_comes_first(kernel: Any) -> None:
    kernel.uuid, kernel.fsid = bytes(range(16)), 7
    assert file_system_id(0) == "u.000102030405060708090a0b0c0d0e0f"
    kernel.uuid = b"\x05\x06"
    assert file_system_id(0) == "u.0506"


@pytest.mark.parametrize("uuid", [None, bytes(16), b""])
def test_one_without_has_a_number(kernel: Any, uuid: bytes | None) -> None:
    kernel.uuid, kernel.fsid = uuid, 0xABC
    assert file_system_id(0) == "f.abc"


@pytest.mark.parametrize("fsid", [0, 8 << 8 | 0x45 | 0x12300 << 12])
def test_the_number_of_a_device_says_nothing(kernel: Any, fsid: int) -> None:
    """It may be another one after a reboot."""
    kernel.fsid = fsid
    assert file_system_id(0) == ""


def test_one_that_cannot_be_asked_has_none(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int) -> None:
        raise OSError("EIO")

    monkeypatch.setattr(module.os, "fstatvfs", refuse)
    assert file_system_id(0) == ""


def test_proc_has_none() -> None:
    file = os.open("/proc/self/status", os.O_RDONLY)
    assert file_system_id(file) == ""
    os.close(file)
