"""An event stream at the speed of its reader, over twisted.web's own HTTP, with a clock of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import GzipEncoderFactory, Request, Site

from twisted_virtlog.web.answering import Answering
from twisted_virtlog.web.streaming import EventStream

PATIENCE = 60.0


@dataclass
class Reader:
    """A client that asks for a stream in a site that compresses all that it can.

    :ivar streams: those that were begun for it.
    :ivar sent: what was sent since it was asked for the last time.
    """

    method: bytes = b"GET"
    clock: Clock = field(default_factory=Clock)
    streams: list[EventStream] = field(default_factory=list)
    transport: StringTransport = field(default_factory=StringTransport)

    def __post_init__(self) -> None:
        root = EncodingResourceWrapper(Answering(self._answer), [GzipEncoderFactory()])
        root.isLeaf = True
        site: Any = Site(root, timeout=None, reactor=self.clock)
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        head = b"%b / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n" % self.method
        self.channel.dataReceived(head)

    @property
    def sent(self) -> bytes:
        """Take what was sent."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def reads(self, is_reading: bool) -> None:
        """Read what comes, or let it wait in the socket."""
        producer: Any = self.transport.producer
        (producer.resumeProducing if is_reading else producer.pauseProducing)()

    def send(self, event: bytes) -> list[None]:
        """Begin to send an event; return a list that has something once the next may be sent."""
        taken: list[None] = []
        Deferred.fromCoroutine(self.streams[0].send(event)).addCallback(taken.append)
        return taken

    def leave(self) -> None:
        """Close the connection."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    async def _answer(self, request: Request) -> None:
        with EventStream(request, self.clock, PATIENCE) as stream:
            self.streams.append(stream)
            if stream.is_wanted:
                await Deferred()


@pytest.fixture
def reader() -> Reader:
    """One who reads."""
    return Reader()


def test_no_encoder_keeps_events_back(reader: Reader) -> None:
    """Each is sent when it is written, as it is."""
    head, _, body = reader.sent.partition(b"\r\n\r\n")
    assert b"content-encoding" not in head.lower()
    assert b"retry: 1000\n\n" in body
    assert reader.send(b"event: a\n\n")
    assert b"event: a\n\n" in reader.sent


def test_a_quiet_stream_shows_that_it_lives(reader: Reader) -> None:
    assert b":\n\n" not in reader.sent
    for _ in range(3):
        reader.clock.advance(14)
        assert reader.sent == b""
        reader.clock.advance(1)
        assert b":\n\n" in reader.sent


def test_who_does_not_read_is_sent_nothing_more(reader: Reader) -> None:
    """Neither events nor signs of life, until what was sent is taken."""
    reader.reads(False)
    taken = reader.send(b"event: a\n\n")
    assert taken == []
    assert not reader.streams[0].write(b"event: b\n\n")
    assert b"event: b\n\n" in reader.sent
    reader.clock.advance(15)
    assert reader.sent == b""
    reader.reads(True)
    assert taken == [None]
    reader.clock.advance(15)
    assert b":\n\n" in reader.sent


def test_one_may_wait_for_some_time_only(reader: Reader) -> None:
    reader.reads(False)
    ready: list[bool] = []
    Deferred.fromCoroutine(reader.streams[0].ready(1.0)).addCallback(ready.append)
    reader.clock.advance(0.9)
    assert ready == []
    reader.clock.advance(0.1)
    assert ready == [False]
    Deferred.fromCoroutine(reader.streams[0].ready(1.0)).addCallback(ready.append)
    reader.reads(True)
    assert ready == [False, True]


def test_who_takes_nothing_for_a_minute_is_given_up(reader: Reader) -> None:
    """The time begins anew with each wait."""
    for _ in range(3):
        reader.reads(False)
        reader.clock.advance(PATIENCE - 1)
        reader.reads(True)
    assert not reader.transport.disconnecting
    reader.reads(False)
    reader.clock.advance(PATIENCE - 1)
    assert not reader.transport.disconnecting
    reader.clock.advance(1)
    assert reader.transport.disconnecting


@pytest.mark.parametrize("reads", [True, False])
def test_nothing_is_left_of_who_has_gone(reader: Reader, reads: bool) -> None:
    if not reads:
        reader.reads(False)
    reader.leave()
    assert reader.clock.getDelayedCalls() == []


def test_who_asks_for_the_head_alone_gets_that() -> None:
    reader = Reader(b"HEAD")
    head, _, body = reader.sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in head
    assert (body, reader.clock.getDelayedCalls()) == (b"", [])
