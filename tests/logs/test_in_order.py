"""What takes more than a share of time: others are served meanwhile, and nothing is exchanged."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.effort import examples
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import DOMAIN, DRIVER, Guest, World
from tests.logs.model import Model
from twisted_virtlog.errors import LogBusy, NoSuchLog, NotWritten
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.outage import RETRY_SECONDS
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.values import Closed, Excerpt, Opened, Position

OUTPUT = bytes(b"abcdefghijklmnopqrstuvwxyz" * 4)


class Ticks:
    """A clock that passes a share of time when it is told to.

    :ivar steps: for each time that it is asked, whether time has passed since.
    """

    def __init__(self, steps: Iterable[bool]) -> None:
        self._steps = itertools.cycle(steps)
        self._now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        self._now += next(self._steps)
        return self._now


@pytest.fixture
def slow(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    """Each step of a rollover takes a share of time; a byte fills a file."""
    monkeypatch.setattr(Writer, "seconds", Ticks([True]))
    world = make_world(1, 2)
    world.slices.later = True
    return world


def asked(answer: object) -> list[object]:
    """Return a list that will have what an answer is in the end."""
    assert isinstance(answer, Deferred)
    found: list[object] = []
    answer.addBoth(found.append)
    assert not found
    return found


def failed(found: list[object]) -> type[BaseException]:
    """Return what kind of error somebody was told."""
    (failure,) = found
    assert isinstance(failure, Failure)
    assert failure.type is not None
    return failure.type


def written(world: World) -> int:
    """Return how many bytes the log's guest has in files."""
    return world.status().bytes_written


long_output = st.tuples(
    st.lists(st.integers(0, 90), max_size=20).map(lambda runs: b"\n".join(b"x" * n for n in runs)),
    st.integers(1, 5),
).map(lambda part: part[0] * part[1])


