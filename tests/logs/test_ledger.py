"""What became of every byte: what guests wrote, and what is in the files, counted by hand here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs
from twisted.internet.defer import Deferred

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World, of_the_direct_way
from tests.logs.test_failing import fail, files_end_at, fill, pass_time
from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.values import (
    Dropped,
    Intake,
    Ledger,
    Outside,
    RemovedBytes,
    Storage,
    Written,
)


def ledger(world: World, path: str | None = None) -> Ledger:
    """Return the ledger of a log, which holds."""
    found = world.handler.ledger(path or world.path)
    assert not isinstance(found, Deferred)
    assert (found.intake_gap, found.storage_gap) == (0, 0), found
    assert found.holds
    return found


def storage(world: World) -> Storage:
    """Return the same of what is in the files of the log."""
    found = ledger(world).storage
    assert found is not None
    return found


def all_together(world: World) -> Ledger:
    """Return the ledger of all logs."""
    found = world.handler.ledger(None)
    assert not isinstance(found, Deferred)
    return found


def test_what_waits_and_what_is_written(world: World) -> None:
    """Each byte of a guest is pending, and then written; messages are counted by themselves."""
    Path(world.path).write_bytes(b"found\n")
    guest = world.open()
    guest.write(b"12345")
    assert ledger(world).intake == Intake(5, Dropped(), 5)
    world.position()
    guest.write(b"678")
    world.append(b"appended\n")
    found = ledger(world)
    assert found.intake == Intake(8, Dropped(), 0)
    assert found.written == Written(8, 9, 0)
    assert found.storage == Storage(6, 23, 0, RemovedBytes(), Outside())


@pytest.mark.parametrize("max_backups", [0, 1, 3])
def test_what_rotation_removes(make_world: MakeWorld, max_backups: int) -> None:
    """The files that are there are the rest."""
    world = make_world(100, max_backups)
    guest = world.open()
    for _ in range(10):
        guest.write(b"x" * 89 + b"\n")
        world.position()
    world.append(b"y" * 89 + b"\n")
    found = storage(world)
    assert found.kept == len(world.whole())
    assert found.removed == RemovedBytes(rotation=11 * 90 - found.kept)
    assert ledger(world).written == Written(900, 90, 0)


def test_a_truncating_open(world: World) -> None:
    """What was there is found, and removed."""
    Path(world.path).write_bytes(b"found\n")
    Path(world.path + ".1").write_bytes(b"older\n\n")
    world.open(truncate=True).write(b"new\n")
    world.position()
    assert storage(world) == Storage(13, 4, 0, RemovedBytes(truncate=13), Outside())


@of_the_direct_way
def test_what_an_outage_drops_and_says(make_world: MakeWorld) -> None:
    """The notice is the daemon's own; what waits is pending all the while."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        assert ledger(world).intake == Intake(3000, Dropped(), 2000)
        lost = 2000 + fill(guest)
        pass_time(world, 1.05)
        assert ledger(world).intake == Intake(1000 + lost, Dropped(write_error=lost), 0)
        guest.write(b"kept\n")
    pass_time(world, 1)
    found = ledger(world)
    assert found.intake == Intake(1005 + lost, Dropped(write_error=lost), 0)
    # (that of the files begins a line of its own)
    assert found.written == Written(1005, 0, len(world.text()) - 1005)
    world.handler.close_log(world.path)
    assert all_together(world).intake == found.intake


@of_the_direct_way
def test_what_is_left_at_the_end_is_stopped(make_world: MakeWorld) -> None:
    """And is told of all together, when its log is gone."""
    world = make_world(drops=True)
    with files_end_at(1000):
        fail(world)
        world.handler.close_log(world.path)
    together = all_together(world)
    assert together.intake == Intake(3000, Dropped(stopped=2000), 0)
    assert together.written == Written(1000, 0, 0)


def test_all_together(world: World) -> None:
    """Closed logs, and those that were never open, are counted; what is stored, of open ones."""
    other = str(world.directory / "other.log")
    guest, its = world.open(), world.open(other)
    guest.write(b"1234")
    its.write(b"12")
    world.append(b"message", str(world.directory / "never.log"))
    its.end()
    world.reactor.run()
    guest.write(b"56")
    found = all_together(world)
    assert found.intake == Intake(8, Dropped(), 0 if found.written.guest == 8 else 2)
    world.position()
    found = all_together(world)
    assert found.intake == Intake(8, Dropped(), 0)
    assert found.written == Written(8, 7, 0)
    assert found.storage == Storage(0, 6, 0, RemovedBytes(), Outside())
    assert found.holds
    with pytest.raises(NoSuchLog):
        world.handler.ledger(other)


