"""The process that packs files is started, asked, killed and started again."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.logs.packing.process import PackerGone, PackingProcess
from twisted_virtlog.loop.processes import Life, life_of, wait_for_end
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.reading import origin_of, read_packed

_TEXT = b"a line of a guest\n" * 50000
_ORIGIN = Origin(12, "h1.y", len(_TEXT))


class Packer:
    """A process, and the reactor that it is on."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.clock = Clock()
        self.process = PackingProcess(self.reactor, self.clock)  # type: ignore[arg-type]

    def turn_until(self, is_done: Callable[[], bool]) -> None:
        """Turn, and do not take the processor that the process waits for."""
        while not is_done():
            poller = select.poll()
            for reader in self.reactor.readers:
                poller.register(reader.fileno(), select.POLLIN)
            poller.poll()
            self.reactor.turn()

    def until_ready(self) -> int:
        self.turn_until(lambda: bool(self.process.pid))
        return self.process.pid

    def result(self, asked: Deferred[int]) -> object:
        found: list[object] = []
        asked.addBoth(found.append)
        self.turn_until(lambda: bool(found))
        return getattr(found[0], "value", found[0])


@pytest.fixture
def packer() -> Iterator[Packer]:
    packer = Packer()
    packer.process.begin()
    yield packer
    packer.process.close()


@pytest.fixture
def files() -> Iterator[tuple[int, int]]:
    source, target = os.memfd_create("source"), os.memfd_create("target")
    os.pwrite(source, _TEXT, 0)
    yield source, target
    os.close(source)
    os.close(target)


def test_it_packs_a_file_and_writes_it_to_the_disk(packer: Packer, files: tuple[int, int]) -> None:
    packer.until_ready()
    size = packer.result(packer.process.pack(*files, _ORIGIN))
    _, target = files
    assert size == os.fstat(target).st_size < len(_TEXT) / 10
    assert origin_of(target) == _ORIGIN
    assert read_packed(target, 0, 100) == _TEXT[:100]
    assert packer.result(packer.process.sync(target)) == size


def test_it_gets_what_nobody_else_wants(packer: Packer) -> None:
    pid = packer.until_ready()
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE


def _children() -> set[str]:
    """Return the processes whose end this one is told, those of other tests too."""
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}


def test_it_is_nobody_s_child_and_leaves_no_status(packer: Packer) -> None:
    before = _children()
    pid = packer.until_ready()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    assert _children() <= before


def test_it_ends_when_its_socket_is_closed(packer: Packer) -> None:
    pid = packer.until_ready()
    packer.process.close()
    _wait_for_end(pid)
    assert not packer.reactor.readers


def test_one_that_was_killed_is_started_again(packer: Packer, files: tuple[int, int]) -> None:
    pid = packer.until_ready()
    os.kill(pid, signal.SIGSTOP)
    asked = packer.process.pack(*files, _ORIGIN)
    assert not packer.process.is_ready
    os.kill(pid, signal.SIGKILL)
    assert isinstance(packer.result(asked), PackerGone)
    assert not packer.process.is_ready
    packer.clock.advance(1)
    assert packer.until_ready() != pid
    os.truncate(files[1], 0)
    assert isinstance(packer.result(packer.process.pack(*files, _ORIGIN)), int)


def test_one_that_ends_again_and_again_is_started_more_and_more_rarely(packer: Packer) -> None:
    for seconds in (1, 2, 4, 8):
        pid = packer.until_ready()
        os.kill(pid, signal.SIGKILL)
        packer.turn_until(lambda: not packer.process.pid)
        [call] = packer.clock.getDelayedCalls()
        assert call.getTime() - packer.clock.seconds() == seconds
        packer.clock.advance(seconds)


def test_it_says_what_is_wrong(packer: Packer, files: tuple[int, int]) -> None:
    packer.until_ready()
    asked = packer.process.pack(*files, Origin(1, "", len(_TEXT) + 1))
    error = packer.result(asked)
    assert isinstance(error, OSError)
    assert error.errno == errno.ENODATA
    # And goes on.
    os.truncate(files[1], 0)
    assert isinstance(packer.result(packer.process.pack(*files, _ORIGIN)), int)


def test_what_is_asked_before_it_is_there_fails(files: tuple[int, int]) -> None:
    packer = Packer()
    assert isinstance(packer.result(packer.process.pack(*files, _ORIGIN)), PackerGone)


def test_one_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = Packer()
    with monkeypatch.context() as patched:
        patched.setattr("sys.executable", "/nonexistent/python")
        packer.process.begin()
        assert not packer.process.is_ready
    packer.clock.advance(1)
    packer.until_ready()
    packer.process.close()


def _wait_for_end(pid: int) -> None:
    while life_of(pid) is Life.LIVING:
        wait_for_end(pid, 0.05)
