"""A backup that was packed is held for consumers as any other: one log, and every byte counted."""

from __future__ import annotations

import os

from tests.logs.conftest import MakeWorld
from tests.logs.consumers.test_holding import BLOCK, Room
from tests.logs.fakes import content_of
from tests.logs.packing import by_hand

SIZE = 4 * BLOCK
ALL = b"".join(b"%015d\n" % number for number in range(4 * SIZE // 16))
SETTINGS = {"max_size": SIZE, "max_backups": 1, "compress": "zstd", "compress_from": 0}


def written(make_world: MakeWorld) -> Room:
    """Write four files, of which two are held; each backup is packed before it goes."""
    room = Room(make_world())
    room.configure(**SETTINGS)
    guest = room.world.open()
    for at in range(0, len(ALL), SIZE):
        room.write(guest, ALL[at : at + SIZE])
        by_hand.pack_all(room.world)
    return room


def names(room: Room) -> set[str]:
    return set(os.listdir(room.world.directory))


def test_it_is_held_as_it_is_and_goes_when_it_is_read(make_world: MakeWorld) -> None:
    room = written(make_world)
    world = room.world
    packed = {".guest.log.held.0.zst", ".guest.log.held.1.zst"}
    assert names(room) == {"guest.log", "guest.log.0.zst", *packed}
    assert world.read().data == ALL
    assert [file.is_packed for file in world.handler.kept_files(world.path)] == [True] * 3 + [False]
    (status,) = world.handler.consumed(world.path, world.handler.open_logs()[0].opened_at)
    assert (status.held_bytes, status.unread_bytes) == (2 * SIZE, 0)
    world.check_ledgers()
    inodes = [file.inode for file in world.handler.kept_files(world.path)]
    assert len({*inodes}) == 4
    excerpt = world.read(None, SIZE + 16)
    room.acknowledge(excerpt.end)
    assert names(room) == {"guest.log", "guest.log.0.zst", ".guest.log.held.1.zst"}
    assert world.read().data == ALL[SIZE:]
    room.acknowledge(world.position())
    assert names(room) == {"guest.log", "guest.log.0.zst"}
    world.check_ledgers()


def test_another_daemon_goes_on_with_it(make_world: MakeWorld) -> None:
    former = written(make_world)
    former.world.close()
    room = Room(make_world())
    room.configure(**SETTINGS)
    assert content_of(f"{room.world.directory}/.guest.log.held.0") == ALL[:SIZE]
    guest = room.world.open()
    room.write(guest, b"more\n")
    assert room.world.read().data == ALL + b"more\n"
    room.world.check_ledgers()


def test_one_that_is_being_packed_is_held_once(make_world: MakeWorld) -> None:
    """What is not finished does not count, and goes."""
    room = Room(make_world())
    room.configure(**SETTINGS)
    guest = room.world.open()
    room.write(guest, ALL[: 2 * SIZE])
    assert by_hand.pack_one(room.world, last=2)
    room.write(guest, ALL[2 * SIZE : 3 * SIZE])
    assert names(room) == {"guest.log", "guest.log.0", ".guest.log.held.0"}
    assert room.world.read().data == ALL[: 3 * SIZE]


def test_all_go_with_the_log(make_world: MakeWorld) -> None:
    room = written(make_world)
    room.world._guests[0].end()
    room.world.reactor.run()
    room.world.handler.remove(room.world.path)
    assert names(room) == set()
