"""The asyncio client against a daemon on a real UNIX socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import INODE, FakeDaemon, Refusal
from tests.client.full_queue import full_queue
from twisted_virtlog.client import (
    BadAnswer,
    BadRequest,
    Disconnected,
    Position,
    RemoteError,
    TimedOut,
    Unreachable,
)
from twisted_virtlog.client.asyncio_client import AsyncioClient, connect

HERE = {"inode": 5, "offset": 9}


class Peer:
    """The daemon's end of one connection, played by a test."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self.socket = self._listener
        self.path = str(path)

    def accept(self) -> None:
        """Take the client's connection."""
        self.socket, _address = self._listener.accept()
        self._listener.close()
        self.socket.setblocking(False)

    async def request(self) -> list[dict[str, Any]]:
        """Wait for requests, and return those that came."""
        data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)
        return [json.loads(line) for line in data.splitlines()]

    def answer(self, number: int, **members: Any) -> None:
        """Send an answer."""
        text = json.dumps({"jsonrpc": "2.0", "id": number, **members}).encode() + b"\n"
        self.socket.send(text)

    def pass_write_end(self, number: int) -> int:
        """Answer log.open; returns the read end of the pipe."""
        read_end, write_end = os.pipe()
        text = json.dumps({"id": number, "result": {"position": HERE, "fds": 1}}).encode() + b"\n"
        socket.send_fds(self.socket, [text], [write_end])
        os.close(write_end)
        return read_end


