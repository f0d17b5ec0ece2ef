"""Logs that the daemon's next image goes on with, as if nothing had happened."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, World, copied, descriptors, of_the_direct_way, place
from tests.logs.test_failing import fail, files_end_at, pass_time
from twisted_virtlog.errors import NotWritten, SystemFailure
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs.files.rotation import Limits, roll_over_steps, unfinished_steps
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.pipes.sources import MessageSource
from twisted_virtlog.values import LogState, Position

Successor = Callable[[World], World]


@pytest.fixture
def successor() -> Iterator[Callable[..., World]]:
    """Make another image in the same directory, with the first one's logs."""
    with ExitStack() as stack:

        def make(world: World, **settings: Any) -> World:
            other = World(world.directory, **{"max_size": 0, "max_backups": 3, **settings})
            stack.callback(other.close)
            for state in world.handler.suspended():
                other.handler.adopt(copied(state))
            other.handler.add_totals(world.handler.totals())
            return other

        yield make


def test_a_log_goes_on(make_world: MakeWorld, successor: Callable[..., World]) -> None:
    """With what is in its pipe, its guest, its age and its counts."""
    world = make_world()
    guest = world.open()
    guest.write(b"before ")
    world.position()
    guest.write(b"between ")
    next_world = successor(world)
    assert next_world.status() == world.status()
    assert next_world.handler.counts() == world.handler.counts()
    assert next_world.position().offset == len("before between ")
    guest.write(b"after")
    next_world.reactor.run()
    assert next_world.text() == b"before between after"
    assert next_world.status().bytes_written == len("before between after")


