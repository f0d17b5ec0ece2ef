"""The promise: a position covers all that was written before it was asked for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.fakes.reactor import FakeReactor
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import (
    DOMAIN,
    DRIVER,
    KIB,
    Guest,
    Threads,
    World,
    log_settings,
    of_the_direct_way,
    place,
)
from twisted_virtlog.errors import NoSuchLog
from twisted_virtlog.logs.handler import LogHandler
from twisted_virtlog.logs.pipes.making import PipeLimits, Pipes
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES, PipeWatch
from twisted_virtlog.values import OnRate, Position


def test_the_reactor_for_tests_is_one() -> None:
    """What the tests turn by hand has the methods of a reactor."""
    assert verifyObject(IReactorFDSet, FakeReactor())


def test_all_logs_are_one_reader(world: World) -> None:
    """However many logs are open, the reactor watches one descriptor."""
    for name in "abc":
        world.open(str(world.directory / name))
    (reader,) = world.reactor.readers
    assert verifyObject(IReadDescriptor, reader)
    assert reader.logPrefix() == "pipes"


def test_a_position_covers_what_was_written_before_it_was_asked_for(world: World) -> None:
    """Pipe and request are ready in one turn, and the request is dispatched first."""
    guest = world.open()
    guest.write(b"written before")
    position = world.reactor.turn_after(world.position)
    assert position == place(world.path, 14)
    # In the same turn the pipe's readiness was dispatched after that, and was stale.
    assert world.text() == b"written before"
    guest.write(b", and after")
    world.reactor.turn()
    assert world.text() == b"written before, and after"


def test_stale_readiness_does_nothing_and_does_not_block(world: World) -> None:
    """A reactor may say that the pipe is ready when it is not."""
    guest = world.open()
    world.reactor.getReaders()[0].doRead()
    guest.write(b"x")
    world.reactor.getReaders()[0].doRead()
    world.reactor.getReaders()[0].doRead()
    assert world.text() == b"x"
    assert world.is_open()


@pytest.mark.parametrize("size", [1, 4096, 65536, 1 << 20])
def test_a_position_covers_a_whole_pipe(size: int, make_world: MakeWorld) -> None:
    """However much is in the pipe, more than a turn's share too."""
    world = make_world(pipe_size=1 << 20)
    guest = world.open()
    guest.write(b"x" * size)
    assert world.position().offset == size
    assert world.text() == b"x" * size


def test_a_position_covers_rollovers(make_world: MakeWorld) -> None:
    """The position is that in the file being written when all is written."""
    world = make_world(100, 2)
    guest = world.open()
    guest.write(b"x" * 250)
    assert world.position() == place(world.path, 50)
    assert world.status().rollovers == 2


def test_a_position_begins_at_the_end_of_an_old_file(world: World) -> None:
    """Bytes of earlier runs count."""
    Path(world.path).write_bytes(b"old")
    guest = world.open()
    assert guest.position.offset == 3
    guest.write(b"new")
    assert world.position().offset == 6


def test_a_message_stands_after_what_was_written_before(world: World) -> None:
    """Appending drains the pipe first."""
    guest = world.open()
    guest.write(b"first ")
    position = world.reactor.turn_after(lambda: world.append(b"second"))
    guest.write(b" third")
    world.reactor.turn()
    assert world.text() == b"first second third"
    assert position is not None
    assert position.offset == 12


def test_reading_covers_what_was_written_before(world: World) -> None:
    """Reading drains the pipe first."""
    guest = world.open()
    guest.write(b"just now")
    excerpt = world.reactor.turn_after(world.read)
    assert excerpt is not None
    assert excerpt.data == b"just now"


def test_one_guest_does_not_take_the_whole_turn(make_world: MakeWorld) -> None:
    """In one turn a flooding guest gets its share, and the others theirs."""
    world = make_world(pipe_size=1 << 20)
    greedy = world.open()
    other = str(world.directory / "other.log")
    modest = world.open(other)
    greedy.write(b"x" * (1 << 20))
    modest.write(b"y")
    world.reactor.turn()
    assert len(world.text()) == 8 * PIECE_BYTES
    assert world.text(other) == b"y"
    world.reactor.run()
    assert len(world.text()) == 1 << 20


def test_pieces_do_not_move_the_chunks() -> None:
    """A piece ends between two chunks, so that rotation looks back no further after it."""
    assert PIECE_BYTES % 1024 == 0


def test_a_position_is_not_kept_from_its_caller_by_a_busy_guest(make_world: MakeWorld) -> None:
    """Draining takes what was in the pipe, and does not chase a writer that never stops."""
    world = make_world(10_000, 1, pipe_size=1 << 20)
    guest = world.open()
    stop = threading.Event()

    def flood() -> None:
        # Ends by the closed pipe at the latest.
        with suppress(BrokenPipeError):
            while not stop.is_set():
                os.write(guest.write_end, b"x" * 8 * KIB)

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        for _ in range(20):
            before = world.handler.counts().bytes_written
            world.position()
            written = world.handler.counts().bytes_written - before
            assert written <= 1 << 20
    finally:
        stop.set()
        while writer.is_alive():
            world.reactor.turn()
            writer.join(0.001)


