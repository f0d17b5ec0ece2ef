"""What is awaited: how it begins and ends, and what happens to logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint

from tests.client.fake_daemon import INODE, LOG, FakeDaemon, Params, Refusal
from tests.client.followers import (
    AWAITING,
    AsyncioDriver,
    AwaitingDriver,
    DeferredDriver,
    as_coroutine,
)
from tests.client.full_queue import full_queue
from tests.client.peer import Peer
from twisted_virtlog.client import Disconnected, Position, RemoteError, TimedOut, Unreachable
from twisted_virtlog.client.deferred import connect_endpoint
from twisted_virtlog.client.notifications import FeedLog, Snapshot


def open_driver(kind: type[AwaitingDriver], daemon: FakeDaemon) -> Iterator[AwaitingDriver]:
    """Connect a client; it leaves nothing open."""
    before = len(os.listdir("/proc/self/fd"))
    driver = kind(str(daemon.path))
    daemon.wait_for(lambda daemon: daemon.accepted == 1)
    yield driver
    driver.close()
    daemon.wait_for(lambda daemon: not daemon.connections)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture(params=AWAITING, ids=lambda kind: kind.__name__)
def driver(request: pytest.FixtureRequest, daemon: FakeDaemon) -> Iterator[AwaitingDriver]:
    """Connect a client of each kind."""
    yield from open_driver(request.param, daemon)


@pytest.fixture
def deferred(daemon: FakeDaemon) -> Iterator[AwaitingDriver]:
    """Connect Twisted's client."""
    yield from open_driver(DeferredDriver, daemon)


@pytest.fixture
def aio(daemon: FakeDaemon) -> Iterator[AwaitingDriver]:
    """Connect the asyncio client."""
    yield from open_driver(AsyncioDriver, daemon)


def test_nothing_is_asked_before_it_is_awaited(daemon: FakeDaemon, driver: AwaitingDriver) -> None:
    """Who makes an iterator and forgets it has done nothing."""
    following = driver.client.follow("/a")
    with pytest.raises(RuntimeError, match="has not started"):
        following.position  # noqa: B018 (it is what is tried)
    assert daemon.accepted == 1
    assert driver.run(following.started()) == Position(0, 0)
    assert driver.run(following.started()) == Position(0, 0)
    assert daemon.accepted == 2
    driver.end(following)


def test_a_loop_begins_by_itself_and_ends_with_its_block(
    daemon: FakeDaemon, driver: AwaitingDriver
) -> None:
    """As most programs have it."""
    daemon.logs["/a"] = b"0123456789"
    daemon.chunk_bytes = 3

    async def first_two() -> list[bytes]:
        got = []
        async for chunk in driver.client.follow("/a", Position(INODE, 0)):
            got.append(chunk.data)
            if len(got) == 2:
                break
        return got

    async def all_of_it() -> bytes:
        got = b""
        async with driver.client.follow("/a", Position(INODE, 0)) as following:
            assert following.position == Position(INODE, 0)
            async for chunk in following:
                got += chunk.data
                if len(got) == 10:
                    daemon.end("/a", "closed")
        return got

    assert driver.run(first_two()) == [b"012", b"345"]
    driver.settle()
    daemon.wait_for(lambda daemon: len(daemon.connections) == 1)
    assert driver.run(all_of_it()) == b"0123456789"
    driver.settle()
    daemon.wait_for(lambda daemon: len(daemon.connections) == 1)


def test_only_one_may_await_it(driver: AwaitingDriver) -> None:
    """As with Python's own generators."""
    following = driver.client.follow("/a")
    driver.start(following)
    waiting = following.__anext__()

    async def both() -> None:
        task: Any = asyncio.ensure_future(waiting) if isinstance(driver, AsyncioDriver) else None
        task = task or Deferred.fromCoroutine(waiting)
        if isinstance(driver, AsyncioDriver):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="awaited already"):
            await following.__anext__()
        # It goes on, until somebody closes it.
        await following.aclose()
        with pytest.raises(StopAsyncIteration):
            await task

    driver.run(both())


