"""What rotation would remove stays for consumers: within bounds, and with every byte counted."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, KIB, Guest, World, copied
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.logs.files.held import HELD_FILES
from twisted_virtlog.service import _log_settings
from twisted_virtlog.values import Excerpt, KeptFile, Position

LINE = b"a line\n"
NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)
BLOCK = 4 * KIB


class Room:
    """Logs that a consumer reads."""

    def __init__(self, world: World) -> None:
        self.world = world
        # (no test has listed the directory of another one)
        HELD_FILES._parent = ""

    def configure(self, **values: Any) -> None:
        """Let keys hold."""
        usual = {"max_size": 7, "max_backups": 1, "consumers": ("nats:root",), "hold": "nats"}
        settings = Settings(**{**usual, "pipe_size": 64 * KIB, **values})
        self.world.handler.reload(_log_settings(settings), settings.pipe_size)

    def write(self, guest: Guest, data: bytes) -> None:
        """Let a guest write."""
        guest.write(data)
        self.world.reactor.run()

    def held(self, path: str = "") -> list[str]:
        """Return the numbers of a log's held files, as in their names."""
        log = Path(path or self.world.path)
        found = log.parent.glob(f".{log.name}.held.*")
        return sorted((one.name.rpartition(".")[2] for one in found), key=int)

    def acknowledge(self, position: Position, path: str = "") -> None:
        """Let the consumer say that it has read a log up to a position."""
        handler, path = self.world.handler, path or self.world.path
        handler.acknowledge(path, "nats", position, NOW)
        handler.settle(path)

    def unread(self, path: str = "") -> int:
        """Return how many bytes of a log went before they were read."""
        (status,) = self.world.handler.consumed(path or self.world.path, NOW)
        return status.unread_bytes


@pytest.fixture
def room(make_world: MakeWorld) -> Room:
    """Hold all logs for a consumer."""
    room = Room(make_world())
    room.configure()
    return room


def test_a_name_that_has_no_room_holds_nothing(room: Room) -> None:
    """The log goes on, says so once, and counts what is not read."""
    world = room.world
    path = str(world.directory / ("x" * 248 + ".log"))
    guest = world.open(path)
    with capturedLogs() as logged:
        room.write(guest, LINE * 5)
    said = [event["log_format"].format(**event) for event in logged]
    assert len(said) == 1
    assert "cannot be held" in said[0]
    assert "File name too long" in said[0]
    assert room.unread(path) == 3 * len(LINE)
    world.check_ledgers()


def test_a_file_that_is_too_large_by_itself_is_not_held(room: Room) -> None:
    """It would pass the cap."""
    room.configure(max_size=3 * BLOCK, hold_max_log=2 * BLOCK)
    guest = room.world.open()
    with capturedLogs() as logged:
        room.write(guest, b"x" * 9 * BLOCK)
        room.write(guest, b"x")
    assert "hold_max_log" in logged[0]["log_format"].format(**logged[0])
    assert room.held() == []
    assert room.unread() == 6 * BLOCK


def test_of_all_logs_the_oldest_go_first(room: Room) -> None:
    """Whichever log it is that needs the room."""
    world = room.world
    room.configure(hold_max=4 * BLOCK)
    names = [str(world.directory / name) for name in ("a.log", "b.log")]
    first, second = (world.open(path) for path in names)
    room.write(first, LINE * 4)
    room.write(second, LINE * 4)
    assert [room.held(path) for path in names] == [["0", "1"], ["0", "1"]]
    room.write(second, LINE * 3)
    assert [room.held(path) for path in names] == [[], ["1", "2", "3", "4"]]
    assert [room.unread(path) for path in names] == [2 * len(LINE), len(LINE)]
    world.check_ledgers()


def test_what_is_held_goes_before_any_backup(room: Room) -> None:
    """For the quota of its guest, and what was not read is counted."""
    world = room.world
    room.configure(max_size=BLOCK, max_backups=2)
    guest = world.open(domain=DOMAIN)
    room.write(guest, b"x" * 6 * BLOCK)
    assert room.held() == ["0", "1", "2"]
    room.configure(max_size=BLOCK, max_backups=2, quota=6 * BLOCK)
    room.write(guest, b"y" * 3 * BLOCK)
    sizes = {name: len(data) for name, data in world.files().items()}
    assert sizes == {"": BLOCK, ".0": BLOCK, ".1": BLOCK}
    assert len(room.held()) <= 3
    gone = 9 - 3 - len(room.held())
    assert room.unread() == gone * BLOCK
    world.check_ledgers()


def test_a_held_file_that_others_removed_is_missed_by_nobody(room: Room) -> None:
    """The ledger tells of it, and the next ones are held."""
    world = room.world
    guest = world.open()
    room.write(guest, LINE * 5)
    assert room.held() == ["0", "1", "2"]
    (world.directory / ".guest.log.held.1").unlink()
    world.check_ledgers()
    room.write(guest, LINE * 2)
    assert room.held() == ["0", "2", "3", "4"]
    room.acknowledge(world.position())
    assert room.held() == []
    world.check_ledgers()


def test_a_name_that_is_taken_is_left_alone(room: Room) -> None:
    """Nobody's file is replaced."""
    world = room.world
    stranger = world.directory / ".guest.log.held.0"
    stranger.mkdir()
    guest = world.open()
    room.write(guest, LINE * 4)
    assert room.held() == ["0", "1", "2"]
    assert stranger.is_dir()
    assert world.read().data == LINE * 4


def test_a_closed_log_is_read_and_let_go(room: Room) -> None:
    """By a consumer that comes late."""
    world = room.world
    guest = world.open()
    room.write(guest, LINE * 5)
    end = world.position()
    guest.end()
    world.reactor.run()
    assert not world.is_open()
    (status,) = world.handler.consumed(world.path, NOW)
    assert (status.lag_bytes, status.held_bytes) == (35, 21)
    excerpt = world.handler.read(world.path, None, 1000)
    assert isinstance(excerpt, Excerpt)
    assert b"".join(excerpt.pieces) == LINE * 5
    kept = world.handler.kept_files(world.path)
    assert not isinstance(kept, KeptFile)
    room.acknowledge(end)
    assert room.held() == []
    (status,) = world.handler.consumed(world.path, NOW + timedelta(seconds=5))
    assert (status.lag_bytes, status.lag_seconds) == (0, 0)


def test_a_message_to_a_closed_log_rolls_over_what_is_unread(room: Room) -> None:
    """It is held as well."""
    world = room.world
    guest = world.open()
    room.write(guest, LINE * 2)
    guest.end()
    world.reactor.run()
    world.append(LINE * 3)
    assert world.read().data == LINE * 5
    assert room.held() != []


def test_the_next_image_finds_what_is_held(room: Room, make_world: MakeWorld) -> None:
    """And goes on with its numbers."""
    guest = room.world.open()
    room.write(guest, LINE * 4)
    successor = Room(make_world())
    successor.configure()
    for state in room.world.handler.suspended():
        successor.world.handler.adopt(copied(state))
    successor.write(guest, LINE * 2)
    assert successor.held() == ["0", "1", "2", "3"]
    assert successor.world.read().data == LINE * 6