Play = Callable[[Peer, AsyncioClient], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Return a function that runs a test's coroutine with a connected client and its peer."""

    async def run(script: Play, timeout: float | None) -> None:
        peer = Peer(tmp_path / "sock")
        async with await connect(peer.path, timeout) as client:
            peer.accept()
            with peer.socket:
                await asyncio.wait_for(script(peer, client), 60)

    def play(script: Play, timeout: float | None = None) -> None:
        before = set(os.listdir("/proc/self/fd"))
        asyncio.run(run(script, timeout))
        assert set(os.listdir("/proc/self/fd")) == before

    return play


async def ended(read_end: int) -> None:
    """Wait until no write end of a pipe is left."""
    with open(read_end, "rb", buffering=0) as pipe:
        assert await asyncio.to_thread(pipe.read) == b""


def test_a_log_is_opened_written_and_read(daemon: FakeDaemon) -> None:
    """The calls return what their types say, and descriptors that no child inherits."""

    async def main() -> None:
        async with await connect(str(daemon.path)) as client:
            opened = await client.open("/a", driver="qemu")
            assert not os.get_inheritable(opened.write_end)
            os.write(opened.write_end, b"hello\n")
            os.close(opened.write_end)
            assert daemon.written() == b"hello\n"
            end, chunk, logs = await asyncio.gather(
                client.append("/a", "x\n"), client.read("/a"), client.list()
            )
        assert end == Position(INODE, 2)
        assert (chunk.data, logs) == (b"x\n", [])

    asyncio.run(main())
    assert [request["method"] for request in daemon.requests] == [
        *("log.open", "log.append", "log.read", "log.list")
    ]


def test_requests_overlap_and_answers_find_them(play: Callable[..., None]) -> None:
    """Nobody waits for an answer before the next request, and each gets its own."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        first, second = client.position("/a"), client.list()
        assert [one["method"] for one in await peer.request()] == ["log.position", "log.list"]
        peer.answer(1, error={"code": 1002, "message": "/a is not open"})
        peer.answer(2, result=[])
        assert await second == []
        with pytest.raises(RemoteError, match="not open"):
            await first

    play(script)


def test_a_cancelled_open_leaves_nothing_open(play: Callable[..., None]) -> None:
    """The answer to a call that was given up is dropped with its descriptor; others are not."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        given_up, kept = client.open("/a"), client.position("/b")
        given_up.cancel()
        await peer.request()
        read_end = peer.pass_write_end(1)
        peer.answer(2, result=HERE)
        assert await kept == Position(5, 9)
        await ended(read_end)

    play(script)


def test_a_late_answer_is_dropped_and_the_connection_goes_on(play: Callable[..., None]) -> None:
    """A call whose time is over says so; the log that it opened all the same is closed."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        with pytest.raises(TimedOut, match=r"no answer to log\.open came within 0\.05 seconds"):
            await client.open("/a")
        await peer.request()
        read_end = peer.pass_write_end(1)
        await ended(read_end)
        client._timeout = None
        later = client.position("/a")
        await peer.request()
        peer.answer(2, result=HERE)
        assert (await later).offset == 9

    play(script, 0.05)


def test_a_lost_connection_fails_all_that_waits(play: Callable[..., None]) -> None:
    """Each call that has no answer says which it was, and so does each later one."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        waiting: list[asyncio.Future[Any]] = [client.open("/a"), client.info()]
        await peer.request()
        peer.socket.close()
        for method, future in zip(("log.open", "daemon.info"), waiting, strict=True):
            with pytest.raises(Disconnected, match=f"closed .* before {method} was answered"):
                await future
        with pytest.raises(Disconnected, match=r"log\.list cannot be asked: the daemon closed"):
            await client.list()

    play(script)


def test_closing_fails_what_waits(play: Callable[..., None]) -> None:
    """A closed client asks nothing any more; closing it again is no error."""

    async def script(_peer: Peer, client: AsyncioClient) -> None:
        waiting = client.discover()
        client.close()
        client.close()
        with pytest.raises(Disconnected, match="the client was closed before"):
            await waiting

    play(script)


def test_nonsense_ends_the_connection(play: Callable[..., None]) -> None:
    """No answer is believed after one that makes no sense."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        waiting = client.list()
        await peer.request()
        peer.socket.send(b"nonsense\n")
        with pytest.raises(BadAnswer):
            await waiting
        with pytest.raises(Disconnected, match="nonsense"):
            await client.list()

    play(script)


def test_what_cannot_be_said_fails_alone(play: Callable[..., None]) -> None:
    """A request that cannot be written down is not sent, and the next one is."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        with pytest.raises(BadRequest):
            await client.position("/\udcff")
        waiting = client.position("/a")
        peer.answer((await peer.request())[0]["id"], result=HERE)
        assert await waiting == Position(5, 9)

    play(script)


def test_requests_that_the_daemon_does_not_read_yet_wait(play: Callable[..., None]) -> None:
    """More than the socket takes is sent on when there is room, whole and in order."""

    async def script(peer: Peer, client: AsyncioClient) -> None:
        messages = [str(number) * 400_000 for number in range(5)]
        futures = [client.append("/a", message) for message in messages]
        received = b""
        while received.count(b"\n") < len(messages):
            received += await asyncio.get_running_loop().sock_recv(peer.socket, 1 << 20)
        asked = [json.loads(line)["params"]["message"] for line in received.splitlines()]
        assert asked == messages
        for number in range(5):
            peer.answer(number + 1, result=HERE)
        assert await asyncio.gather(*futures) == [Position(5, 9)] * 5

    play(script)


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """A daemon that has not come to accept is no reason to fail before the time is over."""

    async def main() -> None:
        with full_queue(tmp_path / "sock") as listener:
            path = str(tmp_path / "sock")
            with pytest.raises(Unreachable, match=r"was full for 0\.05 seconds"):
                await connect(path, 0.05)
            waiting = asyncio.create_task(connect(path, None))
            await asyncio.sleep(0)
            assert not waiting.done()
            listener.accept()[0].close()
            (await waiting).close()

    asyncio.run(main())


def test_it_works_without_twisted(daemon: FakeDaemon) -> None:
    """A program on asyncio loads no reactor."""
    program = (
        "import asyncio, sys\n"
        "from twisted_virtlog.client.asyncio_client import connect\n"
        "async def main():\n"
        "    async with await connect(sys.argv[1]) as client:\n"
        "        print((await client.info()).pid)\n"
        "asyncio.run(main())\n"
        # (some releases of zope.interface leave a package of that name at Python's start)
        "print([name for name in sys.modules if name.split('.')[0] == 'twisted'])\n"
    )
    command = [sys.executable, "-c", program, str(daemon.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "42\n[]\n"


def test_a_broken_refusal_is_no_end(daemon: FakeDaemon) -> None:
    """An error that the daemon answers leaves the connection usable."""

    def refuse(_params: dict[str, Any]) -> Any:
        raise Refusal(1005, "the daemon is stopping")

    daemon.answers["log.list"] = refuse

    async def main() -> None:
        async with await connect(str(daemon.path)) as client:
            with pytest.raises(RemoteError, match="stopping"):
                await client.list()
            assert (await client.info()).pid == 42

    asyncio.run(main())
