"""What is noted of logs: when their bytes came, and what happened to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, STRANGER, World, log_settings
from twisted_virtlog.history.records import FileKey
from twisted_virtlog.logs.observing import REACTOR_THREAD
from twisted_virtlog.logs.recording import MARKED_BYTES, Recorder
from twisted_virtlog.values import Domain, LogEvent, Position


class FakeNotes:
    """Keeps what is noted; moments are what a test says.

    :ivar marks: by file, by offset: from when to when. Of a file that was found, the first is None.
    """

    def __init__(self) -> None:
        self.moment = 1000
        self.keys: list[FileKey] = []
        self.ended: list[int] = []
        self.marks: dict[int, dict[int, tuple[int | None, int]]] = {}
        self.was_cut: list[int] = []
        self.gone: list[FileKey] = []
        self.told: list[str] = []
        self.events: list[LogEvent] = []
        self.openings: list[tuple[str, Position, str, Domain | None]] = []
        self.ends: list[Position | None] = []

    def now_ms(self) -> int:
        return self.moment

    def begin_file(self, key: FileKey, path: str) -> int:
        self.keys.append(key)
        return len(self.keys)

    def mark(self, file: int, offset: int, since_ms: int, until_ms: int) -> None:
        assert file not in self.ended
        assert since_ms <= until_ms <= self.moment
        marks = self.marks.setdefault(file, {})
        marks[offset] = (marks.get(offset, (since_ms, until_ms))[0], until_ms)

    def found(self, file: int, offset: int, modified_at: datetime, now_ms: int) -> None:
        self.marks.setdefault(file, {})[offset] = (None, now_ms)

    def cut(self, file: int) -> None:
        self.was_cut.append(file)
        self.marks.pop(file, None)

    def end_file(self, file: int) -> None:
        self.ended.append(file)

    def forget_files(self, keys: tuple[FileKey, ...]) -> None:
        self.gone += keys

    def forget_log(self, path: str) -> None:
        self.told.append("emptied")

    def opened(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        at: datetime,
    ) -> None:
        assert file_system == "fs"
        self.told.append("opened")
        self.openings.append((path, position, driver, domain))

    def adopted(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        opened_at: datetime,
    ) -> None:
        self.told.append("adopted")

    def appended(
        self,
        path: str,
        driver: str,
        domain: Domain | None,
        position: Position,
        file_system: str,
        at: datetime,
    ) -> None:
        self.told.append(f"appended {position.offset} by {driver}")

    def closed(self, path: str, position: Position | None, file_system: str, at: datetime) -> None:
        self.told.append("closed")
        self.ends.append(position)

    def happened(self, path: str, event: LogEvent, file_system: str) -> None:
        assert file_system == "fs"
        self.events.append(event)


class Room:
    """A handler whose logs are recorded."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.notes = FakeNotes()
        self.looks: list[Callable[[], None]] = []
        self.recorder = Recorder(
            self.notes,
            REACTOR_THREAD,
            lambda one: self.looks.append(one.look),
            file_system_of=lambda _: "fs",
        )
        world.handler.observer = self.recorder

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, without a look."""
        self.notes.moment += int(seconds * 1000)

    def look(self) -> bool:
        """Let a second pass, and then look, if that is wanted."""
        self.pass_seconds(1)
        looks, self.looks = self.looks, []
        for look in looks:
            look()
        return bool(looks)

    @property
    def marks(self) -> list[tuple[int, int | None, int]]:
        """What was noted of the only file."""
        (marks,) = self.notes.marks.values()
        return [(offset, *moments) for offset, moments in sorted(marks.items())]

    @property
    def kinds(self) -> list[tuple[str, int | None]]:
        """What happened."""
        return [(event.kind.value, event.bytes) for event in self.notes.events]


@pytest.fixture
def room(make_world: MakeWorld) -> Room:
    """A log of any size."""
    return Room(make_world())


def test_a_line_after_a_rest_is_between_two_marks(room: Room) -> None:
    """The file rested until it came, and from when it was seen to rest again."""
    guest = room.world.open()
    assert not room.look()
    assert room.notes.marks == {}
    guest.write(b"hello\n")
    room.world.position()
    assert room.marks == [(0, 1000, 2000)]
    assert room.look()
    assert room.look()
    assert room.marks == [(0, 1000, 2000), (6, 3000, 4000)]
    assert not room.look()
    room.pass_seconds(100)
    guest.write(b"again\n")
    room.world.position()
    assert room.marks == [(0, 1000, 2000), (6, 3000, 105_000)]


def test_a_busy_log_has_a_mark_for_some_kilobytes(room: Room) -> None:
    """And at most one a second."""
    guest = room.world.open()
    for _ in range(3):
        guest.write(b"x" * (MARKED_BYTES // 2))
        room.world.position()
        room.look()
    half = MARKED_BYTES // 2
    assert [offset for offset, *_ in room.marks] == [0, MARKED_BYTES]
    guest.write(b"x" * 10 * MARKED_BYTES)
    room.world.position()
    room.look()
    room.look()
    assert [offset for offset, *_ in room.marks] == [0, MARKED_BYTES, 3 * half + 10 * MARKED_BYTES]


def test_one_that_is_silent_costs_nothing(room: Room) -> None:
    """It is opened and closed, and its file was never asked for."""
    guest = room.world.open()
    guest.end()
    room.world.reactor.run()
    assert (room.notes.marks, room.notes.keys, room.looks) == ({}, [], [])
    assert room.notes.told == ["opened", "closed"]


def test_each_file_of_a_rotation_has_its_end(make_world: MakeWorld) -> None:
    """However many came between two looks."""
    room = Room(make_world(100, 2))
    guest = room.world.open()
    guest.write(b"x" * 350)
    room.world.position()
    room.look()
    room.look()
    notes = room.notes
    assert [max(marks) for marks in notes.marks.values()] == [100, 100, 100, 50]
    assert len(set(notes.keys)) == 4
    assert notes.ended == [1, 2, 3]
    assert notes.gone == notes.keys[:1]


def test_openings_and_closings(room: Room) -> None:
    """With who opened it, and where it began and ended."""
    guest = room.world.open()
    guest.write(b"one\n")
    guest.end()
    room.world.reactor.run()
    room.world.open(domain=STRANGER)
    path = room.world.path
    begun = [(path, offset, domain) for path, offset, _, domain in room.notes.openings]
    first, second = (position for _, position, _ in begun)
    assert (first.offset, second.offset) == (0, 4)
    assert [domain for *_, domain in begun] == [DOMAIN, STRANGER]
    assert path == room.world.path
    assert [end and end.offset for end in room.notes.ends] == [4]
    assert room.notes.told == ["opened", "closed", "opened"]
    assert room.marks == [(0, 1000, 1000), (4, 1000, 1000)]


def test_files_that_were_removed(room: Room) -> None:
    """By a truncating open."""
    room.world.append(b"before\n")
    room.world.open(truncate=True)
    assert room.notes.told == ["appended 7 by qemu", "emptied", "opened"]


def test_a_log_that_was_removed(room: Room) -> None:
    """Nothing is kept of it."""
    room.world.append(b"x")
    room.world.handler.remove(room.world.path)
    assert room.notes.told == ["appended 1 by qemu", "emptied"]


def test_a_guest_that_follows_another(room: Room) -> None:
    """It is another opening, after all of the former one's output."""
    first = room.world.open()
    first.write(b"first\n")
    room.world.open()
    assert room.notes.told == ["opened", "closed", "opened"]
    assert [end and end.offset for end in room.notes.ends] == [6]
    assert [position.offset for _, position, *_ in room.notes.openings] == [0, 6]


