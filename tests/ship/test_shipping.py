"""Logs of a real daemon are shipped to a sink that fails now and then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest

from harness.daemon import Daemon, running
from tests.ship.processes import user
from twisted_virtlog.client import BlockingClient
from twisted_virtlog.ship import acknowledging, shipping
from twisted_virtlog.ship.acknowledging import Acknowledger
from twisted_virtlog.ship.configuration import Configuration
from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.headers import CUT, END, PATH, START, end_of, headers_of
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.shipping import Shipper
from twisted_virtlog.ship.sink import Checkpoint, Overtaken, Refused, Source, Unavailable
from twisted_virtlog.ship.subjects import subject
from twisted_virtlog.values import Domain

_DOMAIN = Domain("11111111-2222-3333-4444-555555555555", "web")
_SECONDS = 60.0


class Memory:
    """A sink in memory.

    :ivar stored: of each subject, the numbers, headers and bytes of its messages.
    :ivar refuses: a text that no message may have.
    :ivar is_down: whether it stores nothing now.
    :ivar answers: nothing is answered before it is set.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        """:param chance: lets it fail before or after it has stored something."""
        self.stored: dict[str, list[tuple[int, Mapping[str, str], bytes]]] = defaultdict(list)
        self.refuses = b"\0"
        self.is_down = False
        self.answers: asyncio.Event | None = None
        self._chance = chance
        self._number = 0

    def data(self, path: Path) -> bytes:
        """Return what is stored of a log."""
        return b"".join(data for _, headers, data in self.messages(path))

    def messages(self, path: Path) -> list[tuple[int, Mapping[str, str], bytes]]:
        """Return the messages of a log."""
        return [one for all_ in self.stored.values() for one in all_ if one[1][PATH] == str(path)]

    async def connect(self) -> None:
        """Nothing is to be connected."""

    async def check(self) -> str:
        return "it is there"

    async def close(self) -> None:
        """Nothing is to be closed."""

    async def checkpoint(self, source: Source) -> Checkpoint:
        await asyncio.sleep(0)
        self._fail(0.1)
        stored = self.stored[_subject(source)]
        if not stored:
            return Checkpoint(0, None)
        number, headers, _ = stored[-1]
        return Checkpoint(number, end_of(headers))

    async def publish(self, source: Source, message: Message, expected: int) -> int:
        await asyncio.sleep(0)
        if self.answers is not None:
            await self.answers.wait()
        self._fail(0.1)
        if self.refuses in message.data:
            raise Refused("it is poison")
        stored = self.stored[_subject(source)]
        last = stored[-1][0] if stored else 0
        if last != expected:
            raise Overtaken(f"{last} stands there, and not {expected}")
        self._number += 1
        headers = headers_of(message, source, datetime.now(timezone.utc))
        stored.append((self._number, headers, message.data))
        number = self._number
        await asyncio.sleep(0)
        self._fail(0.1)
        return number

    def _fail(self, probability: float) -> None:
        if self.is_down:
            raise Unavailable("it is down")
        if self._chance is not None and self._chance.random() < probability:
            raise Unavailable("it is not its day")


def _subject(source: Source) -> str:
    return subject("virtlog", source.host, source.uuid, source.path)


class Forgetful(Memory):
    """A sink that cannot say what it has."""

    async def checkpoint(self, source: Source) -> Checkpoint:
        return Checkpoint((await super().checkpoint(source)).sequence, None)


