"""Logs in lanes and in the reactor's thread: each is found where it is, and moves when it is to."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import DOMAIN, DRIVER, KIB, Threads, log_settings
from tests.logs.lanes.test_lane import Gate
from twisted_virtlog.errors import (
    LimitReached,
    LogBusy,
    NoAnswer,
    NoSuchLog,
    NotWritten,
    SystemFailure,
)
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.logs.all_logs import AllLogs, LaneSettings
from twisted_virtlog.logs.files.writer import Writer
from twisted_virtlog.logs.lanes.lane_logs import LaneLogs
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.loop.guest_pipes import PipeWatch
from twisted_virtlog.sockets.outgoing import close_all
from twisted_virtlog.values import LogState, MountThread, Opened, Position, Removed

TIMEOUT = 5


class World:
    """All logs, on a reactor that turns by hand, with a time that a test sets.

    The lanes' threads are real, and so is the time by which they see how long a call lasts: a lane
    hangs in a gate, and :meth:`fall_silent` lets it have hung for long.
    """

    def __init__(
        self, directory: Path, threads: str | tuple[str, ...] = "always", **settings: Any
    ) -> None:
        self.directory = directory
        self.path = str(directory / "guest.log")
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.settings = log_settings(0, 3, **settings)
        self.logs = AllLogs(
            self.reactor,
            self.clock,
            Threads(),
            PipeWatch(self.reactor, rest_seconds=0),
            Pipes(64 * KIB, PipeLimits(1024 * KIB, None)),
            self.settings,
            lane_settings=LaneSettings(threads, TIMEOUT),
        )
        self.gates: list[Gate] = []
        self.ends: list[int] = []
        self._closed = False

    def result(self, answer: Answer[Any]) -> Any:
        """Turn until an answer is there; a failure is raised."""
        result = self.reactor.result(answer) if isinstance(answer, Deferred) else answer
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def error(self, answer: Answer[Any]) -> BaseException:
        """Turn until an answer is there, which is a failure."""
        assert isinstance(answer, Deferred)
        result = self.reactor.result(answer)
        assert isinstance(result, Failure)
        return result.value

    def open(self, path: str | None = None, truncate: bool = False) -> int:
        """Open a log; return the write end."""
        opened: Opened = self.result(self.logs.open(path or self.path, DRIVER, DOMAIN, truncate))
        self.ends.append(opened.write_end)
        return opened.write_end

    def position(self, path: str | None = None) -> Position:
        """Ask for a position."""
        position: Position = self.result(self.logs.position(path or self.path))
        return position

    def status(self, path: str | None = None) -> Any:
        """Return what the list says of a log."""
        return next(one for one in self.result(self.logs.logs()) if one.path == (path or self.path))

    @property
    def lanes(self) -> list[LaneLogs]:
        """All lanes."""
        return list(self.logs._lanes.values())

    @property
    def lane(self) -> LaneLogs:
        """The only lane."""
        (lane,) = self.logs._lanes.values()
        return lane

    def hang(self) -> Gate:
        """Let the lane hang, until the gate is let go."""
        gate = Gate()
        self.gates.append(gate)
        self.lane.lane.tell(gate)
        gate.wait_until_entered()
        return gate

    def fall_silent(self) -> None:
        """Let what the lane does now have lasted for as long as the timeout says."""
        self.lane.lane.loop.since -= TIMEOUT
        self.clock.advance(TIMEOUT)

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Turn the reactor until something holds."""
        while not condition():
            self.reactor.turn()

    def tick(self, condition: Callable[[], object]) -> None:
        """Turn the reactor, and let time pass, until something holds."""
        while not condition():
            self.reactor.turn()
            self.clock.advance(0.01)

    def settle(self) -> None:
        """Wait until the lane has done what it was asked for, and said so."""
        done: Deferred[None] = self.lane.lane.call(lambda: None)
        self.result(done)

    def end(self) -> None:
        """End everything."""
        if self._closed:
            return
        self._closed = True
        for gate in self.gates:
            gate.let_go()
        for end in self.ends:
            os.close(end)
        threads = [lane.lane._thread for lane in self.logs._lanes.values()]
        self.result(self.logs.finish())
        self.logs.close()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """All logs have lanes."""
    world = World(tmp_path)
    yield world
    world.end()


