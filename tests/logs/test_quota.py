"""Guests whose logs may take up only so much."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, KIB, STRANGER, Guest, World, of_the_direct_way
from tests.logs.test_drop_reasons import Losses
from tests.logs.test_failing import fill, not_written, pass_time
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.logs.bounds.bounds import _LogBound
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import HostBounds, Policy
from twisted_virtlog.values import Domain, DropReason, LogState

MIB = 1024 * KIB
BLOCK = 4 * KIB


def bound(
    world: World,
    quotas: Mapping[str, int] | int = 0,
    *,
    max_use: int = 0,
    max_size: int = 64 * KIB,
    max_backups: int = 3,
) -> None:
    """Let bounds hold.

    :param quotas: by the name of the log; or of all guests.
    """

    def policy_of(file: str, driver: str | None, domain: Domain | None) -> Policy:
        quota = quotas if isinstance(quotas, int) else quotas.get(os.path.basename(file), 0)
        return Policy(Limits(max_size, max_backups), quota=quota)

    world.handler.reload(
        LogSettings(policy_of, bounds=HostBounds(max_use=max_use, quotas=bool(quotas))), 64 * KIB
    )


def write(world: World, guest: Guest, count: int) -> None:
    """Have a guest write, and all of it taken."""
    while count:
        some = min(count, 32 * KIB)
        guest.write(b"x" * some)
        world.reactor.run()
        count -= some


def on_disk(world: World, *names: str) -> int:
    """Return what files take up; by default, all."""
    paths = [world.directory / name for name in names] or world.directory.iterdir()
    return sum(os.stat(path).st_blocks * 512 for path in paths)


def listed(world: World) -> set[str]:
    """Return the names of all files."""
    return {path.name for path in world.directory.iterdir()}


def test_the_oldest_backups_of_the_guest_go(make_world: MakeWorld, tmp_path: Path) -> None:
    """Of all its logs, whichever wants to grow; another guest's stay, however old they are."""
    world = make_world()
    bound(world, 10 * MIB)
    other = world.open(str(tmp_path / "other.log"), domain=STRANGER)
    write(world, other, 200 * KIB)
    second = world.open(str(tmp_path / "second.log"))
    write(world, second, 150 * KIB)
    first = world.open()
    write(world, first, 200 * KIB)
    for number, name in enumerate(
        ("other.log.2", "second.log.1", "second.log.0", "guest.log.2", "guest.log.1")
    ):
        os.utime(tmp_path / name, (number, number))
    before = listed(world)
    bound(world, 320 * KIB)
    write(world, first, 20 * KIB)
    assert before - listed(world) == {"second.log.1"}
    write(world, second, 32 * KIB)
    assert before - listed(world) == {"second.log.1", "second.log.0"}
    assert on_disk(world, *(name for name in listed(world) if "other" not in name)) <= 320 * KIB
    assert {status.state for status in world.logs()} == {LogState.OPEN}


@pytest.mark.parametrize("quota", [96 * KIB, 100 * KIB - 1, 160 * KIB, MIB])
def test_a_flood_stays_within_the_quota(quota: int, make_world: MakeWorld) -> None:
    """And goes on, as its own oldest output goes."""
    world = make_world()
    bound(world, quota)
    guest = world.open()
    for _ in range(30):
        write(world, guest, 50 * KIB)
        assert on_disk(world) <= quota
    assert world.status().state is LogState.OPEN
    assert world.status().bytes_written == 1500 * KIB
    kept = sum(map(len, world.files().values()))
    assert kept > min(quota, 4 * 64 * KIB) - 64 * KIB - 2 * BLOCK


def test_a_reader_is_told_of_the_gap(make_world: MakeWorld) -> None:
    """As when rotation removes the oldest file; a position in what is kept reads on."""
    world = make_world()
    bound(world, 150 * KIB)
    guest = world.open()
    start = world.position()
    write(world, guest, 100 * KIB)
    kept = world.position()
    write(world, guest, 64 * KIB)
    excerpt = world.read(start)
    assert excerpt.gap
    assert excerpt.start.inode == kept.inode
    assert not world.read(kept).gap
    assert world.read(kept).end == world.position()


