"""Messages go to a server of syslog by RELP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.fakes.relp_server import RelpServer, relp_serving
from twisted_virtlog.ship import relp
from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.relp import Relp
from twisted_virtlog.ship.relp_frames import OFFERS
from twisted_virtlog.ship.sink import Checkpoint, Refused, Source, Unavailable
from twisted_virtlog.ship.sink_settings import RelpSink
from twisted_virtlog.values import Position

_SOURCE = Source("node17", "/a.log", "QEMU", None)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(relp, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(relp, "_LONGEST_PAUSE_SECONDS", 0.01)


def message(*lines: bytes) -> Message:
    """Return one with these lines."""
    text = b"".join(line + b"\n" for line in lines)
    return Message(text, Position(1, 0, "b"), Position(1, len(text), "b"))


def settings(*servers: RelpServer) -> RelpSink:
    """Return what names servers."""
    return RelpSink(consumer="c", servers=tuple(server.url for server in servers))


@contextlib.asynccontextmanager
async def connected(counts: Counts, *servers: RelpServer) -> AsyncIterator[Relp]:
    """Have a sink inside the context."""
    sink = Relp(settings(*servers), counts)
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


def run(work: Callable[[RelpServer, Relp, Counts], Awaitable[None]]) -> None:
    """Do something with a sink and a server."""

    async def do() -> None:
        counts = Counts()
        async with relp_serving() as server, connected(counts, server) as sink:
            await work(server, sink, counts)

    asyncio.run(asyncio.wait_for(do(), 60))


async def until(condition: Callable[[], object]) -> None:
    """Look until something holds."""
    while not condition():
        await asyncio.sleep(0)


def test_lines_are_sent_and_answered() -> None:
    """In a session that is opened before, and closed when all is over."""

    async def do() -> None:
        async with relp_serving() as server:
            async with connected(Counts(), server) as sink:
                assert await sink.checkpoint(_SOURCE) == Checkpoint(0, None)
                assert await sink.publish(_SOURCE, message(b"one", b"two"), 0) == 0
                await sink.publish(_SOURCE, message(b""), 0)
            assert server.texts() == [b"one", b"two", b""]
            commands = [(one.number, one.command) for one in server.commands]
            assert commands == [
                *((1, b"open"), (2, b"syslog"), (3, b"syslog"), (4, b"syslog"), (5, b"close"))
            ]
            assert server.commands[0].data == OFFERS

    asyncio.run(do())


def test_no_more_than_a_window_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many messages, too; the rest follows as answers come."""
    monkeypatch.setattr(relp, "WINDOW", 5)

    async def work(server: RelpServer, sink: Relp, _counts: Counts) -> None:
        server.is_open.clear()
        lines = [b"%d" % number for number in range(20)]
        stored = [
            asyncio.create_task(sink.publish(_SOURCE, message(*lines[at : at + 4]), 0))
            for at in range(0, 20, 4)
        ]
        await until(lambda: len(sink._under_way) == 5)
        await until(server.texts)
        assert not any(one.done() for one in stored)
        server.is_open.set()
        while not all(one.done() for one in stored):
            assert len(sink._under_way) <= 5
            await asyncio.sleep(0)
        assert server.texts() == lines

    run(work)


def test_what_is_not_answered_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    """In order, when a session ends; what was answered is not."""
    caplog.set_level("INFO")

    async def work(server: RelpServer, sink: Relp, counts: Counts) -> None:
        await sink.publish(_SOURCE, message(b"first"), 0)
        server.takes = 2
        lines = [b"%d" % number for number in range(6)]
        stored = [
            asyncio.create_task(sink.publish(_SOURCE, message(*lines[:4]), 0)),
            asyncio.create_task(sink.publish(_SOURCE, message(*lines[4:]), 0)),
        ]
        await asyncio.gather(*stored)
        texts = server.texts()
        assert texts[:4] == [b"first", b"0", b"1", b"2"]
        assert texts[-4:] == [b"2", b"3", b"4", b"5"]
        assert server.sessions == 2
        assert counts.retries == 1

    run(work)
    assert caplog.text.count("the server closed the connection: it is tried again") == 1
    assert "takes logs again" in caplog.text