def test_a_log_in_a_lane_is_a_log(world: World) -> None:
    """Its answers are those of the reactor's thread, a little later."""
    end = world.open()
    os.write(end, b"line\n")
    assert world.position().offset == 5
    position = world.result(world.logs.append(world.path, b"more\n", DRIVER, DOMAIN))
    assert position.offset == 10
    assert world.result(world.logs.read(world.path, None, 100)).data == b"line\nmore\n"
    status = world.status()
    assert (status.state, status.thread) == (LogState.OPEN, world.lane.mount.point)
    assert status.position.offset == 10
    counts = world.logs.counts()
    assert (counts.open_logs, counts.bytes_written, counts.lanes) == (1, 10, 1)
    closed = world.result(world.logs.close_log(world.path))
    assert closed.position.offset == 10
    assert world.logs.counts().open_logs == 0
    assert world.result(world.logs.is_known(world.path))


def test_a_log_of_a_lane_is_removed_there(world: World) -> None:
    """Once it is not open; it is not known any more then."""
    world.open()
    with pytest.raises(LogBusy):
        world.result(world.logs.remove(world.path))
    world.result(world.logs.close_log(world.path))
    world.result(world.logs.append(world.path, b"line\n", DRIVER, DOMAIN))
    world.hang()
    removed = world.logs.remove(world.path)
    world.fall_silent()
    assert isinstance(world.error(removed), NoAnswer)
    assert os.path.exists(world.path)
    world.gates[-1].let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    assert world.result(world.logs.remove(world.path)) == Removed(1, 5)
    assert not os.path.exists(world.path)
    assert not world.result(world.logs.is_known(world.path))
    with pytest.raises(NoSuchLog):
        world.result(world.logs.remove(world.path))


def test_it_does_nothing_in_the_reactors_thread(world: World) -> None:
    """The lane moves bytes by itself."""
    os.write(world.open(), b"line\n")
    world.turn_until(lambda: Path(world.path).stat().st_size == 5)
    assert len(world.logs._inline.open_logs()) == 0


def test_a_path_that_leads_nowhere_is_refused(world: World) -> None:
    """In the words of the reactor's thread, which calls wait for no longer."""
    loop = str(world.directory / "loop.log")
    os.symlink(loop, loop)
    for path in (loop, str(world.directory / ("x" * 256))):
        error = world.error(world.logs.open(path, DRIVER, DOMAIN, False))
        assert isinstance(error, SystemFailure)
        assert error.errno in {errno.ELOOP, errno.ENAMETOOLONG}
        assert not world.result(world.logs.is_known(path))


def test_other_names_of_a_log_lead_to_it(world: World) -> None:
    """Links and dots are resolved in the lane."""
    os.write(world.open(), b"line\n")
    link = str(world.directory / "link.log")
    os.symlink(world.path, link)
    assert world.position(link).offset == 5
    assert world.position(f"{world.directory}/./guest.log").offset == 5
    with pytest.raises(LogBusy):
        world.open(link)


def test_the_list_waits_for_no_lane(world: World) -> None:
    """It says what is known, and that the file system does not answer."""
    end = world.open()
    gate = world.hang()
    os.write(end, b"line\n")
    assert world.status().state is LogState.OPEN
    world.fall_silent()
    status = world.status()
    assert status.state is LogState.FAILING
    assert "timed out" in status.error
    assert status.pending == 5
    assert world.logs.counts().failing_logs == 1
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    assert world.position().offset == 5
    assert world.status().state is LogState.OPEN


def test_nobody_waits_for_a_silent_lane(world: World) -> None:
    """Those who wait are told, and those who come, by the codes of the interface."""
    world.open()
    gate = world.hang()
    mount = world.lane.mount.point
    waiting = [
        world.logs.position(world.path),
        world.logs.append(world.path, b"never", DRIVER, DOMAIN),
        world.logs.read(world.path, None, 10),
        world.logs.open(world.path + "2", DRIVER, DOMAIN, False),
    ]
    world.fall_silent()
    waiting.append(world.logs.position(world.path))
    position, append, read, opened, late = [world.error(one) for one in waiting]
    for error in (position, append, late):
        assert isinstance(error, NotWritten)
        assert (error.mount, error.pending_bytes) == (mount, 0)
        # (it had not begun, and never will)
        assert not error.maybe_written
    for error in (read, opened):
        assert isinstance(error, NoAnswer)
        assert error.mount == mount
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    assert world.position().offset == 0
    assert os.listdir(world.directory) == ["guest.log"]


