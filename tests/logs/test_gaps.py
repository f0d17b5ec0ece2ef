"""A reader is told of every gap: whatever happens to a log's files, it skips nothing in silence."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.effort import examples
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World, log_settings, place
from twisted_virtlog.values import LogState, Position


def set_backups(world: World, max_backups: int, max_size: int = 100) -> None:
    """Let another number of backups hold, as a changed configuration does."""
    world.max_backups = max_backups
    world.handler.reload(log_settings(max_size, max_backups), 64 * 1024)


def read_on(world: World, position: Position | None) -> list[tuple[bool, bytes]]:
    """Read to the end; return what each read gave, and whether it said that bytes are missing."""
    found = []
    while True:
        excerpt = world.read(position)
        if found and not excerpt.data and not excerpt.gap:
            return found
        found.append((excerpt.gap, excerpt.data))
        position = excerpt.end


def line(number: int) -> bytes:
    """Return a line of 10 bytes."""
    return b"%09d\n" % number


def lines(first: int, end: int) -> bytes:
    """Return the lines from one to before another."""
    return b"".join(line(number) for number in range(first, end))


def test_a_read_across_files_that_were_left_behind_says_so(make_world: MakeWorld) -> None:
    """Fewer backups for a time, then more again: the old ones end where they were left."""
    world = make_world(100, 6)
    guest = world.open()
    guest.write(lines(0, 70))
    start = world.position()
    oldest = world.read().start
    assert [len(data) for data in world.files().values()] == [100] * 7
    set_backups(world, 2)
    guest.write(lines(70, 200))
    world.position()
    set_backups(world, 6)
    assert read_on(world, oldest) == [(False, lines(0, 40)), (True, lines(170, 200))]
    assert read_on(world, start)[0][0]
    # What was left behind moves up with the others, and is at its end still.
    guest.write(lines(200, 220))
    world.position()
    assert read_on(world, None) == [(False, lines(20, 40)), (True, lines(170, 220))]
    # So it is when the log is closed, and opened by another daemon.
    guest.end()
    world.reactor.run()
    assert read_on(world, None) == [(False, lines(20, 40)), (True, lines(170, 220))]


def test_backups_that_no_backups_left_behind(make_world: MakeWorld) -> None:
    """With max_backups = 0 every file replaces the one before it."""
    world = make_world(100, 1)
    guest = world.open()
    guest.write(lines(0, 20))
    world.position()
    set_backups(world, 0)
    guest.write(lines(20, 45))
    world.position()
    set_backups(world, 2)
    assert read_on(world, None) == [(False, lines(0, 10)), (True, lines(40, 45))]


def test_a_backup_that_is_missing_parts_the_files(make_world: MakeWorld) -> None:
    """What stands above it is not continued by what comes to stand below it."""
    world = make_world(100, 3)
    guest = world.open()
    guest.write(lines(0, 35))
    world.position()
    os.unlink(world.path + ".1")
    assert read_on(world, None) == [(False, lines(20, 35))]
    guest.write(lines(35, 45))
    world.position()
    assert read_on(world, None) == [(False, lines(0, 10)), (True, lines(20, 45))]


def test_a_file_above_a_hole_does_not_join_the_others(make_world: MakeWorld) -> None:
    """The files below move up and close the hole; the one at the top stays, as under virtlogd."""
    world = make_world(100, 3)
    guest = world.open()
    guest.write(lines(0, 35))
    world.position()
    os.unlink(world.path + ".0")
    os.unlink(world.path + ".1")
    for end in (45, 55):
        guest.write(lines(end - 10, end))
        world.position()
    assert sorted(world.files()) == ["", ".0", ".1", ".2"]
    assert read_on(world, None) == [(False, lines(0, 10)), (True, lines(30, 55))]


def test_a_cut_parts_the_files(make_world: MakeWorld) -> None:
    """What the tool cut is missing between the newest backup and what comes now."""
    world = make_world(100, 2)
    guest = world.open()
    guest.write(lines(0, 15))
    before = world.position()
    os.truncate(world.path, 0)
    assert read_on(world, before) == [(True, b"")]
    guest.write(lines(15, 18))
    after = world.position()
    assert after.inode == before.inode
    assert after.birth.startswith(before.birth + "+")
    for position in (before, replace_offset(before, 0), replace_offset(before, 30)):
        excerpt = world.read(position)
        assert (excerpt.gap, excerpt.start.offset) == (True, 0)
        assert excerpt.data == lines(15, 18)
    assert read_on(world, None) == [(False, lines(0, 10)), (True, lines(15, 18))]
    assert read_on(world, replace_offset(after, 10)) == [(False, lines(16, 18))]
    # As a backup it has the birth that it had.
    guest.write(lines(18, 27))
    world.position()
    assert read_on(world, replace_offset(after, 10)) == [(False, lines(16, 27))]
    assert world.read(before).gap


def replace_offset(position: Position, offset: int) -> Position:
    """Return another position in the same file."""
    return Position(position.inode, offset, position.birth)


@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_a_current_file_that_is_gone_parts_the_files(how: str, make_world: MakeWorld) -> None:
    """What it held is missing between the backups and what comes now."""
    world = make_world(100, 3)
    guest = world.open()
    guest.write(lines(0, 15))
    before = world.position()
    if how == "removed":
        os.unlink(world.path)
        guest.write(lines(15, 18))
    else:
        os.rename(world.path, world.path + ".moved")
        guest.write(lines(15, 28))
    world.position()
    kept = lines(15, 18) if how == "removed" else lines(20, 28)
    assert world.text() == kept
    assert world.read(before).gap
    backup = ".0" if how == "removed" else ".1"
    assert read_on(world, place(world.path + backup, 50)) == (
        [(False, lines(5, 10)), (True, kept)] if how == "removed" else [(True, kept)]
    )


def test_a_position_at_the_end_of_a_file_that_was_rotated_away(make_world: MakeWorld) -> None:
    """There is no gap if the oldest file kept begins there, and that is known."""
    for backups in (0, 1, 2):
        world = make_world(100, backups)
        path = str(world.directory / f"{backups}.log")
        guest = world.open(path)
        guest.write(lines(0, 9))
        near = world.position(path)
        guest.write(line(9))
        end = world.position(path)
        assert end.offset == 100
        for number in range(1, backups + 2):
            guest.write(lines(10 * number, 10 * number + 10))
            world.position(path)
        excerpt = world.read(end, path=path)
        assert (excerpt.gap, excerpt.data) == (False, lines(10, 10 * backups + 20))
        assert world.read(near, path=path).gap
        # One file more, and what it held is missing.
        guest.write(line(0))
        world.position(path)
        assert world.read(end, path=path).gap


def test_an_open_log_is_read_from_the_file_that_it_writes(make_world: MakeWorld) -> None:
    """Whatever somebody calls it, or puts in its place."""
    world = make_world(100, 1)
    guest = world.open()
    guest.write(lines(0, 15))
    start = world.read().start
    os.rename(world.path, world.path + ".bak")
    assert read_on(world, start) == [(False, lines(0, 15))]
    guest.write(line(15))
    assert read_on(world, start) == [(False, lines(0, 16))]
    Path(world.path).write_bytes(b"another's")
    assert read_on(world, start) == [(False, lines(0, 16))]
    os.unlink(world.path + ".bak")
    assert read_on(world, world.position()) == [(False, b"")]


def test_a_truncating_open_gives_no_position_another_meaning(make_world: MakeWorld) -> None:
    """Not even one without a birth: the new file has another inode."""
    world = make_world(100, 2)
    guest = world.open()
    guest.write(lines(0, 25))
    positions = [world.read(max_bytes=size).end for size in (30, 130, 230)]
    guest.end()
    world.reactor.run()
    world.open(truncate=True).write(b"x" * 90)
    for position in positions:
        for one in (position, Position(position.inode, position.offset)):
            excerpt = world.read(one)
            assert (excerpt.gap, excerpt.start.offset, excerpt.data) == (True, 0, b"x" * 90)


@pytest.mark.parametrize("with_birth", [True, False])
def test_a_flood_gives_no_position_another_meaning(with_birth: bool, make_world: MakeWorld) -> None:
    """A log that rolls over many times a second: its inodes are kept taken for a while."""
    world = make_world(1000, 2)
    guest = world.open()
    first = guest.position
    assert first.birth
    for number in range(400):
        guest.write(b"%022d\n" % number)
        if number % 40 == 39:
            world.position()
    excerpt = world.read(first if with_birth else Position(first.inode, first.offset))
    assert excerpt.gap
    assert excerpt.data.startswith(b"%022d\n" % (400 - len(excerpt.data) // 23))


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_rollover_that_stands_still_is_no_gap(
    failing: int, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its steps fails, all files are read, and each of them once."""
    world = make_world(100, 2)
    guest = world.open()
    guest.write(lines(0, 30))
    start = world.read().start
    rename, open_file, calls = os.rename, os.open, itertools.count()

    def refused(*_: object, **_named: object) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(
        os, "rename", lambda *names: refused() if next(calls) >= failing else rename(*names)
    )
    monkeypatch.setattr(
        os,
        "open",
        lambda path, flags, *more, **named: (
            refused()
            if flags & os.O_CREAT and path == world.path
            else open_file(path, flags, *more, **named)
        ),
    )
    guest.write(lines(30, 35))
    assert world.status().state is LogState.OPEN
    # (a rollover that has begun has let go of the oldest)
    kept = read_on(world, None)
    assert world.status().state is LogState.FAILING
    assert [gap for gap, _ in kept] == [False]
    assert lines(10, 30) in kept[0][1]
    assert b"".join(data for _, data in kept).count(line(29)) == 1
    monkeypatch.undo()
    world.clock.pump([0.5] * 5)
    assert world.status().state is LogState.OPEN
    assert read_on(world, None) == [(False, lines(10, 35))]
    assert read_on(world, start)[0][0]