def test_a_cancelled_loop_is_closed(daemon: FakeDaemon, aio: AwaitingDriver) -> None:
    """At once, whoever may have a reference to it still."""
    following = aio.client.follow("/a")
    aio.start(following)

    async def cancelled() -> None:
        task = asyncio.ensure_future(following.__anext__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    aio.run(cancelled())
    daemon.wait_for(lambda daemon: len(daemon.connections) == 1)
    assert aio.next(following) is None


def test_a_cancelled_deferred_is_closed(daemon: FakeDaemon, deferred: AwaitingDriver) -> None:
    """Likewise in Twisted."""
    following = deferred.client.follow("/a")
    deferred.start(following)

    async def cancelled() -> None:
        waiting = Deferred.fromCoroutine(following.__anext__())
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting

    deferred.run(cancelled())
    deferred.settle()
    daemon.wait_for(lambda daemon: len(daemon.connections) == 1)
    assert deferred.next(following) is None


def test_a_cancelled_pause_ends_it(daemon: FakeDaemon, aio: AwaitingDriver) -> None:
    """Also while no daemon is there."""
    following = aio.client.follow("/a")
    aio.start(following)
    daemon.stop()

    async def given_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(following.__anext__(), 0.05)

    aio.run(given_up())
    assert following.ended == "failed"


def test_a_daemon_that_does_not_answer(daemon: FakeDaemon) -> None:
    """The asyncio client's timeout is for the beginning, too."""
    released = threading.Event()
    driver = AsyncioDriver(str(daemon.path), 0.05)
    daemon.answers["log.follow"] = lambda _params: released.wait()
    with pytest.raises(TimedOut, match=r"within 0\.05 seconds"):
        driver.follow("/a")
    released.set()
    driver.close()


def test_a_full_queue_is_waited_for(daemon: FakeDaemon, tmp_path: Path) -> None:
    """And for no longer than the client waits."""
    driver = AsyncioDriver(str(daemon.path), 0.05)
    daemon.path.rename(tmp_path / "elsewhere")
    with full_queue(daemon.path), pytest.raises(Unreachable, match="was full"):
        driver.follow("/a")
    daemon.path.unlink()
    driver.close()


def test_a_full_queue_passes(daemon: FakeDaemon, driver: AwaitingDriver, tmp_path: Path) -> None:
    """Once somebody is accepted, it is connected."""
    daemon.path.rename(tmp_path / "elsewhere")
    with full_queue(daemon.path) as listener:

        def serve() -> None:
            listener.accept()[0].close()
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b'{"id":1,"result":{"subscription":1,"position":{"inode":1,"offset":2}}}\n'
                )

        thread = threading.Thread(target=serve)
        thread.start()
        following = driver.follow("/a")
        thread.join()
        assert following.position == Position(1, 2)
        following.close()
    daemon.path.unlink()


@pytest.mark.parametrize("kind", AWAITING)
def test_nothing_is_read_before_it_is_wanted(kind: type[AwaitingDriver], tmp_path: Path) -> None:
    """Who takes little holds little: the rest waits at the daemon."""
    peer = Peer(tmp_path / "sock")
    with contextlib.ExitStack() as stack:
        stack.callback(peer.close)
        driver = kind(peer.path)
        stack.callback(driver.close)
        stack.enter_context(peer.listener.accept()[0])
        serving = peer.serve(
            b'{"id":1,"result":{"subscription":7,"position":{"inode":1,"offset":2}}}\n'
        )
        following = driver.follow("/a")
        serving.join()
        peer.connection.setblocking(False)
        place = {"inode": 1, "offset": 2}
        told = {"subscription": 7, "data": "eHh4", "start": place, "end": place}
        text = json.dumps({"method": "log.data", "params": told}).encode() + b"\n"
        with contextlib.suppress(BlockingIOError):
            while True:
                assert peer.connection.send(text) == len(text)
        # However often the loop turns, nobody makes room.
        for _ in range(10):
            driver.settle()
        with pytest.raises(BlockingIOError):
            peer.connection.send(text)
        assert following.next().data == b"xxx"
        with contextlib.suppress(BlockingIOError):
            for _ in range(10_000):
                peer.connection.send(text)
        for _ in range(10):
            driver.settle()
        with pytest.raises(BlockingIOError):
            peer.connection.send(text)
        following.close()


