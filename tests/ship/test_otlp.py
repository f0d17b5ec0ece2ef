"""Messages go to a collector."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.fakes.collector import Collector, answered, collecting
from tests.ship.decoded import records
from twisted_virtlog.ship import otlp
from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.otlp import Otlp
from twisted_virtlog.ship.protobuf import data, number
from twisted_virtlog.ship.sink import Checkpoint, Refused, Source, Unavailable
from twisted_virtlog.ship.sink_settings import OtlpSink
from twisted_virtlog.values import Position

_SOURCE = Source("node17", "/a.log", "QEMU", None)
_REQUEST_HEADERS = {"X-Scope-OrgID": "site"}


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(otlp, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(otlp, "_LONGEST_PAUSE_SECONDS", 0.01)


def message(text: bytes) -> Message:
    """Return one."""
    return Message(text, Position(1, 0, "b"), Position(1, len(text), "b"))


def bodies(collector: Collector) -> list[list[object]]:
    """Return the lines of each request that came."""
    return [[one.body for one in records(body)] for _, body in collector.requests]


@contextlib.asynccontextmanager
async def connected(collector: Collector, counts: Counts) -> AsyncIterator[Otlp]:
    """Have a sink inside the context."""
    sink = Otlp(OtlpSink(consumer="c", url=collector.url, headers=_REQUEST_HEADERS), counts)
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


def run(work: Callable[[Collector, Otlp, Counts], Awaitable[None]]) -> None:
    """Do something with a sink and a collector."""

    async def do() -> None:
        counts = Counts()
        async with collecting() as collector, connected(collector, counts) as sink:
            await work(collector, sink, counts)

    asyncio.run(asyncio.wait_for(do(), 60))


def test_a_message_is_posted() -> None:
    """With all headers, and is stored when it is answered."""

    async def work(collector: Collector, sink: Otlp, counts: Counts) -> None:
        assert await sink.checkpoint(_SOURCE) == Checkpoint(0, None)
        assert await sink.publish(_SOURCE, message(b"one\ntwo\n"), 0) == 0
        ((head, _),) = collector.requests
        assert "\r\nContent-Type: application/x-protobuf\r\n" in head
        assert "\r\nX-Scope-OrgID: site\r\n" in head
        assert bodies(collector) == [["one", "two"]]
        assert counts == Counts()

    run(work)


def test_what_waits_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as there is room, and in order."""
    monkeypatch.setattr(otlp, "_REQUESTS", 1)
    monkeypatch.setattr(otlp, "_MOST_LINES", 6)

    async def work(collector: Collector, sink: Otlp, _counts: Counts) -> None:
        collector.is_open.clear()
        first = asyncio.create_task(sink.publish(_SOURCE, message(b"first\n"), 0))
        while not collector.connections:
            await asyncio.sleep(0)
        others = [
            asyncio.create_task(sink.publish(_SOURCE, message(b"%d\n" % one), 0))
            for one in range(5)
        ]
        await asyncio.sleep(0)
        collector.is_open.set()
        await asyncio.gather(first, *others)
        assert bodies(collector) == [["first"], ["0", "1", "2"], ["3", "4"]]
        # (also of one message)
        del collector.requests[:]
        await sink.publish(_SOURCE, message(b"\n" * 20), 0)
        assert [len(one) for one in bodies(collector)] == [5, 5, 5, 5]

    run(work)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_it_is_tried_again(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Where the specification says so; it is told once, and when all is well."""
    caplog.set_level("INFO")

    async def work(collector: Collector, sink: Otlp, counts: Counts) -> None:
        collector.answers.extend(
            [answered(status, b"", "Retry-After: 0"), answered(status), b"", b""]
        )
        await sink.publish(_SOURCE, message(b"one\n"), 0)
        assert bodies(collector) == [["one"]] * 5
        assert counts.retries == 4
        assert f"otlp: status {status}: it is tried again" in caplog.text
        assert caplog.text.count("tried again") == 2
        assert "takes logs again" in caplog.text

    run(work)


def test_what_a_collector_asks_for_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is longer than any pause of ours."""
    waited: list[float | None] = []
    pause = otlp.Backoff.pause

    def noted(self: otlp.Backoff, asked: float | None = None) -> float:
        waited.append(asked)
        return pause(self)

    monkeypatch.setattr(otlp.Backoff, "pause", noted)

    async def work(collector: Collector, sink: Otlp, _counts: Counts) -> None:
        collector.answers.extend([answered(429, b"", "Retry-After: 300"), answered(503)])
        await sink.publish(_SOURCE, message(b"one\n"), 0)

    run(work)
    assert waited == [300.0, None]


@pytest.mark.parametrize(("status", "times"), [(400, 1), (413, 1), (403, 3), (500, 3)])
def test_what_is_refused(status: int, times: int) -> None:
    """It is not sent again if that is of no use, and other requests are taken."""

    async def work(collector: Collector, sink: Otlp, counts: Counts) -> None:
        said = answered(status, data(2, b"bad"), "Content-Type: application/x-protobuf")
        collector.answers.extend([said] * times)
        with pytest.raises(Refused, match=f"status {status}: bad") as caught:
            await sink.publish(_SOURCE, message(b"one\n"), 0)
        assert caught.value.is_final
        assert bodies(collector) == [["one"], []] * times
        assert counts.retries == times - 1
        # (others go on)
        await sink.publish(_SOURCE, message(b"two\n"), 0)

    run(work)


def test_of_several_messages_only_the_one_to_blame_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though they went together."""
    monkeypatch.setattr(otlp, "_REQUESTS", 1)

    async def work(collector: Collector, sink: Otlp, _counts: Counts) -> None:
        collector.refuses = b"poison"
        collector.is_open.clear()
        first = asyncio.create_task(sink.publish(_SOURCE, message(b"first\n"), 0))
        while not collector.connections:
            await asyncio.sleep(0)
        texts = (b"a\n", b"poison\n", b"b\n")
        others = [asyncio.create_task(sink.publish(_SOURCE, message(one), 0)) for one in texts]
        await asyncio.sleep(0)
        collector.is_open.set()
        await first
        done = await asyncio.gather(*others, return_exceptions=True)
        assert [isinstance(one, Refused) for one in done] == [False, True, False]
        assert ["a", "poison", "b"] in bodies(collector)

    run(work)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 500])
def test_nothing_is_lost_for_a_wrong_way(status: int) -> None:
    """A collector that does not take anything refuses no message."""

    async def work(collector: Collector, sink: Otlp, counts: Counts) -> None:
        collector.status = status
        stored = asyncio.create_task(sink.publish(_SOURCE, message(b"one\n"), 0))
        while counts.retries < 6:
            await asyncio.sleep(0.001)
        assert not stored.done()
        while collector.requests[-1][1]:
            # (the next request is the message's)
            await asyncio.sleep(0)
        collector.status = None
        assert await stored == 0

    run(work)


def test_what_is_left_out_is_told_and_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    """A partial success is one."""

    async def work(collector: Collector, sink: Otlp, counts: Counts) -> None:
        partial = answered(200, data(1, number(1, 2) + data(2, b"too old")))
        hint = answered(200, data(1, data(2, b"use the other URL")))
        collector.answers.extend([partial, partial, hint])
        for _ in range(3):
            await sink.publish(_SOURCE, message(b"one\ntwo\n"), 0)
        assert len(collector.requests) == 3
        assert counts.rejected_lines == 4

    run(work)
    assert caplog.text.count("otlp: 2 lines were left out by the collector: too old") == 1
    assert "otlp: use the other URL" in caplog.text


def test_who_waits_no_more_is_not_waited_for() -> None:
    """It is not tried again, and the sink goes on."""

    async def work(collector: Collector, sink: Otlp, _counts: Counts) -> None:
        collector.status = 503
        gone = asyncio.create_task(sink.publish(_SOURCE, message(b"one\n"), 0))
        while not collector.requests:
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        del collector.requests[:]
        stored = asyncio.create_task(sink.publish(_SOURCE, message(b"two\n"), 0))
        while bodies(collector).count(["two"]) < 5:
            await asyncio.sleep(0)
        # (one may have been under way)
        assert bodies(collector).count(["one"]) <= 1
        collector.status = None
        await stored

    run(work)


def test_check(tmp_path: Path) -> None:
    """Says whether a collector takes logs, with what it is sent to know who asks."""
    token = tmp_path / "token"
    token.write_text("Bearer abc\n")

    async def ask() -> None:
        async with collecting() as collector:
            settings = OtlpSink(consumer="c", url=collector.url, credentials=str(token))
            assert await Otlp(settings, Counts()).check() == f"{collector.url} takes logs"
            assert "\r\nAuthorization: Bearer abc\r\n" in collector.requests[0][0]
            collector.refuses = b""
            with pytest.raises(Unavailable, match=r"v1/logs: status 400"):
                await Otlp(settings, Counts()).check()
        with pytest.raises(Unavailable, match=r"v1/logs: .*Connect call failed"):
            await Otlp(settings, Counts()).check()
        with pytest.raises(Refused, match="No such file"):
            await Otlp(OtlpSink(credentials="/nowhere"), Counts()).check()

    asyncio.run(ask())


@pytest.mark.openssl
def test_over_tls(certificate: tuple[Path, Path]) -> None:
    """A collector has to prove its name, and may ask for a certificate."""
    made, key = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made)
    context.load_cert_chain(made, key)
    context.verify_mode = ssl.CERT_REQUIRED
    files = {"tls_ca": str(made), "tls_cert": str(made), "tls_key": str(key)}

    async def ask() -> None:
        async with collecting(context) as collector:
            sink = Otlp(OtlpSink(url=collector.url, **files), Counts())
            assert await sink.check() == f"{collector.url} takes logs"
            with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await Otlp(OtlpSink(url=collector.url), Counts()).check()

    asyncio.run(ask())
