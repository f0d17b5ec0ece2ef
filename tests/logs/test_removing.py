"""All files of a log that is not open are removed, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DRIVER, World
from tests.logs.test_in_order import asked, failed
from twisted_virtlog.errors import LogBusy, NoSuchLog, SystemFailure
from twisted_virtlog.logs.files.removal import LARGE_BYTES
from twisted_virtlog.values import Removed


def names(world: World) -> list[str]:
    """Return what is in the directory of the logs."""
    return sorted(os.listdir(world.directory))


def closed_log(world: World, data: bytes) -> None:
    """Let a guest write something, and go."""
    guest = world.open()
    guest.write(data)
    guest.end()
    world.reactor.run()
    assert not world.is_open()


def test_its_file_and_its_backups_go(make_world: MakeWorld) -> None:
    """Those above max_backups too; it is not known any more, until it is opened again."""
    world = make_world(10, 2)
    closed_log(world, b"0123456789" * 2 + b"abc")
    for number in (2, 7, 32):
        Path(f"{world.path}.{number}").write_bytes(b"x")
    others = ["guest.log.01", "guest.log.old", "guest.logs", "other.log"]
    for name in others:
        (world.directory / name).touch()
    assert world.handler.remove(world.path) == Removed(6, 26)
    assert names(world) == others
    assert not world.handler.is_known(world.path)
    with pytest.raises(NoSuchLog, match="knows no log"):
        world.handler.remove(world.path)
    closed_log(world, b"anew")
    assert world.text() == b"anew"
    assert world.handler.remove(world.path) == Removed(1, 4)


def test_more_backups_than_there_may_be_go_as_long_as_none_is_missing(world: World) -> None:
    """Another daemon's may be as many."""
    closed_log(world, b"abc")
    for number in [*range(40), 41]:
        Path(f"{world.path}.{number}").touch()
    assert world.handler.remove(world.path) == Removed(41, 3)
    assert names(world) == ["guest.log.41"]


def test_what_is_open_or_not_known_stays(world: World) -> None:
    """A guest that has gone, and whose pipe nobody has looked at since, does not keep it."""
    guest = world.open()
    guest.write(b"said")
    with pytest.raises(LogBusy) as caught:
        world.handler.remove(world.path)
    assert caught.value.pipe == world.status().pipe
    assert world.text() == b"said"
    guest.write(b" and gone")
    guest.end()
    assert world.handler.remove(world.path) == Removed(1, 13)
    assert names(world) == []
    stranger = world.directory / "stranger.log"
    stranger.touch()
    with pytest.raises(NoSuchLog):
        world.handler.remove(str(stranger))
    assert names(world) == ["stranger.log"]


def test_a_log_whose_files_are_gone_is_forgotten(world: World) -> None:
    """With its directory, even."""
    path = world.directory / "directory" / "guest.log"
    path.parent.mkdir()
    world.append(b"x", str(path))
    path.unlink()
    path.parent.rmdir()
    assert world.handler.remove(str(path)) == Removed(0, 0)
    assert not world.handler.is_known(str(path))


def test_what_another_log_has_under_a_backup_s_name_stays(world: World) -> None:
    """Open, or only known."""
    world.append(b"x")
    world.open(f"{world.path}.0")
    world.append(b"y", f"{world.path}.1")
    Path(f"{world.path}.2").touch()
    assert world.handler.remove(world.path) == Removed(2, 1)
    assert names(world) == ["guest.log.0", "guest.log.1"]


def test_only_regular_files_go(world: World) -> None:
    """The link that leads to a log stays as well."""
    target = world.directory / "target"
    Path(world.path).symlink_to(target)
    world.append(b"12345")
    os.mkfifo(f"{target}.0")
    Path(f"{target}.1").mkdir()
    Path(f"{target}.2").symlink_to(world.path)
    Path(f"{target}.3").write_bytes(b"6")
    assert world.handler.remove(world.path) == Removed(2, 6)
    assert names(world) == ["guest.log", "target.0", "target.1", "target.2"]
    world.append(b"", "/dev/null")
    assert world.handler.remove("/dev/null") == Removed(0, 0)
    assert os.path.exists("/dev/null")


def test_a_name_that_leaves_no_room_for_longer_ones(world: World) -> None:
    """No file can have those."""
    path = str(world.directory / ("x" * 253))
    world.append(b"1", path)
    assert world.handler.remove(path) == Removed(1, 1)


def test_a_directory_that_became_a_link_meanwhile_is_not_followed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither if it is the log's own nor if it is above that."""
    above = tmp_path / "above"
    for directory in (above / "logs", tmp_path / "else" / "logs"):
        directory.mkdir(parents=True)
        (directory / "guest.log").write_bytes(b"x")
    path = str(above / "logs" / "guest.log")
    world.append(b"", path)
    above.rename(tmp_path / "moved")
    above.symlink_to(tmp_path / "else")
    monkeypatch.setattr("twisted_virtlog.logs.handler._real_path", lambda path: path)
    with pytest.raises(SystemFailure) as caught:
        world.handler.remove(path)
    assert caught.value.errno == errno.ENOTDIR
    assert (tmp_path / "else" / "logs" / "guest.log").exists()
    assert (tmp_path / "moved" / "logs" / "guest.log").exists()


def test_what_cannot_be_removed_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is known as before, and what is left of it are its newest files."""
    world.append(b"x")
    for number in range(3):
        Path(f"{world.path}.{number}").touch()
    unlink = os.unlink

    def refuse(name: str, *, dir_fd: int) -> None:
        if name.endswith(".1"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(name, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(SystemFailure, match=r"Unable to remove the files of .*not permitted"):
            world.handler.remove(world.path)
    assert names(world) == ["guest.log", "guest.log.0", "guest.log.1"]
    assert world.handler.is_known(world.path)
    assert world.handler.remove(world.path) == Removed(3, 1)


def test_a_large_file_s_data_is_freed_in_a_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reactor removes its name."""
    monkeypatch.setattr("twisted_virtlog.logs.files.removal.AMPLE_BYTES", 0)
    monkeypatch.setattr(world.handler._remove, "_large", LARGE_BYTES)
    world.append(b"x" * LARGE_BYTES)
    world.threads.held = True
    assert world.handler.remove(world.path) == Removed(1, LARGE_BYTES)
    assert names(world) == []
    assert len(world.threads.waiting) == 1
    world.threads.run()


def test_what_is_asked_of_the_same_log_comes_after_what_was_asked_before(
    make_world: MakeWorld,
) -> None:
    """Removing takes turns; who opens the log meanwhile, or appends, gets it without old bytes."""
    world = make_world(1, 2)
    closed_log(world, b"old")
    world.slices.later = True
    removed = asked(world.handler.remove(world.path))
    position = asked(world.handler.append(world.path, b"n", DRIVER, None))
    opened = asked(world.handler.open(world.path, DRIVER, None, truncate=False))
    again = asked(world.handler.remove(world.path))
    world.slices.take_all()
    assert removed == [Removed(3, 3)]
    assert position[0].offset == 1  # type: ignore[attr-defined]
    assert failed(again) is LogBusy
    assert world.files() == {"": b"n"}
    os.close(opened[0].write_end)  # type: ignore[attr-defined]
