"""The blocking client against a daemon on a real UNIX socket."""

from __future__ import annotations

import array
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, LOG, FakeDaemon, Params, Refusal
from tests.client.full_queue import full_queue
from twisted_virtlog.client import (
    BadAnswer,
    BlockingClient,
    Chunk,
    Closed,
    Disconnected,
    Domain,
    Position,
    RemoteError,
    Removed,
    TimedOut,
    Unreachable,
    blocking_connection,
)


@pytest.fixture
def client(daemon: FakeDaemon) -> Iterator[BlockingClient]:
    """Connect to the daemon."""
    with BlockingClient(str(daemon.path), timeout=30) as client:
        yield client


def open_descriptors() -> set[str]:
    """Return which descriptors this process has."""
    return set(os.listdir("/proc/self/fd"))


def test_what_goes_into_the_pipe_arrives(daemon: FakeDaemon, client: BlockingClient) -> None:
    """An opened log takes bytes until its write end is closed."""
    opened = client.open("/a", "qemu", Domain(uuid="u", name="web"), True)
    assert opened.position == Position(INODE, 0)
    assert not os.get_inheritable(opened.write_end)
    os.write(opened.write_end, b"hello\n")
    os.close(opened.write_end)
    assert daemon.written() == b"hello\n"
    assert daemon.requests[0]["params"] == {
        "path": "/a",
        "driver": "qemu",
        "domain": {"uuid": "u", "name": "web"},
        "truncate": True,
    }


def test_all_other_calls_give_their_values(daemon: FakeDaemon, client: BlockingClient) -> None:
    """Append, position, read, list, info and discover answer with what their types say."""
    every_byte = bytes(range(256))
    daemon.logs["/a"] = every_byte
    daemon.answers["log.list"] = lambda _params: [LOG, {**LOG, "state": "failing", "error": "EIO"}]
    assert client.append("/a", "ä\n") == Position(INODE, 259)
    assert client.position("/a") == Position(INODE, 259)
    assert client.read("/a", Position(INODE, 2), 254) == Chunk(
        every_byte[2:], Position(INODE, 2), Position(INODE, 256), False
    )
    assert client.close_log("/a") == Closed(Position(INODE, 259), 0)
    assert client.remove("/a") == Removed(1, 259)
    first, second = client.list()
    assert first.opened_at == datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
    assert (first.domain, first.error) == (Domain(uuid=LOG["domain"]["uuid"], name="web"), None)
    assert (second.state, second.error) == ("failing", "EIO")
    assert first.pipe == 4321
    info = client.info()
    assert (info.pid, info.uptime_s, info.limits) == (42, 90.25, {"max_size": 2097152})
    assert client.discover() == {"openrpc": "1.2.6", "methods": []}


def test_a_position_has_a_birth(daemon: FakeDaemon, client: BlockingClient) -> None:
    """It comes with each position of a newer daemon, and goes back with it; digits are numbers."""
    here = {"inode": str(2**64 - 1), "offset": str(2**63 - 1), "birth": "h1.a"}
    daemon.answers["log.position"] = lambda _params: here
    most = Position(2**64 - 1, 2**63 - 1, "h1.a")
    assert client.position("/a") == most
    daemon.logs["/a"] = b"x"
    client.read("/a", most)
    assert daemon.requests[-1]["params"]["position"] == {
        "inode": 2**64 - 1,
        "offset": 2**63 - 1,
        "birth": "h1.a",
    }
    # Older daemons refuse a member that they do not know.
    client.read("/a", Position(INODE, 0))
    assert daemon.requests[-1]["params"]["position"] == {"inode": INODE, "offset": 0}


def test_a_long_answer_comes_in_pieces(daemon: FakeDaemon, client: BlockingClient) -> None:
    """More than one receive takes is put together."""
    daemon.logs["/a"] = os.urandom(4 * 1024 * 1024)
    assert client.read("/a", None, 4 * 1024 * 1024).data == daemon.logs["/a"]


def test_a_refusal_leaves_the_connection_usable(client: BlockingClient) -> None:
    """An error that the daemon answers is raised, and the next call works."""
    with pytest.raises(RemoteError) as raised:
        client.position("/none")
    assert (raised.value.code, raised.value.data) == (1002, {"path": "/none"})
    assert client.append("/none", "x") == Position(INODE, 1)


