"""The system calls on pipes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.logs.fakes import KIB
from twisted_virtlog.syscalls import bytes_waiting, pipe_capacity, set_pipe_capacity, tee

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