def test_a_message_that_was_being_written_may_be_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told that the file system does not answer is told that, too."""
    world.open()
    gate = Gate()
    world.gates.append(gate)
    pwrite = os.pwrite

    def hang(*args: Any) -> int:
        gate()
        return pwrite(*args)

    monkeypatch.setattr(os, "pwrite", hang)
    later = world.logs.append(world.path, b"after all\n", DRIVER, DOMAIN)
    gate.wait_until_entered()
    world.fall_silent()
    error = world.error(later)
    assert isinstance(error, NotWritten)
    assert error.maybe_written
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    assert world.result(world.logs.read(world.path, None, 100)).data == b"after all\n"


def test_files_to_read_are_closed_where_they_were_opened(world: World) -> None:
    """The file system may not answer then, whoever had them in between."""
    os.write(world.open(), b"line\n")
    files = world.result(world.logs.files(world.path, None)).files
    (descriptor,) = [file.descriptor for file in files]
    assert os.pread(descriptor, 100, 0) == b"line\n"
    gate = world.hang()
    close_all([descriptor])
    assert os.pread(descriptor, 100, 0) == b"line\n"
    gate.let_go()
    world.settle()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_files_to_read_that_nobody_waits_for_are_closed(world: World) -> None:
    """The file system did not answer in time."""
    os.write(world.open(), b"line\n")
    world.position()
    before = len(os.listdir("/proc/self/fd"))
    hung: list[Gate] = []
    real = os.open

    def hang(path: Any, *args: Any, **more: Any) -> int:
        if path == world.path and not hung:
            hung.append(Gate())
            world.gates.append(hung[0])
            hung[0]()
        return real(path, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", hang)
        answer = world.logs.files(world.path, None)
        world.turn_until(lambda: hung)
        hung[0].wait_until_entered()
        world.fall_silent()
        assert isinstance(world.error(answer), NoAnswer)
        hung[0].let_go()
        world.turn_until(lambda: not world.lane.lane.is_silent)
        world.settle()
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_open_that_was_given_up_is_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is free afterwards; a second open waits for the first, or is refused."""
    os.write(world.open(str(world.directory / "other.log")), b"line\n")
    assert world.position(str(world.directory / "other.log")).offset == 5
    gate = Gate()
    world.gates.append(gate)
    real = os.open

    def hang(path: Any, *args: Any, **more: Any) -> int:
        if path == world.path:
            gate()
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", hang)
    before = len(os.listdir("/proc/self/fd"))
    first = world.logs.open(world.path, DRIVER, DOMAIN, False)
    gate.wait_until_entered()
    second = world.logs.open(world.path, DRIVER, DOMAIN, False)
    world.fall_silent()
    assert isinstance(world.error(first), NoAnswer)
    assert isinstance(world.error(second), NoAnswer)
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    world.settle()
    assert world.logs.counts().open_logs == 1
    assert len(os.listdir("/proc/self/fd")) == before
    world.open()


def test_two_opens_of_a_path_do_not_double_it(world: World) -> None:
    """The second finds the log that the first has opened."""
    world.open(str(world.directory / "other.log"))
    world.hang()
    first = world.logs.open(world.path, DRIVER, DOMAIN, False)
    second = world.logs.open(world.path, "another", None, False)
    world.gates[-1].let_go()
    world.ends.append(world.result(first).write_end)
    assert isinstance(world.error(second), LogBusy)


def fill(end: int) -> int:
    """Fill a pipe; return how many bytes it took."""
    os.set_blocking(end, False)
    count = 0
    try:
        while True:
            count += os.write(end, b"y" * 4095 + b"\n")
    except BlockingIOError:
        return count


