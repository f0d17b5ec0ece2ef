"""The program, with a real NATS server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from nats.js.api import StreamConfig
from prometheus_client.parser import text_string_to_metric_families

from harness.daemon import Daemon
from tests.ship.processes import SECONDS, Program, until
from twisted_virtlog.ship.headers import PATH
from twisted_virtlog.ship.jetstream import JetStream
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.sink import Checkpoint, Overtaken, Refused, Source, Unavailable
from twisted_virtlog.ship.sink_settings import NatsSink
from twisted_virtlog.values import Position

pytestmark = pytest.mark.nats


def _has_text(path: Path) -> bool:
    return path.stat().st_size > 0


class Server:
    """A server with JetStream, which keeps its port and its data over restarts."""

    def __init__(self, directory: Path) -> None:
        """Start it at a free port."""
        self._directory = directory
        directory.mkdir()
        self._port = "-1"
        self.process = self._start()
        ports = json.loads(next(directory.glob("nats-server_*.ports")).read_text())
        self.url: str = ports["nats"][0]
        self._port = self.url.rpartition(":")[2]

    def _start(self) -> subprocess.Popen[bytes]:
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
        command = ["nats-server", "--addr", "127.0.0.1", "--port", self._port, "--jetstream"]
        command += ["--store_dir", str(self._directory), "--ports_file_dir", str(self._directory)]
        for old in self._directory.glob("nats-server_*.ports"):
            old.unlink()
        with (self._directory / "log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, env={**os.environ, "PATH": path})
        # (the file is there before what is in it)
        until(lambda: any(map(_has_text, self._directory.glob("nats-server_*.ports"))))
        return process

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again, at the same port."""
        self.process = self._start()

    def run(self, work: Callable[[nats.NATS], object]) -> object:
        """Do something with a client."""

        async def run() -> object:
            client = await nats.connect(self.url)
            try:
                return await work(client)  # type: ignore[misc]
            finally:
                await client.close()

        return asyncio.run(run())

    def stored(self) -> dict[str, list[bytes]]:
        """Return the messages of each log, in order."""

        async def read(client: nats.NATS) -> dict[str, list[bytes]]:
            found: dict[str, list[bytes]] = defaultdict(list)
            stream = client.jetstream()
            info = await stream.stream_info("virtlog")
            came = await stream.subscribe("virtlog.>", stream="virtlog", ordered_consumer=True)
            for _ in range(info.state.messages):
                message = await came.next_msg(timeout=SECONDS)
                assert message.headers is not None
                found[message.headers[PATH]].append(message.data)
            return found

        return self.run(read)  # type: ignore[return-value]

    def count(self) -> int:
        """Return how many messages are stored; 0 if nobody can say."""

        async def look(client: nats.NATS) -> int:
            return (await client.jetstream().stream_info("virtlog")).state.messages

        with contextlib.suppress(nats.errors.Error, OSError):
            return self.run(look)  # type: ignore[return-value]
        return 0

    def end_of(self, text: bytes) -> bool:
        """Return whether the last message ends with a text."""

        async def look(client: nats.NATS) -> bool:
            try:
                last = await client.jetstream().get_last_msg("virtlog", "virtlog.>")
            except nats.js.errors.NotFoundError:
                return False
            return (last.data or b"").endswith(text)

        return bool(self.run(look))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run one."""
    one = Server(tmp_path / "nats")
    yield one
    one.kill()


@pytest.fixture
def program(tmp_path: Path, daemon: Daemon, server: Server) -> Iterator[Program]:
    """Have one that is not running yet."""
    text = f'[[sinks]]\nconsumer = "nats"\nservers = ["{server.url}"]\n'
    with contextlib.closing(Program(tmp_path, daemon, text)) as one:
        yield one


def test_it_ships(program: Program, server: Server, daemon: Daemon, tmp_path: Path) -> None:
    """From the beginning, by subjects, with what is counted; and it ends when it is told to."""
    path = tmp_path / "guest.log"
    with daemon.client() as client:
        write_end = client.open(str(path)).write_end
        os.write(write_end, b"one\ntwo\n")
        done = program.run("--check")
        assert done.returncode == 0, done.stdout
        assert "nats: the stream virtlog can be made" in done.stdout
        assert "nats: the consumer nats may acknowledge" in done.stdout
        program.start()
        until(lambda: server_has(server, b"two\n"))
        os.write(write_end, b"three\n")
        until(lambda: server_has(server, b"three\n"))
        os.close(write_end)
        until(lambda: [one.lag_bytes for one in client.consumers()] == [0])
    until(program.metrics.exists)
    assert "nats: the stream virtlog is there" in program.run("--check").stdout
    assert program.end() == 0
    assert server.stored() == {str(path): [b"one\ntwo\n", b"three\n"]}
    families = text_string_to_metric_families(program.metrics.read_text())
    assert "virtlog_ship_bytes" in {family.name for family in families}
    assert "the stream virtlog was made" in program.log()
    assert "WARNING" not in program.log()


def server_has(server: Server, text: bytes) -> bool:
    """Return whether the last message ends with a text; there may be no stream yet."""
    try:
        return server.end_of(text)
    except (nats.errors.Error, OSError):
        return False


def test_it_says_what_cannot_be_reached(program: Program, server: Server) -> None:
    """By the names of the configuration."""
    server.kill()
    done = program.run("--check")
    assert done.returncode == 1
    assert "nats: " in done.stdout
    assert "twisted-virtlog" in done.stdout
    assert program.run("--config", "/nowhere").stderr.startswith("Error: /nowhere: it cannot be")
    server.start()


@pytest.mark.lengthy
def test_each_byte_is_stored_once_over_kills(
    program: Program, server: Server, daemon: Daemon, tmp_path: Path
) -> None:
    """Of the shipper and of the server, while guests write over rollovers."""
    paths = [tmp_path / f"{number}.log" for number in range(3)]
    written = dict.fromkeys(paths, b"")
    with daemon.client() as client:
        write_ends = {path: client.open(str(path)).write_end for path in paths}

        def write(count: int) -> None:
            for _ in range(count):
                for path, write_end in write_ends.items():
                    line = b"%s %d\n" % (path.name.encode(), len(written[path]))
                    os.write(write_end, line * 20)
                    written[path] += line * 20

        for kill in range(8):
            program.start()
            write(60)
            if kill % 4 == 3:
                server.kill()
                write(10)
                server.start()
            if kill % 2:
                until(lambda kill=kill: server.count() > kill)  # type: ignore[misc]
            program.end(signal.SIGKILL)
        program.start()
        expected = {str(path): data for path, data in written.items()}

        def is_stored() -> bool:
            with contextlib.suppress(nats.errors.Error, OSError):
                found = {path: b"".join(all_) for path, all_ in server.stored().items()}
                return {path: len(data) for path, data in found.items()} == {
                    path: len(data) for path, data in expected.items()
                }
            return False

        until(is_stored)
        for write_end in write_ends.values():
            os.close(write_end)
    program.end()
    assert {path: b"".join(all_) for path, all_ in server.stored().items()} == expected


def test_what_a_server_answers(server: Server) -> None:
    """In the words of sinks."""
    source = Source("n", "/a", "QEMU", None)

    def message(offset: int, data: bytes) -> Message:
        return Message(data, Position(1, offset, "b"), Position(1, offset + len(data), "b"))

    async def ask() -> None:
        stream = JetStream(NatsSink(servers=(server.url,), max_age=60, max_bytes=1 << 20))
        await stream.connect()
        assert await stream.checkpoint(source) == Checkpoint(0, None)
        first = await stream.publish(source, message(1, b"a"), 0)
        assert await stream.checkpoint(source) == Checkpoint(first, Position(1, 2, "b"))
        with pytest.raises(Overtaken):
            await stream.publish(source, message(2, b"b"), 0)
        second = await stream.publish(source, message(2, b"b"), first)
        assert second > first
        with pytest.raises(Refused):
            await stream.publish(source, message(3, bytes(2 << 20)), second)
        await stream.close()
        with pytest.raises(Unavailable):
            await stream.checkpoint(source)

    asyncio.run(ask())


def test_a_stream_that_is_there_stays_as_it_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """One with another retention is used, and one that takes other subjects is not."""

    async def make(client: nats.NATS) -> None:
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="fleet", subjects=["virtlog.>"], max_age=3600))
        await stream.add_stream(StreamConfig(name="other", subjects=["x.>"]))

    server.run(make)

    async def ask() -> None:
        found = JetStream(NatsSink(servers=(server.url,), stream="fleet"))
        await found.connect()
        await found.close()
        with pytest.raises(Refused, match=r"the stream other takes x.>, and not virtlog.>"):
            await JetStream(NatsSink(servers=(server.url,), stream="other")).connect()

    asyncio.run(ask())
    assert "the stream fleet has max_age = 3600, and not 0; it stays as it is" in caplog.text
