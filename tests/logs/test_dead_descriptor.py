"""A descriptor that fails for ever while its path is fine: the log goes on by its path."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import Guest, World
from tests.logs.test_failing import files_end_at, not_written, pass_time
from tests.logs.test_small_disk import ROOT
from twisted_virtlog.values import LogState

DEAD = [
    errno.EIO,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENXIO,
    errno.EBADF,
    errno.EROFS,
    errno.EUCLEAN,
    errno.ENOTCONN,
]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A log handler whose logs are rotated."""
    return make_world(max_size=1000, max_backups=3)


def kill_descriptor(
    world: World, patch: pytest.MonkeyPatch, number: int, opens: bool = True
) -> list[int]:
    """Let the descriptor of the open log fail for ever, and others of its file not.

    :param opens: whether the file can be opened again.
    :returns: a list of the descriptors that were closed.
    """
    (log,) = world.handler._logs.values()
    dead, closed = log.writer._file, list[int]()
    real_close, real_open, real_splice = os.close, os.open, os.splice

    def fail() -> OSError:
        return OSError(number, os.strerror(number))

    def splice(source: int, target: int, *arguments: object, **named: object) -> int:
        if target == dead and dead not in closed:
            raise fail()
        return real_splice(source, target, *arguments, **named)  # type: ignore[arg-type]

    def close(descriptor: int) -> None:
        closed.append(descriptor)
        real_close(descriptor)

    def open_file(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and not opens:
            raise fail()
        return real_open(path, flags, mode)

    patch.setattr(os, "splice", splice)
    patch.setattr(os, "close", close)
    patch.setattr(os, "open", open_file)
    return closed


def wait_in_pipe(world: World, guest: Guest, data: bytes) -> None:
    """Write what the file then refuses."""
    guest.write(data)
    world.reactor.run()
    assert world.status().state is LogState.FAILING


@pytest.mark.parametrize("number", DEAD, ids=errno.errorcode.__getitem__)
def test_a_dead_descriptor_is_opened_again(
    number: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the path is healthy: the first retry finds it, and nothing is missing."""
    guest = world.open()
    guest.write(b"before. ")
    world.position()
    kill_descriptor(world, monkeypatch, number)
    wait_in_pipe(world, guest, b"after")
    pass_time(world, 1.1)
    assert world.status().state is LogState.OPEN
    assert world.position().inode == os.stat(world.path).st_ino
    assert world.files() == {"": b"before. after"}


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE], ids=errno.errorcode.__getitem__)
def test_a_dead_file_system_can_be_unmounted(
    number: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its files cannot be opened either, the daemon has none of them open."""
    guest = world.open()
    with monkeypatch.context() as patch:
        dead = world.handler._logs[world.path].writer._file
        closed = kill_descriptor(world, patch, number, opens=False)
        wait_in_pipe(world, guest, b"kept")
        pass_time(world, 3)
        assert dead in closed
        assert not_written(world.position).errno == number
        assert os.strerror(number) in (world.status().error or "")
    pass_time(world, 1.1)
    assert world.files() == {"": b"kept"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EPERM, errno.EFBIG])
def test_a_file_that_was_moved_away_is_written_on_when_there_is_room(
    number: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor is fine: until the next rollover the log is that file, failure or not."""
    guest = world.open()
    guest.write(b"before. ")
    world.position()
    moved = Path(world.path + ".moved")
    with monkeypatch.context() as patch:
        kill_descriptor(world, patch, number)
        os.rename(world.path, moved)
        wait_in_pipe(world, guest, b"after")
        pass_time(world, 3)
    pass_time(world, 1.1)
    assert moved.read_bytes() == b"before. after"
    assert not Path(world.path).exists()


def test_a_file_that_was_moved_away_and_died(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written from then on is in a new file at the log's path, which is rotated as ever."""
    guest = world.open()
    guest.write(b"before. ")
    world.position()
    kill_descriptor(world, monkeypatch, errno.EIO)
    moved = Path(world.path + ".moved")
    os.rename(world.path, moved)
    wait_in_pipe(world, guest, b"x" * 999 + b"\n")
    pass_time(world, 1.1)
    guest.write(b"more")
    world.position()
    assert moved.read_bytes() == b"before. "
    assert world.files() == {".0": b"x" * 999 + b"\n", "": b"more"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        if os.stat(name).st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is one file system only")
        yield Path(name)


def linked(world: World) -> tuple[Path, str]:
    """Make a directory of logs that may be replaced by one on another file system."""
    here = world.directory / "here"
    here.mkdir()
    link = world.directory / "logs"
    link.symlink_to(here)
    return link, str(link / "guest.log")


def lead(link: Path, directory: Path) -> None:
    """Let what lies below a path be another file system, as a mount does."""
    link.unlink()
    link.symlink_to(directory)


@pytest.mark.parametrize("former", [None, b"from former days. "])
def test_another_file_system_below_the_path(
    former: bytes | None, make_world: MakeWorld, elsewhere: Path
) -> None:
    """A larger disk was mounted where the full one was: the log goes on there."""
    world = make_world()
    link, path = linked(world)
    guest = world.open(path)
    if former is not None:
        (elsewhere / "guest.log").write_bytes(former)
    with files_end_at(1000):
        guest.write(b"x" * 1500)
        world.reactor.run()
        assert world.status(path).state is LogState.FAILING
        lead(link, elsewhere)
        pass_time(world, 1.1)
        assert world.status(path).state is LogState.OPEN
    assert (link.parent / "here" / "guest.log").read_bytes() == b"x" * 1000
    assert (elsewhere / "guest.log").read_bytes() == (former or b"") + b"x" * 500
    assert world.position(path).inode == (elsewhere / "guest.log").stat().st_ino


def test_a_rollover_that_began_on_another_file_system(
    make_world: MakeWorld, elsewhere: Path
) -> None:
    """Its last steps would move the files here, which are others."""
    world = make_world(max_size=1000, max_backups=3)
    link, path = linked(world)
    Path(path).write_bytes(b"x" * 999 + b"\n")
    Path(path + ".1").write_bytes(b"1")
    obstacle = Path(path + ".2")
    obstacle.mkdir()
    (elsewhere / "guest.log").write_bytes(b"there. ")
    (elsewhere / "guest.log.0").write_bytes(b"there, older")
    guest = world.open(path)
    guest.write(b"kept")
    world.reactor.run()
    assert "Unable to rename" in (world.status(path).error or "")
    lead(link, elsewhere)
    pass_time(world, 1.1)
    assert world.status(path).state is LogState.OPEN
    assert (elsewhere / "guest.log").read_bytes() == b"there. kept"
    assert (elsewhere / "guest.log.0").read_bytes() == b"there, older"
    lead(link, link.parent / "here")
    obstacle.rmdir()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("how", ["replaced", "covered"])
def test_a_disk_that_dies(how: str, tmp_path: Path) -> None:
    """A file system that was shut down, and a healthy one in its place; see dead_disk.py."""
    scenario = [sys.executable, "-W", "error", "-m", "tests.logs.dead_disk", how, str(tmp_path)]
    command = ["unshare", "--mount", "--propagation", "private", *scenario]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