def test_a_full_pipe_is_emptied_while_the_lane_is_silent(world: World) -> None:
    """Not before, and only what would block; the log says how much is missing, and where."""
    end = world.open()
    gate = world.hang()
    before = fill(end)
    world.clock.advance(1.0)
    assert fill(end) == 0
    world.fall_silent()
    world.tick(lambda: fill(end))
    os.set_blocking(end, True)
    assert world.status().lost_bytes >= before
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    # (those bytes are lost, so no position covers them)
    answer: Any = None
    while not isinstance(answer, Position):
        try:
            answer = world.position()
        except NotWritten as error:
            answer = error
    text = Path(world.path).read_bytes()
    first, _, rest = text.partition(b"\n")
    lost = int(first.split()[1])
    assert b"Connection timed out" in first
    assert lost == world.status().lost_bytes == before
    assert set(rest.replace(b"\n", b"")) <= {ord("y")}


def test_what_is_dropped_while_a_log_is_closed_is_said_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing else of it waits in the pipe afterwards."""
    end = world.open()
    world.settle()
    gate = Gate()
    world.gates.append(gate)
    splice = os.splice

    def hang(source: int, target: int, *args: Any, **named: Any) -> int:
        if stat.S_ISREG(os.fstat(target).st_mode):
            gate()
        return splice(source, target, *args, **named)

    idle = world.hang()
    os.write(end, b"first\n")
    monkeypatch.setattr(os, "splice", hang)
    closed = world.logs.close_log(world.path)
    idle.let_go()
    # (the lane asks the reactor before)
    world.turn_until(gate._entered.is_set)
    dropped = fill(end)
    world.fall_silent()
    world.tick(lambda: world.status().lost_bytes)
    gate.let_go()
    assert isinstance(world.error(closed), NotWritten)
    world.turn_until(lambda: not world.logs.counts().open_logs)
    first, notice = Path(world.path).read_bytes().splitlines()
    assert (first, int(notice.split()[1])) == (b"first", dropped)
    assert world.logs.counts().bytes_lost == dropped


def test_a_guest_that_is_to_wait_loses_nothing(tmp_path: Path) -> None:
    """With on_write_error = "block"."""
    world = World(tmp_path, drops=False)
    end = world.open()
    gate = world.hang()
    count = fill(end)
    world.fall_silent()
    for _ in range(100):
        world.clock.advance(0.01)
        world.reactor.turn()
    assert fill(end) == 0
    gate.let_go()
    world.turn_until(lambda: not world.lane.lane.is_silent)
    assert world.position().offset == count
    world.end()


def test_a_slow_file_system_gets_a_lane_and_loses_it(tmp_path: Path) -> None:
    """Under auto: from the first slow operation until ten minutes after the last."""
    world = World(tmp_path, "auto")
    end = world.open()
    assert world.logs.counts().lanes == 0
    os.write(end, b"one\n")
    assert world.position().offset == 4
    world.logs.slow(world.path, world.path)
    world.tick(lambda: world.status().thread is not None)
    os.write(end, b"two\n")
    assert world.position().offset == 8
    assert len(world.logs._inline.open_logs()) == 0
    world.clock.advance(700.0)
    world.tick(lambda: world.status().thread is None)
    os.write(end, b"three\n")
    assert world.position().offset == 14
    assert Path(world.path).read_bytes() == b"one\ntwo\nthree\n"
    # And the lane ends.
    world.clock.advance(61.0)
    world.tick(lambda: world.logs.counts().lanes == 0)
    assert world.logs.counts().bytes_written == 14
    world.end()


def test_a_file_system_that_does_not_answer_stays_in_its_lane(tmp_path: Path) -> None:
    """However long that lasts, and whatever the settings say meanwhile; then logs may leave."""
    world = World(tmp_path, "auto")
    other = str(tmp_path / "other.log")
    end = world.open()
    world.logs.slow(world.path, world.path)
    world.tick(lambda: world.status().thread is not None)
    world.logs.reload(world.settings, 64 * KIB, LaneSettings("auto", 3600))
    gate = world.hang()
    position = world.logs.position(world.path)
    world.lane.lane.loop.since -= TIMEOUT
    world.clock.advance(TIMEOUT)
    world.logs.reload(world.settings, 64 * KIB, LaneSettings("auto", TIMEOUT))
    assert isinstance(world.error(position), NotWritten)
    world.clock.advance(700.0)
    assert isinstance(world.error(world.logs.open(other, DRIVER, DOMAIN, False)), NoAnswer)
    world.logs.reload(world.settings, 64 * KIB, LaneSettings("never", TIMEOUT))
    assert isinstance(world.error(world.logs.read(other, None, 1)), NoAnswer)
    assert not Path(other).exists()
    gate.let_go()
    world.tick(lambda: world.status().thread is None)
    os.write(end, b"one\n")
    assert world.position().offset == 4
    world.end()


def test_a_path_that_cannot_be_resolved_is_no_open_log(tmp_path: Path) -> None:
    """As where no file system has a lane; to open it is refused for what is wrong with it."""
    world = World(tmp_path, ("/dev/shm",))
    path = f"{tmp_path}/{'n' * 300}"
    for call in (world.logs.position, world.logs.close_log):
        with pytest.raises(NoSuchLog):
            call(path)
    with pytest.raises(SystemFailure, match="File name too long"):
        world.logs.open(path, DRIVER, DOMAIN, False)
    world.end()


def test_a_lane_of_the_file_system_does_for_the_pipe_too(tmp_path: Path) -> None:
    """Two threads would otherwise be in one file system, of which one has no lock."""
    world = World(tmp_path, "auto")
    end = world.open()
    world.logs.pipe_locked(world.path)
    world.tick(lambda: world.status().thread is not None)
    assert not world.lane.asks_pipes
    # (as another log of it showed)
    other = str(tmp_path / "other.log")
    world.logs.slow(other, other)
    world.tick(lambda: any(lane.count() and lane.asks_pipes for lane in world.lanes))
    os.write(end, b"one\n")
    assert world.position().offset == 4
    world.end()


def test_two_who_ask_for_a_log_that_left_its_thread_do_not_wait_for_one_another(
    tmp_path: Path,
) -> None:
    """Once what was under way there about its name is done, they ask elsewhere."""
    world = World(tmp_path, "auto")
    world.open()
    world.logs.pipe_locked(world.path)
    world.tick(lambda: world.status().thread is not None)
    closed = world.logs.close_log(world.path)
    # (to close the pipe, the thread asks a question)
    while not world.reactor.turn():
        os.sched_yield()
    while world.lane.has_open(world.path):
        os.sched_yield()
    # (nobody has heard of it yet)
    found: list[Any] = []
    for answer in (closed, *(world.logs.read(world.path, None, 10) for _ in range(2))):
        assert isinstance(answer, Deferred)
        answer.addBoth(found.append)
    turns = 0
    while len(found) < 3:
        turns += world.reactor.turn()
        assert turns < 100
    assert not any(isinstance(one, Failure) for one in found)
    world.end()


@pytest.mark.parametrize("is_open", [True, False])
def test_a_message_that_was_slow_shows_a_slow_file_system(
    tmp_path: Path, is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As output of the guest that was."""
    world = World(tmp_path, "auto")
    world.open()
    path = world.path if is_open else str(tmp_path / "closed.log")
    monkeypatch.setattr("twisted_virtlog.logs.handler.SLOW_SECONDS", -1.0)
    monkeypatch.setattr("twisted_virtlog.logs.open_log.SLOW_SECONDS", -1.0)
    world.result(world.logs.append(path, b"said\n", DRIVER, DOMAIN))
    world.tick(lambda: world.status().thread is not None)
    world.end()