def test_a_way_through_an_endpoint(daemon: FakeDaemon, deferred: DeferredDriver) -> None:
    """Where the client was connected by one, what it follows is, too."""
    endpoint = UNIXClientEndpoint(deferred.reactor, str(daemon.path))
    client = deferred.run(as_coroutine(connect_endpoint(endpoint)))
    following = client.follow("/a")
    deferred.start(following)
    daemon.crash()
    daemon.write("/a", b"one")
    assert deferred.next(following).data == b"one"
    daemon.path.rename(daemon.path.with_name("elsewhere"))
    refused = client.follow("/a")
    with pytest.raises(Unreachable, match="UNIXClientEndpoint"):
        deferred.start(refused)
    deferred.end(following)
    deferred.run(as_coroutine(client.close()))
    deferred.settle()


# What happens to logs.


def listing(daemon: FakeDaemon, *paths: str) -> None:
    """Let the daemon have some logs open."""
    rows = [{**LOG, "path": path} for path in paths]
    daemon.answers["log.list"] = lambda _params: rows


def told(item: Any) -> Any:
    """Return what an item says, in short."""
    if isinstance(item, Snapshot):
        return [log.path for log in item.logs]
    assert isinstance(item, FeedLog)
    return item.kind, item.log.path


def test_what_happens_to_logs_follows_a_snapshot(
    daemon: FakeDaemon, driver: AwaitingDriver
) -> None:
    """After each time that the connection had ended there is another one."""
    listing(daemon, "/a", "/b")
    watching = driver.client.watch()
    driver.start(watching)
    assert told(driver.next(watching)) == ["/a", "/b"]
    daemon.notify(1, "log.opened", log={**LOG, "path": "/c"})
    daemon.notify(1, "log.closed", log={**LOG, "path": "/a"})
    assert told(driver.next(watching)) == ("opened", "/c")
    assert told(driver.next(watching)) == ("closed", "/a")
    listing(daemon, "/c")
    daemon.crash()
    assert told(driver.next(watching)) == ["/c"]
    daemon.notify(2, "log.state", log={**LOG, "path": "/c"})
    assert told(driver.next(watching)) == ("state", "/c")
    driver.end(watching)


def test_what_happens_while_a_snapshot_is_made_comes_after_it(
    daemon: FakeDaemon, driver: AwaitingDriver
) -> None:
    """It may be in it or not; so whoever takes the last word of each log is right."""

    def answer(_params: Params) -> Any:
        daemon.notify(1, "log.opened", log={**LOG, "path": "/b"})
        return [{**LOG, "path": "/a"}]

    daemon.answers["log.list"] = answer
    watching = driver.client.watch()
    assert told(driver.next(watching)) == ["/a"]
    assert told(driver.next(watching)) == ("opened", "/b")
    driver.end(watching)


@pytest.mark.parametrize(
    ("reason", "expected"), [("unfollowed", None), ("shutting down", []), ("crash", [])]
)
def test_the_end_of_watching(
    daemon: FakeDaemon, driver: AwaitingDriver, reason: str, expected: Any
) -> None:
    """Only that of the daemon is none."""
    watching = driver.client.watch()
    assert told(driver.next(watching)) == []
    if reason == "crash":
        daemon.crash()
    else:
        daemon.end("", reason)
    item = driver.next(watching)
    assert (item if item is None else told(item)) == expected
    driver.end(watching)


def test_who_does_not_want_to_connect_again_is_told(
    daemon: FakeDaemon, driver: AwaitingDriver
) -> None:
    """What is watched ends, too."""
    watching = driver.client.watch(reconnect=False)
    assert told(driver.next(watching)) == []
    daemon.crash()
    with pytest.raises(Disconnected):
        driver.next(watching)


@pytest.mark.parametrize("method", ["log.watch", "log.list"])
def test_a_refusal_is_raised(daemon: FakeDaemon, driver: AwaitingDriver, method: str) -> None:
    """As of any call."""

    def refuse(_params: Params) -> Any:
        raise Refusal(1012, "not here")

    daemon.answers[method] = refuse
    watching = driver.client.watch()
    with pytest.raises(RemoteError, match="not here"):
        driver.start(watching)
    assert driver.next(watching) is None