@contextlib.asynccontextmanager
async def shipping_to(
    sink: Memory, daemon: Daemon, domains: tuple[str, ...] = ("*",), consumer: str = ""
) -> AsyncIterator[Shipper]:
    """Ship inside the context."""
    configuration = Configuration(daemon.socket, "node17", domains)
    acknowledger = Acknowledger(daemon.socket, consumer) if consumer else None
    needs = isinstance(sink, Forgetful)
    shipper = Shipper(configuration, sink, Counts(), acknowledger, needs)
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    """Look until something holds."""

    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), _SECONDS)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(shipping, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(shipping, "_LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(acknowledging, "_SECONDS", 0.01)


def opened(client: BlockingClient, path: Path, domain: Domain | None = None) -> int:
    """Open a log; return the write end of its pipe."""
    return client.open(str(path), "QEMU", domain).write_end


def test_all_that_is_kept_and_all_that_comes(daemon: Daemon, tmp_path: Path) -> None:
    """Of logs that were closed before, are open, and are opened later; also without a newline."""
    closed, present, later = (tmp_path / name for name in ("closed.log", "open.log", "later.log"))

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        write_end = opened(client, closed)
        os.write(write_end, b"before\nno end")
        os.close(write_end)
        write_end = opened(client, present, _DOMAIN)
        os.write(write_end, b"first\n")
        async with shipping_to(sink, daemon) as shipper:
            await until(lambda: sink.data(closed) == b"before\nno end")
            await until(lambda: sink.data(present) == b"first\n")
            os.write(write_end, b"second\nlogin: ")
            await until(lambda: sink.data(present) == b"first\nsecond\nlogin: ")
            assert [headers.get(CUT) for _, headers, _ in sink.messages(present)][-1] == "end"
            other = opened(client, later)
            os.write(other, b"late\n")
            await until(lambda: sink.data(later) == b"late\n")
            os.close(other)
            os.close(write_end)
            # (closed logs are followed no more, and all of them are there)
            await until(lambda: shipper.counts.logs == 0)
            other = opened(client, later)
            os.write(other, b"again\n")
            await until(lambda: sink.data(later) == b"late\nagain\n")
            os.close(other)
            assert shipper.counts.bytes == sum(
                len(sink.data(path)) for path in (closed, present, later)
            )
            assert shipper.counts.retries == 0
        assert f"virtlog.node17.{_DOMAIN.uuid}." in next(
            name for name in sink.stored if "open%2Elog" in name
        )

    with daemon.client() as client:
        asyncio.run(ship(client))


@pytest.mark.lengthy
@pytest.mark.parametrize("seed", range(3))
def test_each_byte_is_stored_once_whatever_fails(seed: int, daemon: Daemon, tmp_path: Path) -> None:
    """The sink before and after it has stored something, and shippers that end at any time."""
    chance = random.Random(seed)
    sink = Memory(chance)
    paths = [tmp_path / f"{number}.log" for number in range(4)]
    written = dict.fromkeys(paths, b"")

    async def ship(client: BlockingClient) -> None:
        write_ends = {path: opened(client, path) for path in paths}
        for _ in range(12):
            async with shipping_to(sink, daemon):
                for _ in range(chance.randrange(1, 30)):
                    path = chance.choice(paths)
                    line = b"%d" % len(written[path]) + chance.choice([b"\n", b" ", b"x" * 3000])
                    os.write(write_ends[path], line)
                    written[path] += line
                    for _ in range(chance.randrange(6)):
                        await asyncio.sleep(0)
                stored = sum(len(all_) for all_ in sink.stored.values())
                await until(
                    lambda stored=stored: sum(map(len, sink.stored.values())) > stored  # type: ignore[misc]
                )
        async with shipping_to(sink, daemon):
            await until(lambda: all(sink.data(path) == written[path] for path in paths))
        for write_end in write_ends.values():
            os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))
    for path in paths:
        messages = sink.messages(path)
        ends = [headers[END] for _, headers, _ in messages]
        starts = [headers[START] for _, headers, _ in messages]
        assert len(set(starts)) == len(starts)
        assert len(set(ends)) == len(ends)


def test_a_message_that_is_refused_is_left_out(daemon: Daemon, tmp_path: Path) -> None:
    """After some attempts, but none of the lines beside it; the rest goes on, and it is counted."""
    path = tmp_path / "guest.log"

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        sink.refuses = b"poison"
        write_end = opened(client, path)
        async with shipping_to(sink, daemon) as shipper:
            os.write(write_end, b"good\n")
            await until(lambda: sink.data(path) == b"good\n")
            os.write(write_end, b"not to blame\npoison\nnor this\n")
            await until(lambda: shipper.counts.refused_bytes == 7)
            os.write(write_end, b"better\n")
            expected = b"good\nnot to blame\nnor this\nbetter\n"
            await until(lambda: sink.data(path) == expected)
        os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


