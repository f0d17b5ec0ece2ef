"""Logs that are closed by force, though somebody still holds their pipes' write ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import STRANGER, World, of_the_direct_way
from tests.logs.test_failing import files_end_at
from twisted_virtlog.errors import LogBusy, NoSuchLog


def test_the_number_is_what_proc_shows_of_the_holder(world: World) -> None:
    """So that root can find who keeps a log open; the refusal says it too."""
    guest = world.open()
    number = world.status().pipe
    assert os.readlink(f"/proc/self/fd/{guest.write_end}") == f"pipe:[{number}]"
    with pytest.raises(LogBusy) as caught:
        world.open(domain=STRANGER)
    assert caught.value.pipe == number


def test_what_is_in_the_pipe_is_written_first(world: World) -> None:
    """Then the holder's writes are refused, and the path is free."""
    guest = world.open()
    guest.write(b"the last words\n")
    closed = world.handler.close_log(world.path)
    assert closed.dropped == 0
    assert closed.position is not None
    assert (closed.position.offset, world.text()) == (15, b"the last words\n")
    assert closed.position.inode == Path(world.path).stat().st_ino
    world.close_pipes()
    with pytest.raises(BrokenPipeError):
        guest.write(b"too late\n")
    assert world.logs() == []
    assert world.handler.counts().bytes_written == 15
    world.open()
    with pytest.raises(NoSuchLog):
        world.handler.close_log(str(world.directory / "nobody.log"))


@of_the_direct_way
def test_it_says_how_much_its_file_did_not_take(make_world: MakeWorld) -> None:
    """A log can be closed while its file fails; what is lost then is counted."""
    world = make_world()
    guest = world.open()
    with files_end_at(10):
        guest.write(b"x" * 25)
        world.reactor.turn()
        closed = world.handler.close_log(world.path)
    assert closed.position is not None
    assert (closed.position.offset, closed.dropped) == (10, 15)
    counts = world.handler.counts()
    assert (counts.open_logs, counts.failing_logs, counts.bytes_lost) == (0, 0, 15)


def test_it_is_tried_once_more_before_bytes_are_lost(make_world: MakeWorld) -> None:
    """The disk may have room again, since it was tried last."""
    world = make_world()
    guest = world.open()
    with files_end_at(10):
        guest.write(b"x" * 25)
        world.reactor.turn()
    closed = world.handler.close_log(world.path)
    assert (closed.dropped, world.text()) == (0, b"x" * 25)