@pytest.mark.lengthy
@settings(max_examples=examples(100))
@given(
    data=long_output,
    max_size=st.integers(1, 1200) | st.sampled_from([1, 80, 81, 1023, 1024, 1025]),
    max_backups=st.integers(0, 3),
    steps=st.lists(st.booleans(), min_size=1, max_size=20),
    way=st.sampled_from(["turns", "position", "append", "slices"]),
)
def test_it_does_not_matter_where_the_time_is_up(
    data: bytes, max_size: int, max_backups: int, steps: list[bool], way: str
) -> None:
    """The files are those of a write that never stops, also in the middle of a chunk."""
    max_size = max(max_size, len(data) // 200)
    data = bytes(10 if byte == 10 else 11 + index % 241 for index, byte in enumerate(data))
    model = Model(max_size, max_backups, {"": b""})
    with (
        tempfile.TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        world = World(Path(directory), max_size, max_backups)
        patch.setattr(Writer, "seconds", Ticks(steps))
        guest = world.open()
        if way == "append":
            world.append(data)
            model.chunk(data)
        else:
            guest.write(data)
            model.pipe(data)
        if way == "turns":
            world.reactor.run()
        elif way == "position":
            world.position()
        elif way == "slices":
            # The watch has begun, and somebody who asks goes on in the middle.
            world.slices.later = True
            world.reactor.turn()
            world.position()
            world.slices.take_all()
        found = world.files()
        world.close()
    assert found == model.files


def test_a_piece_of_time_is_a_piece(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch is told that more waits, as after a whole piece, so that it does not rest."""
    monkeypatch.setattr(Writer, "seconds", Ticks([True]))
    world = make_world(1, 2)
    world.open().write(OUTPUT)
    (log,) = world.handler._logs.values()
    assert log.pipe_ready() == PIECE_BYTES
    assert 0 < written(world) < len(OUTPUT)
    world.reactor.run()
    assert written(world) == len(OUTPUT)


def test_others_are_answered_before_a_flood_is_written(slow: World) -> None:
    """A position in one log waits for no rollover of another."""
    slow.open().write(OUTPUT)
    other = str(slow.directory / "other.log")
    slow.open(other).write(b"1")
    found = asked(slow.position())
    assert isinstance(slow.position(other), Position)
    assert not found
    assert slow.slices.take_all() > len(OUTPUT)
    assert found == [slow.status().position]
    assert written(slow) == len(OUTPUT)


def test_a_position_covers_what_was_there_and_no_more(slow: World) -> None:
    """However much the guest writes meanwhile; that comes later."""
    guest = slow.open()
    guest.write(OUTPUT)
    found = asked(slow.position())
    covered = []
    while not found:
        guest.write(b"!")
        slow.reactor.turn()
        assert slow.slices.take()
        covered.append(written(slow))
    assert covered[-1] == len(OUTPUT)
    slow.slices.take_all()
    slow.reactor.run()
    assert written(slow) == len(OUTPUT) + len(covered)


def test_two_positions_each_cover_what_was_there_when_they_were_asked(slow: World) -> None:
    """The second one does not start over."""
    guest = slow.open()
    guest.write(OUTPUT)
    first = asked(slow.position())
    guest.write(b"12345")
    second = asked(slow.position())
    covered: dict[str, int] = {}
    while not second:
        guest.write(b"!")
        assert slow.slices.take()
        if first:
            covered.setdefault("first", written(slow))
    covered["second"] = written(slow)
    assert covered == {"first": len(OUTPUT), "second": len(OUTPUT) + 5}
    assert first != second


def test_messages_are_written_in_the_order_in_which_they_came(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each after what was in the pipe, before what came later, and as a whole."""
    monkeypatch.setattr(Writer, "seconds", Ticks([True]))
    world = make_world(3, 32)
    world.slices.later = True
    guest = world.open()
    guest.write(b"before--")
    first = asked(world.append(b"<first message>"))
    guest.write(b"between")
    second = asked(world.append(b"<second message>"))
    guest.write(b"after")
    world.reactor.turn()
    world.slices.take_all()
    world.reactor.run()
    assert world.whole() == b"before--<first message>between<second message>after"
    assert isinstance(first[0], Position)
    assert isinstance(second[0], Position)


def test_a_long_message_is_appended_in_slices_to_a_log_that_is_not_open(slow: World) -> None:
    """Whoever opens the log meanwhile waits, and does not write between."""
    message = b"<a message>"
    found = asked(slow.append(message))
    opened = asked(slow.handler.open(slow.path, DRIVER, DOMAIN, False))
    with pytest.raises(NoSuchLog):
        slow.position()
    slow.slices.take_all()
    assert isinstance(found[0], Position)
    (result,) = opened
    assert isinstance(result, Opened)
    assert result.position.offset == 1
    os.close(result.write_end)


def test_a_read_waits_for_the_rest_of_what_was_there(slow: World) -> None:
    """It has all that the guest had written."""
    slow.open().write(OUTPUT)
    found = asked(slow.handler.read(slow.path, None, 100))
    slow.slices.take_all()
    (excerpt,) = found
    assert isinstance(excerpt, Excerpt)
    assert excerpt.data == OUTPUT[-3:]


def test_a_log_is_closed_after_what_was_asked_before(slow: World) -> None:
    """What is asked later finds that it is not open."""
    guest = slow.open()
    guest.write(OUTPUT)
    position = asked(slow.position())
    closed = asked(slow.handler.close_log(slow.path))
    late = [asked(slow.position()), asked(slow.handler.close_log(slow.path))]
    slow.slices.take_all()
    assert isinstance(position[0], Position)
    assert closed == [Closed(position[0], 0)]
    assert [failed(one) for one in late] == [NoSuchLog, NoSuchLog]
    slow.close_pipes()
    with pytest.raises(BrokenPipeError):
        guest.write(b"!")
    assert not slow.is_open()


@pytest.mark.parametrize("truncate", [False, True])
def test_a_log_whose_guest_is_gone_is_opened_once(slow: World, truncate: bool) -> None:
    """The path is taken while the former guest's output is written."""
    guest = slow.open()
    guest.write(OUTPUT)
    guest.end()
    first = asked(slow.handler.open(slow.path, DRIVER, DOMAIN, truncate))
    second = asked(slow.handler.open(slow.path, DRIVER, None, truncate))
    position = asked(slow.position())
    slow.slices.take_all()
    (opened,) = first
    assert isinstance(opened, Opened)
    assert failed(second) is LogBusy
    assert position == [opened.position]
    assert len(slow.handler.logs()) == 1  # type: ignore[arg-type]
    assert slow.whole() == (b"" if truncate else OUTPUT[-3:])
    Guest(opened).write(b"1")
    slow.reactor.run()
    assert slow.whole()[-1:] == b"1"
    os.close(opened.write_end)


def test_a_busy_log_is_refused_at_once(slow: World) -> None:
    """However much is in its pipe."""
    slow.open().write(OUTPUT)
    with pytest.raises(LogBusy):
        slow.handler.open(slow.path, DRIVER, None, False)
    assert written(slow) == 0


def test_a_guest_that_comes_back_comes_after_its_former_output(slow: World) -> None:
    """Which another process may still hold the pipe of."""
    former = slow.open()
    former.write(OUTPUT)
    # (drained only in part before the pipe is exchanged)
    follower = asked(slow.handler.open(slow.path, DRIVER, DOMAIN, False))
    former.write(b"12345")
    position = asked(slow.position())
    slow.slices.take_all()
    (opened,) = follower
    assert isinstance(opened, Opened)
    guest = Guest(opened)
    assert isinstance(position[0], Position)
    guest.write(b"new")
    slow.reactor.run()
    assert slow.whole() == b"new"
    slow.close_pipes()
    with pytest.raises(BrokenPipeError):
        former.write(b"!")
    guest.end()


def full(*_: object) -> None:
    """Refuse as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_fails_between_two_slices_is_told_to_all(
    slow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is lost: the rest is written when the file takes it again."""
    guest = slow.open()
    guest.write(OUTPUT)
    found = [asked(slow.position()), asked(slow.append(b"message")), asked(slow.position())]
    closed = asked(slow.handler.read(slow.path, None, 1))
    slow.slices.take()
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        slow.slices.take_all()
    assert [failed(one) for one in found] == [NotWritten] * 3
    assert isinstance(closed[0], Excerpt)
    with pytest.raises(NotWritten):
        slow.position()
    # The retry takes long, too; who asks meanwhile waits for it.
    slow.clock.advance(RETRY_SECONDS)
    slow.clock.advance(RETRY_SECONDS)
    later = asked(slow.position())
    slow.slices.take_all()
    assert isinstance(later[0], Position)
    assert written(slow) == len(OUTPUT)
    assert slow.whole() == OUTPUT[-3:]
    guest.write(b"!")
    slow.reactor.run()
    assert slow.whole()[-1:] == b"!"


def test_the_end_of_the_daemon_is_told_to_all(slow: World) -> None:
    """One that has no time left; the rest is written all the same."""
    slow.open().write(OUTPUT)
    found = [asked(slow.position()), asked(slow.handler.close_log(slow.path))]
    slow.close()
    slow.slices.take_all()
    assert [failed(one) for one in found] == [NoSuchLog, NoSuchLog]
    assert slow.whole() == OUTPUT[-3:]


def test_a_daemon_that_stops_writes_what_is_left_while_others_are_served(slow: World) -> None:
    """First what was asked before, then all of each pipe."""
    guest = slow.open()
    guest.write(OUTPUT)
    other = str(slow.directory / "other.log")
    slow.open(other).write(OUTPUT)
    position = asked(slow.position())
    asked(slow.append(b"message", str(slow.directory / "third.log")))
    done = asked(slow.handler.finish())
    taken = 0
    guest.write(b"last")
    while not done:
        assert slow.slices.take()
        taken += 1
    assert isinstance(position[0], Position)
    assert taken > 2 * len(OUTPUT)
    assert slow.whole() == b"ast"
    assert slow.whole(other) == OUTPUT[-3:]
    assert slow.whole(str(slow.directory / "third.log")) == b"age"
    slow.close_pipes()
    with pytest.raises(BrokenPipeError):
        guest.write(b"!")
    assert slow.handler.logs() == []


def test_a_daemon_that_stops_does_not_chase_what_a_keeper_keeps(slow: World) -> None:
    """All that was there is written; what comes meanwhile stays in the pipe."""
    guest = slow.open()
    read_end = os.dup(next(iter(slow.handler._logs.values()))._pipe)
    slow.handler.keeper.keeps = lambda _: True  # type: ignore[method-assign]
    try:
        guest.write(OUTPUT)
        done: list[object] = []
        slow.handler.finish().addCallback(done.append)
        guest.write(b"1234567")
        slow.slices.take_all()
        assert done
        left = os.read(read_end, 1000)
    finally:
        del slow.handler.keeper.keeps  # type: ignore[method-assign]
        os.close(read_end)
    assert 0 < len(left) <= 7
    assert b"1234567".endswith(left)
    # (perhaps in the middle of a rollover)
    assert slow.whole()
    assert (OUTPUT + b"1234567").endswith(slow.whole() + left)


def test_the_next_image_begins_with_a_chunk(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a write has stopped in the middle of one, the rest is written before."""
    monkeypatch.setattr(Writer, "seconds", Ticks([False] * 7 + [True]))
    world = make_world(70, 32)
    data = b"\n".join(b"%d" % number for number in range(700))
    world.open().write(data)
    model = Model(70, 32, {"": b""})
    model.pipe(data)
    (log,) = world.handler._logs.values()
    log.pipe_ready()
    assert log.writer.rest_of_chunk
    (state,) = world.handler.suspended()
    assert state.details is not None
    assert state.details.bytes_written % 1024 == 0
    assert not log.writer.rest_of_chunk
    world.reactor.run()
    assert world.files() == model.files