def test_another_shipper_may_have_been_quicker(daemon: Daemon, tmp_path: Path) -> None:
    """Two of one host store each byte once together."""
    path = tmp_path / "guest.log"

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        write_end = opened(client, path)
        expected = b""
        async with shipping_to(sink, daemon), shipping_to(sink, daemon):
            for number in range(20):
                line = b"line %d\n" % number
                os.write(write_end, line)
                expected += line
                await until(lambda expected=expected: sink.data(path) == expected)  # type: ignore[misc]
        os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


def test_only_some_guests(daemon: Daemon, tmp_path: Path) -> None:
    """Those that the configuration names."""
    web, other, nobody = (tmp_path / name for name in ("web.log", "other.log", "nobody.log"))

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        ends = [
            opened(client, web, _DOMAIN),
            opened(client, other, Domain("21111111-2222-3333-4444-555555555555", "other")),
            opened(client, nobody),
        ]
        for write_end in ends:
            os.write(write_end, b"line\n")
        async with shipping_to(sink, daemon, ("we*",)):
            await until(lambda: sink.data(web) == b"line\n")
            os.write(ends[0], b"more\n")
            await until(lambda: sink.data(web) == b"line\nmore\n")
        assert len(sink.stored) == 1
        for write_end in ends:
            os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