def test_a_cut(room: Room) -> None:
    """What was known of the file is known no more."""
    guest = room.world.open()
    guest.write(b"x" * 100)
    room.world.position()
    os.truncate(room.world.path, 10)
    guest.write(b"y")
    room.world.position()
    room.look()
    room.look()
    assert room.notes.was_cut == [1]
    assert ("cut", 90) in room.kinds
    assert [offset for offset, *_ in room.marks] == [10, 11]


def test_an_outage(make_world: MakeWorld) -> None:
    """What was dropped is told once a second, and before the end of it."""
    room = Room(make_world(pipe_size=4096))
    world = room.world
    guest = world.open()
    log = world.handler.open_logs()[0]
    log.pipe_failed()
    guest.write_without_blocking(b"x" * 100_000)
    for _ in range(20):
        world.clock.advance(0.5)
    assert room.look()
    kinds = [kind for kind, _ in room.kinds]
    assert (kinds[0], kinds[-1]) == ("outage", "recovered")


def test_a_message_to_a_log_that_is_not_open(room: Room) -> None:
    """Its end is known."""
    room.world.append(b"hello\n")
    room.pass_seconds(5)
    room.world.append(b"again\n")
    assert room.notes.marks == {1: {6: (1000, 1000)}, 2: {12: (6000, 6000)}}
    assert len(set(room.notes.keys)) == 1


def test_what_was_there_before_came_before_the_file_was_written_last(room: Room) -> None:
    """Nobody may have noted it."""
    Path(room.world.path).write_bytes(b"before\n")
    guest = room.world.open()
    room.pass_seconds(5)
    guest.write(b"hello\n")
    room.world.position()
    assert room.marks == [(7, None, 6000)]


def test_nothing_is_noted_of_times_if_that_is_not_wanted(room: Room) -> None:
    """Until it is; openings are, all the same."""
    guest = room.world.open()
    room.recorder.record(False)
    guest.write(b"hello\n")
    room.world.position()
    assert not room.look() or not room.look()
    assert (room.notes.marks, room.notes.told) == ({}, ["opened"])
    room.recorder.record(True)
    room.pass_seconds(5)
    guest.write(b"again\n")
    room.world.position()
    room.look()
    room.look()
    assert [offset for offset, *_ in room.marks] == [6, 12]


def test_the_end_of_the_process(room: Room, tmp_path: Path) -> None:
    """What a busy log has is marked before another process goes on."""
    guest = room.world.open()
    guest.write(b"hello\n")
    room.world.position()
    room.pass_seconds(1)
    room.recorder.flush()
    assert max(room.marks) == (6, 2000, 2000)


def test_other_settings_hold(make_world: MakeWorld) -> None:
    """As many files are kept as they say."""
    room = Room(make_world(100, 0))
    guest = room.world.open()
    room.world.handler.reload(log_settings(100, 5), 64 * 1024)
    guest.write(b"x" * 250)
    room.world.position()
    room.look()
    assert len(room.notes.keys) == 3
    assert room.notes.gone == []