def test_a_known_log_is_known_by_a_link_to_its_mount(tmp_path: Path) -> None:
    """Which is looked for in the lane."""
    point = Path("/dev/shm")
    world = World(tmp_path, (str(point),))
    with tempfile.TemporaryDirectory(dir=point) as directory:
        link = tmp_path / "link"
        link.symlink_to(directory)
        path = str(link / "guest.log")
        world.result(world.logs.append(path, b"said\n", DRIVER, DOMAIN))
        assert world.result(world.logs.is_known(path))
        assert world.result(world.logs.is_known(f"{directory}/guest.log"))
        assert not world.result(world.logs.is_known(str(link / "other.log")))
        secret = Path(directory) / "secret"
        secret.write_bytes(b"of somebody else")
        Path(path).unlink()
        Path(path).symlink_to(secret)
        # (twice at once: that somebody asks does not make it known)
        asked = [world.logs.is_known(path) for _ in range(2)]
        assert [world.result(one) for one in asked] == [False, False]
        world.end()


def test_who_asks_while_a_log_moves_gets_an_answer(tmp_path: Path) -> None:
    """After it has arrived."""
    world = World(tmp_path, "auto")
    end = world.open()
    world.logs.slow(world.path, world.path)
    world.tick(lambda: world.status().thread is not None)
    world.settle()
    gate = world.hang()
    world.clock.advance(700.0)
    world.turn_until(lambda: world.path in world.logs._moving)
    os.write(end, b"line\n")
    asked = [world.logs.position(world.path) for _ in range(3)]
    gate.let_go()
    assert [world.result(one).offset for one in asked] == [5, 5, 5]
    assert world.status().thread is None
    world.end()