def test_much_is_read_only_as_fast_as_it_is_stored(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is bounded, however much the guest has written."""
    monkeypatch.setattr(shipping, "MOST_WAITING_BYTES", 300_000)
    path = tmp_path / "guest.log"
    data = b"a line of a guest that writes much\n" * 60_000

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        write_end = opened(client, path)
        await asyncio.to_thread(os.write, write_end, data)
        most = 0
        async with shipping_to(sink, daemon) as shipper:

            def is_done() -> bool:
                nonlocal most
                most = max(most, shipper.counts.waiting_bytes)
                return len(sink.data(path)) == len(data)

            await until(is_done)
            assert shipper.counts.waiting_bytes == 0
        os.close(write_end)
        assert sink.data(path) == data
        assert 0 < most < 1_000_000

    with daemon.client() as client:
        asyncio.run(ship(client))


def test_a_sink_that_comes_back_finds_all(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when so much waited that nothing more was read, and so nothing was answered."""
    monkeypatch.setattr(shipping, "MOST_WAITING_BYTES", 300_000)
    paths = [tmp_path / f"{number}.log" for number in range(3)]
    data = b"a line of a guest that writes much\n" * 40_000

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        write_ends = [opened(client, path) for path in paths]
        async with shipping_to(sink, daemon) as shipper:
            for path, write_end in zip(paths, write_ends, strict=True):
                os.write(write_end, b"first\n")
                await until(lambda path=path: sink.data(path) == b"first\n")  # type: ignore[misc]
            sink.is_down, sink.answers = True, asyncio.Event()
            for write_end in write_ends:
                await asyncio.to_thread(os.write, write_end, data)
            await until(lambda: shipper.counts.waiting_bytes > 300_000)
            sink.answers.set()
            await until(lambda: shipper.counts.retries > 20)
            sink.is_down = False
            await until(lambda: all(len(sink.data(path)) == 6 + len(data) for path in paths))
        for path, write_end in zip(paths, write_ends, strict=True):
            assert sink.data(path) == b"first\n" + data
            os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


def acknowledged(client: BlockingClient, consumer: str, path: Path) -> int | None:
    """Return up to which offset a log is acknowledged; None if it is not."""
    for row in client.consumers():
        if (row.consumer, row.path) == (consumer, str(path)) and row.position is not None:
            return row.position.offset
    return None


def test_what_is_stored_is_acknowledged(daemon: Daemon, tmp_path: Path) -> None:
    """From the beginning on, and the rest when it ends; a sink that forgets goes on there."""
    directory, link = tmp_path / "logs", tmp_path / "link"
    directory.mkdir()
    link.symlink_to(directory)
    path, other = directory / "guest.log", directory / "other.log"

    async def ship(client: BlockingClient) -> None:
        sink = Forgetful()
        write_end = opened(client, path)
        os.write(write_end, b"one\n")
        async with shipping_to(sink, daemon, consumer="otlp"):
            await until(lambda: acknowledged(client, "otlp", path) == 4)
            sink.answers = asyncio.Event()
            # (the daemon names consumers' logs without links)
            other_end = opened(client, link / "other.log")
            os.write(other_end, b"first\n")
            # (it is held before anything of it is stored)
            await until(lambda: acknowledged(client, "otlp", other) == 0)
            sink.answers.set()
            await until(lambda: sink.data(link / "other.log") == b"first\n")
        assert acknowledged(client, "otlp", other) == 6
        os.write(write_end, b"two\n")
        async with shipping_to(sink, daemon, consumer="otlp"):
            await until(lambda: sink.data(path) == b"one\ntwo\n")
            os.write(other_end, b"second\n")
            await until(lambda: sink.data(link / "other.log") == b"first\nsecond\n")
        os.close(write_end)
        os.close(other_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


def test_a_sink_that_forgets_needs_a_consumer(
    daemon: Daemon, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is shipped while the daemon refuses it; others ship, and say so."""
    path = tmp_path / "guest.log"

    async def ship(client: BlockingClient) -> None:
        forgetful, sink = Forgetful(), Memory()
        write_end = opened(client, path)
        os.write(write_end, b"one\n")
        async with (
            shipping_to(forgetful, daemon, consumer="unknown"),
            shipping_to(sink, daemon, consumer="unknown too"),
        ):
            await until(lambda: sink.data(path) == b"one\n")
            await until(lambda: "names no consumer 'unknown'" in caplog.text)
            assert "names no consumer 'unknown too'" in caplog.text
            os.write(write_end, b"two\n")
            await until(lambda: sink.data(path) == b"one\ntwo\n")
        assert not forgetful.data(path)
        os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


def test_an_emptied_subject_begins_where_it_was_acknowledged(
    daemon: Daemon, tmp_path: Path
) -> None:
    """What retention has removed does not come again."""
    path = tmp_path / "guest.log"

    async def ship(client: BlockingClient) -> None:
        sink = Memory()
        write_end = opened(client, path)
        os.write(write_end, b"one\n")
        async with shipping_to(sink, daemon, consumer="nats"):
            await until(lambda: acknowledged(client, "nats", path) == 4)
        sink.stored.clear()
        os.write(write_end, b"two\n")
        async with shipping_to(sink, daemon, consumer="nats"):
            await until(lambda: sink.data(path) == b"two\n")
        os.close(write_end)

    with daemon.client() as client:
        asyncio.run(ship(client))


@pytest.mark.lengthy
def test_a_daemon_that_is_started_anew_is_followed_where_it_was(tmp_path: Path) -> None:
    """Nothing comes twice to a sink that forgets, as long as the shipper lives."""
    path, directory = tmp_path / "guest.log", tmp_path / "daemon"
    settings = [f'consumers = [ "otlp:{user()}" ]']

    async def ship() -> None:
        sink = Forgetful()
        async with contextlib.AsyncExitStack() as stack:
            for number in range(3):
                line = b"%d\n" % number
                with running(directory, settings) as daemon, daemon.client() as client:
                    if not number:
                        await stack.enter_async_context(shipping_to(sink, daemon, consumer="otlp"))
                    write_end = opened(client, path)
                    os.write(write_end, line)
                    await until(lambda line=line: sink.data(path).endswith(line))  # type: ignore[misc]
                    os.close(write_end)
        assert sink.data(path) == b"0\n1\n2\n"

    asyncio.run(ship())