def test_nobody_there(tmp_path: Path) -> None:
    """A socket that is not there, or not listened at, is named with the reason."""
    missing = str(tmp_path / "none")
    with pytest.raises(Unreachable, match=f"{missing}: No such file") as raised:
        BlockingClient(missing)
    assert raised.value.errno == errno.ENOENT
    with pytest.raises(
        Unreachable, match=r"too long: 108 bytes, .* may have 107; make a"
    ) as raised:
        BlockingClient("/" + "x" * 107)
    assert raised.value.errno == errno.ENAMETOOLONG
    with pytest.raises(Unreachable, match="No such file"):
        BlockingClient("/" + "x" * 106)
    with pytest.raises(Unreachable, match="surrogates"):
        BlockingClient("/\ud800")


def test_a_full_queue_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that has not come to accept is no reason to fail before the time is over."""
    pauses: list[float] = []
    path = tmp_path / "sock"
    with full_queue(path) as listener:

        def wait(pause: float) -> None:
            pauses.append(pause)
            if len(pauses) == 3:
                listener.accept()[0].close()

        monkeypatch.setattr(blocking_connection.time, "sleep", wait)
        BlockingClient(str(path), timeout=None).close()
        assert len(pauses) == 3
        with pytest.raises(Unreachable, match=r"was full for 0\.5 seconds") as raised:
            BlockingClient(str(path), timeout=0.5)
        assert raised.value.errno == errno.EAGAIN
        assert sum(pauses[3:]) == pytest.approx(0.5)


def hang_up(_params: Params) -> Any:
    """Close the connection instead of an answer."""
    raise ConnectionAbortedError


def test_a_daemon_that_hangs_up_is_told_of(daemon: FakeDaemon, client: BlockingClient) -> None:
    """A closed connection is an error that names the call, and so is each call after it."""
    daemon.answers["daemon.info"] = hang_up
    with pytest.raises(Disconnected, match=r"before it answered daemon\.info"):
        client.info()
    with pytest.raises(Disconnected, match=r"log\.list cannot be asked: the daemon closed"):
        client.list()


def test_a_silent_daemon_is_not_waited_for(daemon: FakeDaemon) -> None:
    """An answer that does not come in time is an error, and is not taken for a later one's."""
    released = threading.Event()

    def late(_params: Params) -> Any:
        released.wait()
        raise Refusal(1003, "late")

    daemon.answers["daemon.info"] = late
    with BlockingClient(str(daemon.path), timeout=0.05) as client:
        with pytest.raises(TimedOut, match=r"no answer to daemon\.info came within 0\.05 seconds"):
            client.info()
        with pytest.raises(Disconnected, match="cannot be asked"):
            client.list()
    released.set()


def answering(path: Path, send: Callable[[socket.socket], None]) -> threading.Thread:
    """Answer one request by hand."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            send(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def pass_two_descriptors(connection: socket.socket) -> None:
    """Send two descriptors with the beginning of an answer that never ends."""
    ends = os.pipe()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends))]
    connection.sendmsg([b'{"id":1,'], rights)
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("rest", [b"", b"nonsense\n", b'"result":[]}\n', b'"result":{"fds":1}}\n'])
def test_descriptors_that_nobody_takes_are_closed(tmp_path: Path, rest: bytes) -> None:
    """A daemon that breaks off, or answers nonsense, leaves no descriptor open here."""

    def send(connection: socket.socket) -> None:
        pass_two_descriptors(connection)
        connection.sendall(rest)

    before = open_descriptors()
    thread = answering(tmp_path / "sock", send)
    with BlockingClient(str(tmp_path / "sock")) as client, pytest.raises((BadAnswer, Disconnected)):
        client.open("/a")
    thread.join()
    assert open_descriptors() == before


def test_a_descriptor_before_the_last_byte_is_its_answers(tmp_path: Path) -> None:
    """The daemon may send the descriptor as late as with the newline."""

    def send(connection: socket.socket) -> None:
        text = b'{"id":1,"result":{"position":{"inode":1,"offset":2},"fds":1}}\n'
        connection.sendall(text[:-1])
        read_end, write_end = os.pipe()
        socket.send_fds(connection, [text[-1:]], [write_end])
        os.close(read_end)
        os.close(write_end)

    thread = answering(tmp_path / "sock", send)
    with BlockingClient(str(tmp_path / "sock"), timeout=30) as client:
        opened = client.open("/a")
    thread.join()
    assert opened.position == Position(1, 2)
    os.close(opened.write_end)
