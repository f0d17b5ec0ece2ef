"""Logs are followed that may be below some directories only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.logs.fakes import KIB, log_settings, place
from tests.logs.following.conftest import MakeRoom
from tests.logs.following.room import Room
from twisted_virtlog.errors import LeadsOut
from twisted_virtlog.logs.files.roots import Roots

SECRET = b"secret\n"


def confine(room: Room, max_size: int = 0, max_backups: int = 3) -> Path:
    """Let logs be below a directory only; return what is outside."""
    outside, root = room.directory / "outside", room.directory / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "guest.log").write_bytes(SECRET)
    room.path = str(root / "guest.log")
    settings = log_settings(max_size, max_backups)
    room.handler.reload(replace(settings, roots=Roots([str(root)])), 64 * KIB)
    return outside / "guest.log"


def test_what_is_outside_is_not_followed(room: Room) -> None:
    """Nor waited for with a look at it: only an opening could let it be, and there will be none."""
    secret = confine(room)
    with pytest.raises(LeadsOut, match="log_roots"):
        room.follow(path=str(secret))
    client = room.follow(path=str(secret), from_opening=True)
    assert client.take() is None
    room.run()
    assert client.take() is None
    assert client.text == b""


def test_a_log_that_was_open_outside_is_followed_until_it_ends(room: Room) -> None:
    """As it goes on."""
    path = str(room.directory / "old.log")
    guest = room.open(path)
    confine(room)
    client = room.follow(path=path)
    guest.write(b"goes on\n")
    room.run()
    client.take_all()
    assert client.text == b"goes on\n"
    guest.end()
    room.run()
    with pytest.raises(LeadsOut):
        room.follow(path=path)


@pytest.mark.parametrize("make", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["", ".0"])
def test_no_link_is_read(make_room: MakeRoom, name: str, make: Callable[[str, str], None]) -> None:
    """It is where a file of the log was that somebody has yet to read."""
    room = make_room(20, 2)
    secret = confine(room, 20, 2)
    room.append(b"a line\n" * 2)
    start = place(room.path, 0)
    room.append(b"a line\n" * 2)
    os.unlink(room.path + name)
    make(str(secret), room.path + name)
    with pytest.raises(LeadsOut, match="log_roots"):
        room.follow(start)
