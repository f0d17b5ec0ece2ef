"""What is noted of logs: when their bytes came, and what happened to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, STRANGER, World, log_settings
from twisted_virtlog.logs.observing import REACTOR_THREAD
from twisted_virtlog.logs.recording import MARKED_BYTES, FileKey, Recorder
from twisted_virtlog.values import Domain, EventKind, LogEvent, Position


class FakeNotes:
    """Keeps what is noted; moments are what a test says.

    :ivar marks: by file, by offset: from when to when.
    """

    def __init__(self) -> None:
        self.moment = 1000
        self.marks: dict[FileKey, dict[int, tuple[int, int]]] = {}
        self.cut: list[FileKey] = []
        self.files: list[tuple[FileKey, int]] = []
        self.told: list[str] = []
        self.events: list[LogEvent] = []
        self.openings: list[tuple[str, Position, str, Domain | None]] = []
        self.ends: list[Position] = []

    def now(self) -> int:
        return self.moment

    def mark(self, file: FileKey, offset: int, since: int, until: int) -> None:
        assert since <= until <= self.moment
        first = self.marks.setdefault(file, {}).get(offset, (since, until))[0]
        self.marks[file][offset] = (first, until)

    def was_cut(self, file: FileKey) -> None:
        self.cut.append(file)
        self.marks.pop(file, None)

    def goes_on_in(self, log: str, file: FileKey, most: int) -> None:
        self.files.append((file, most))

    def emptied(self, log: str) -> None:
        self.told.append("emptied")

    def opened(
        self,
        log: str,
        path: str,
        position: Position,
        opened_at: datetime,
        driver: str,
        domain: Domain | None,
    ) -> None:
        self.openings.append((path, position, driver, domain))

    def closed(self, log: str, closed_at: datetime, position: Position) -> None:
        self.ends.append(position)

    def appended(self, log: str, path: str) -> None:
        self.told.append(f"appended {path}")

    def happened(self, log: str, event: LogEvent) -> None:
        self.events.append(event)


class Room:
    """A handler whose logs are recorded."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.notes = FakeNotes()
        self.looks: list[Callable[[], None]] = []
        self.recorder = Recorder(
            self.notes, REACTOR_THREAD, lambda _: "fs", lambda one: self.looks.append(one.look)
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
    def marks(self) -> list[tuple[int, int, int]]:
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
    assert (room.notes.marks, room.notes.files, room.looks) == ({}, [], [])
    assert room.kinds == [("opened", None), ("closed", None)]


def test_each_file_of_a_rotation_has_its_end(make_world: MakeWorld) -> None:
    """However many came between two looks."""
    room = Room(make_world(100, 2))
    guest = room.world.open()
    guest.write(b"x" * 350)
    room.world.position()
    room.look()
    room.look()
    ends = [max(marks) for marks in room.notes.marks.values()]
    assert ends == [100, 100, 100, 50]
    assert [most for _, most in room.notes.files] == [3] * 4
    assert len({file for file, _ in room.notes.files}) == 4
    assert list(room.notes.marks) == [file for file, _ in room.notes.files]


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
    assert [end.offset for end in room.notes.ends] == [4]
    assert [kind for kind, _ in room.kinds] == ["opened", "closed", "opened"]
    assert max(room.marks) == (4, 1000, 1000)


def test_files_that_were_removed(room: Room) -> None:
    """By a truncating open."""
    room.world.append(b"before\n")
    room.world.open(truncate=True)
    assert room.notes.told == [f"appended {room.world.path}", "emptied"]


def test_a_guest_that_follows_another(room: Room) -> None:
    """It is another opening, after all of the former one's output."""
    first = room.world.open()
    first.write(b"first\n")
    room.world.open()
    assert [kind for kind, _ in room.kinds] == ["opened", "closed", "opened"]
    assert [end.offset for end in room.notes.ends] == [6]
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
    assert len(room.notes.cut) == 1
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
    assert kinds[:2] == ["opened", "outage"]
    assert kinds[-1] == EventKind.RECOVERED.value


def test_a_message_to_a_log_that_is_not_open(room: Room) -> None:
    """Its end is known."""
    room.world.append(b"hello\n")
    assert room.marks == [(6, 1000, 1000)]
    room.pass_seconds(5)
    room.world.append(b"again\n")
    assert room.marks == [(6, 1000, 1000), (12, 6000, 6000)]


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
    room = Room(make_world(100, 2))
    guest = room.world.open()
    room.world.handler.reload(log_settings(100, 5), 64 * 1024)
    guest.write(b"x")
    room.world.position()
    assert [most for _, most in room.notes.files] == [6]
