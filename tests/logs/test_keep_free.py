"""Logs on a file system on which some room is to be left free."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World, log_settings, of_the_direct_way
from tests.logs.test_drop_reasons import Losses
from tests.logs.test_failing import fill, not_written, pass_time
from twisted_virtlog.logs.bounds import bounds
from twisted_virtlog.logs.policy import HostBounds
from twisted_virtlog.values import DropReason, LogState

#: More than any file system has.
ALL = 1 << 62


def keep_free(world: World, count: int) -> None:
    """Let another setting hold."""
    settings = replace(log_settings(0, 3), bounds=HostBounds(keep_free=count))
    world.handler.reload(settings, pipe_size=64 * KIB)


def test_growth_stops_and_goes_on(make_world: MakeWorld) -> None:
    """As an outage with its reason; it is ENOSPC, as without the daemon's help a little later."""
    world = make_world()
    guest = world.open()
    guest.write(b"before\n")
    world.reactor.run()
    keep_free(world, ALL)
    # (what the file's last block has room for takes up nothing)
    before = 4096 if os.stat(world.path).st_blocks else 7
    guest.write(b"x" * 5000)
    world.reactor.run()
    status = world.status()
    assert status.state is LogState.FAILING
    assert status.error is not None
    assert f"is to have {ALL} bytes free (host_keep_free)" in status.error
    for call in (world.position, lambda: world.append(b"message")):
        error = not_written(call)
        assert error.errno == errno.ENOSPC
        assert "host_keep_free" in error.reason
        assert error.pending_bytes == 5007 - before
    assert len(world.text()) == before
    keep_free(world, 0)
    pass_time(world, 1.05)
    assert world.position().offset == 5007
    assert world.status().state is LogState.OPEN


@of_the_direct_way
def test_what_is_dropped_meanwhile_is_not_for_a_write_error(make_world: MakeWorld) -> None:
    """The system would have taken it."""
    world = make_world(drops=True)
    losses = Losses()
    world.handler.observer = losses
    keep_free(world, ALL)
    guest = world.open()
    lost = fill(guest)
    world.reactor.run()
    pass_time(world, 1.1)
    assert losses.counts == {DropReason.QUOTA: lost}


def test_a_message_for_a_log_that_is_not_open(make_world: MakeWorld, tmp_path: Path) -> None:
    """It is refused as for one that is."""
    world = make_world()
    keep_free(world, ALL)
    error = not_written(lambda: world.append(b"message"))
    assert (error.errno, error.pending_bytes) == (errno.ENOSPC, 0)
    assert "host_keep_free" in error.reason
    assert world.text() == b""


def test_no_log_goes_below(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many logs that had leases ask again; together they leave what is to be left."""
    world = make_world()
    kept, free = 64 * 1024 * KIB, 68 * 1024 * KIB
    paths = [str(world.directory / f"{number}.log") for number in range(8)]

    def used() -> int:
        return sum(os.stat(path).st_blocks * 512 for path in paths if os.path.exists(path))

    taken = 0
    monkeypatch.setattr(bounds, "_free_on", lambda file: free - taken - used())
    keep_free(world, kept)
    guests = [world.open(path) for path in paths]
    for _ in range(3):
        for guest in guests:
            guest.write(b"x" * 10 * KIB)
        world.reactor.run()
        world.clock.advance(1)
    # (another program)
    taken = 3 * 1024 * KIB
    for _ in range(100):
        for guest in guests:
            guest.write_without_blocking(b"x" * 10 * KIB)
        world.reactor.run()
        world.clock.advance(0.3)
    assert all(status.state is LogState.FAILING for status in world.logs())
    assert kept <= free - taken - used() <= kept + 8 * 4 * KIB