@contextlib.contextmanager
def _between(world: World) -> Iterator[Gate]:
    """Let the log have left its lane, and not arrived in the reactor's thread.

    :returns: lets it arrive.
    """
    world.logs.slow(world.path, world.path)
    world.tick(lambda: world.status().thread is not None)
    world.settle()
    gate = Gate()
    world.gates.append(gate)
    (handler,) = [lane._handler for lane in world.logs._lanes.values()]
    assert handler is not None
    leave = handler.leave

    def leave_late(path: str) -> Any:
        state = leave(path)
        gate()
        return state

    handler.leave = leave_late  # type: ignore[method-assign]
    world.clock.advance(700.0)
    gate.wait_until_entered()
    yield gate
    handler.leave = leave  # type: ignore[method-assign]


def test_a_log_between_two_threads_counts_as_open(tmp_path: Path) -> None:
    """Or there could be one more than there may be."""
    world = World(tmp_path, "auto", max_open_logs=1)
    world.open()
    with _between(world) as gate:
        assert world.logs.counts().open_logs == 1
        with pytest.raises(LimitReached):
            world.logs.open(world.path + "2", DRIVER, DOMAIN, False)
        gate.let_go()
        world.turn_until(lambda: not world.logs._moving)
    assert world.logs.counts().open_logs == 1
    world.end()


def test_a_log_whose_lane_falls_silent_while_it_leaves_arrives_late(tmp_path: Path) -> None:
    """Until then it is neither here nor there, and nobody waits for it."""
    world = World(tmp_path, "auto")
    end = world.open()
    with _between(world) as gate:
        waiting = world.logs.position(world.path)
        world.fall_silent()
        for asked in (waiting, world.logs.position(world.path)):
            assert isinstance(world.error(asked), NotWritten)
        gate.let_go()
        world.turn_until(lambda: not world.logs._moving)
    os.write(end, b"line\n")
    assert world.position().offset == 5
    assert world.status().thread is None
    world.end()


def test_the_limit_of_open_logs_is_of_all_threads(tmp_path: Path) -> None:
    """However they are spread."""
    world = World(tmp_path, max_open_logs=1)
    world.open()
    error = world.error(world.logs.open(world.path + "2", DRIVER, DOMAIN, False))
    assert isinstance(error, LimitReached)
    world.end()


def test_lanes_pause_for_a_hand_over(world: World) -> None:
    """Their files are closed, and calls wait; then all goes on."""
    end = world.open()
    os.write(end, b"one\n")
    world.position()
    world.result(world.logs.pause())
    links = [os.readlink(f"/proc/self/fd/{number}") for number in _descriptors()]
    assert world.path not in links
    asked = world.logs.position(world.path)
    os.write(end, b"two\n")
    (state,) = world.logs.suspended()
    assert state.details is not None
    assert state.details.lane == world.lane.mount.point
    assert state.details.files is not None
    assert state.details.files.current is not None
    assert state.details.files.current.size == 4
    world.logs.go_on()
    assert world.result(asked).offset == 8


def _descriptors() -> list[str]:
    return [one for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}")]


def test_a_lane_that_hangs_does_not_pause(world: World) -> None:
    """And goes on as if nothing had been asked."""
    end = world.open()
    gate = world.hang()
    paused = world.logs.pause()
    for _ in range(10):
        world.reactor.turn()
    assert not paused.called
    world.logs.go_on()
    gate.let_go()
    os.write(end, b"line\n")
    assert world.position().offset == 5


