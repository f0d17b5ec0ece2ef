"""The files of a log as they are told: oldest first, with all that tells them apart."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import descriptors, log_settings, place
from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.values import KeptFile, Position


def _points(files: list[KeptFile]) -> list[Position]:
    return [Position(file.inode, file.size, file.birth) for file in files]


def test_what_waits_in_the_pipe_is_counted(make_world: MakeWorld) -> None:
    """Oldest first; the current file is as long as a position says."""
    world = make_world(100, 3)
    guest = world.open()
    guest.write(b"x" * 250)
    files = list(world.handler.kept_files(world.path))
    names = [f"{world.path}.1", f"{world.path}.0", world.path]
    assert _points(files) == [place(name, os.path.getsize(name)) for name in names]
    assert [file.size for file in files] == [100, 100, 50]
    assert _points(files)[-1] == world.position()
    assert not any(file.parted for file in files)
    now = datetime.now(timezone.utc)
    assert all(0 <= (now - file.modified_at).total_seconds() < 3600 for file in files)


def test_a_log_that_is_not_open(make_world: MakeWorld) -> None:
    """Its files are told, and no descriptor is left open."""
    world = make_world(100, 3)
    world.append(b"x" * 90)
    before = descriptors().keys()
    assert [file.size for file in world.handler.kept_files(world.path)] == [90]
    assert descriptors().keys() == before
    with pytest.raises(NoSuchLog, match="no file of the log"):
        world.handler.kept_files(f"{world.path}.other")


def test_where_bytes_are_missing(make_world: MakeWorld) -> None:
    """Between files that were not kept one after the other."""
    world = make_world(100, 6)
    guest = world.open()
    guest.write(b"x" * 650)
    world.position()
    world.handler.reload(log_settings(100, 2), 64 * 1024)
    guest.write(b"y" * 500)
    world.position()
    world.handler.reload(log_settings(100, 6), 64 * 1024)
    guest.write(b"z" * 100)
    files = world.handler.kept_files(world.path)
    assert sum(file.parted for file in files) == 1
    assert not files[0].parted


def test_a_file_that_was_moved_away_is_the_log_s(make_world: MakeWorld) -> None:
    """The one that is written, whatever its name."""
    world = make_world()
    guest = world.open()
    guest.write(b"hello\n")
    Path(world.path).rename(f"{world.path}.old")
    files = list(world.handler.kept_files(world.path))
    assert _points(files) == [world.position()]
