"""The abuses: what their clients send, that they really take it all, and that a pipe is locked."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench import abuses
from bench.abuser import Stream, locking, talking
from bench.daemons import Target
from bench.figures import LONGEST, P99, Stand
from bench.load import Load
from bench.loads import ABUSES

#: The fixed part of a message of libvirt's protocol, by which it says that all went well.
_ANSWER = bytes([0, 0, 0, 28]) + bytes(24)


@contextmanager
def serving(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve one client after another in a thread, until the context ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if not connection.recv(1, socket.MSG_PEEK):
                    return
                # (a client may be ended while it is served)
                with suppress(ConnectionError):
                    serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
        thread.join()
        listener.close()


@pytest.fixture
def scene(generator: Load, tmp_path: Path) -> abuses.Scene:
    log = tmp_path / "x.log"
    log.touch()
    target = Target(os.getpid(), "/libvirt", "/jsonrpc", tmp_path, 0.0)
    return abuses.Scene(Stand(target, generator, 1.0), str(log), -1)


def test_an_abuser_sends_without_end_reads_and_comes_again(generator: Load, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    heard: list[bytes] = []
    enough = threading.Event()

    def serve(connection: socket.socket) -> None:
        heard.append(connection.recv(8, socket.MSG_WAITALL))
        # More than a socket holds: it is sent only if it is read.
        connection.sendall(bytes(4 << 20))
        if len(heard) == 3:
            enough.set()

    with (
        serving(path, serve),
        talking(generator, Stream(str(path), b"abc", connections=2, chunk=2)) as seen,
    ):
        assert enough.wait(60)
    (talked,) = seen
    assert set(heard) == {b"abcabcab"}
    assert talked.received >= 2 * (4 << 20)
    assert talked.reconnected >= 2
    assert talked.sent >= 24


def test_a_client_asks_no_more_often_than_it_should(generator: Load, tmp_path: Path) -> None:
    """And says how much of its processor the daemon used meanwhile."""
    path = tmp_path / "socket"

    def serve(connection: socket.socket) -> None:
        while connection.recv(4):
            sum(range(10_000))
            connection.sendall(_ANSWER)

    with serving(path, serve):
        request = bytes([0, 0, 0, 4])
        called = generator.call(str(path), [request], seconds=0.05, every=0.01, daemon=os.getpid())
        assert 1 <= called.calls <= 6
        assert 0 <= called.used_p99 <= called.used_longest
        # (the kernel may keep it from others)
        assert called.used_p99 or os.geteuid()
        assert generator.call(str(path), [request], count=3).used_longest == 0.0


@pytest.mark.parametrize("filled", [False, True])
def test_a_pipe_is_locked_until_the_end(generator: Load, filled: bool) -> None:
    """Whoever asks how much is in it waits in the kernel; whether there is anything can be seen."""
    read_end, write_end = os.pipe()
    found = array.array("i", [-1])
    numbers: list[int] = []

    def ask() -> None:
        numbers.append(threading.get_native_id())
        fcntl.ioctl(read_end, termios.FIONREAD, found)

    thread = threading.Thread(target=ask)
    try:
        with locking(generator, write_end, 60.0, filled):
            assert bool(select.select([read_end], [], [], 0)[0]) is filled
            thread.start()
            while not numbers or _state(numbers[0]) != "D":
                assert thread.is_alive()
            assert found[0] == -1
        thread.join()
        assert (found[0] > 0) is filled
    finally:
        os.close(read_end)
        os.close(write_end)


def _state(thread: int) -> str:
    """Give the state of a thread of this process; empty once it has ended."""
    try:
        text = Path(f"/proc/self/task/{thread}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(") ")[2][:1]


def _entries(stream: Stream) -> list[object]:
    found = json.loads(stream.data)
    assert isinstance(found, list)
    return found


def test_batches_are_as_long_as_they_should_be(scene: abuses.Scene) -> None:
    """As long as the daemon accepts, and one that is longer."""
    ones = abuses.ones(scene)
    assert set(_entries(ones)) == {1}
    assert abuses.BATCH_BYTES - 2 <= len(ones.data.strip()) <= abuses.BATCH_BYTES
    assert _entries(abuses.two_million_ones(scene)) == [1] * 2_000_000
    positions = abuses.position_batches(scene)
    assert len(positions.data.strip()) <= abuses.BATCH_BYTES
    expected = {
        "jsonrpc": "2.0",
        "method": "log.position",
        "params": {"path": scene.path},
        "id": 1,
    }
    assert all(entry == expected for entry in _entries(positions))


def test_notifications_want_no_answer(scene: abuses.Scene) -> None:
    """They ask for the most that may be read."""
    for line in abuses.notifications(scene).data.splitlines():
        request = json.loads(line)
        assert "id" not in request
        assert (request["method"], request["params"]["max_bytes"]) == ("log.read", 4 << 20)


@pytest.mark.lengthy
def test_long_texts_are_as_long_as_is_accepted(scene: abuses.Scene) -> None:
    """Of numbers, and of what has a bracket nearly everywhere."""
    for make, entry in ((abuses.numbers, b"1"), (abuses.brackets, b"[]")):
        text = make(scene).data.strip()
        assert abuses.TEXT_BYTES - 3 <= len(text) <= abuses.TEXT_BYTES
        assert text.startswith(abuses.text_of(entry, 100)[:-3])


def test_a_long_text_is_no_request() -> None:
    """But it is JSON, an object."""
    assert json.loads(abuses.text_of(b"[]", 100)) == {"a": [[]] * 30}


def test_garbage_is_no_json(scene: abuses.Scene) -> None:
    """Not one line of it."""
    for line in abuses.garbage(scene).data.splitlines():
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(line)


def test_abusers_together_each_do_theirs(scene: abuses.Scene) -> None:
    """What they moved is counted for each."""

    @contextmanager
    def abuse(scene: abuses.Scene) -> Iterator[None]:
        yield
        scene.moved.append(1)

    with abuses.together(abuse, abuse)(scene):
        assert scene.moved == []
    assert scene.moved == [1, 1]


def test_each_has_the_goals() -> None:
    """A p99 and a longest answer that others may see, in time that is their own."""
    for load in ABUSES:
        goals = {figure.name: figure for figure in load.figures if figure.goal is not None}
        assert (goals[P99].goal, goals[LONGEST].goal) == (1000.0, 5000.0)
        assert all(figure.of_own for figure in goals.values())