def test_where_nothing_is_left_to_go_the_log_fails(make_world: MakeWorld) -> None:
    """It says why, to everybody who asks; its current file is not touched."""
    world = make_world()
    bound(world, 32 * KIB)
    guest = world.open()
    write(world, guest, 32 * KIB)
    assert world.status().state is LogState.OPEN
    guest.write(b"y" * 100)
    world.reactor.run()
    status = world.status()
    assert status.state is LogState.FAILING
    assert status.error is not None
    assert "quota of 32768 bytes of this guest is used up" in status.error
    for call in (world.position, lambda: world.append(b"message")):
        error = not_written(call)
        assert error.errno == errno.EDQUOT
        assert "quota of 32768 bytes" in error.reason
        assert error.pending_bytes == 100
    assert world.text() == b"x" * 32 * KIB
    # (a larger one holds at once)
    bound(world, 64 * KIB)
    pass_time(world, 1.05)
    assert world.position().offset == 32 * KIB + 100


def test_room_that_somebody_else_makes_is_found(make_world: MakeWorld, tmp_path: Path) -> None:
    """As when files are removed by hand, of a log that is idle: when it is looked again."""
    world = make_world()
    bound(world, 32 * KIB)
    idle, guest = world.open(str(tmp_path / "idle.log")), world.open()
    write(world, idle, 20 * KIB)
    write(world, guest, 12 * KIB)
    guest.write(b"y" * 100)
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    os.truncate(tmp_path / "idle.log", 0)
    world.handler.look_at_files()
    pass_time(world, 1.05)
    assert world.status().state is LogState.OPEN


@of_the_direct_way
def test_what_is_dropped_is_for_the_quota(make_world: MakeWorld) -> None:
    """And a line says it where the log goes on."""
    world = make_world(drops=True)
    losses = Losses()
    world.handler.observer = losses
    bound(world, 16 * KIB)
    guest = world.open()
    write(world, guest, 16 * KIB)
    lost = fill(guest)
    world.reactor.run()
    pass_time(world, 1.1)
    assert losses.counts == {DropReason.QUOTA: lost}
    bound(world, 160 * KIB)
    pass_time(world, 1.1)
    assert b": Disk quota exceeded]\n" in world.text()
    assert f"[virtlogd: {lost} bytes lost".encode() in world.text()


def test_the_smallest_number_of_a_guest_s_logs_holds(make_world: MakeWorld, tmp_path: Path) -> None:
    """For all of them."""
    world = make_world()
    bound(world, {"guest.log": 0, "small.log": 40 * KIB, "large.log": 80 * KIB})
    guest, small = world.open(), world.open(str(tmp_path / "small.log"))
    world.open(str(tmp_path / "large.log"))
    write(world, small, 8 * KIB)
    guest.write(b"x" * 50 * KIB)
    world.reactor.run()
    assert "40960" in (world.status().error or "")
    assert on_disk(world) == 40 * KIB
    stranger = world.open(str(tmp_path / "stranger.log"), domain=STRANGER)
    write(world, stranger, 60 * KIB)


def test_without_a_uuid_a_log_is_a_guest_of_its_own(make_world: MakeWorld, tmp_path: Path) -> None:
    """Nobody knows whose it is."""
    world = make_world()
    bound(world, 40 * KIB)
    guests = [world.open(str(tmp_path / f"{number}.log"), domain=None) for number in range(2)]
    for guest in guests:
        write(world, guest, 40 * KIB)
    assert on_disk(world) == 80 * KIB


def test_a_guest_that_has_the_log_next_has_its_files(make_world: MakeWorld, tmp_path: Path) -> None:
    """They count to that one from then on, as long as the log is open and when it is closed."""
    world = make_world()
    bound(world, 40 * KIB)
    first = world.open()
    write(world, first, 40 * KIB)
    first.end()
    world.reactor.run()
    stranger = world.open(domain=STRANGER)
    stranger.write(b"x" * 5000)
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    again = world.open(str(tmp_path / "new.log"))
    write(world, again, 40 * KIB)


def test_closed_logs_of_the_guest_count(make_world: MakeWorld, tmp_path: Path) -> None:
    """Also those of which a message was appended."""
    world = make_world()
    bound(world, 40 * KIB)
    closed = world.open(str(tmp_path / "closed.log"))
    write(world, closed, 20 * KIB)
    closed.end()
    world.reactor.run()
    world.append(b"m" * 4 * KIB, str(tmp_path / "message.log"))
    guest = world.open()
    write(world, guest, 16 * KIB)
    guest.write(b"x" * 5000)
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    with pytest.raises(NotWritten) as caught:
        world.append(b"m" * 4 * KIB, str(tmp_path / "message.log"))
    assert caught.value.errno == errno.EDQUOT
    assert on_disk(world) == 40 * KIB


