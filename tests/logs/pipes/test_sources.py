"""How bytes move into files: by splice(2), and by copying where that is refused."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World, of_the_direct_way
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.logs.pipes.sources import MessageSource, PipeSource
from twisted_virtlog.syscalls import bytes_waiting, set_pipe_capacity

SPLICE = os.splice
PATTERN = bytes(range(256)) * 1024


@pytest.fixture
def no_splice(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Be a file system that refuses splice(2); the list gets an entry for each refusal."""
    refused: list[int] = []

    def splice(src: int, dst: int, count: int, *place: int, **options: int) -> int:
        if stat.S_ISREG(os.fstat(dst).st_mode):
            refused.append(count)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return SPLICE(src, dst, count, *place, **options)

    monkeypatch.setattr(os, "splice", splice)
    return refused


@of_the_direct_way
def test_no_byte_passes_through_the_daemon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where splice(2) works the pipe is never read and the file never written otherwise."""

    def forbidden(*_: object) -> int:
        raise AssertionError("bytes in memory")

    guest = world.open()
    guest.write(PATTERN[: 60 * KIB])
    for call in ("read", "pwrite", "write"):
        monkeypatch.setattr(os, call, forbidden)
    world.reactor.turn()
    monkeypatch.undo()
    assert world.text() == PATTERN[: 60 * KIB]


@pytest.mark.parametrize("pipe_size", [4 * KIB, 64 * KIB, 256 * KIB])
def test_a_file_that_refuses_splice_gets_every_byte(
    pipe_size: int, no_splice: list[int], make_world: MakeWorld
) -> None:
    """Copied bytes are exact whatever the pipe holds."""
    world = make_world(pipe_size=pipe_size)
    guest = world.open()
    for begin in range(0, len(PATTERN), pipe_size):
        guest.write(PATTERN[begin : begin + pipe_size])
        world.position()
    assert world.text() == PATTERN
    assert no_splice


def test_a_file_that_refuses_splice_is_rotated(no_splice: list[int], make_world: MakeWorld) -> None:
    """Rotation is the same with copied bytes."""
    world = make_world(100, 2)
    guest = world.open()
    guest.write(b"a" * 60 + b"\n" + b"b" * 100)
    world.position()
    assert world.files() == {".0": b"a" * 60 + b"\n", "": b"b" * 100}
    assert no_splice


@of_the_direct_way
def test_copied_bytes_stay_in_the_pipe_until_they_are_written(world: World) -> None:
    """/dev/full refuses splice(2), and every byte: all of them are still in the pipe."""
    guest = world.open("/dev/full")
    guest.write(b"not lost")
    with pytest.raises(NotWritten) as caught:
        world.position("/dev/full")
    assert (caught.value.errno, caught.value.pending_bytes) == (errno.ENOSPC, 8)
    assert bytes_waiting(world.handler.source.pipe) == 8


@of_the_direct_way
@pytest.mark.parametrize("taken", [1, 7, 4096])
def test_a_file_that_takes_a_part_gets_the_rest_next(
    taken: int, no_splice: list[int], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write leaves what it did not take in the pipe, in its place."""
    pwrite = os.pwrite

    def short(file: int, data: bytes, offset: int) -> int:
        return pwrite(file, data[:taken], offset)

    guest = world.open()
    guest.write(PATTERN[: 64 * KIB - 1] if taken > 1 else PATTERN[:500])
    monkeypatch.setattr(os, "pwrite", short)
    world.position()
    assert world.text() == (PATTERN[: 64 * KIB - 1] if taken > 1 else PATTERN[:500])
    assert no_splice


def test_a_file_that_takes_nothing_is_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write of 0 bytes does not make the daemon try for ever."""
    guest = world.open()
    guest.write(b"x")

    def nothing(*_: int, **__: int) -> int:
        return 0

    monkeypatch.setattr(os, "splice", nothing)
    with pytest.raises(NotWritten, match="Input/output error"):
        world.position()
    monkeypatch.undo()


def test_a_look_into_a_pipe_of_single_bytes() -> None:
    """A pipe whose bytes lie apart, a packet each, is looked into as far as one look goes."""
    source = PipeSource()
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)
    set_pipe_capacity(read_end, 256 * KIB)
    for byte in b"0123456789abcdefghij":
        os.write(write_end, bytes([byte]))
    source.pipe = read_end
    shown, again = source.look(20), source.look(5)
    for descriptor in (read_end, write_end):
        os.close(descriptor)
    source.close()
    assert shown == b"0123456789abcdefghij"[: len(shown)]
    assert len(shown) > 5
    assert again == b"01234"


def test_a_guest_that_writes_packets_is_rotated_all_the_same(make_world: MakeWorld) -> None:
    """A pipe in packet mode (O_DIRECT) with a byte in each packet loses none at a rollover."""
    world = make_world(100, 3, pipe_size=256 * KIB)
    guest = world.open()
    fcntl.fcntl(guest.write_end, fcntl.F_SETFL, os.O_WRONLY | os.O_DIRECT)
    data = bytes(10 if index % 37 == 36 else 65 + index % 26 for index in range(250))
    for begin in range(0, len(data), 50):
        for index in range(begin, begin + 50):
            guest.write(data[index : index + 1])
        world.position()
    assert world.whole() == data
    assert all(len(file) <= 100 for file in world.files().values())


def test_a_message_moves_in_any_parts(tmp_path: Path) -> None:
    """A message is taken from its beginning, as much at a time as asked for."""
    message = MessageSource(b"0123456789")
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    assert message.look(4) == b"0123"
    assert message.move(file, 0, 4) == 4
    assert message.look(100) == b"456789"
    assert message.move(file, 4, 100) == 6
    os.close(file)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_each_pipe_is_asked_however_many_there_are() -> None:
    """Also by a number that another pipe had before."""
    source = PipeSource()
    for count in (3, 0, 5):
        ends = [os.pipe() for _ in range(300)]
        for _, write_end in ends:
            os.write(write_end, b"x" * count)
        for read_end, write_end in ends:
            source.pipe = read_end
            assert source.waiting() == count
            os.close(write_end)
            assert source.waiting() == count
            os.close(read_end)
    source.close()