def test_a_log_ends_with_its_guest_in_the_next_image(
    make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """Also when the guest ended in between, with output left."""
    world = make_world()
    guest = world.open()
    guest.write(b"last words")
    next_world = successor(world)
    guest.end()
    next_world.reactor.run()
    assert not next_world.is_open()
    assert next_world.text() == b"last words"


@of_the_direct_way
def test_a_failing_log_fails_on_and_tells_later(
    make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """The line that tells of missing bytes counts those of both images."""
    world = make_world(drops=True)
    with files_end_at(1000):
        guest = fail(world)
        pass_time(world, 5)
        guest.write(b"y" * 60_000)
        pass_time(world, 5)
        lost = world.status().lost_bytes
        assert lost
        next_world = successor(world, drops=True)
        assert next_world.status().state is LogState.FAILING
        assert next_world.status().lost_bytes == lost
    pass_time(next_world, 2)
    assert next_world.status().state is LogState.OPEN
    assert f"[virtlogd: {lost} bytes lost from ".encode() in next_world.text()
    guest.write(b"and on")
    next_world.reactor.run()
    assert next_world.text().endswith(b"and on")


def test_a_position_in_a_removed_file_means_none_in_a_new_one(
    make_world: MakeWorld, successor: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next image knows too which inodes were removed lately (ext4 gives them out again)."""
    monkeypatch.setattr("twisted_virtlog.logs.files.reuse._CALM_SECONDS", 0)
    world = make_world(max_size=10, max_backups=1)
    guest = world.open()
    inodes = [world.position().inode]
    for _ in range(2):
        for _ in range(3):
            guest.write(b"012345678\n")
            inodes.append(world.position().inode)
        world = successor(world, max_size=10, max_backups=1)
    guest.write(b"012345678\n")
    inodes.append(world.position().inode)
    assert len(set(inodes)) == world.status().rollovers + 1


@pytest.mark.parametrize("when", ["before", "during"])
def test_what_was_cut_is_known_to_the_next_image(
    when: str, make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """And so is a cut that comes between the two."""
    world = make_world(max_size=100, max_backups=2)
    guest = world.open()
    guest.write(b"0" * 100 + b"1" * 50)
    before = world.position()
    os.truncate(world.path, 0)
    if when == "before":
        guest.write(b"2" * 60)
        assert world.read(before).gap
    world = successor(world, max_size=100, max_backups=2)
    guest.write(b"3" * 20)
    excerpt = world.read(before)
    assert (excerpt.gap, excerpt.start) == (True, place_cut(world, world.position(), 0))
    oldest = world.read()
    assert oldest.data == b"0" * 100
    assert world.read(oldest.end).gap


def place_cut(world: World, here: Position, offset: int) -> Position:
    """Return a position in a log's current file, which was cut."""
    own = place(world.path, offset)
    assert here.birth.startswith(own.birth + "+")
    return Position(own.inode, offset, here.birth)


@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_a_file_that_is_gone_at_a_hand_over_is_a_gap(
    how: str, make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """The next image makes a new one, which does not follow the newest backup."""
    world = make_world(max_size=100, max_backups=2)
    guest = world.open()
    guest.write(b"0" * 100 + b"1" * 50)
    world.position()
    if how == "removed":
        os.unlink(world.path)
    else:
        os.rename(world.path, world.path + ".bak")
    world = successor(world, max_size=100, max_backups=2)
    guest.write(b"2")
    world.position()
    oldest = world.read()
    assert (oldest.data, oldest.gap) == (b"0" * 100, False)
    rest = world.read(oldest.end)
    assert (rest.data, rest.gap) == (b"2", True)


def test_an_end_that_was_rotated_away_is_known_to_the_next_image(
    make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """Nothing lies between it and the file that is kept."""
    world = make_world(max_size=100, max_backups=0)
    guest = world.open()
    guest.write(b"0" * 100)
    end = world.position()
    guest.write(b"1")
    world.position()
    world = successor(world, max_size=100, max_backups=0)
    excerpt = world.read(end)
    assert (excerpt.data, excerpt.gap) == (b"1", False)


@of_the_direct_way
@pytest.mark.parametrize("handed_over", [False, True])
def test_the_line_that_tells_of_missing_bytes_is_one_line(
    make_world: MakeWorld, successor: Callable[..., World], handed_over: bool
) -> None:
    """Whichever image writes it, nothing is put before it that the other would not."""
    line = b"a line\n"
    world = make_world(drops=True)
    with files_end_at(10 * len(line)):
        guest = fail(world, line * 400)
        pass_time(world, 5)
        guest.write(b"y" * 60_000)
        pass_time(world, 5)
        world = successor(world, drops=True) if handed_over else world
    pass_time(world, 2)
    assert world.status().state is LogState.OPEN
    assert world.text().startswith(line * 10 + b"[virtlogd: ")


def test_a_log_without_a_guest_goes_on_without_one(
    make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """The document, which is virtlogd's, always names one."""
    world = make_world()
    opened = world.handler.open(world.path, "none", None, truncate=False)
    next_world = successor(world)
    assert next_world.status() == world.status()
    assert next_world.status().domain is None
    os.close(opened.write_end)
    next_world.reactor.run()
    assert not next_world.is_open()


def test_a_file_that_cannot_be_opened_then_is_tried_again(
    make_world: MakeWorld, successor: Callable[..., World], tmp_path: Path
) -> None:
    """The log is listed as failing, and loses nothing."""
    world = make_world()
    directory = world.directory / "logs"
    directory.mkdir()
    path = str(directory / "guest.log")
    guest = world.open(path)
    Path(path).unlink()
    directory.rmdir()
    next_world = successor(world)
    assert next_world.status(path).state is LogState.FAILING
    assert next_world.status(path).position == Position(0, 0)
    guest.write(b"kept")
    directory.mkdir()
    pass_time(next_world, 2)
    assert next_world.status(path).state is LogState.OPEN
    assert next_world.text(path) == b"kept"


def test_a_file_that_cannot_be_opened_is_not_recovered_by_writing_nothing(
    make_world: MakeWorld, successor: Callable[..., World]
) -> None:
    """With nothing in the pipe, the log is failing with the reason until its file opens."""
    world = make_world()
    directory = world.directory / "logs"
    directory.mkdir()
    path = str(directory / "guest.log")
    world.open(path)
    Path(path).unlink()
    directory.rmdir()
    next_world = successor(world)
    for _ in range(3):
        pass_time(next_world, 1.1)
        assert next_world.status(path).state is LogState.FAILING
        assert "No such file or directory" in (next_world.status(path).error or "")
        with pytest.raises(NotWritten, match="No such file or directory") as caught:
            next_world.position(path)
        assert caught.value.errno == errno.ENOENT
    directory.mkdir()
    pass_time(next_world, 1.1)
    assert next_world.status(path).state is LogState.OPEN
    assert next_world.position(path) == place(path, 0)


def test_a_log_of_virtlogd_is_opened_at_its_end(make_world: MakeWorld) -> None:
    """It says no more of it than path and guest; two of its logs may be one file."""
    world = make_world()
    Path(world.path).write_bytes(b"virtlogd's ")
    ends = [os.pipe(), os.pipe()]
    other = world.path.replace("guest.log", "./guest.log")
    for (pipe, _), path in zip(ends, (world.path, other), strict=True):
        world.handler.adopt(OpenLogState(pipe, path, "qemu", DOMAIN.name, DOMAIN.uuid))
    assert world.status().domain == DOMAIN
    for _, write_end in ends:
        os.write(write_end, b"ours ")
    world.reactor.run()
    assert world.text() == b"virtlogd's ours ours "
    for _, write_end in ends:
        os.close(write_end)
        world.reactor.run()
    assert world.logs() == []
    world.open()


def test_what_is_no_pipe_is_refused_and_closed(world: World) -> None:
    """Nothing is left behind."""
    before = descriptors()
    file = os.open(os.devnull, os.O_RDONLY)
    for descriptor in (file, 999_999):
        with pytest.raises(SystemFailure):
            world.handler.adopt(OpenLogState(descriptor, world.path, "qemu"))
    assert descriptors() == before
    assert world.logs() == []
    world.open()


_LIMITS = Limits(100, 3)


@given(st.integers(0, 4), st.sets(st.integers(0, 2)))
def test_a_rollover_goes_on_where_it_stopped(
    tmp_path_factory: pytest.TempPathFactory, done: int, there: set[int]
) -> None:
    """Wherever that was: the files are those of a writer that was never interrupted."""
    kept = []
    for interrupted in (False, True):
        directory = tmp_path_factory.mktemp("rollover")
        log = directory / "guest.log"
        log.write_bytes(b"x" * 100)
        for number in there:
            (directory / f"guest.log.{number}").write_text(f"backup {number}")
        writer = Writer(str(log), _LIMITS)
        if interrupted:
            steps = roll_over_steps(str(log), _LIMITS.max_backups)
            writer.close()
            for step in steps[:done]:
                _carry_out(step)
            writer = Writer(str(log), _LIMITS, steps_left=len(steps) - done)
        writer.write(MessageSource(b"y" * 10), 10, chunk=10)
        writer.close()
        kept.append({path.name: path.read_bytes() for path in sorted(directory.iterdir())})
    assert kept[1] == kept[0]


def _carry_out(step: Any) -> None:
    if hasattr(step, "target"):
        if Path(step.source).exists():
            os.rename(step.source, step.target)
    else:
        Path(step.path).touch()


def test_fewer_backups_leave_no_step_that_was_not_there() -> None:
    """The configuration may have changed in between."""
    path = "/a.log"
    assert unfinished_steps(path, 1, 99) == roll_over_steps(path, 1)
    assert unfinished_steps(path, 1, 0) == []
    assert unfinished_steps(path, 3, 1) == roll_over_steps(path, 3)[-1:]
