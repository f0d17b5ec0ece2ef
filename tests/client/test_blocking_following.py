"""How long the blocking client's iterator waits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_daemon import INODE, FakeDaemon
from tests.client.full_queue import full_queue
from tests.client.peer import Peer
from twisted_virtlog.client import BlockingClient, Position, TimedOut, Unreachable
from twisted_virtlog.client import blocking_following as module
from twisted_virtlog.client.notifications import FollowedChunk


@pytest.fixture
def client(daemon: FakeDaemon) -> Iterator[BlockingClient]:
    """Connect to the daemon."""
    with BlockingClient(str(daemon.path), timeout=30) as client:
        yield client


def chunk(start: int, data: bytes) -> FollowedChunk:
    """Return what comes of a fake log."""
    return FollowedChunk(data, Position(INODE, start), Position(INODE, start + len(data)))


def test_nobody_waits_longer_than_told(daemon: FakeDaemon, client: BlockingClient) -> None:
    """That nothing came in time is no end."""
    with client.follow("/a") as following:
        assert following.next(0) is None
        assert following.next(0.01) is None
        daemon.write("/a", b"x")
        assert following.next(60) == chunk(0, b"x")
        assert following.ended is None
    assert following.ended == "unfollowed"
    assert following.next(60) is None


def test_a_loop_may_be_left_and_entered_again(daemon: FakeDaemon, client: BlockingClient) -> None:
    """It goes on where it was, as with a file."""
    daemon.chunk_bytes = 1
    with client.follow("/a") as following:
        daemon.write("/a", b"12345")
        for one in following:
            if one.data == b"2":
                break
        daemon.end("/a", "closed")
        assert b"".join(one.data for one in following) == b"345"
        assert following.ended == "closed"


def test_a_time_that_is_over_in_an_exchange_loses_nothing(
    daemon: FakeDaemon, client: BlockingClient
) -> None:
    """Not even if no daemon is there meanwhile."""
    with client.follow("/a") as following:
        daemon.write("/a", b"one")
        assert following.next() == chunk(0, b"one")
        daemon.path.rename(daemon.path.with_name("elsewhere"))
        daemon.crash()
        for _ in range(3):
            assert following.next(0.01) is None
        daemon.path.with_name("elsewhere").rename(daemon.path)
        daemon.write("/a", b"two")
        assert following.next() == chunk(3, b"two")


def test_pauses_grow_while_no_daemon_is_there(
    daemon: FakeDaemon, client: BlockingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a second; they begin anew after something has come."""
    slept: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds
        if len(slept) == 15:
            daemon.path.with_name("elsewhere").rename(daemon.path)

    monkeypatch.setattr(module.time, "sleep", sleep)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with client.follow("/a") as following:
        for _ in range(2):
            slept.clear()
            daemon.path.rename(daemon.path.with_name("elsewhere"))
            daemon.crash()
            daemon.logs["/a"] = daemon.logs.get("/a", b"") + b"x"
            assert following.next() is not None
            assert slept == pytest.approx([0, *(0.001 * 2**n for n in range(10)), 1, 1, 1, 1])


def test_the_beginning_is_not_waited_for_either(daemon: FakeDaemon) -> None:
    """A daemon that does not answer, or does not accept."""
    released = threading.Event()
    with BlockingClient(str(daemon.path), timeout=0.05) as client:
        daemon.answers["log.follow"] = lambda _params: released.wait()
        with pytest.raises(TimedOut, match=r"log\.follow came within 0\.05 seconds"):
            client.follow("/a")
        released.set()
        daemon.path.rename(daemon.path.with_name("elsewhere"))
        with full_queue(daemon.path), pytest.raises(Unreachable, match="was full"):
            client.follow("/a")
        daemon.path.unlink()


def test_nothing_is_read_before_it_is_wanted(tmp_path: Path) -> None:
    """Who takes little holds little: the rest waits at the daemon."""
    peer = Peer(tmp_path / "sock")
    client = BlockingClient(peer.path, 30)
    connection, _address = peer.listener.accept()
    serving = peer.serve(
        b'{"id":1,"result":{"subscription":7,"position":{"inode":1,"offset":2}}}\n'
    )
    with connection, client, client.follow("/a") as following:
        serving.join()
        peer.connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                peer.connection.send(b"\n" * 4096)
        assert following.next(0) is None
        assert peer.connection.send(b"\n" * 4096) > 0
    peer.close()