def test_without_a_birth_all_files_are_one_text(make_world: MakeWorld) -> None:
    """libvirt's clients cannot be told of gaps; they read as with virtlogd."""
    world = make_world(100, 4)
    guest = world.open()
    guest.write(lines(0, 35))
    start = world.read().start
    os.truncate(world.path, 0)
    guest.write(line(35))
    world.position()
    os.unlink(world.path + ".1")
    without = Position(start.inode, start.offset)
    assert read_on(world, without) == [(False, lines(0, 10) + lines(20, 30) + line(35))]
    assert read_on(world, start) == [(True, lines(20, 30)), (True, line(35))]


@dataclass
class Known:
    """A position, and the index of its byte in all that was written."""

    position: Position
    index: int


class Gaps(RuleBasedStateMachine):
    """Everything that may happen to files; readers that read on from where they were."""

    @initialize(backups=st.integers(0, 4))
    def start(self, backups: int) -> None:
        """Open a log."""
        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name), 100, backups)
        self.written = b""
        self.numbers = itertools.count()
        self.guest = self.world.open()
        self.readers = [Known(self.guest.position, 0)]
        self.cut_files = False

    def teardown(self) -> None:
        """Stop."""
        if hasattr(self, "world"):
            self.world.close()
            self.directory.cleanup()

    @rule(count=st.integers(1, 25))
    def write(self, count: int) -> None:
        """The guest writes lines that are all different."""
        data = b"".join(line(next(self.numbers)) for _ in range(count))
        self.guest.write(data)
        self.written += data
        self.readers.append(Known(self.world.position(), len(self.written)))

    @rule(backups=st.integers(0, 5))
    def set_backups(self, backups: int) -> None:
        """The configuration changes."""
        set_backups(self.world, backups)

    @rule(number=st.integers(0, 4))
    def remove_backup(self, number: int) -> None:
        """Somebody removes a backup."""
        Path(f"{self.world.path}.{number}").unlink(missing_ok=True)

    @rule()
    def cut(self) -> None:
        """Somebody empties the file."""
        self._outside(lambda: os.truncate(self.world.path, 0))
        self.cut_files = True

    @rule()
    def remove(self) -> None:
        """Somebody removes the file."""
        self._outside(lambda: os.unlink(self.world.path))

    @rule()
    def move_away(self) -> None:
        """Somebody renames the file."""
        self._outside(lambda: os.rename(self.world.path, self.world.path + ".bak"))

    def _outside(self, act: Callable[[], None]) -> None:
        if os.path.exists(self.world.path):
            act()

    @rule(truncate=st.booleans())
    def reopen(self, truncate: bool) -> None:
        """The guest ends, and is started again."""
        self.guest.end()
        self.world.reactor.run()
        self.guest = self.world.open(truncate=truncate)
        if self.cut_files:
            # What was cut is known as long as the log is open.
            self.readers = [Known(self.guest.position, len(self.written))]
        self.cut_files = False

    @rule(which=st.integers(0, 1000), most=st.integers(1, 60))
    def read(self, which: int, most: int) -> None:
        """A reader reads on."""
        reader = self.readers[which % len(self.readers)]
        excerpt = self.world.read(reader.position, 10 * most)
        index = reader.index
        if excerpt.gap:
            if not excerpt.data:
                return
            index = self.written.index(excerpt.data[:10])
        assert self.written[index : index + len(excerpt.data)] == excerpt.data
        reader.position, reader.index = excerpt.end, index + len(excerpt.data)

    @invariant()
    def reads_from_the_oldest_are_whole(self) -> None:
        """Whoever reads all is told of each gap."""
        if not hasattr(self, "world"):
            return
        position, index = None, None
        for _ in range(20):
            excerpt = self.world.read(position)
            if excerpt.data:
                if index is None or excerpt.gap:
                    index = self.written.index(excerpt.data[:10])
                assert self.written[index : index + len(excerpt.data)] == excerpt.data
                index += len(excerpt.data)
            elif position is not None and not excerpt.gap:
                return
            position = excerpt.end


TestGaps = Gaps.TestCase
TestGaps.settings = settings(max_examples=examples(50), stateful_step_count=30)
