"""What fails with one log, in the kernel or in the daemon, costs no other log."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.reactor import FakeReactor
from tests.logs.conftest import MakeWorld
from tests.logs.fakes import Guest, World
from tests.logs.test_failing import files_end_at, pass_time
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.handover.state import DaemonState, OpenLogState
from twisted_virtlog.logs.open_log import OpenLog
from twisted_virtlog.service import Endpoints, VirtlogService
from twisted_virtlog.values import LogState


class RefusingEpoll:
    """An epoll set that takes nothing more."""

    def __init__(self, real: select.epoll, number: int) -> None:
        self._real = real
        self._number = number

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def register(self, *_: int) -> None:
        """Refuse."""
        raise OSError(self._number, os.strerror(self._number))


@contextmanager
def no_room_in_epoll(world: World, number: int) -> Iterator[None]:
    """Let the kernel watch no more pipes for a while."""
    real = world.watch._pipes
    world.watch._pipes = RefusingEpoll(real, number)  # type: ignore[assignment]
    try:
        yield
    finally:
        world.watch._pipes = real


def open_many(world: World, count: int = 3) -> dict[str, Guest]:
    """Open logs beside one another, by their paths."""
    paths = [str(world.directory / f"{number}.log") for number in range(count)]
    return {path: world.open(path) for path in paths}


def fail_all(world: World, guests: dict[str, Guest]) -> None:
    """Let the files of all logs fail."""
    for guest in guests.values():
        guest.write(b"x" * 3000)
    world.reactor.run()
    assert world.handler.counts().failing_logs == len(guests)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
def test_a_log_that_recovers_is_served_though_epoll_has_no_room(
    number: int, make_world: MakeWorld
) -> None:
    """It is looked at as if busy until it can be watched; so are others of the same round."""
    world = make_world()
    guests = open_many(world)
    with files_end_at(1000):
        fail_all(world, guests)
    with no_room_in_epoll(world, number):
        pass_time(world, 2)
        assert world.handler.counts().failing_logs == 0
        for path, guest in guests.items():
            guest.write(b"after")
            world.reactor.turn()
            assert world.text(path) == b"x" * 3000 + b"after"
    world.reactor.turn()
    assert not world.watch._busy, "they are watched again"
    for path, guest in guests.items():
        guest.write(b", and later")
        world.reactor.run()
        assert world.text(path).endswith(b"after, and later")
        guest.end()
    world.reactor.run()
    assert not world.logs()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
def test_a_log_is_adopted_though_epoll_has_no_room(number: int, make_world: MakeWorld) -> None:
    """Its guest has the pipe already: to give it up would lose what is written from now on."""
    world, next_world = make_world(), make_world()
    guest = world.open()
    (state,) = world.handler.suspended()
    with no_room_in_epoll(next_world, number):
        next_world.handler.adopt(type(state)(os.dup(state.pipe), world.path, "qemu"))
        guest.write(b"kept")
        next_world.reactor.turn()
        assert world.text() == b"kept"


def test_a_log_that_cannot_be_watched_at_all_is_tried_again(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays among the failing logs, and is asked about no more than once a second."""
    world = make_world()
    guests = open_many(world)
    first = next(iter(guests))
    with files_end_at(1000):
        fail_all(world, guests)
    asked = []
    add = world.watch.add_or_poll

    def refuse(pipe: int, log: OpenLog) -> None:
        if log.path == first:
            asked.append(log)
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        add(pipe, log)

    with monkeypatch.context() as patch:
        patch.setattr(world.watch, "add_or_poll", refuse)
        pass_time(world, 3.1)
        assert len(asked) == 3
        failing = [log for log in world.logs() if log.state is LogState.FAILING]
        assert [log.path for log in failing] == [first]
        assert "Unable to watch its pipe: Operation not permitted" in str(failing[0].error)
    pass_time(world, 1.1)
    assert world.status(first).state is LogState.OPEN
    guests[first].write(b"after")
    world.reactor.turn()
    assert world.text(first).endswith(b"after")


