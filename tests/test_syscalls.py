"""The system calls on pipes, and those that open paths."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs.fakes import KIB
from twisted_virtlog.logs.lanes.mounts import MOUNTINFO, Mounts
from twisted_virtlog.syscalls import (
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    bytes_waiting,
    mount_number,
    openat2,
    pipe_capacity,
    set_pipe_capacity,
    tee,
)

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Make a pipe that blocks."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def copy() -> Iterator[Pipe]:
    """Make another one."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_tee_shows_bytes_without_taking_them(pipe: Pipe, copy: Pipe) -> None:
    """The same bytes can be read from both pipes afterwards."""
    os.write(pipe[1], b"some\0bytes")
    assert tee(pipe[0], copy[1], 6) == 6
    assert os.read(copy[0], 100) == b"some\0b"
    assert os.read(pipe[0], 100) == b"some\0bytes"


def test_tee_never_blocks(pipe: Pipe, copy: Pipe) -> None:
    """With nothing to duplicate, or no room for it, it says so."""
    with pytest.raises(BlockingIOError):
        tee(pipe[0], copy[1], 10)
    os.write(pipe[1], b"x")
    os.write(copy[1], b"x" * pipe_capacity(copy[1]))
    with pytest.raises(BlockingIOError):
        tee(pipe[0], copy[1], 10)


def test_tee_tells_the_end(copy: Pipe) -> None:
    """A pipe without bytes and writers gives 0."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    assert tee(read_end, copy[1], 10) == 0
    os.close(read_end)


def test_tee_names_its_fault(copy: Pipe) -> None:
    """What is no pipe is refused with the system's reason."""
    null = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        tee(null, copy[1], 10)
    os.close(null)


def test_bytes_waiting(pipe: Pipe) -> None:
    """It counts what is in the pipe now."""
    assert bytes_waiting(pipe[0]) == 0
    os.write(pipe[1], b"x" * 12345)
    assert bytes_waiting(pipe[0]) == 12345
    os.read(pipe[0], 2345)
    assert bytes_waiting(pipe[0]) == 10000


def test_capacity(pipe: Pipe) -> None:
    """The kernel rounds up, and refuses to drop bytes."""
    assert set_pipe_capacity(pipe[0], 100 * KIB) == 128 * KIB
    assert pipe_capacity(pipe[1]) == 128 * KIB
    os.write(pipe[1], b"x" * (100 * KIB))
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        set_pipe_capacity(pipe[0], 4 * KIB)
    assert len(os.read(pipe[0], 128 * KIB)) == 100 * KIB


def test_openat2_goes_only_where_it_may(tmp_path: Path) -> None:
    """By no link, and to no other mount."""
    root = os.path.realpath(tmp_path)
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    file = openat2(f"{root}/file", os.O_RDONLY | os.O_CLOEXEC, RESOLVE_NO_SYMLINKS)
    assert os.read(file, 10) == b"text"
    assert not os.get_inheritable(file)
    os.close(file)
    with pytest.raises(OSError, match="link") as raised:
        openat2(f"{root}/link", os.O_PATH, RESOLVE_NO_SYMLINKS)
    assert raised.value.errno == errno.ELOOP
    with pytest.raises(OSError, match="/proc/self") as raised:
        openat2("/proc/self", os.O_PATH, RESOLVE_NO_XDEV)
    assert raised.value.errno == errno.EXDEV
    with pytest.raises(ValueError, match="null byte"):
        openat2(f"{root}/file\0", os.O_PATH, 0)
    directory = os.open(root, os.O_PATH)
    os.close(openat2("file", os.O_PATH, RESOLVE_NO_XDEV, directory))
    os.close(directory)


def test_openat2_goes_on_after_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As os.open does."""
    results = [-1, 7]
    monkeypatch.setattr("twisted_virtlog.syscalls._syscall", lambda *args: results.pop(0))
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINTR)
    assert openat2("/etc", os.O_PATH, 0) == 7


def test_the_mount_of_an_open_file_has_its_number_in_mountinfo() -> None:
    """A file that is no file has none."""
    mount = Mounts(Path(MOUNTINFO).read_text()).of("/proc/self")
    assert mount is not None
    file = os.open("/proc/self", os.O_PATH)
    assert mount_number(file) == mount.number
    os.close(file)
    assert mount_number(-1) is None