def test_a_line_that_is_refused_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """After some attempts; those beside it are stored once."""

    async def work(server: RelpServer, sink: Relp, counts: Counts) -> None:
        server.refuses = b"poison"
        await sink.publish(_SOURCE, message(b"a", b"poison", b"b"), 0)
        texts = server.texts()
        assert sorted(texts) == [b"a", b"b", b"poison", b"poison", b"poison"]
        assert (counts.rejected_lines, counts.retries) == (1, 2)

    run(work)
    assert "/a.log: the line at 2 is left out: 500 it is poison" in caplog.text


def test_who_waits_no_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not sent yet is not, also in the next session."""
    monkeypatch.setattr(relp, "WINDOW", 2)

    async def work(server: RelpServer, sink: Relp, _counts: Counts) -> None:
        server.is_open.clear()
        gone = asyncio.create_task(sink.publish(_SOURCE, message(b"1", b"2", b"3"), 0))
        await until(lambda: len(sink._under_way) == 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        stays = asyncio.create_task(sink.publish(_SOURCE, message(b"4"), 0))
        server.takes = 0
        server.is_open.set()
        await stays
        assert set(server.texts()) <= {b"1", b"2", b"4"}
        assert server.texts()[-1] == b"4"

    run(work)


def test_one_of_several_servers_will_do(caplog: pytest.LogCaptureFixture) -> None:
    """The next is tried when one takes no logs, or is gone."""

    async def do() -> None:
        async with relp_serving() as one, relp_serving() as other:
            one.offers = b"500 go away"
            async with connected(Counts(), one, other) as sink:
                await sink.publish(_SOURCE, message(b"a"), 0)
                assert other.texts() == [b"a"]
                one.offers = other.offers
                other.takes = 0
                await sink.publish(_SOURCE, message(b"b"), 0)
                assert one.texts() == [b"b"]

    asyncio.run(asyncio.wait_for(do(), 60))
    assert "it takes no logs: 500 go away: it is tried again" in caplog.text


def test_a_session_that_is_not_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """If something is under way."""
    monkeypatch.setattr(relp, "_ANSWER_SECONDS", 0.001)

    async def work(server: RelpServer, sink: Relp, counts: Counts) -> None:
        server.is_open.clear()
        stored = asyncio.create_task(sink.publish(_SOURCE, message(b"b"), 0))
        await until(lambda: counts.retries)
        monkeypatch.setattr(relp, "_ANSWER_SECONDS", 60.0)
        server.is_open.set()
        await stored

    run(work)


def test_a_session_without_anything_to_say_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to be answered."""
    monkeypatch.setattr(relp, "_ANSWER_SECONDS", 0.001)

    async def work(_server: RelpServer, sink: Relp, counts: Counts) -> None:
        await until(lambda: sink._session)
        session = sink._session
        await asyncio.sleep(0.02)
        assert sink._session is session
        assert not counts.retries

    run(work)


def test_a_broken_connection_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the system has the same word for it."""

    async def work(_server: RelpServer, sink: Relp, counts: Counts) -> None:
        await until(lambda: sink._session)
        assert sink._session is not None
        sink._session._reader.set_exception(TimeoutError(110, "Connection timed out"))
        await until(lambda: counts.retries)
        await sink.publish(_SOURCE, message(b"a"), 0)

    run(work)


def test_something_else_is_no_server() -> None:
    """It says what came instead."""

    async def shout(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP, nothing of RELP is spoken here, nor ever was\r\n")
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(shout, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            sink = Relp(RelpSink(servers=(f"relp://127.0.0.1:{port}",)), Counts())
            with pytest.raises(Unavailable, match=rf"relp://127.0.0.1:{port}: this is no frame"):
                await sink.check()

    asyncio.run(ask())


def test_check() -> None:
    """One server that takes logs is enough."""

    async def ask() -> None:
        async with relp_serving() as one, relp_serving() as other:
            one.offers = b"200 OK\ncommands=other"
            sink = Relp(settings(one, other), Counts())
            assert await sink.check() == f"{other.url} takes logs"
            assert [frame.command for frame in other.commands] == [b"open", b"close"]
            other.offers = one.offers
            with pytest.raises(Unavailable, match=r"it takes no logs.*; .*it takes no logs"):
                await sink.check()
        with pytest.raises(Refused, match="No such file"):
            await Relp(
                RelpSink(servers=("tls://127.0.0.1:1",), tls_ca="/nowhere"), Counts()
            ).check()

    asyncio.run(ask())