def test_the_next_image_goes_on_in_a_lane(tmp_path: Path) -> None:
    """Or in the reactor's thread, if the file system has no lane any more."""
    world = World(tmp_path)
    end = world.open()
    os.write(end, b"one\n")
    world.position()
    world.result(world.logs.pause())
    (state,) = world.logs.suspended()
    for threads, thread in (("always", world.lane.mount.point), ("never", None)):
        following = World(tmp_path, threads)
        copy = state.__class__(
            **{
                **{name: getattr(state, name) for name in state.__struct_fields__},
                "pipe": os.dup(state.pipe),
            }
        )
        following.logs.adopt(copy)
        following.tick(lambda: following.status().position.offset)  # noqa: B023 (called at once)
        following.tick(lambda: following.status().thread == thread)  # noqa: B023
        size = following.position().offset
        following.result(following.logs.append(world.path, b"more\n", DRIVER, DOMAIN))
        assert following.position().offset == size + 5
        following.end()
    world.logs.go_on()
    world.end()


def test_the_end_waits_for_lanes_but_not_for_ever(world: World) -> None:
    """What a lane that hangs has not written is lost, and said."""
    end = world.open()
    gate = world.hang()
    os.write(end, b"lost\n")
    finished = world.logs.finish()
    world.lane.lane.loop.since -= 1
    world.clock.advance(4.0)
    world.result(finished)
    end_hung(world, gate)


def end_hung(world: World, gate: Gate, meanwhile: Callable[[], object] = lambda: None) -> None:
    """End everything but the lane's thread, and then let that go on."""
    thread = world.lane.lane._thread
    world._closed = True
    world.logs.close()
    meanwhile()
    gate.let_go()
    thread.join(60)
    assert not thread.is_alive()
    for number in world.ends:
        os.close(number)


def test_a_thread_that_goes_on_after_the_end_closes_nothing_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application has opened files meanwhile, which could have the numbers of pipes."""
    before = set(os.listdir("/proc/self/fd"))
    world.open()
    gate = Gate()
    world.gates.append(gate)
    real = Writer.position

    def hang(writer: Writer) -> Position:
        gate()
        return real(writer)

    monkeypatch.setattr(Writer, "position", hang)
    # (which closes the pipe, after what hangs)
    closed = world.logs.close_log(world.path)
    gate.wait_until_entered()
    world.fall_silent()
    assert isinstance(world.error(closed), NotWritten)
    files: list[int] = []
    end_hung(
        world,
        gate,
        lambda: files.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(64)),
    )
    for number in files:
        os.close(number)
    world.logs.pipes.finish(60)
    assert set(os.listdir("/proc/self/fd")) <= before


def test_the_end_writes_what_is_in_the_pipes(tmp_path: Path) -> None:
    """As without lanes."""
    world = World(tmp_path)
    end = world.open()
    gate = world.hang()
    os.write(end, b"last words\n")
    finished = world.logs.finish()
    gate.let_go()
    world.result(finished)
    assert Path(world.path).read_bytes() == b"last words\n"
    world.end()


def test_threads_and_room_are_told_of(world: World) -> None:
    """By mount: how many logs are written in one, and for how long it has waited."""
    assert world.logs.mount_threads() == []
    world.open()
    point = world.lane.mount.point
    assert world.logs.mount_threads() == [MountThread(point, 1, 0.0)]
    (space,) = world.result(world.logs.spaces())
    room = os.statvfs(world.directory)
    assert (space.mount, space.size_bytes) == (point, room.f_blocks * room.f_frsize)
    gate = world.hang()
    world.fall_silent()
    (thread,) = world.logs.mount_threads()
    assert thread.waited_s >= TIMEOUT
    # (nobody waits for it)
    looking = world.logs.spaces()
    world.clock.advance(1)
    assert world.result(looking) == []
    gate.let_go()


def test_a_thread_that_waits_for_a_pipe_says_nothing_of_a_mount(tmp_path: Path) -> None:
    """It is not among those of mounts."""
    world = World(tmp_path, "auto")
    world.open()
    world.logs.pipe_locked(world.path)
    world.tick(lambda: world.status().thread is not None)
    assert not world.lane.asks_pipes
    assert world.logs.mount_threads() == []
    world.end()
