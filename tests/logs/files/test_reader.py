"""Reading from a position on, through the files of the rotation."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.effort import examples
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import World, place
from twisted_virtlog.errors import NoSuchLog, SystemFailure
from twisted_virtlog.logs.files import writer as writer_module
from twisted_virtlog.logs.files.names import oldest_first
from twisted_virtlog.logs.files.reader import Reading, read_at_once
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.values import Excerpt, Position


def write_files(world: World, **sizes: int) -> dict[str, Position]:
    """Make files of a log, ``current`` and ``old0`` and so on; return where they begin."""
    starts = {}
    for name, size in sizes.items():
        path = world.path + name.replace("current", "").replace("old", ".")
        Path(path).write_bytes(name[-1:].encode() * size)
        starts[name] = place(path, 0)
    return starts


def at(start: Position, offset: int) -> Position:
    """Return a position in a file."""
    return Position(start.inode, offset, start.birth)


@pytest.mark.parametrize(
    ("max_bytes", "data"),
    [
        (768, b"1" * 256 + b"0" * 256 + b"t" * 256),
        (600, b"1" * 256 + b"0" * 256 + b"t" * 88),
        (256, b"1" * 256),
        (1, b"1"),
    ],
)
def test_reading_goes_on_in_newer_files(max_bytes: int, data: bytes, make_world: MakeWorld) -> None:
    """From the oldest byte kept, as much as asked for."""
    world = make_world(1000, 2)
    starts = write_files(world, old1=256, old0=256, current=256)
    excerpt = world.read(max_bytes=max_bytes)
    assert excerpt.data == data
    assert excerpt.start == starts["old1"]
    assert not excerpt.gap
    rest = world.read(excerpt.end)
    assert excerpt.data + rest.data == b"1" * 256 + b"0" * 256 + b"t" * 256
    assert rest.end == at(starts["current"], 256)


def test_reading_begins_within_a_backup(make_world: MakeWorld) -> None:
    """A position names its file by inode, whatever the file's name is now."""
    world = make_world(1000, 2)
    starts = write_files(world, old1=256, old0=256, current=256)
    start = at(starts["old0"], 100)
    excerpt = world.read(start)
    assert excerpt.data == b"0" * 156 + b"t" * 256
    assert (excerpt.start, excerpt.gap) == (start, False)


def test_files_beyond_one_that_is_missing_are_not_read(make_world: MakeWorld) -> None:
    """They would be taken for what came just before; the newest may be missing, though."""
    world = make_world(1000, 3)
    starts = write_files(world, old2=5, old0=5)
    assert world.read().data == b"0" * 5
    beyond = world.read(starts["old2"])
    assert (beyond.gap, beyond.start) == (True, starts["old0"])


@pytest.mark.parametrize("current", [999, 1000 - 80])
def test_what_may_be_an_interrupted_rollover_is_read(current: int, make_world: MakeWorld) -> None:
    """It leaves out one name, and the current file is full still; but nobody knows."""
    world = make_world(1000, 4)
    starts = write_files(world, old2=5, old1=5, current=current)
    excerpt = world.read(starts["old2"])
    assert (excerpt.data, excerpt.gap) == (b"2" * 5 + b"1" * 5, False)
    rest = world.read(excerpt.end)
    assert (rest.data, rest.gap, rest.start) == (b"t" * current, True, starts["current"])
    write_files(world, current=1000 - 81)
    assert world.read(starts["old2"]).gap


def test_backups_beyond_the_limit_are_not_read(make_world: MakeWorld) -> None:
    """What an earlier configuration left belongs to the log no more."""
    world = make_world(1000, 1)
    write_files(world, old1=5, old0=5, current=5)
    assert world.read().data == b"0" * 5 + b"t" * 5


def test_a_position_that_was_rotated_away_is_a_gap(make_world: MakeWorld) -> None:
    """Reading begins with the oldest byte kept, and says so."""
    world = make_world(1000, 2)
    starts = write_files(world, old0=5, current=5)
    excerpt = world.read(Position(max(start.inode for start in starts.values()) + 1000, 3))
    assert excerpt.gap
    assert excerpt.start == starts["old0"]
    assert excerpt.data == b"0" * 5 + b"t" * 5