def test_all_logs_together(make_world: MakeWorld, tmp_path: Path) -> None:
    """Who wants to grow loses its own backups, and is refused then; the other's are not touched."""
    world = make_world()
    bound(world, max_use=400 * KIB)
    other = world.open(str(tmp_path / "other.log"), domain=STRANGER)
    write(world, other, 250 * KIB)
    guest = world.open()
    write(world, guest, 240 * KIB)
    assert on_disk(world) <= 400 * KIB
    bound(world, max_use=330 * KIB, max_size=0)
    guest.write(b"x" * 50 * KIB)
    world.reactor.run()
    assert "(host_max_use)" in (world.status().error or "")
    kept = {"other.log", "other.log.0", "other.log.1", "other.log.2"}
    assert listed(world) == {*kept, "guest.log"}
    assert on_disk(world) == 328 * KIB


def test_a_bound_may_end(make_world: MakeWorld) -> None:
    """Nothing is counted any more, and what is taken up is found when one begins again."""
    world = make_world()
    bound(world, 16 * KIB)
    guest = world.open()
    guest.write(b"x" * 20 * KIB)
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    bound(world, 0)
    pass_time(world, 1.05)
    write(world, guest, 20 * KIB)
    bound(world, 48 * KIB)
    write(world, guest, 8 * KIB)
    guest.write(b"x" * 100)
    world.reactor.run()
    assert world.status().state is LogState.FAILING


def test_a_log_whose_name_is_that_of_a_backup(make_world: MakeWorld, tmp_path: Path) -> None:
    """It is another guest's, and neither counts nor goes."""
    world = make_world()
    bound(world, 48 * KIB, max_size=0, max_backups=0)
    odd = world.open(str(tmp_path / "guest.log.0"), domain=STRANGER)
    write(world, odd, 40 * KIB)
    guest = world.open()
    write(world, guest, 48 * KIB)
    guest.write(b"x" * 100)
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    assert (tmp_path / "guest.log.0").stat().st_size == 40 * KIB


def test_backups_that_an_earlier_configuration_left(make_world: MakeWorld, tmp_path: Path) -> None:
    """They are the oldest, and go first."""
    world = make_world()
    for number in range(6):
        (tmp_path / f"guest.log.{number}").write_bytes(b"o" * 16 * KIB)
        os.utime(tmp_path / f"guest.log.{number}", (1000 - number, 1000 - number))
    bound(world, 100 * KIB, max_backups=2)
    guest = world.open()
    write(world, guest, 30 * KIB)
    assert listed(world) == {"guest.log", *(f"guest.log.{number}" for number in range(4))}


def test_a_backup_that_cannot_be_removed(
    make_world: MakeWorld,
    tmp_path: Path,
    logged: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next oldest of the guest goes; the own log says which stays."""
    world = make_world()
    bound(world, 200 * KIB)
    second = world.open(str(tmp_path / "second.log"))
    write(world, second, 70 * KIB)
    guest = world.open()
    write(world, guest, 120 * KIB)
    unlink = os.unlink

    def refuse(path: str, **more: int) -> None:
        if "second" in path:
            raise PermissionError(errno.EPERM, "no")
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    write(world, guest, 30 * KIB)
    assert "second.log.0" in listed(world)
    assert "Unable to remove" in logged()
    assert on_disk(world) <= 200 * KIB


def test_a_log_that_is_handed_over(make_world: MakeWorld) -> None:
    """What it takes up is found again."""
    world = make_world()
    bound(world, 40 * KIB)
    guest = world.open()
    write(world, guest, 40 * KIB)
    state = world.handler.leave(world.path)
    assert state is not None
    world.handler.adopt(state)
    guest.write(b"x" * 100)
    world.reactor.run()
    assert world.status().state is LogState.FAILING
    assert world.handler.close_log(world.path) is not None
    assert DOMAIN.uuid


@of_the_direct_way
def test_a_log_that_is_lent_may_grow_by_all_that_it_was_granted(make_world: MakeWorld) -> None:
    """The thread that has it may write that yet, so nobody else is granted it."""
    world = make_world(lends=True)
    guest = world.open()
    bound(world, 8 * MIB, max_size=2 * MIB)
    write(world, guest, 64 * KIB)
    (log,) = world.handler.open_logs()
    held = log.writer.bound
    assert isinstance(held, _LogBound)
    assert held.log is not None
    leased = held.log.leased
    assert held.take_back() < leased
    write(world, guest, 4 * KIB)
    leased = held.log.leased
    log.pipe_floods()
    assert log.lent is not None
    assert held.take_back() == leased
    world.reactor.result(world.position())