@contextmanager
def one_breaks(method: str, path: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a mistake of the daemon's show in a method of one log, for a while."""
    real: Callable[..., object] = getattr(OpenLog, method)

    def broken(log: OpenLog, *arguments: object, **named: object) -> object:
        if log.path == path:
            raise ZeroDivisionError(method)
        return real(log, *arguments, **named)

    with patch.context() as context:
        context.setattr(OpenLog, method, broken)
        yield


def test_a_mistake_in_serving_one_pipe(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """Others of the same turn are served; that one counts as failing, and is tried again."""
    expected_failures.append("ZeroDivisionError")
    world = make_world()
    guests = open_many(world)
    first, *others = guests
    with one_breaks("pipe_ready", first, monkeypatch):
        for guest in guests.values():
            guest.write(b"line")
        world.reactor.turn()
        assert [world.text(path) for path in others] == [b"line", b"line"]
        world.reactor.run()
        assert world.status(first).state is LogState.FAILING
        assert world.watch in world.reactor.readers
    pass_time(world, 1.1)
    assert world.status(first).state is LogState.OPEN
    assert world.text(first) == b"line"


def test_a_mistake_in_watching_does_not_end_the_watch(
    world: World, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """Twisted removes a reader that raises, which would be the end of all logs."""
    expected_failures.append("ZeroDivisionError")
    guest = world.open()
    guest.write(b"line")
    with monkeypatch.context() as patch:
        patch.setattr(world.watch, "_serve_ready", lambda *_: 1 / 0)
        world.reactor.turn()
    world.reactor.turn()
    assert world.text() == b"line"


def test_a_mistake_in_looking_after_a_failing_log(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """The other failing logs recover, and that one when it can."""
    expected_failures.append("ZeroDivisionError")
    world = make_world()
    guests = open_many(world)
    first, *others = guests
    with files_end_at(1000):
        fail_all(world, guests)
    with one_breaks("check", first, monkeypatch):
        pass_time(world, 1.1)
        assert {world.status(path).state for path in others} == {LogState.OPEN}
    pass_time(world, 1.1)
    assert world.status(first).state is LogState.OPEN


def test_a_mistake_in_closing_one_log(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """What the other logs' pipes hold is written when the daemon stops."""
    expected_failures.append("ZeroDivisionError")
    world = make_world()
    guests = open_many(world)
    first, *others = guests
    for guest in guests.values():
        guest.write(b"last words")
    with one_breaks("close", first, monkeypatch):
        (pipe,) = (state.pipe for state in world.handler.suspended() if state.path == first)
        log = world.handler._logs[first]
        world.close()
    assert [Path(path).read_bytes() for path in others] == [b"last words"] * 2
    os.close(pipe)
    log.writer.close()


@pytest.mark.lengthy
def test_a_mistake_in_taking_over_one_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """The daemon starts with all others."""
    expected_failures.append("ZeroDivisionError")
    pipes = [os.pipe() for _ in range(3)]
    paths = [str(tmp_path / f"{number}.log") for number in range(3)]
    logs = [OpenLogState(pipe[0], path, "qemu") for pipe, path in zip(pipes, paths, strict=True)]
    reactor = FakeReactor()
    # The one is never called, and what the other is given is for a reactor that runs.
    reactor.getThreadPool = None  # type: ignore[attr-defined]
    reactor.callFromThread = lambda call, *args: None  # type: ignore[attr-defined]
    service = VirtlogService(
        Settings(),
        Endpoints(),
        reactor,  # type: ignore[arg-type]
        DaemonState(os.getpid(), {}, tuple(logs)),
    )
    with one_breaks("resume", paths[0], monkeypatch):
        service.startService()
    assert [log.path for log in service.handler.logs()] == paths[1:]
    for _, write_end in pipes:
        os.write(write_end, b"line")
    stopped: list[object] = []
    service.stopService().addCallback(stopped.append)
    while not stopped:
        reactor.turn()
    assert [Path(path).read_bytes() for path in paths[1:]] == [b"line"] * 2
    for _, write_end in pipes:
        os.close(write_end)
    os.close(pipes[0][0])
