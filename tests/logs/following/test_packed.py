"""Who follows a log sees no difference when its backups are packed."""

from __future__ import annotations

import os

import msgspec
import pytest

from tests.logs.fakes import copied, place
from tests.logs.following.conftest import MakeRoom
from tests.logs.following.room import Client, Room, numbered
from tests.logs.packing import by_hand
from twisted_virtlog.logs.following import trail
from twisted_virtlog.logs.packing import steps

SIZE = 8 * 1024
ALL = numbered(4 * 1024 - 100)


@pytest.fixture
def room(make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A log with three full backups."""
    monkeypatch.setattr(steps, "_SMALL_BYTES", -1)
    room = make_room(SIZE, 3, pack_from=0)
    room.open().write(ALL)
    room.reactor.run()
    return room


def test_who_comes_later_begins_in_a_packed_file(room: Room) -> None:
    start = place(f"{room.path}.2", 800)
    assert by_hand.pack_all(room) == 3
    client = room.follow(start)
    client.take_all()
    assert client.text == ALL[800:]
    assert client.gaps == []


def test_who_was_there_goes_on(room: Room) -> None:
    """His file is packed while he is in the middle of it, and it moves up."""
    client = room.follow(place(f"{room.path}.1", 0))
    client.take(1000)
    by_hand.pack_all(room)
    client.take(9000)
    room._guests[0].write(numbered(4096 + 1024)[len(ALL) :])
    room.run()
    client.take_all(3000)
    assert client.text == numbered(4096 + 1024)[SIZE:]
    assert client.gaps == []


def test_what_he_has_not_come_to_is_kept_for_him(room: Room) -> None:
    """A packed file is removed by rotation after he began in it."""
    by_hand.pack_all(room)
    client = room.follow(place(f"{room.path}.2", 100))
    client.take(50)
    room._guests[0].write(numbered(2 * 4096)[len(ALL) :])
    room.run()
    client.take_all()
    assert client.text.startswith(ALL[100:SIZE])
    assert sum(missed or 0 for missed in client.gaps) + len(client.text) + 100 == 2 * 4096 * 8


def test_what_is_not_in_memory_is_read_in_a_thread(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand.pack_all(room)

    def cold(*_: object) -> bytes:
        raise trail.WouldBlock

    monkeypatch.setattr(trail, "read_packed_piece", cold)
    used = room.threads.used
    client = room.follow(place(f"{room.path}.2", 0))
    client.take_all()
    assert client.text == ALL
    assert room.threads.used > used


def test_a_hand_over_in_the_middle_of_a_packed_file(room: Room, make_room: MakeRoom) -> None:
    by_hand.pack_all(room)
    client = room.follow(place(f"{room.path}.2", 0))
    client.take(1000)
    former = client.text
    assert client.follower is not None
    # (its name goes, so the next image gets its descriptor)
    os.unlink(f"{room.path}.2.zst")
    state = client.follower.suspended()
    assert state is not None
    parts = tuple(
        msgspec.structs.replace(part, file=os.dup(part.file) if part.file >= 0 else -1)
        for part in state.parts
    )
    assert any(part.file >= 0 for part in parts)
    state = msgspec.structs.replace(state, parts=parts)
    states = [copied(one) for one in room.handler.suspended()]
    room.following.end_all()
    room.handler.abandon_all()
    room._closed = True
    next_room = make_room(SIZE, 3, pack_from=0)
    for one in states:
        next_room.handler.adopt(one)
    resumed: Client = next_room.resume(state)
    resumed.take_all()
    assert former + resumed.text == ALL