def test_a_device_has_no_storage(world: World) -> None:
    """What is written there is counted all the same."""
    guest = world.open("/dev/null")
    for _ in range(3):
        guest.write(b"12345")
        world.position("/dev/null")
    world.append(b"1", "/dev/null")
    found = world.handler.ledger("/dev/null")
    assert found.intake == Intake(15, Dropped(), 0)
    assert (found.written, found.storage, found.holds) == (Written(15, 1, 0), None, None)


# What other programs do.


def rotated(make_world: MakeWorld) -> World:
    """Make a log with three files of 100, 100 and 50 bytes."""
    world = make_world(100, 3)
    world.open().write(b"x" * 250)
    world.position()
    assert [len(data) for data in world.files().values()] == [100, 100, 50]
    return world


def grow(world: World) -> None:
    """Another program writes to the current file, and the guest goes on."""
    with open(world.path, "ab") as file:
        file.write(b"0123456")


def cut(world: World) -> None:
    """Another program cuts the current file (copytruncate)."""
    os.truncate(world.path, 20)


def cut_backup(world: World) -> None:
    """Another program cuts a backup."""
    os.truncate(world.path + ".0", 99)


def remove(world: World) -> None:
    """Another program removes the current file."""
    os.unlink(world.path)


def remove_backup(world: World) -> None:
    """Another program removes a backup."""
    os.unlink(world.path + ".1")


def move(world: World) -> None:
    """Another program moves the current file away (logrotate)."""
    os.rename(world.path, world.path + "-2026")


def add_backup(world: World) -> None:
    """Another program puts a file where a backup will be."""
    Path(world.path + ".2").write_bytes(b"123")


def replace(world: World) -> None:
    """Another program puts a file in the place of the current one."""
    Path(world.path + "-new").write_bytes(b"123")
    os.rename(world.path + "-new", world.path)


DEEDS = [
    (grow, Outside(added=7)),
    (cut, Outside(cut=30)),
    (cut_backup, Outside(cut=1)),
    (remove, Outside(removed=50)),
    (remove_backup, Outside(removed=100)),
    (move, Outside(removed=50)),
    (add_backup, Outside(added=3)),
    (replace, Outside(added=3, removed=50)),
]


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(("deed", "outside"), DEEDS, ids=lambda one: getattr(one, "__name__", ""))
def test_what_others_do_to_the_files(
    make_world: MakeWorld, deed: object, outside: Outside, asked: bool
) -> None:
    """It is told apart from what the daemon does, whether it is asked at once or later."""
    world = rotated(make_world)
    assert callable(deed)
    deed(world)
    if asked:
        assert storage(world).outside == outside
    moved = Path(world.path + "-2026")
    for length in (10, 90, 90, 90, 90, 90):
        world.append(b"y" * length)
        if asked or length == 90:
            # (a file that was moved is written on until the log rolls over)
            more = moved.stat().st_size - 50 if moved.exists() else 0
            removed = outside.removed + more
            assert storage(world).outside == structs.replace(outside, removed=removed)
    assert ledger(world).written == Written(250, 460, 0)


def test_a_file_that_comes_back(make_world: MakeWorld) -> None:
    """What was written to it meanwhile comes with it."""
    world = rotated(make_world)
    os.rename(world.path, world.path + "-away")
    world.append(b"y" * 10)
    assert storage(world).outside == Outside(removed=60)
    os.rename(world.path + "-away", world.path)
    assert storage(world).outside == Outside(removed=60, added=60)


def test_a_file_that_is_cut_in_the_middle_of_a_write(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stood behind the hole is written once more, and counted once."""
    world = make_world()
    guest = world.open()
    guest.write(b"a" * 5000)
    world.position()
    splice = os.splice

    def cut_before(*arguments: object, **more: object) -> int:
        os.truncate(world.path, 100)
        monkeypatch.setattr(os, "splice", splice)
        return splice(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "splice", cut_before)
    guest.write(b"b" * 1000)
    world.position()
    assert world.text() == b"a" * 100 + b"b" * 1000
    found = ledger(world)
    assert found.intake == Intake(6000, Dropped(), 0)
    assert found.storage is not None
    assert found.storage.outside == Outside(cut=4900)


def test_a_message_that_does_not_fit_is_not_counted(world: World) -> None:
    """Nothing of it stays."""
    guest = world.open()
    guest.write(b"x" * 900)
    world.position()
    with files_end_at(1 * KIB), pytest.raises(Exception, match="File too large"):
        world.append(b"y" * 500)
    assert ledger(world).written == Written(900, 0, 0)
