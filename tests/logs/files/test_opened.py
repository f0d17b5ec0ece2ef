"""The files of a log for who reads much of it: open, and as they were when the pipe was drained."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World, descriptors, place
from twisted_virtlog.errors import LimitReached, NoSuchLog
from twisted_virtlog.logs.files import inventory
from twisted_virtlog.values import OpenedFile, OpenedFiles, Position


def opened(world: World, start: Position | None = None, path: str | None = None) -> OpenedFiles:
    """Ask for the files of a log."""
    found: OpenedFiles = world.handler.files(path or world.path, start)
    return found


def contents(files: Sequence[OpenedFile]) -> list[bytes]:
    """Read what files have, and close them."""
    found = []
    for file in files:
        found.append(os.pread(file.descriptor, file.kept.size, 0))
        os.close(file.descriptor)
    return found


def test_they_can_be_read(make_world: MakeWorld) -> None:
    """Oldest first, with what was in the pipe; nobody can write to them."""
    world = make_world(100, 3)
    guest = world.open()
    guest.write(b"%099d\n" % 1 + b"%099d\n" % 2 + b"three")
    found = opened(world)
    assert not found.more
    for file in found.files:
        flags = fcntl.fcntl(file.descriptor, fcntl.F_GETFL)
        assert flags & os.O_ACCMODE == os.O_RDONLY
        assert not os.get_inheritable(file.descriptor)
    names = [f"{world.path}.1", f"{world.path}.0", world.path]
    points = [Position(file.kept.inode, file.kept.size, file.kept.birth) for file in found.files]
    assert points == [place(name, os.path.getsize(name)) for name in names]
    guest.write(b"four")
    world.position()
    assert contents(found.files) == [b"%099d\n" % 1, b"%099d\n" % 2, b"three"]


def test_they_begin_with_the_file_of_a_position(make_world: MakeWorld) -> None:
    """Where that is gone, with the oldest."""
    world = make_world(100, 3)
    guest = world.open()
    positions = []
    for number in range(3):
        guest.write(b"%099d\n" % number)
        positions.append(world.position())
    assert contents(opened(world, positions[1]).files) == [b"%099d\n" % 1, b"%099d\n" % 2]
    elsewhere = Position(positions[1].inode, 0, "h1.elsewhere")
    assert len(contents(opened(world, elsewhere).files)) == 3


def test_there_is_a_limit(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest ones are for the next request, which begins with the last one that was there."""
    monkeypatch.setattr(inventory, "MAX_OPENED_FILES", 2)
    world = make_world(100, 3)
    guest = world.open()
    for number in range(4):
        guest.write(b"%099d\n" % number)
    first = opened(world)
    assert first.more
    last = first.files[-1].kept
    assert contents(first.files) == [b"%099d\n" % 0, b"%099d\n" % 1]
    second = opened(world, Position(last.inode, last.size, last.birth))
    assert second.more
    assert contents(second.files) == [b"%099d\n" % 1, b"%099d\n" % 2]


def test_a_log_that_is_not_open(make_world: MakeWorld) -> None:
    """Its files are there all the same; where there are none, that is said."""
    world = make_world()
    world.append(b"hello\n")
    assert contents(opened(world).files) == [b"hello\n"]
    with pytest.raises(NoSuchLog):
        opened(world, path=f"{world.path}.other")


def test_a_file_that_was_moved_away(make_world: MakeWorld) -> None:
    """The one that is written is the log's."""
    world = make_world()
    world.open().write(b"hello\n")
    world.position()
    Path(world.path).unlink()
    assert contents(opened(world).files) == [b"hello\n"]


def test_what_is_no_file_is_left_out(make_world: MakeWorld) -> None:
    """Who reads from a pipe takes what another reader waits for."""
    world = make_world()
    path = f"{world.path}.pipe"
    os.mkfifo(path)
    assert opened(world, path=path).files == ()


def test_without_descriptors_none_is_lost(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened before is closed again."""
    world = make_world(100, 3)
    world.append(b"%099d\n" % 1)
    before = descriptors().keys()

    def fail(*arguments: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(inventory, "_is_regular", fail)
    with pytest.raises(ZeroDivisionError):
        opened(world)
    assert descriptors().keys() == before


def test_no_descriptor_is_left(make_world: MakeWorld) -> None:
    """That is a limit, which an administrator can raise."""
    world = make_world()
    world.append(b"hello\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(LimitReached, match="LimitNOFILE"):
            opened(world)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