@of_the_direct_way
def test_the_last_write_end_ends_the_log(world: World) -> None:
    """When the guest is gone all is written, and the log's path is free again."""
    before = len(os.listdir("/proc/self/fd"))
    guest = world.open()
    copy = os.dup(guest.write_end)
    guest.write(b"last words")
    guest.end()
    world.reactor.run()
    assert world.is_open(), "somebody has the write end still"
    os.write(copy, b", really")
    os.close(copy)
    world.reactor.run()
    assert not world.is_open()
    assert not len(world.watch)
    assert world.text() == b"last words, really"
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(NoSuchLog, match="No open log file"):
        world.position()
    assert world.open().position.offset == 18


def test_a_position_after_the_guests_end_covers_its_last_words(world: World) -> None:
    """The log is open until its pipe is read to the end."""
    guest = world.open()
    guest.write(b"last words")
    guest.end()
    position = world.reactor.turn_after(world.position)
    assert position is not None
    assert position.offset == 10
    world.reactor.run()
    assert not world.is_open()
    assert world.text() == b"last words"


def test_a_log_whose_guest_is_gone_is_opened_again_at_once(world: World) -> None:
    """A guest that is started again needs not wait until somebody has looked at its old pipe."""
    guest = world.open()
    guest.write(b"last words")
    guest.end()
    again = world.open()
    assert again.position.offset == 10
    again.write(b", and first")
    world.position()
    assert world.text() == b"last words, and first"


def test_readiness_of_another_pipe_does_not_end_the_log(world: World) -> None:
    """A pipe may get the number of one that was ready and was closed in the same turn."""
    guest = world.open()
    (log,) = world.watch._readers.values()
    assert log.pipe_ready() == 0
    assert world.is_open()
    guest.write(b"still here")
    world.reactor.turn()
    assert world.text() == b"still here"


@pytest.mark.parametrize(
    ("rate", "allowed"), [(None, 8 * KIB), (Rate.of(3 * KIB, 0, 0, OnRate.BLOCK), 3 * KIB)]
)
def test_a_pipe_gives_no_more_than_a_piece(
    rate: Rate | None, allowed: int, make_world: MakeWorld
) -> None:
    """Nor more than its rate, if that is less."""
    world = make_world(rate=rate)
    world.open().write(b"x" * 20 * KIB)
    (log,) = world.watch._readers.values()
    assert log.pipe_ready(8 * KIB) == allowed
    assert world.text() == b"x" * allowed


def test_stopping_writes_what_the_pipes_hold(make_world: MakeWorld) -> None:
    """The daemon stops with nothing left in a pipe and nothing left open."""
    before = len(os.listdir("/proc/self/fd"))
    world = make_world()
    paths = [str(world.directory / f"{number}.log") for number in range(5)]
    guests = [world.open(path) for path in paths]
    for guest in guests:
        guest.write(b"x" * 60 * KIB)
    world.handler.refuse_opens()
    for guest in guests:
        guest.write(b"y")
    world.close()
    assert [world.text(path) for path in paths] == [b"x" * 60 * KIB + b"y"] * 5
    assert len(os.listdir("/proc/self/fd")) == before
    assert not world.reactor.readers


# With Twisted's own reactor, held and turned once.


@implementer(IReadDescriptor)
class Request:
    """A client's request that waits in a socket."""

    def __init__(self, order: list[str], call: Callable[[], Position]) -> None:
        self.answer: Position | None = None
        self._order = order
        self._call = call
        self._daemon_end, self._client_end = socket.socketpair()

    def send(self) -> None:
        """Make it ready."""
        self._client_end.send(b"?")

    def doRead(self) -> None:
        self._daemon_end.recv(1)
        self._order.append("request")
        self.answer = self._call()

    def fileno(self) -> int:
        return self._daemon_end.fileno()

    def logPrefix(self) -> str:
        return "request"

    def connectionLost(self, reason: Failure) -> None:
        self._daemon_end.close()
        self._client_end.close()


@pytest.fixture
def epoll() -> Iterator[EPollReactor]:
    """Make a reactor of Twisted's that is not run."""
    reactor = EPollReactor()
    yield reactor
    # Twisted closes neither as long as the process lives.
    reactor.waker.connectionLost(Failure(ConnectionDone()))
    reactor._poller.close()


@pytest.mark.parametrize("first", ["request", "pipe"])
def test_the_promise_with_twisteds_reactor(first: str, epoll: EPollReactor, tmp_path: Path) -> None:
    """One turn of the real reactor, pipe and request ready in it, in either order."""
    path = str(tmp_path / "guest.log")
    pipes = Pipes(64 * KIB, PipeLimits(64 * KIB, None))
    watch = PipeWatch(epoll, rest_seconds=0)
    handler = LogHandler(epoll, Threads(), watch, pipes, log_settings(0, 0))
    guest = Guest(handler.open(path, DRIVER, DOMAIN, False))
    order: list[str] = []
    request = Request(order, lambda: handler.position(path))
    epoll.addReader(request)
    steps: dict[str, Callable[[], None]] = {
        "request": request.send,
        "pipe": lambda: guest.write(b"written before"),
    }
    steps.pop(first)()
    for step in steps.values():
        step()
    epoll.doIteration(0)
    assert order == ["request"]
    assert request.answer == place(path, 14)
    epoll.doIteration(0)
    assert Path(path).read_bytes() == b"written before"
    guest.end()
    epoll.doIteration(0)
    assert not handler.logs()
    epoll.removeReader(request)
    request.connectionLost(Failure(ConnectionDone()))
    handler.close()
