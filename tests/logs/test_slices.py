"""What is long by itself is done in slices, between which the logs go on changing."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World
from twisted_virtlog.logs.files import reader
from twisted_virtlog.logs.files.reader import PIECE_BYTES
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.handler import LogSettings
from twisted_virtlog.logs.policy import Policy
from twisted_virtlog.values import Domain, Excerpt, LogStatus, Position

MANY = 150
MOST = 4096 * KIB


def later(world: World, answer: object, slices: int | None = None) -> list[object]:
    """Return a list that will have what an answer is in the end."""
    assert isinstance(answer, Deferred)
    found: list[object] = []
    answer.addBoth(found.append)
    assert not found
    for _ in range(slices or 0):
        assert world.slices.take()
    return found


def paths(found: list[object]) -> list[str]:
    """Return the paths of a list of logs."""
    (logs,) = found
    assert isinstance(logs, Sequence)
    assert all(isinstance(log, LogStatus) for log in logs)
    return [log.path for log in logs]


@pytest.fixture
def many(make_world: MakeWorld) -> World:
    """Open many logs, not in order."""
    world = make_world(pipe_size=4 * KIB)
    for number in range(MANY):
        world.open(named(world, number * 37 % MANY))
    world.slices.later = True
    return world


def named(world: World, number: int) -> str:
    """Return the path of one of many logs."""
    return str(world.directory / f"{number:03}.log")


def test_many_logs_are_looked_at_in_slices(many: World) -> None:
    """Sorted by path, as few are, which take one step."""
    found = later(many, many.handler.logs())
    assert many.slices.take_all() >= MANY // 32
    assert paths(found) == [named(many, number) for number in range(MANY)]


def test_logs_that_end_or_open_meanwhile(many: World) -> None:
    """Each that was open all the time is there, once; of others, those that still were."""
    found = later(many, many.handler.logs(), slices=2)
    first, last = named(many, 0), named(many, MANY - 1)
    many.handler.close_log(first)
    many.handler.close_log(last)
    for name in ("000a.log", "zzz.log"):
        many.open(str(many.directory / name))
    many.slices.take_all()
    listed = paths(found)
    assert listed == sorted(set(listed))
    assert last not in listed
    assert set(listed) >= {named(many, number) for number in range(1, MANY - 1)}


@pytest.mark.parametrize("name", ["000a.log", "zzz.log"])
@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("by_link", [False, True])
def test_a_log_that_gets_another_guest_meanwhile(
    name: str, truncate: bool, by_link: bool, many: World
) -> None:
    """It is listed once, by a path of either, whether its turn was over or is still to come."""
    path = f"{many.directory}/{name}"
    guest = many.open(path)
    link = many.directory / "link"
    link.symlink_to(many.directory)
    second = f"{link}/{name}" if by_link else path
    found = later(many, many.handler.logs(), slices=2)
    guest.end()
    many.open(second, truncate)
    many.slices.take_all()
    listed = paths(found)
    assert listed == sorted(listed)
    files = [os.path.realpath(one) for one in listed]
    assert sorted(files) == sorted([path, *(named(many, number) for number in range(MANY))])


def test_all_logs_may_end_meanwhile(many: World) -> None:
    """As when the daemon stops."""
    found = later(many, many.handler.logs(), slices=1)
    many.close()
    many.slices.take_all()
    assert len(paths(found)) <= 32


LINES = b"".join(b"%09d\n" % number for number in range(100_000))


def reading(world: World, position: Position | None = None) -> list[object]:
    """Begin a long read, and do its first slice."""
    return later(world, world.handler.read(world.path, position, MOST))


def text(found: list[object]) -> Excerpt:
    """Return what was read."""
    (excerpt,) = found
    if isinstance(excerpt, Failure):
        excerpt.raiseException()
    assert isinstance(excerpt, Excerpt)
    return excerpt


@pytest.fixture(params=[0, 300 * KIB])
def long(request: pytest.FixtureRequest, make_world: MakeWorld) -> World:
    """Write a long log, in one file or several."""
    world = make_world(request.param, 10)
    world.open()
    world.append(LINES)
    world.slices.later = True
    return world


def test_a_long_read_is_made_in_slices(long: World) -> None:
    """It is the same as one that is made at once; nothing is left open."""
    before = len(os.listdir("/proc/self/fd"))
    found = reading(long)
    assert long.slices.take_all() >= len(LINES) // PIECE_BYTES
    excerpt = text(found)
    assert excerpt.data == LINES
    assert max(map(len, excerpt.pieces)) <= PIECE_BYTES
    long.slices.later = False
    assert long.read(excerpt.start, MOST) == excerpt
    assert long.read(excerpt.end).data == b""
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_short_takes_no_slices(long: World) -> None:
    """Neither a read of little nor one at the end of much."""
    assert isinstance(long.handler.read(long.path, None, PIECE_BYTES), Excerpt)
    end = long.position()
    start = Position(end.inode, end.offset - 1000, end.birth)
    found = long.handler.read(long.path, start, MOST)
    assert isinstance(found, Excerpt)
    assert found.data == LINES[-1000:]


def test_lines_that_come_meanwhile_are_read_next(long: World) -> None:
    """Wherever they went: into the same file, or into new ones."""
    found = reading(long)
    long.append(LINES)
    long.slices.take_all()
    excerpt = text(found)
    long.slices.later = False
    following = long.read(excerpt.end, MOST)
    assert not following.gap
    assert excerpt.data + following.data == LINES * 2


def test_files_that_are_removed_meanwhile_are_read(make_world: MakeWorld) -> None:
    """What a rollover removes stays open."""
    world = make_world(400 * KIB, 1)
    world.open()
    world.append(LINES[: 700 * KIB])
    world.slices.later = True
    found = reading(world)
    world.append(LINES)
    world.slices.take_all()
    excerpt = text(found)
    assert excerpt.data in LINES
    assert len(excerpt.data) > 400 * KIB


def test_a_file_that_is_cut_meanwhile(make_world: MakeWorld) -> None:
    """Nothing that was written after the cut is taken for what was there before."""
    world = make_world()
    world.open()
    world.append(LINES)
    world.slices.later = True
    found = reading(world)
    os.truncate(world.path, 0)
    world.append(b"x" * 2 * len(LINES))
    world.slices.take_all()
    excerpt = text(found)
    assert LINES.startswith(excerpt.data)
    assert excerpt.data
    world.slices.later = False
    following = world.read(excerpt.end)
    assert following.gap
    assert following.start.offset == 0


def test_what_is_not_in_memory_is_read_in_a_thread(
    long: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was read before."""
    preadv, calls = os.preadv, []

    def not_cached(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) > 3:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return preadv(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reader.os, "preadv", not_cached)
    before = len(os.listdir("/proc/self/fd"))
    found = reading(long)
    long.threads.held = True
    long.slices.take_all()
    assert not found
    long.threads.run()
    assert text(found).data == LINES
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_read_that_fails_leaves_nothing_open(
    long: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says why."""
    before = len(os.listdir("/proc/self/fd"))
    found = reading(long)

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(reader.os, "preadv", broken)
    long.slices.take_all()
    with pytest.raises(Exception, match="Unable to read"):
        text(found)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_read_that_is_given_up_leaves_nothing_open(long: World) -> None:
    """As when an application stops the service in the middle."""
    before = len(os.listdir("/proc/self/fd"))
    found = reading(long)
    assert len(os.listdir("/proc/self/fd")) > before
    long.slices.waiting.clear()
    gc.collect()
    assert not found
    assert len(os.listdir("/proc/self/fd")) == before


def test_other_settings_come_to_many_logs_in_slices(many: World) -> None:
    """As resolving their policies takes long; those that end meanwhile are left alone."""
    asked: list[str] = []
    short = Policy(Limits(10, 1))

    def policy_of(path: str, driver: str | None, domain: Domain | None) -> Policy:
        asked.append(path)
        return short

    many.handler.reload(LogSettings(policy_of), 4 * KIB)
    assert len(asked) < MANY
    last = named(many, (MANY - 1) * 37 % MANY)
    many.handler.close_log(last)
    assert many.slices.take_all() >= MANY // 32 - 1
    assert set(asked) == {named(many, number) for number in range(MANY)} - {last}
    assert all(log.policy is short for log in many.handler.open_logs())