@pytest.mark.parametrize("offset", [6, 2**31, 2**63 - 1, 2**64 - 1])
def test_a_position_beyond_the_end_is_a_gap(offset: int, make_world: MakeWorld) -> None:
    """A file cut from outside has newer bytes from its beginning on."""
    world = make_world(1000, 2)
    starts = write_files(world, old0=5, current=5)
    excerpt = world.read(at(starts["current"], offset))
    assert excerpt.gap
    assert excerpt.start == starts["current"]
    assert excerpt.data == b"t" * 5


def test_the_live_end(world: World) -> None:
    """At the end there is nothing, and it is where to go on; no byte follows a closed log's."""
    guest = world.open()
    guest.write(b"all")
    position = world.position()
    excerpt = world.read(position)
    assert (excerpt.data, excerpt.start, excerpt.end) == (b"", position, position)
    assert (excerpt.gap, excerpt.final) == (False, False)
    guest.end()
    world.reactor.run()
    assert world.read(position).final


def test_every_byte_survives(world: World) -> None:
    """NUL, bytes that are no UTF-8, newlines of any kind: all are read as written."""
    data = bytes(range(256)) * 4
    world.open().write(data)
    assert world.read().data == data


def test_no_file_no_log(world: World) -> None:
    """Where no file exists there is no log to read."""
    with pytest.raises(NoSuchLog, match="no file of the log"):
        world.read()


def test_what_cannot_be_read_is_named(world: World) -> None:
    """A directory is no log."""
    path = str(world.directory)
    with pytest.raises(SystemFailure, match=f"Unable to read from file {path}: Is a directory"):
        world.read(path=path)


def test_a_disk_that_cannot_be_read_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has the system's reason, and the files are closed."""

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    world.append(b"x")
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(SystemFailure, match="Input/output error") as caught:
        world.read()
    assert caught.value.errno == errno.EIO
    assert len(os.listdir("/proc/self/fd")) == before


def read_later(world: World, position: Position | None) -> Callable[[], Excerpt]:
    """Begin to read in a thread that has not run yet."""
    world.threads.held = True
    answer = world.handler.read(world.path, position, 1 << 20)
    assert isinstance(answer, Deferred)
    excerpts: list[Excerpt] = []
    answer.addCallback(excerpts.append)

    def run() -> Excerpt:
        world.threads.run()
        return excerpts[0]

    return run


