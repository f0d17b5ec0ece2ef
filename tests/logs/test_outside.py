"""Files that somebody else cuts, grows, renames or removes while their log is open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.values import LogState


@pytest.mark.parametrize("size", [0, 3])
def test_a_file_that_was_cut_gets_no_hole(size: int, world: World) -> None:
    """After logrotate's copytruncate the log goes on at the file's new end."""
    guest = world.open()
    guest.write(b"0123456789")
    world.position()
    os.truncate(world.path, size)
    guest.write(b"new")
    assert world.position().offset == size + 3
    assert world.text() == b"0123456789"[:size] + b"new"
    assert world.append(b"!").offset == size + 4
    assert world.text().endswith(b"new!")


def test_a_file_that_was_cut_has_room_again(make_world: MakeWorld) -> None:
    """The size that counts for rotation is the real one."""
    world = make_world(100, 1)
    guest = world.open()
    guest.write(b"x" * 90)
    world.position()
    os.truncate(world.path, 0)
    guest.write(b"y" * 90)
    world.position()
    assert world.files() == {"": b"y" * 90}


def test_a_file_that_grew_loses_nothing(make_world: MakeWorld) -> None:
    """What another program wrote to the end stays, and counts for rotation."""
    world = make_world(100, 1)
    guest = world.open()
    guest.write(b"ours ")
    world.position()
    with open(world.path, "ab") as file:
        file.write(b"theirs ")
    guest.write(b"ours again")
    assert world.position().offset == 22
    assert world.text() == b"ours theirs ours again"
    with open(world.path, "ab") as file:
        file.write(b"z" * 100)
    guest.write(b"next")
    world.position()
    assert world.files() == {".0": b"ours theirs ours again" + b"z" * 100, "": b"next"}


def test_a_file_that_was_removed_is_made_again(world: World) -> None:
    """The log goes on in a new file of the same name, and its old position is a gap."""
    guest = world.open()
    guest.write(b"gone")
    before = world.position()
    with open(world.path, "rb"):  # keeps the number of the file from being given again
        os.unlink(world.path)
        guest.write(b"here")
        after = world.position()
    assert after.inode == os.stat(world.path).st_ino != before.inode
    assert world.text() == b"here"
    assert world.read(before).gap
    os.unlink(world.path)
    world.append(b"by hand")
    assert world.text() == b"by hand"


def test_a_file_that_was_renamed_is_written_on(world: World) -> None:
    """As with any program that has it open, until the log is opened again."""
    guest = world.open()
    os.rename(world.path, world.path + ".old")
    guest.write(b"x")
    world.position()
    assert Path(world.path + ".old").read_bytes() == b"x"
    assert not Path(world.path).exists()


def test_a_backup_that_was_removed_is_not_missed(make_world: MakeWorld) -> None:
    """Rotation goes on around the gap."""
    world = make_world(10, 3)
    guest = world.open()
    guest.write(b"a" * 10 + b"b" * 10 + b"c" * 10)
    world.position()
    os.unlink(world.path + ".0")
    guest.write(b"d" * 10)
    world.position()
    assert world.files() == {".2": b"a" * 10, ".0": b"c" * 10, "": b"d" * 10}


def test_a_directory_that_vanished_fails_until_it_is_back(world: World) -> None:
    """Meanwhile the bytes wait in the pipe; then they stand in a new file, all of them."""
    directory = world.directory / "qemu"
    directory.mkdir()
    path = str(directory / "guest.log")
    guest = world.open(path)
    guest.write(b"gone with the directory")
    world.position(path)
    shutil.rmtree(directory)
    guest.write(b"kept")
    with pytest.raises(NotWritten, match=f"Unable to open file: {path}: No such file"):
        world.position(path)
    assert world.status(path).state is LogState.FAILING
    guest.write(b" in the pipe")
    world.clock.pump([0.5] * 10)
    assert world.status(path).state is LogState.FAILING
    directory.mkdir()
    world.clock.pump([0.5] * 3)
    assert world.status(path).state is LogState.OPEN
    assert world.text(path) == b"kept in the pipe"
    guest.write(b".")
    world.reactor.turn()
    assert world.text(path) == b"kept in the pipe."