@pytest.fixture
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a disk whose files are in no cache."""
    preadv = os.preadv

    def slow(file: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return preadv(file, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", slow)


@pytest.mark.usefixtures("nothing_cached")
def test_rotation_while_a_thread_reads_changes_nothing(make_world: MakeWorld) -> None:
    """The files are opened before the thread runs, so it reads them under whatever name."""
    world = make_world(100, 1)
    guest = world.open()
    guest.write(b"a" * 100 + b"b" * 100)
    finish = read_later(world, None)
    guest.write(b"c" * 100 + b"d" * 100 + b"e" * 100)
    world.position()
    excerpt = finish()
    assert excerpt.data == b"a" * 100 + b"b" * 100
    assert not excerpt.gap


@pytest.mark.usefixtures("nothing_cached")
def test_a_file_cut_while_a_thread_reads_gives_what_is_left(world: World) -> None:
    """Nothing is made up for bytes that are gone."""
    world.open().write(b"0123456789")
    finish = read_later(world, None)
    os.truncate(world.path, 4)
    excerpt = finish()
    assert excerpt.data == b"0123"
    assert excerpt.end.offset == 4


def test_a_thread_is_used_only_when_the_disk_must_be_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory is answered at once; what is there in part only is read by a thread."""
    preadv = os.preadv

    def half(file: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT and offset >= 4:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return preadv(file, [memoryview(buffers[0])[: 4 - offset]] if flags else buffers, offset)

    guest = world.open()
    guest.write(b"0123")
    monkeypatch.setattr(os, "preadv", half)
    assert world.read().data == b"0123"
    assert world.threads.used == 0
    guest.write(b"456789")
    assert world.read().data == b"0123456789"
    assert world.threads.used == 1


def rotated(make_world: MakeWorld) -> tuple[World, Writer]:
    """Open a log that has four files, each with other bytes; return what writes them, too."""
    world = make_world(100, 3)
    guest = world.open()
    for letter in b"abcd":
        guest.write(bytes([letter]) * 80 + b"\n")
        world.position()
    return world, world.handler._logs[world.path].writer


def test_a_few_bytes_of_one_file_are_read_as_all_others(make_world: MakeWorld) -> None:
    """By a reader who knows no births, as far as no other file is needed."""
    world, writer = rotated(make_world)
    for name, size in [(name, os.path.getsize(name)) for name in oldest_first(world.path, 3)]:
        for offset in range(size + 2):
            for count in (1, 20, 100):
                start = Position(os.stat(name).st_ino, offset)
                excerpt = read_at_once(world.path, writer.limits, start, count, writer)
                assert (excerpt is None) == (offset + count > size)
                if excerpt is not None:
                    reading = Reading(world.path, writer.limits, start, writer)
                    assert excerpt == reading.read_and_close(count)


def test_a_few_bytes_of_one_file_open_no_other(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those before nor those after it."""
    world, _ = rotated(make_world)
    opened: list[str] = []
    openat = os.open

    def look(path: str, *arguments: int) -> int:
        opened.append(path)
        return openat(path, *arguments)

    start = Position(os.stat(world.path + ".1").st_ino, 3)
    monkeypatch.setattr(os, "open", look)
    assert world.read(start, 5).data == b"b" * 5
    assert opened == [world.path + ".1"]


def test_nobody_asks_for_each_piece_whether_there_is_a_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known while the log is open, of files on the same file system."""
    guest = world.open()
    guest.write(b"abcdef")
    asked: list[int] = []
    monkeypatch.setattr(writer_module, "is_in_memory", lambda file: asked.append(file) is None)
    monkeypatch.setattr(os, "preadv", lambda *_: pytest.fail("it was asked for a piece"))
    assert [world.read(guest.position).data for _ in range(3)] == [b"abcdef"] * 3
    assert len(asked) == 1


@pytest.mark.parametrize("what", ["moved", "missing", "link", "birth"])
def test_a_few_bytes_are_looked_for_in_all_files_in_case_of_doubt(
    what: str, make_world: MakeWorld
) -> None:
    """What another program did to the names changes nothing of what is read."""
    world, writer = rotated(make_world)
    start = place(world.path + ".1", 3)
    if what == "moved":
        os.rename(world.path, world.path + ".moved")
    elif what == "missing":
        os.remove(world.path + ".0")
    elif what == "link":
        os.rename(world.path + ".0", world.path + ".moved")
        os.symlink(world.path + ".moved", world.path + ".0")
    position = start if what == "birth" else Position(start.inode, start.offset)
    assert read_at_once(world.path, writer.limits, position, 5, writer) is None
    assert world.read(position, 5).data == b"b" * 5


parts = st.lists(st.binary(min_size=1, max_size=150), min_size=1, max_size=8)


@settings(max_examples=examples(25))
@given(writes=parts, max_bytes=st.integers(1, 300))
def test_from_each_position_the_rest_can_be_read(writes: list[bytes], max_bytes: int) -> None:
    """From each position ever given to the end, in pieces of any size, whatever rotated."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), 100, 32)
        guest = world.open()
        positions = [guest.position]
        for data in writes:
            guest.write(data)
            positions.append(world.position())
        whole = b"".join(writes)
        for index, position in enumerate(positions):
            rest, here = b"", position
            while (excerpt := world.read(here, max_bytes)).data:
                assert (excerpt.start, excerpt.gap) == (here, False)
                assert len(excerpt.data) <= max_bytes
                rest, here = rest + excerpt.data, excerpt.end
            assert rest == b"".join(writes[index:])
            assert here == positions[-1]
        assert world.read().data == whole
        world.close()
